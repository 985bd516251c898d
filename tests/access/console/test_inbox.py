"""The inbox: each item with its words; accepted, rejected, edited, merged, answered, and all of it taken back; by keys,
several at once, by two at a time, without scripts."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from access.console.inbox import PAGE, Choice, Cursor, Key
from domain.errors import NotFound
from store import memories, tasks
from store.database import Connection, Row
from tests.access.console.conftest import Looks, Visitor, add_memory, token_in
from tests.access.console.test_look import violations

Come = Callable[..., Visitor]


@pytest.fixture
def decision(conn: Connection, talk: str) -> int:
    return id_of(conn, "decision")


@pytest.fixture
def errand(conn: Connection, talk: str) -> int:
    """An action item with a task that waits for its approval."""
    memory = id_of(conn, "action_item")
    conn.execute(
        "INSERT INTO tasks (id, session_id, agent_name, title, status, memory, created)"
        " VALUES ('hangs', 'walk', 'codex', 'Look up its prices', 'proposed', %s, now() - interval '1 hour')",
        [memory],
    )
    return memory


@pytest.fixture
def question(conn: Connection, talk: str) -> str:
    claim = tasks.claim(conn, "codex", "one", max_tasks=3)
    held = conn.execute("SELECT id, claim_token FROM tasks WHERE status = 'claimed' OR status = 'running'").fetchall()
    assert held or claim
    tasks.ask(conn, held[0]["id"], held[0]["claim_token"], question="Which continent?")
    return str(held[0]["id"])


def id_of(conn: Connection, kind: str) -> int:
    row = conn.execute("SELECT id FROM memories WHERE type = %s", [kind]).fetchone()
    assert row is not None
    return int(row["id"])


def review(conn: Connection, memory: int) -> str:
    row = memories.get(conn, memory)
    assert row is not None
    return str(row["review"])


def task(conn: Connection, id: str) -> Row:
    row = tasks.get(conn, id)
    assert row is not None
    return row


def version_in(html: str, key: str) -> str:
    return html.partition(f'name="item" value="{key}"')[2].partition('name="version" value="')[2].partition('"')[0]


def deed(visit: Visitor, key: str, do: str, path: str = "/inbox", **fields: Any) -> Any:
    """A form of the page as it is there now."""
    version = version_in(visit.get(f"/inbox?edit={key}").text, key)
    return visit.send(path, {"item": key, "shown": key, "version": version, "do": do} | fields, page="/inbox")


def undo_in(html: str) -> str:
    value = html.partition('name="undo" value="')[2].partition('"')[0]
    return value.replace("&#34;", '"').replace("&amp;", "&")


def at_rest(page: Page) -> Page:
    expect(page.locator("body[data-listening]")).to_be_attached()
    return page


# What stands there


def test_each_item_has_its_words_who_said_them_where_and_how_certain_it_is(screen: Looks, errand: int) -> None:
    page = screen.as_("alice", "/inbox")
    item = page.locator(f"#memory-{errand}")
    expect(item.locator(".title")).to_have_text("Look up its prices")
    expect(item.locator("blockquote")).to_have_text("look up its prices")
    expect(item).to_contain_text("Mara")
    expect(item).to_contain_text("certain (1.00)")
    expect(item).to_contain_text("Its task: proposed for codex")
    expect(item.locator("time")).to_be_visible()
    expect(page.locator("#task-hangs")).to_have_count(0)  # it comes with its memory
    expect(page.locator("#task-prices")).to_contain_text("task for claude_code")
    item.get_by_role("link", name="Carbon in the planner").click()
    expect(page).to_have_url(re.compile(r"/sessions/walk\?turn=3#turn-3$"))


def test_a_viewer_reads_and_is_not_let_do_anything(
    desktop: Looks, visitor: Come, decision: int, conn: Connection
) -> None:
    page = desktop.as_("alice", f"/inbox?edit=memory-{decision}")
    expect(page.locator(".item")).to_have_count(4)
    expect(page.locator("#inbox").get_by_role("button")).to_have_count(0)
    expect(page.locator("#inbox input")).to_have_count(0)
    page.locator(".item").first.focus()
    page.keyboard.press("a")
    visit = visitor("alice")
    sent = visit.post("/inbox", {"form_token": token_in(visit.get("/inbox").text), "do": "accept"})
    assert sent.status_code == 403
    assert review(conn, decision) == "proposed"


def test_the_list_is_by_kind_type_session_and_order(visitor: Come, talk: str, question: str, conn: Connection) -> None:
    conn.execute("INSERT INTO sessions (id, title) VALUES ('other', 'Another talk')")
    conn.execute(
        "INSERT INTO turns (session_id, seq, speaker, text, language)"
        " VALUES ('other', 1, 'Mara', 'Buy milk', 'english')"
    )
    milk = add_memory(conn, "other", 1, "action_item", "Buy milk", "Buy milk")
    conn.execute("UPDATE memories SET confidence = 0.55 WHERE id = %s", [milk])
    conn.execute("UPDATE memories SET confidence = 0.75 WHERE type = 'question'")

    def listed(query: str) -> list[str]:
        html = visitor("bob").get(f"/inbox?{query}").text
        return re.findall(r'class="title" id="[^"]+"><bdi>([^<]+)', html)

    assert listed("")[0] == "Buy milk"
    assert len(listed("")) == 6
    assert sorted(listed("kind=tasks")) == sorted(["Look up its prices", task(conn, question)["title"]])
    assert listed("kind=questions") == [task(conn, question)["title"]]
    assert listed("kind=memories&type=decision") == ["We use the Carbon Interface API"]
    assert listed("session=other") == ["Buy milk"]
    assert listed("session=other&type=decision") == []
    assert listed("order=certainty")[:2] == ["Buy milk", "Is it fast enough?"]
    assert listed("order=certainty&session=walk")[0] == "Is it fast enough?"
    assert len(listed("kind=nonsense&type=nonsense&order=nonsense&before=nonsense")) == 6


@pytest.mark.parametrize("order", ["", "certainty"])
def test_pages_go_through_everything_once(visitor: Come, conn: Connection, talk: str, order: str) -> None:
    for n in range(60):
        add = add_memory(conn, "walk", 1, "idea", f"Idea {n}", "Carbon")
        conn.execute("UPDATE memories SET confidence = %s WHERE id = %s", [0.3 + n % 7 / 10, add])
        if n % 2:
            conn.execute(
                "INSERT INTO tasks (id, session_id, agent_name, title, status)"
                " VALUES (%s, 'walk', 'codex', %s, 'proposed')",
                [f"odd/{n} ~?&", f"Task {n}"],
            )
    visit = visitor("bob")
    seen: list[str] = []
    path: str | None = f"/inbox?order={order}"
    while path:
        html = visit.get(path).text
        titles = re.findall(r'<p class="title" id="([^"]+)-title">', html)
        assert len(titles) <= PAGE
        seen += titles
        link = re.search(r'rel="next" href="([^"]+)"', html)
        path = link[1].replace("&amp;", "&") if link else None
    assert len(seen) == len(set(seen)) == (63 if order else 63 + 31)


def test_tasks_that_hang_on_memories_do_not_hide_others(visitor: Come, conn: Connection, talk: str) -> None:
    memory = id_of(conn, "action_item")
    conn.execute(
        "INSERT INTO tasks (id, session_id, agent_name, title, status, memory)"
        " SELECT 'h' || n, 'walk', 'codex', 'Hangs', 'proposed', %s FROM generate_series(1, 1100) AS n",
        [memory],
    )
    first = visitor("bob").get("/inbox").text
    link = re.search(r'rel="next" href="([^"]+)"', first)
    assert link is not None
    assert 'id="task-prices"' in visitor("bob").get(link[1].replace("&amp;", "&")).text


def test_it_says_when_nothing_waits(desktop: Looks) -> None:
    page = desktop.as_("bob", "/inbox")
    expect(page.get_by_role("heading", name="Nothing waits for you here")).to_be_visible()


def test_an_item_with_its_forms_is_fit_for_everybody(screen: Looks, errand: int, question: str) -> None:
    page = at_rest(screen.as_("bob", f"/inbox?edit=memory-{errand}&order="))
    expect(page.get_by_role("button", name="Save the task")).to_be_visible()
    page.get_by_role("button", name="Accept: Is it fast enough?").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("?")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


# One after the other


def test_an_item_is_accepted_in_place_and_the_next_one_is_at_hand(
    screen: Looks, decision: int, conn: Connection
) -> None:
    page = at_rest(screen.as_("bob", "/inbox"))
    places = [item.get_attribute("id") for item in page.locator(".item").all()]
    at = places.index(f"memory-{decision}")
    page.get_by_role("button", name="Accept: We use the Carbon Interface API").click()
    expect(page.locator(f"#memory-{decision}")).to_have_count(0)
    expect(page.locator("#told")).to_contain_text("Accepted: “We use the Carbon Interface API”.")
    expect(page.locator(f"#{(places[at + 1 :] or places[at - 1 :])[0]}")).to_be_focused()
    assert review(conn, decision) == "accepted"
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(f"#memory-{decision}")).to_be_visible()
    expect(page.locator("#told")).to_contain_text("Taken back.")
    assert review(conn, decision) == "proposed"


def test_it_is_reviewed_without_scripts(screen: Looks, decision: int, conn: Connection) -> None:
    page = screen.as_("bob", "/inbox?kind=memories", java_script_enabled=False)
    page.get_by_role("button", name="Reject: Is it fast enough?").click()
    expect(page.locator("#told")).to_contain_text("Rejected: “Is it fast enough?”.")
    expect(page).to_have_url(re.compile(r"/inbox\?kind=memories#memory-\d+$"))
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Reject: Is it fast enough?")).to_be_visible()
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    page.get_by_role("link", name="Edit: We use the Carbon Interface API").click()
    page.get_by_label("Title").fill("We use Carbon")
    page.get_by_label("Tags").fill("carbon, api,")
    page.get_by_role("button", name="Save").click()
    row = memories.get(conn, decision)
    assert row is not None
    assert (row["title"], row["tags"], row["review"], row["reviewed_by"]) == (
        "We use Carbon",
        ["carbon", "api"],
        "edited",
        "bob",
    )
    page.get_by_role("button", name="Undo").click()
    row = memories.get(conn, decision)
    assert row is not None
    assert (row["title"], row["tags"], row["review"]) == ("We use the Carbon Interface API", [], "proposed")


def test_an_item_is_edited_in_place(screen: Looks, decision: int, conn: Connection) -> None:
    page = at_rest(screen.as_("bob", "/inbox"))
    page.get_by_role("link", name="Edit: We use the Carbon Interface API").click()
    item = page.locator(f"#memory-{decision}")
    expect(item.get_by_label("Title")).to_be_focused()
    item.get_by_label("Type").select_option("risk")
    item.get_by_role("button", name="Save").click()
    expect(item).to_have_count(0)
    expect(page.locator("#told")).to_contain_text("Edited")
    assert memories.get(conn, decision)["type"] == "risk"  # type: ignore[index]


def test_an_acceptance_approves_the_task_and_its_undoing_takes_that_back(
    visitor: Come, errand: int, conn: Connection
) -> None:
    bob = visitor("bob")
    sent = deed(bob, f"memory-{errand}", "accept")
    assert sent.status_code == 303
    assert task(conn, "hangs")["status"] == "pending"
    bob.send("/inbox", {"do": "undo", "undo": undo_in(bob.get("/inbox").text)})
    assert task(conn, "hangs")["status"] == "proposed"
    assert review(conn, errand) == "proposed"


def test_two_memories_are_merged_and_split_again(screen: Looks, decision: int, conn: Connection) -> None:
    again = add_memory(conn, "walk", 1, "decision", "We use the Carbon API", "Carbon Interface API")
    page = at_rest(screen.as_("bob", f"/inbox?edit=memory-{again}"))
    page.get_by_role("combobox", name="The same as").select_option(str(decision))
    page.get_by_role("button", name="Merge").click()
    expect(page.locator(f"#memory-{again}")).to_have_count(0)
    expect(page.locator("#told")).to_contain_text("The same as “We use the Carbon Interface API”.")
    assert memories.get(conn, again)["merged_into"] == decision  # type: ignore[index]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(f"#memory-{again}")).to_be_visible()


@pytest.mark.parametrize("number", ["", "0", "99999999", "999999999999999999999999", "1.5", "<b>", "-1"])
def test_it_is_merged_with_nothing_that_there_is_not(
    visitor: Come, decision: int, conn: Connection, number: str
) -> None:
    answer = deed(visitor("bob"), f"memory-{decision}", "merge", number=number)
    assert answer.status_code in (404, 422)
    assert memories.get(conn, decision)["merged_into"] is None  # type: ignore[index]


# Tasks


def test_a_proposed_task_is_approved_or_rejected_and_both_are_taken_back(
    visitor: Come, talk: str, conn: Connection
) -> None:
    bob = visitor("bob")
    for do, status in (("accept", "pending"), ("reject", "cancelled")):
        assert deed(bob, "task-prices", do).status_code == 303
        assert task(conn, "prices")["status"] == status
        bob.send("/inbox", {"do": "undo", "undo": undo_in(bob.get("/inbox").text)})
        assert task(conn, "prices")["status"] == "proposed"


def test_a_task_has_an_agent_a_priority_a_day_and_a_time(desktop: Looks, talk: str, conn: Connection) -> None:
    page = at_rest(desktop.as_("bob", "/inbox"))
    page.reload()  # the cookie says the zone from now on
    item = page.locator("#task-prices")
    item.get_by_role("link", name="Edit").click()
    item.get_by_role("combobox", name="Agent").select_option("codex")
    item.get_by_label("Priority").fill("80")
    item.get_by_label("Due").fill("2099-03-01")
    item.get_by_label("Not before, Europe/Berlin").fill("2099-02-01T09:00")
    item.get_by_role("button", name="Save the task").click()
    expect(page.locator("#told")).to_contain_text("Changed: “Look up its prices”.")
    expect(item).to_contain_text("Due 2099-03-01. Not before 1 Feb 2099, 09:00. Priority 80.")
    row = task(conn, "prices")
    assert (row["agent_name"], row["priority"], row["input_data"]["due_at"]) == ("codex", 80, "2099-03-01")
    assert row["not_before"].isoformat() == "2099-02-01T08:00:00+00:00"
    page.get_by_role("button", name="Undo").click()
    expect(item).to_contain_text("task for claude_code")
    row = task(conn, "prices")
    assert (row["priority"], "due_at" in row["input_data"], row["status"]) == (50, False, "proposed")


@pytest.mark.parametrize(
    "fields",
    [{"title": ""}, {"title": "x" * 1_000_000}, {"priority": "high"}, {"priority": "9" * 30}, {"due": "soon"},
     {"not_before": "soon"}, {"agent": "nobody"}],
    ids=lambda fields: next(iter(fields)) + str(len(next(iter(fields.values())))),
)  # fmt: skip
def test_what_a_task_cannot_be_is_said_and_what_was_typed_stays(
    visitor: Come, talk: str, conn: Connection, fields: Any
) -> None:
    before = task(conn, "prices")
    sent = {"title": "Typed title", "agent": "codex", "priority": "60", "due": "2099-01-01"} | fields
    answer = deed(visitor("bob"), "task-prices", "task", **sent)
    assert answer.status_code in (404, 422)
    if fields.get("title") is None and "agent" not in fields:
        assert "Typed title</textarea>" in answer.text
    assert task(conn, "prices") == before


def test_a_question_of_an_agent_is_answered(screen: Looks, question: str, conn: Connection) -> None:
    page = at_rest(screen.as_("bob", "/inbox?kind=questions"))
    item = page.locator(f"#task-{question}")
    expect(item).to_contain_text("Asks: Which continent?")
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.keyboard.type("Europe, as always")
    item.get_by_role("button", name="Answer").click()
    expect(item).to_have_count(0)
    assert task(conn, question)["input_data"]["answers"][0]["answer"] == "Europe, as always"
    page.get_by_role("button", name="Undo").click()
    expect(item).to_be_visible()
    assert task(conn, question)["question"] == "Which continent?"


# Several at once


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_several_are_accepted_at_once_and_taken_back_at_once(
    screen: Looks, talk: str, conn: Connection, scripts: bool
) -> None:
    page = screen.as_("bob", "/inbox", java_script_enabled=scripts)
    page.get_by_label("Choose We use the Carbon Interface API").check()
    page.get_by_label("Choose Is it fast enough?").check()
    page.get_by_role("button", name="Accept chosen").click()
    expect(page.locator("#told")).to_contain_text("2 accepted.")
    expect(page.locator(".item")).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#told")).to_contain_text("2 taken back.")
    expect(page.locator(".item")).to_have_count(4)


def test_all_on_the_page_are_chosen_by_one_click(desktop: Looks, talk: str, conn: Connection) -> None:
    page = at_rest(desktop.as_("bob", "/inbox"))
    page.get_by_label("All on this page").check()
    page.get_by_role("button", name="Reject chosen").click()
    expect(page.locator("#told")).to_contain_text("4 rejected.")
    expect(page.locator(".item")).to_have_count(0)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_what_could_not_be_done_of_several_is_told_one_by_one(
    desktop: Looks, decision: int, conn: Connection, scripts: bool
) -> None:
    page = desktop.as_("bob", "/inbox", java_script_enabled=scripts)
    page.get_by_label("Choose We use the Carbon Interface API").check()
    page.get_by_label("Choose Is it fast enough?").check()
    memories.reject(conn, decision, person="carol")
    page.get_by_role("button", name="Accept chosen").click()
    expect(page.locator("#told")).to_contain_text("“We use the Carbon Interface API”: carol rejected it,")
    expect(page.locator("#told")).to_contain_text("1 accepted.")
    assert review(conn, decision) == "rejected"


def test_nothing_chosen_is_said(visitor: Come, talk: str) -> None:
    assert "Nothing is chosen." in visitor("bob").send("/inbox", {"do": "accept-chosen"}).text


# Two reviewers


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_the_second_reviewer_is_told_what_the_first_did(
    desktop: Looks, decision: int, conn: Connection, scripts: bool
) -> None:
    page = desktop.as_("bob", f"/inbox?edit=memory-{decision}", java_script_enabled=scripts)
    page.get_by_label("Title").fill("Bob's words")
    memories.edit(conn, decision, person="carol", title="Carol's words")
    page.get_by_role("button", name="Save", exact=True).click()
    item = page.locator(f"#memory-{decision}")
    expect(item.get_by_role("alert")).to_contain_text("carol edited it,")
    expect(item.get_by_label("Title")).to_have_value("Bob's words")
    expect(item.locator(".title")).to_have_text("Carol's words")
    assert memories.get(conn, decision)["title"] == "Carol's words"  # type: ignore[index]
    page.get_by_role("button", name="Save", exact=True).click()  # having seen it
    expect(page.locator("#told")).to_contain_text("Edited: “Bob's words”.")


@pytest.mark.parametrize("do", ["accept", "reject"])
def test_a_review_of_what_is_no_longer_so_changes_nothing(
    visitor: Come, decision: int, conn: Connection, do: str
) -> None:
    bob = visitor("bob")
    version = version_in(bob.get("/inbox").text, f"memory-{decision}")
    memories.edit(conn, decision, person="carol", title="Something else")
    answer = bob.send("/inbox", {"item": f"memory-{decision}", "version": version, "do": do})
    assert answer.status_code == 409
    assert "carol edited it," in answer.text
    assert review(conn, decision) == "edited"
    version = version_in(bob.get("/inbox").text, "task-prices")
    tasks.approve(conn, "prices", person="carol")
    answer = bob.send("/inbox", {"item": "task-prices", "version": version, "do": do})
    assert "carol let it be done," in answer.text
    assert task(conn, "prices")["status"] == "pending"


def test_what_somebody_changed_since_is_not_taken_back(visitor: Come, decision: int, conn: Connection) -> None:
    bob = visitor("bob")
    deed(bob, f"memory-{decision}", "reject")
    undo = undo_in(bob.get("/inbox").text)
    memories.accept(conn, decision, person="carol")
    answer = bob.send("/inbox", {"do": "undo", "undo": undo})
    assert "carol accepted it," in answer.text
    assert review(conn, decision) == "accepted"


# Live


def test_what_comes_and_goes_is_seen_at_once(desktop: Looks, decision: int, conn: Connection) -> None:
    page = at_rest(desktop.as_("bob", "/inbox"))
    new = add_memory(conn, "walk", 1, "idea", "Walk more", "Carbon")
    expect(page.locator(f"#memory-{new}")).to_be_visible()
    memories.reject(conn, decision, person="carol")
    expect(page.locator(f"#memory-{decision}")).to_have_count(0)


def test_what_somebody_has_in_hand_stays_while_the_list_moves_on(
    screen: Looks, decision: int, conn: Connection
) -> None:
    page = at_rest(screen.as_("bob", "/inbox"))
    page.get_by_role("link", name="Edit: We use the Carbon Interface API").click()
    item = page.locator(f"#memory-{decision}")
    item.get_by_label("Title").fill("Half a sen")
    other = page.get_by_label("Choose Is it fast enough?")
    other.check()
    memories.reject(conn, decision, person="carol")
    memories.reject(conn, id_of(conn, "question"), person="carol")
    new = add_memory(conn, "walk", 1, "idea", "Walk more", "Carbon")
    expect(page.locator(f"#memory-{new}")).to_be_visible()
    expect(item.locator(".meanwhile")).to_be_visible()
    expect(item.get_by_label("Title")).to_have_value("Half a sen")
    expect(other).to_be_checked()
    item.get_by_role("button", name="Save", exact=True).click()
    expect(item.get_by_role("alert")).to_contain_text("carol rejected it,")
    expect(item.get_by_label("Title")).to_have_value("Half a sen")


# Keys


def test_it_is_all_done_by_keys(desktop: Looks, decision: int, conn: Connection) -> None:
    page = at_rest(desktop.as_("bob", "/inbox?kind=memories"))
    items = page.locator(".item")
    page.keyboard.press("j")
    expect(items.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(items.nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(items.nth(0)).to_be_focused()
    page.keyboard.press("x")
    expect(items.nth(0).locator("[name=chosen]")).to_be_checked()
    page.keyboard.press("x")
    page.keyboard.press("a")
    expect(page.locator("#told")).to_contain_text("Accepted: “Is it fast enough?”.")
    expect(items).to_have_count(2)
    expect(items.nth(0)).to_be_focused()
    page.keyboard.press("r")
    expect(page.locator("#told")).to_contain_text("Rejected: “Look up its prices”.")
    expect(items).to_have_count(1)
    page.keyboard.press("u")
    expect(page.locator("#told")).to_contain_text("Taken back.")
    expect(items).to_have_count(2)
    page.keyboard.press("k")
    page.keyboard.press("e")
    expect(page.get_by_label("Title").first).to_be_focused()
    page.keyboard.type("raj")  # words, here
    expect(items).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator(".panel")).to_have_count(0)
    expect(page.locator(".item:focus")).to_have_count(1)
    page.keyboard.press("?")
    expect(page.get_by_text("Keys work here")).to_be_visible()
    page.get_by_label("Keys work here").uncheck()
    items.nth(0).focus()
    page.keyboard.press("r")
    page.keyboard.press("j")
    expect(items.nth(0)).to_be_focused()
    page.reload()
    assert page.locator("#keys-on").is_checked() is False


# Bad input


def test_an_expired_login_loses_nothing_that_was_typed(desktop: Looks, decision: int, conn: Connection) -> None:
    page = at_rest(desktop.as_("bob", f"/inbox?edit=memory-{decision}"))
    page.get_by_label("Title").fill("A long thought")
    conn.execute("DELETE FROM logins")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_label("Name").fill("bob")
    page.get_by_label("Password").fill("walk the dog twice")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("dd", has_text="A long thought")).to_be_visible()
    page.get_by_role("button", name="Send it").click()
    expect(page.locator("#told")).to_contain_text("Edited: “A long thought”.")
    assert memories.get(conn, decision)["title"] == "A long thought"  # type: ignore[index]


@pytest.mark.parametrize("key", ["", "memory-", "memory-0", "memory-x", "memory-99999999", "memory-" + "9" * 40,
                                 "task-none", "task-", "x-1", "task-" + "é<>/" * 100])  # fmt: skip
@pytest.mark.parametrize("do", ["accept", "edit", "task", "merge", "answer"])
def test_what_is_not_there_is_told(visitor: Come, talk: str, key: str, do: str) -> None:
    sent = {"item": key, "do": do, "title": "x", "number": "1", "answer": "x"}
    assert visitor("bob").send("/inbox", sent).status_code in (404, 409, 422)
    assert visitor("bob").get("/inbox", params={"edit": key}).status_code == 200


NOTHING: list[dict[str, str]] = [{}, {"do": "burn"}, {"do": "accept-chosen", "chosen": "x"}, {"do": "undo"},
                                 {"do": "edit", "version": "z"}, {"do": "accept", "version": "'"}]  # fmt: skip


@pytest.mark.parametrize("sent", NOTHING, ids=str)
def test_a_form_that_says_nothing_changes_nothing(visitor: Come, decision: int, conn: Connection, sent: Any) -> None:
    answer = visitor("bob").send("/inbox", {"item": f"memory-{decision}"} | sent)
    assert answer.status_code in (404, 409, 422)
    assert review(conn, decision) == "proposed"


@pytest.mark.parametrize(
    "undo",
    ["", "x", "[]", "[[]]", "{}", "3", '[[["delete", {}]]]', '[[["revoke_token", {"name": "x"}]]]',
     '[[["restore_memory", {"memory": "1; DROP"}]]]', '[[["restore_memory", {}]]]', '[[["edit_memory", 3]]]',
     '[[["restore_memory", {"memory": 1, "person": "carol"}]]]', "[" * 500],
)  # fmt: skip
def test_only_what_was_done_can_be_taken_back(visitor: Come, talk: str, undo: str) -> None:
    assert visitor("bob").send("/inbox", {"do": "undo", "undo": undo}).status_code == 422


def test_a_very_long_word_is_refused_and_kept(visitor: Come, decision: int, conn: Connection) -> None:
    answer = deed(visitor("bob"), f"memory-{decision}", "edit", title="w" * 1_000_000)
    assert answer.status_code == 422
    assert "w" * 1_000_000 in answer.text
    assert review(conn, decision) == "proposed"


def test_places_and_addresses_hold_any_text() -> None:
    assert Key.of("task-a b/é").place.startswith("task-")
    assert re.fullmatch(r"task-[0-9a-f]{20}", Key.of("task-a b/é").place)
    assert Key.of("memory-12").place == "memory-12"
    with pytest.raises(NotFound):
        Key.of("memory-1" + "0" * 30)
    chosen = Choice(session="a&b=é/", before="1~2~x y")
    assert chosen.here == "/inbox?session=a%26b%3D%C3%A9%2F&before=1~2~x%20y"
    for text in ("", "~", "9" * 50, "7~2", "nan~3", "5~99999999999999999999~x"):
        assert Cursor.of(text) == Cursor()
    assert Cursor.of("7~1000000~x~y").newest() == "7~1000000~x~y"
    assert Cursor.of("0.25~12").certain == (0.25, 12)
