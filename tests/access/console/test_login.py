"""Logging in: links, passwords, cookies, roles; and what other sites' pages, guesses and stale forms come to."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from access.console import passwords
from access.console.login import cookie_name
from access.console.logins import form_token, is_form_token
from access.console.pages import OPEN, PAGES, Page
from access.console.visit import own_path
from domain.errors import InvalidRequest
from domain.person import ROLES
from store import audit, people
from store.database import Connection
from tests.access.conftest import Api
from tests.access.console.conftest import PASSWORD, Looks, Visitor, token_in
from tests.ops.runner_site import until

Come = Callable[..., Visitor]
OTHERS = ["http://evil.example", "null", "http://127.0.0.1.evil.example"]
LEAD_AWAY = ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
             "/\t/evil.example", "http:evil.example", "evil.example", "///evil.example", "/\n/evil.example",
             ""]  # fmt: skip


def log_in(visitor: Visitor, name: str = "bob", password: str = PASSWORD, **more: str) -> Any:
    return visitor.post("/login", {"name": name, "password": password} | more)


def path_of(page: Page) -> str:
    return page.path.replace("{id:path}", "walk").replace("{id}", "x").replace("{token}", "x")


CLOSED = [page for page in PAGES if page.role != OPEN]


# Refused by default


@pytest.mark.parametrize("page", CLOSED, ids=lambda page: f"{page.method} {page.path}")
def test_nobody_sees_a_page_without_a_login(visitor: Come, talk: str, page: Page) -> None:
    path = path_of(page)
    if page.method == "GET":
        answer = visitor().get(path)
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/login?next={path.replace('/', '%2F')}"
    else:
        answer = visitor().post(path, {"title": "typed"})
        assert answer.status_code == 401
        assert "Log in" in answer.text
    assert "Carbon" not in answer.text


@pytest.mark.parametrize("page", CLOSED, ids=lambda page: f"{page.method} {page.path}")
def test_each_role_sees_its_pages_and_no_others(visitor: Come, talk: str, page: Page) -> None:
    for name, role in (("alice", "viewer"), ("bob", "reviewer"), ("carol", "admin")):
        visit = visitor(name)
        fields = {"form_token": token_in(visit.get("/").text), "do": "none"}
        answer = visit.get(path_of(page)) if page.method == "GET" else visit.post(path_of(page), fields)
        may = ROLES.index(role) >= ROLES.index(page.role)  # type: ignore[arg-type]
        assert (answer.status_code != 403) is may, answer.text


def test_a_page_that_names_no_role_is_for_admins() -> None:
    assert Page("GET", "/new", lambda visit: None, "x.html").role == "admin"  # type: ignore[arg-type, return-value]


def test_only_these_pages_are_open_to_everybody() -> None:
    assert {(page.method, page.path) for page in PAGES if page.role == OPEN} == {
        ("GET", "/login"),
        ("POST", "/login"),
        ("GET", "/welcome/{token}"),
        ("POST", "/welcome/{token}"),
    }


# The first link


def test_the_first_person_comes_in_by_a_link_and_is_admin(screen: Looks, api: Api) -> None:
    link = api.post("/login-links", role="admin")
    page = screen.as_(None, link["path"])
    page.get_by_label("Name").fill("  Dora  ")
    page.get_by_label("Password").fill("four words in a row")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Today")
    expect(page.get_by_role("link", name="People")).to_be_visible()
    page.goto(link["path"])
    expect(page.get_by_role("heading", level=1)).to_have_text("This link is over")


def test_opening_a_link_does_not_use_it_up_and_using_it_does(visitor: Come, conn: Connection) -> None:
    link = f"/welcome/{people.add_link(conn, role='reviewer')['token']}"
    assert visitor().get(link).status_code == visitor().get(link).status_code == 200
    short = visitor().post(link, {"name": "dora", "password": "short"})
    assert (short.status_code, 'value="dora"' in short.text) == (422, True)
    taken = visitor().post(link, {"name": "BOB", "password": "four words in a row"})
    assert taken.status_code == 422  # and the link is still good
    assert visitor().post(link, {"name": "dora", "password": "four words in a row"}).status_code == 303
    assert visitor().post(link, {"name": "eve", "password": "four words in a row"}).status_code == 404
    assert conn.execute("SELECT role FROM people WHERE name = 'dora'").fetchone() == {"role": "reviewer"}


def test_a_link_is_over_after_an_hour(visitor: Come, conn: Connection) -> None:
    link = f"/welcome/{people.add_link(conn, role='admin')['token']}"
    conn.execute("UPDATE login_links SET expires_at = now()")
    assert visitor().get(link).status_code == 404
    assert visitor().post(link, {"name": "eve", "password": "four words in a row"}).status_code == 404


def test_a_link_for_a_person_gives_them_a_new_password_and_ends_their_logins(visitor: Come, conn: Connection) -> None:
    before, carol = visitor("bob"), visitor("carol")
    answer = carol.send("/people", {"do": "password", "name": "bob"})
    link = answer.text.partition("/welcome/")[2].partition("<")[0]
    try:
        new = visitor().post(f"/welcome/{link}", {"name": "carol", "password": "another four words"})
        assert new.status_code == 303
        assert before.get("/").status_code == 303
        assert log_in(visitor()).status_code == 401
        assert log_in(visitor(), password="another four words").status_code == 303
        assert log_in(visitor(), "carol").status_code == 303
    finally:
        conn.execute("UPDATE people SET password = %s WHERE name = 'bob'", [passwords.hashed(PASSWORD)])


# The cookie


def test_the_cookie_is_out_of_the_reach_of_scripts_and_other_sites(visitor: Come, conn: Connection) -> None:
    answer = log_in(visitor())
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(cookie_name(False)))
    flags = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= flags
    assert not any(flag.startswith("domain") for flag in flags)
    value = cookie.partition("=")[2].partition(";")[0]
    row = conn.execute("SELECT * FROM logins").fetchone()
    assert row is not None
    assert bytes(row["hash"]) == hashlib.sha256(value.encode()).digest()


def test_behind_tls_the_cookie_is_secure_and_bound_to_the_host(stranger: TestClient, conn: Connection) -> None:
    answer = stranger.post(
        "https://testserver/login", data={"name": "bob", "password": PASSWORD}, follow_redirects=False
    )
    cookie = next(c for c in answer.headers.get_list("set-cookie") if "login" in c)
    assert cookie.startswith("__Host-ai_webhook_login=")
    assert "secure" in cookie.lower()


def test_a_cookie_from_before_the_login_opens_nothing_after_it(visitor: Come, address: str) -> None:
    planted = Visitor(address, "planted-by-charlie")
    with planted.client:
        answer = log_in(planted)
        assert answer.status_code == 303
        fresh = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(cookie_name(False)))
        assert "planted" not in fresh
    again = Visitor(address, "planted-by-charlie")
    with again.client:
        assert again.get("/").status_code == 303


def test_a_login_ends_when_one_logs_out_is_disabled_is_idle_or_after_14_days(visitor: Come, conn: Connection) -> None:
    for ending in (
        "UPDATE logins SET expires_at = now()",
        "UPDATE logins SET last_seen = now() - interval '12 hours 1 minute'",
        "UPDATE people SET disabled = now() WHERE name = 'bob'",
    ):
        visit = visitor("bob")
        assert visit.get("/").status_code == 200
        conn.execute(ending)  # type: ignore[call-overload]
        assert visit.get("/").status_code == 303
        conn.execute("UPDATE people SET disabled = NULL")
    visit = visitor("bob")
    cookie = visit.client.cookies[cookie_name(False)]
    visit.send("/logout", {}, page="/")
    visit.client.cookies.set(cookie_name(False), cookie)
    assert visit.get("/").status_code == 303


def test_a_login_lasts_14_days_at_most_and_is_seen_to_the_minute(visitor: Come, conn: Connection) -> None:
    visit = visitor("bob")
    conn.execute("UPDATE logins SET last_seen = now() - interval '2 hours'")
    visit.get("/")
    row = conn.execute(
        "SELECT now() - last_seen < '1 minute' AS seen, expires_at <= now() + interval '14 days' AS ends FROM logins"
    ).fetchone()
    assert row == {"seen": True, "ends": True}


# Passwords and guesses


def test_a_wrong_password_an_unknown_name_and_a_disabled_person_are_answered_alike(
    visitor: Come, conn: Connection
) -> None:
    conn.execute("UPDATE people SET disabled = now() WHERE name = 'alice'")
    answers = [log_in(visitor(), *who) for who in (("bob", "wrong"), ("nobody", "wrong"), ("alice", PASSWORD))]
    assert {answer.status_code for answer in answers} == {401}
    told = {answer.text.partition('role="alert"')[2].partition("</p>")[0] for answer in answers}
    assert len(told) == 1


def test_for_an_unknown_name_a_password_is_checked_too(visitor: Come, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Any] = []
    real = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda typed, kept: (checked.append(kept), real(typed, kept))[1])
    log_in(visitor(), "nobody", "wrong")
    assert checked == [None]
    assert not real("of nobody", None)


def test_after_five_tries_a_name_waits_longer_and_longer(visitor: Come, conn: Connection) -> None:
    assert [log_in(visitor(), "bob", "wrong").status_code for _ in range(5)] == [401] * 5
    locked = log_in(visitor())
    assert (locked.status_code, "seconds" in locked.text) == (429, True)  # also with the right one
    waits = []
    for _ in range(9):
        conn.execute("UPDATE failed_logins SET locked_until = now()")
        log_in(visitor(), "bob", "wrong")
        row = conn.execute(
            "SELECT max(round(EXTRACT(epoch FROM locked_until - last_failure))) AS s FROM failed_logins"
        ).fetchone()
        assert row is not None
        waits.append(int(row["s"]))
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900, 900]
    assert log_in(visitor(), "carol").status_code == 303  # others get in
    conn.execute("UPDATE failed_logins SET locked_until = now()")
    assert log_in(visitor()).status_code == 303
    assert conn.execute("SELECT count(*) AS n FROM failed_logins").fetchone() == {"n": 0}


def test_an_address_that_tries_many_names_waits_too(visitor: Come, conn: Connection) -> None:
    for _ in range(30):
        people.count_try(conn, "address 127.0.0.1", free=30, first_seconds=15, most_seconds=900)
    assert log_in(visitor(), "carol").status_code == 429


def test_tries_are_kept_for_so_many_names_and_none_in_plain(conn: Connection, visitor: Come) -> None:
    for n in range(20):
        people.count_try(conn, f"name {n}", free=5, first_seconds=15, most_seconds=900)
    people.bound_tries(conn, most=7)
    assert conn.execute("SELECT count(*) AS n FROM failed_logins").fetchone() == {"n": 7}
    log_in(visitor(), "my password by mistake", "x")
    assert "mistake" not in str(conn.execute("SELECT * FROM failed_logins").fetchall())


# Other sites


@pytest.mark.parametrize("headers", [*({"origin": origin} for origin in OTHERS), {"sec-fetch-site": "cross-site"},
                                     {"sec-fetch-site": "same-site"}], ids=str)  # fmt: skip
def test_a_form_of_another_site_changes_nothing(visitor: Come, talk: str, headers: dict[str, str]) -> None:
    visit = visitor("bob")
    token = token_in(visit.get("/sessions/walk").text)
    fields = {"form_token": token, "title": "Taken over"}
    assert visit.post("/sessions/walk", fields, headers=headers).status_code == 403
    assert visitor().post("/login", {"name": "bob", "password": PASSWORD}, headers=headers).status_code == 403
    assert "Taken over" not in visit.get("/sessions/walk").text


@pytest.mark.parametrize("token", [None, "", "x", "0" * 80, "é" * 80])
def test_a_form_without_the_token_of_this_login_changes_nothing_but_is_kept(
    visitor: Come, talk: str, token: str | None
) -> None:
    visit = visitor("bob")
    answer = visit.post("/sessions/walk", {"title": "Typed"} | ({} if token is None else {"form_token": token}))
    assert answer.status_code == 403
    assert "Send what you typed?" in answer.text
    assert "Typed" not in visit.get("/sessions/walk").text
    others = token_in(visitor("carol").get("/sessions/walk").text)
    assert visit.post("/sessions/walk", {"title": "Typed", "form_token": others}).status_code == 403


def test_a_token_is_another_each_time_and_good_for_its_login_only() -> None:
    assert form_token("a") != form_token("a")
    assert is_form_token("a", form_token("a"))
    assert not is_form_token("b", form_token("a"))


@pytest.mark.parametrize("target", LEAD_AWAY)
def test_a_login_never_leads_to_another_site(visitor: Come, target: str) -> None:
    assert own_path(target) == "/"
    answer = log_in(visitor(), next=target)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert visitor("bob").get("/login", params={"next": target}).headers["location"] == "/"


def test_a_login_leads_back_to_where_one_was(screen: Looks, talk: str) -> None:
    page = screen.as_(None, "/sessions/walk?turn=3")
    page.get_by_label("Name").fill("bob")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{screen.address}/sessions/walk?turn=3")
    page.get_by_role("button", name="Log out").click()
    expect(page.locator("#told")).to_have_text("You are logged out.")
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


# A login that ends in the middle


@pytest.mark.parametrize("scripts", [True, False])
def test_what_was_typed_when_the_login_ended_is_not_lost(
    desktop: Looks, talk: str, conn: Connection, scripts: bool
) -> None:
    typed = 'Carbon & "prices" <b>\u202eיום'
    page = desktop.as_("bob", "/sessions/walk", java_script_enabled=scripts)
    page.get_by_text("Change or export").click()
    page.get_by_label("Title").fill(typed)
    conn.execute("DELETE FROM logins")
    page.get_by_role("button", name="Save the title").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    page.get_by_label("Name").fill("bob")
    page.get_by_label("Password").fill("wrong at first")
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Send what you typed?")
    page.get_by_role("button", name="Send it").click()
    expect(page.locator("#told")).to_have_text("The title is changed.")
    assert conn.execute("SELECT title FROM sessions").fetchone() == {"title": typed}


def test_lines_and_empty_lines_come_through_the_login_as_typed(visitor: Come, talk: str) -> None:
    answer = visitor().post("/sessions/walk", {"title": "\n\nfirst\r\n\r\nsecond\n"})
    assert '<textarea name="kept.title" hidden aria-hidden="true">\n\n\nfirst\n\nsecond\n</textarea>' in answer.text


def test_htmx_is_sent_to_the_login_by_a_header(visitor: Come, address: str) -> None:
    headers = {"hx-request": "true", "hx-current-url": f"{address}/sessions?status=active"}
    answer = visitor().get("/sessions", headers=headers)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login?next=%2Fsessions%3Fstatus%3Dactive")
    posted = visitor().post("/sessions/walk", {"title": "typed"}, headers=headers)
    assert (posted.status_code, posted.headers["hx-retarget"]) == (401, "body")
    assert "kept.title" in posted.text
    evil = visitor().get("/sessions", headers=headers | {"hx-current-url": "https://evil.example//evil.example"})
    assert evil.headers["hx-redirect"] == "/login?next=%2F"


# People and tokens


def test_an_admin_changes_roles_disables_and_makes_links(screen: Looks, conn: Connection) -> None:
    page = screen.as_("carol", "/people")
    page.get_by_label("Role of alice").select_option("reviewer")
    row = page.get_by_role("listitem").filter(has_text="alice")
    row.get_by_role("button", name="Save the role").click()
    expect(page.locator("#told")).to_have_text("alice is changed.")
    assert conn.execute("SELECT role FROM people WHERE name = 'alice'").fetchone() == {"role": "reviewer"}
    row.get_by_role("button", name="Disable").click()
    expect(row.locator(".state")).to_have_text("disabled")
    row.get_by_role("button", name="Let in again").click()
    expect(row.locator(".state")).to_have_text("reviewer")
    page.get_by_role("button", name="Make a link").click()
    expect(page.locator("#made")).to_contain_text("/welcome/")


def test_somebody_is_always_left_as_admin(visitor: Come, conn: Connection) -> None:
    carol = visitor("carol")
    for fields in ({"do": "role", "name": "carol", "role": "viewer"}, {"do": "disable", "name": "carol"}):
        answer = carol.send("/people", fields)
        assert (answer.status_code, "Nobody would be left as admin." in answer.text) == (422, True)
    with pytest.raises(InvalidRequest):
        people.update(conn, "carol", role=None, disabled=True)


def test_a_token_is_made_shown_once_and_revoked(screen: Looks, conn: Connection) -> None:
    page = screen.as_("carol", "/tokens")
    page.get_by_label("Name").fill("laptop")
    page.get_by_label("Claim tasks as the agent").fill("codex")
    page.get_by_role("button", name="Make the token").click()
    expect(page.locator("#made")).to_contain_text("awt_")
    assert conn.execute("SELECT scopes FROM tokens").fetchone() == {"scopes": ["claim:codex", "read"]}
    page.goto("/tokens")
    expect(page.locator("#made")).to_have_count(0)
    page.get_by_role("button", name="Revoke laptop").click()
    expect(page.locator(".rows .state")).to_have_text("revoked")


def test_what_was_typed_for_a_token_that_cannot_be_stays(visitor: Come, talk: str) -> None:
    answer = visitor("carol").send("/tokens", {"do": "create", "name": "phone"})
    assert (answer.status_code, 'value="phone"' in answer.text) == (422, True)


# Kept


def test_who_came_in_and_what_they_looked_at_is_kept(visitor: Come, talk: str, conn: Connection) -> None:
    def kept(action: str) -> list[tuple[str, str | None, str]]:
        rows = audit.listing(conn, action=action, limit=1000)
        return [(row["actor"], row["object"], row["outcome"]) for row in rows]

    nobody = visitor()
    log_in(nobody, name="bob", password="not his password")
    log_in(nobody, name="a password typed as a name")
    log_in(nobody, name="bob")
    assert kept("log_in")[0] == ("bob", None, "done")
    alice = visitor("alice")
    alice.get("/sessions/walk")
    alice.get("/sessions/walk?export=md")
    until(lambda: ("alice", "walk", "done") in kept("export_session"))
    assert ("alice", "walk", "done") in kept("get_session")
    assert {("bob", None, "wrong_login"), ("somebody", None, "wrong_login")} <= set(kept("log_in"))
    alice.send("/logout", {}, page="/")
    assert kept("log_out")[0] == ("alice", None, "done")
