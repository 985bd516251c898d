"""Deliveries: listed and found, looked at safely, done again by admins; and what was refused at the door."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
import redis
from playwright.sync_api import expect

from access.console.bodies import READ_BYTES, SHOWN_CHARS
from access.console.deliveries import hint_of
from domain.delivery import delivery_key
from store.database import Connection
from tests.access.console.conftest import Looks, Visitor
from tests.access.console.test_xss import CORPUS

Come = Callable[..., Visitor]


def add(
    conn: Connection,
    name: str,
    *,
    source: str = "zoom",
    state: str = "processed",
    body: bytes = b'{"event": "x"}',
    content_type: str = "application/json",
    code: str | None = None,
    error: str | None = None,
    session: str | None = None,
) -> str:
    key = delivery_key(source, name)
    conn.execute(
        "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body, state, attempts,"
        " error_code, error, session_id, processed_at) VALUES (%s, %s, %s, 'transcript', now(), %s, %s, %s, 1, %s, %s,"
        " %s, CASE WHEN %s IN ('processed', 'ignored', 'unknown') THEN now() END)",
        [key, source, name, content_type, body, state, code, error, session, state],
    )
    return key


def failed(conn: Connection, name: str, *, source: str = "zoom", code: str = "no_turns") -> str:
    return add(conn, name, source=source, state="failed", code=code, error="Nothing was said.")


def state_of(conn: Connection, key: str) -> str:
    row = conn.execute("SELECT state FROM deliveries WHERE id = %s", [key]).fetchone()
    assert row is not None
    return str(row["state"])


# The list


def test_they_are_listed_by_source_state_and_code(screen: Looks, conn: Connection) -> None:
    add(conn, "one")
    failed(conn, "two", source="otter")
    failed(conn, "three", code="fetch_no_token")
    page = screen.as_("alice", "/deliveries")
    rows = page.locator("#deliveries > li")
    expect(rows).to_have_count(3)
    page.get_by_role("navigation", name="By state").get_by_role("link", name="Failed 2").click()
    expect(rows).to_have_count(2)
    page.get_by_label("Source").select_option("otter")
    page.get_by_role("button", name="Show").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Nothing was said.")
    page.goto("/deliveries")
    page.get_by_role("link", name="fetch_no_token").click()
    expect(rows).to_have_count(1)


def test_there_are_more_pages(desktop: Looks, conn: Connection) -> None:
    for number in range(120):
        add(conn, str(number))
    page = desktop.as_("alice", "/deliveries?source=zoom", java_script_enabled=False)
    seen: list[str] = []
    while True:
        seen += [link.get_attribute("href") or "" for link in page.locator("#deliveries .title a").all()]
        older = page.get_by_role("link", name="Older deliveries")
        if not older.count():
            break
        older.click()
    assert len(seen) == len(set(seen)) == 120


@pytest.mark.parametrize("query", ["state=x", "source=%00", "code=" + "x" * 3000, "before=nobody", "replay=1&state=x"])
def test_an_address_with_anything_in_it_is_a_page(visitor: Come, conn: Connection, query: str) -> None:
    answer = visitor("carol").get(f"/deliveries?{query}")
    assert (answer.status_code, "<h1>" in answer.text) == (200, True)


# One of them


def test_one_tells_what_became_of_it(screen: Looks, conn: Connection, talk: str) -> None:
    key = add(conn, "one", session="walk", body=b'{"a": {"b": ["c\\u202e", 12345678901234567890]}}')
    conn.execute(
        "INSERT INTO extraction_gaps (delivery, extractor, piece, turns, error_code, next_attempt_at)"
        " VALUES (%s, 'llm', 'p', '[]', 'llm_limit', 'infinity')",
        [key],
    )
    page = screen.as_("alice", "/deliveries", java_script_enabled=False)
    page.locator(f'a[href="/deliveries/{key}"]').click()
    expect(page.locator(".body")).to_have_text(
        '{\n  "a": {\n    "b": [\n      "cU+202E",\n      12345678901234567890\n    ]\n  }\n}'
    )
    expect(page.get_by_text("given up")).to_be_visible()
    expect(page.get_by_role("button", name="Do it again")).to_have_count(0)
    page.get_by_role("link", name="walk").click()
    expect(page.locator(".turns > li")).to_have_count(3)


def test_an_error_says_what_to_do(visitor: Come, conn: Connection) -> None:
    page = visitor("alice").get(f"/deliveries/{failed(conn, 'one')}").text
    assert "Nothing was said." in page
    assert "after a fix on our side replay the delivery" in page
    assert hint_of("invalid_signature") == "Sign the raw bytes of the body with the secret that this source has here."
    assert hint_of(None) is None


@pytest.mark.parametrize(
    ("body", "content_type", "shown"),
    [
        (b"Me: Hello.\r\nYou: Hi.", "text/plain", "Me: Hello.\nYou: Hi."),
        (b"{broken", "application/json", "{broken"),
        (b"[" * 5000, "application/json", "[" * 5000),
        (b'"\\ud800"', "application/json", "&#34;?&#34;"),
        (b"\xff\xfe\x00", "text/plain", "\ufffd\ufffd"),
        (b"", "text/plain", ""),
        (b"a=1&b=2", "application/x-www-form-urlencoded", "a=1&amp;b=2"),
        (b"[" + b"9" * 5000 + b"]", "application/json", "9" * 5000),
    ],
    ids=lambda value: ascii(value[:20]),
)
def test_whatever_came_can_be_looked_at(
    visitor: Come, conn: Connection, body: bytes, content_type: str, shown: str
) -> None:
    key = add(conn, "one", body=body, content_type=content_type)
    alice = visitor("alice")
    answer = alice.get(f"/deliveries/{key}")
    assert answer.status_code == 200
    assert shown in answer.text
    download = alice.get(f"/deliveries/{key}?body=1")
    assert download.content == body
    assert download.headers["content-type"] == "application/octet-stream"
    assert download.headers["content-disposition"].startswith("attachment; ")
    assert download.headers["x-content-type-options"] == "nosniff"


def test_of_a_long_body_only_the_beginning_is_shown(visitor: Come, conn: Connection) -> None:
    long = json.dumps(["w" * READ_BYTES, "the end"]).encode()
    answer = visitor("alice").get(f"/deliveries/{add(conn, 'one', body=long)}")
    assert "this is the beginning" in answer.text
    assert "the end" not in answer.text
    assert len(answer.text) < SHOWN_CHARS + 10_000


@pytest.mark.parametrize("text", CORPUS, ids=lambda text: ascii(text[:30]))
def test_nothing_in_a_body_runs_or_widens_the_page(phone: Looks, conn: Connection, text: str) -> None:
    keys = [
        add(conn, "json", body=json.dumps({text: text}).encode()),
        add(conn, "text", body=text.encode("utf-8", "replace"), content_type="text/plain"),
    ]
    page = phone.as_("carol", "/deliveries")
    for key in keys:
        page.goto(f"/deliveries/{key}")
        expect(page.locator(".body")).to_be_visible()
        assert page.evaluate("window.hacked") is None
        assert page.locator("main script, main img, main svg, main b, main [onerror], main [hx-get]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


@pytest.mark.parametrize("key", ["x", "b" * 32, "%00", "a" * 3000])
def test_one_that_is_not_there_is_told_as_a_page(visitor: Come, conn: Connection, key: str) -> None:
    for path in (f"/deliveries/{key}", f"/deliveries/{key}?body=1"):
        answer = visitor("alice").get(path)
        assert answer.status_code in (404, 422)
        assert "<h1>" in answer.text


def test_one_that_no_worker_has_taken_is_on_its_way_until_one_has(
    screen: Looks, conn: Connection, address: str, emptied: "redis.Redis"
) -> None:
    headers = {"authorization": "Bearer alices-key", "idempotency-key": "one"}
    body = b'{"text": "Me: Hello."}'
    key = httpx2.post(f"{address}/webhook/generic", content=body, headers=headers).json()["delivery"]
    page = screen.as_("alice", f"/deliveries/{key}")
    expect(page.get_by_role("heading", level=1)).to_have_text("On its way")
    add(conn, "one", source="generic", body=body)
    expect(page.locator(".state")).to_have_text("processed")
    expect(page.locator("[data-again]")).to_have_count(0)


# Again


def test_an_admin_does_one_again(screen: Looks, conn: Connection) -> None:
    key = failed(conn, "one")
    page = screen.as_("carol", f"/deliveries/{key}", java_script_enabled=False)
    page.get_by_role("button", name="Do it again").click()
    expect(page.locator("#told")).to_have_text("It is done again.")
    assert state_of(conn, key) == "received"


def test_an_admin_does_all_again_that_fit_and_is_told_before_how_many(screen: Looks, conn: Connection) -> None:
    keys = [failed(conn, f"zoom {n}") for n in range(3)]
    others = [failed(conn, "o", source="otter"), failed(conn, "c", code="internal_error")]
    page = screen.as_("carol", "/deliveries?source=zoom&code=no_turns", java_script_enabled=False)
    page.get_by_role("link", name="Do all again that failed and fit").click()
    expect(page.locator(".once")).to_contain_text("3 deliveries of zoom, failed with the code no_turns.")
    page.get_by_role("button", name="Do all again").click()
    expect(page.locator("#told")).to_have_text("3 deliveries are done again.")
    assert [state_of(conn, key) for key in keys] == ["received"] * 3
    assert [state_of(conn, key) for key in others] == ["failed"] * 2


def test_what_is_processed_or_waits_is_not_done_again(visitor: Come, conn: Connection) -> None:
    key = add(conn, "one")
    carol = visitor("carol")
    refused = carol.post(f"/deliveries/{key}", {"form_token": token_of(carol)})
    assert (refused.status_code, "this one is processed" in refused.text) == (422, True)
    for state in ("processed", "received"):
        assert "Do all again" not in carol.get(f"/deliveries?state={state}&replay=1").text
        carol.post("/deliveries", {"form_token": token_of(carol), "state": state})
    assert state_of(conn, key) == "processed"


def token_of(visitor: Visitor) -> str:
    return visitor.get("/").text.partition('name="form_token" value="')[2].partition('"')[0]


def test_only_admins_do_anything_again(visitor: Come, conn: Connection) -> None:
    key = failed(conn, "one")
    for name in ("alice", "bob"):
        other = visitor(name)
        for path in ("/deliveries?replay=1", f"/deliveries/{key}"):
            page = other.get(path).text
            assert "Do it again" not in page
            assert "Do all again" not in page
        fields = {"form_token": token_of(other)}
        assert [other.post(path, fields).status_code for path in ("/deliveries", f"/deliveries/{key}")] == [403, 403]
    assert visitor("carol").post(f"/deliveries/{key}", {}).status_code == 403
    assert visitor().post(f"/deliveries/{key}", {}).status_code == 401
    assert state_of(conn, key) == "failed"


# Refused


def refuse(address: str, source: str, **options: Any) -> None:
    assert httpx2.post(f"{address}/webhook/{source}", content=b"{}", **options).status_code == 401


def test_what_is_refused_is_counted_with_its_reason(
    screen: Looks, conn: Connection, address: str, emptied: "redis.Redis"
) -> None:
    for _ in range(2):
        refuse(address, "zoom", headers={"x-zm-signature": "v0=00", "x-zm-request-timestamp": "1"})
    refuse(address, "some-secret", headers={"authorization": "Bearer wrong"})
    page = screen.as_("alice", "/deliveries", java_script_enabled=False)
    table = page.get_by_role("table")
    expect(table.get_by_role("row").filter(has_text="zoom")).to_contain_text("WEBHOOK_SECRET_ZOOM")
    expect(table.get_by_role("row").filter(has_text="zoom").get_by_role("cell").nth(1)).to_have_text("2")
    expect(table.get_by_role("row").filter(has_text="other")).to_contain_text("invalid_api_key")
    expect(page.get_by_text("some-secret")).to_have_count(0)


def test_that_nothing_was_refused_is_said(visitor: Come, conn: Connection, emptied: "redis.Redis") -> None:
    assert "Nothing was refused" in visitor("alice").get("/deliveries").text
