"""Tasks: the board, the list, and one task's page: what it says and what a person does there, alone and with others."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from access.console.tasks import COLUMNS, ENDED_ROWS, JSON_CHARS, LOG_CHARS, OPEN_ROWS
from domain.task import TASK_STATES, ArtifactDraft
from store import artifacts, tasks
from store.database import Connection
from tests.access.console.conftest import Looks, Visitor, token_in
from tests.access.console.test_xss import CORPUS

Come = Callable[..., Visitor]


@pytest.fixture
def asking(conn: Connection, talk: str) -> str:
    """A task that an agent parked with a question."""
    tasks.add(conn, "ask/me", title="Draw the river", agent_name="gemini_cli", session_id="walk")
    [claim] = tasks.claim(conn, "gemini_cli", "desk")
    tasks.ask(conn, "ask/me", claim["claim_token"], question="Which river?")
    return "/tasks/ask%2Fme"


def version_in(html: str) -> str:
    return html.partition('name="version" value="')[2].partition('"')[0]


def status(conn: Connection, task_id: str) -> str:
    task = tasks.get(conn, task_id)
    assert task is not None
    return str(task["status"])


# The board and the list


def test_every_state_has_a_column() -> None:
    assert sorted(state for column in COLUMNS for state in column.states) == sorted(TASK_STATES)


def test_the_board_has_each_task_in_its_column(screen: Looks, asking: str) -> None:
    page = screen.as_("alice", "/tasks", java_script_enabled=False)
    for column, title in [
        ("proposed", "Look up its prices"),
        ("needs_input", "Draw the river"),
        ("held", "half way"),
        ("failed", "No network"),
    ]:
        expect(page.locator(f"section[aria-labelledby=column-{column}]")).to_contain_text(title)
    expect(page.locator("#column-completed ~ ul")).to_have_text("None.")
    page.get_by_role("link", name="Draw the river").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Draw the river")


def test_on_a_phone_a_column_is_one_touch_away(phone: Looks, asking: str) -> None:
    page = phone.as_("alice", "/tasks")
    page.get_by_role("navigation", name="Columns").get_by_role("link", name="Failed").click()
    expect(page.locator("#column-failed")).to_be_in_viewport()


def test_a_task_moves_over_the_board_as_it_happens(desktop: Looks, talk: str, conn: Connection) -> None:
    page = desktop.as_("alice", "/tasks")
    expect(page.locator("body[data-listening]")).to_be_attached()
    tasks.approve(conn, "prices", person="bob")
    expect(page.locator("section[aria-labelledby=column-pending]")).to_contain_text("Look up its prices")
    expect(page.locator("section[aria-labelledby=column-proposed]")).not_to_contain_text("Look up its prices")


def test_columns_are_bounded(visitor: Come, conn: Connection) -> None:
    conn.execute(
        "INSERT INTO tasks (id, agent_name, title) SELECT 'p' || n, 'codex', 'x' FROM generate_series(1, 1100) n"
    )
    conn.execute("SELECT cancel_task('p' || n) FROM generate_series(1, 30) n")
    page = visitor("alice").get("/tasks").text
    assert page.count('<li id="task-') == OPEN_ROWS + ENDED_ROWS
    assert "1,000+" in page
    assert "The latest 20." in page


def test_the_list_is_filtered_and_paged(screen: Looks, talk: str, conn: Connection) -> None:
    conn.execute(
        "INSERT INTO tasks (id, agent_name, title) SELECT 'p' || n, 'gemini_cli', 'Task ' || n"
        " FROM generate_series(1, 60) n"
    )
    page = screen.as_("alice", "/tasks?list=all", java_script_enabled=False)
    page.get_by_label("Agent").fill("gemini_cli")
    page.get_by_label("State").select_option("pending")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#tasks .title")).to_have_count(50)
    page.get_by_role("link", name="Older tasks").click()
    expect(page.locator("#tasks .title")).to_have_count(10)
    page.get_by_label("Session").fill("walk")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="No task here")).to_be_visible()
    for odd in ("status=burnt", "before=nothing", "agent=%00", "session=" + "x" * 3000):
        assert page.request.get(f"/tasks?{odd}").ok


# A task's page


def test_a_page_tells_where_it_was_said_what_was_left_and_what_happened(
    screen: Looks, talk: str, conn: Connection
) -> None:
    conn.execute("UPDATE tasks SET memory = (SELECT id FROM memories WHERE type = 'action_item') WHERE id = 'prices'")
    conn.execute("UPDATE tasks SET doubt = 'The decision was replaced.' WHERE id = 'prices'")
    page = screen.as_("alice", "/tasks/prices", java_script_enabled=False)
    expect(page.get_by_role("note")).to_contain_text("The decision was replaced.")
    expect(page.locator("blockquote")).to_contain_text("look up its prices")
    expect(page.get_by_role("link", name="turn 3")).to_have_attribute("href", "/sessions/walk?turn=3#turn-3")
    expect(page.locator("#log ~ pre")).to_contain_text("looked")
    expect(page.locator("#history ~ ol > li")).to_have_count(1)
    expect(page.get_by_role("img", name="map.png")).to_be_visible()
    page.get_by_role("link", name="brief.md").click()
    expect(page.get_by_role("heading", name="Prices", level=3)).to_be_visible()


def test_a_task_in_hand_says_until_when_and_how_far(desktop: Looks, talk: str, conn: Connection) -> None:
    page = desktop.as_("alice", "/tasks?status=running&list=all")
    held = conn.execute("SELECT id FROM tasks WHERE status IN ('claimed', 'running')").fetchone()
    assert held is not None
    page.goto(f"/tasks/{held['id']}")
    expect(page.locator(".lease")).to_contain_text(re.compile(r"until .*, \d+:\d\d left"))
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "0.5")
    expect(page.get_by_text("half way")).to_be_visible()
    conn.execute("SELECT cancel_task(%s, 'no more', 'bob')", [held["id"]])
    expect(page.get_by_role("heading", name="In hand")).to_have_count(0)
    expect(page.locator("#error ~ .quote")).to_have_text("no more")


def test_what_waits_for_what_is_told_on_both(visitor: Come, talk: str, conn: Connection) -> None:
    tasks.add(conn, "after", title="Then this", agent_name="codex", depends_on=["prices"], acceptance={"exit_code": 0})
    visit = visitor("alice")
    assert "Look up its prices" in visit.get("/tasks/after").text.partition("Waits for")[2]
    assert "&#34;exit_code&#34;: 0" in visit.get("/tasks/after").text
    assert "Then this" in visit.get("/tasks/prices").text.partition("Waits for this")[2]


def test_long_data_and_a_long_log_are_cut_and_given_whole(visitor: Come, conn: Connection) -> None:
    tasks.add(conn, "long", title="w" * 5000, agent_name="codex", input_data={"text": "d" * 50_000})
    artifacts.attach(conn, None, ArtifactDraft("output.log", "l" * 20_000 + "END", id="l", task_id="long", type="log"))
    visit = visitor("alice")
    page = visit.get("/tasks/long").text
    assert page.count("d" * 1000) <= JSON_CHARS / 1000
    assert f"{20_003 - LOG_CHARS:,} characters before" in page
    assert "lEND<" in page
    assert visit.get("/tasks/long?as=json").json()["input_data"]["text"] == "d" * 50_000
    assert "claim_token" not in visit.get("/tasks/long?as=json").text
    assert visit.get("/artifacts/l?as=text").text.endswith("END")


def test_an_export_is_linked_only_to_the_web(visitor: Come, talk: str, conn: Connection) -> None:
    conn.execute(
        "INSERT INTO subscriptions (name, kind, target, events, position)"
        " VALUES ('tiles', 'github', 'a/b', '{}', '0-0')"
    )
    conn.execute(
        "INSERT INTO exports (task_id, subscription, external_id, url, state) VALUES"
        " ('prices', 'tiles', '#7', 'https://github.example/a/b/issues/7', 'open'),"
        " ('broken', 'tiles', '#8', 'javascript:alert(1)', 'open')"
    )
    visit = visitor("alice")
    assert 'href="https://github.example/a/b/issues/7"' in visit.get("/tasks/prices").text
    assert "javascript:" not in visit.get("/tasks/broken").text
    conn.execute("DELETE FROM subscriptions")


@pytest.mark.parametrize("path", ["/tasks/nowhere", "/tasks/%00", "/tasks/" + "x" * 3000])
def test_a_wrong_id_is_told_as_a_page(visitor: Come, path: str) -> None:
    answer = visitor("bob").get(path)
    assert answer.status_code in (404, 422)
    assert "<h1>" in answer.text


# What a person does


def test_a_question_is_answered_without_scripts(screen: Looks, asking: str, conn: Connection) -> None:
    page = screen.as_("bob", asking, java_script_enabled=False)
    page.get_by_label("Your answer").fill("The Spree")
    page.get_by_role("button", name="Answer").click()
    expect(page.locator("#told")).to_have_text("Answered.")
    expect(page.locator("#history ~ ol")).to_contain_text("The Spree")
    assert status(conn, "ask/me") == "pending"


def test_a_task_is_approved_changed_cancelled_tried_again_and_done_by_hand(
    screen: Looks, talk: str, conn: Connection
) -> None:
    page = screen.as_("bob", "/tasks/prices", java_script_enabled=False)
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("#told")).to_have_text("Approved.")
    page.get_by_text("Change it").click()
    page.get_by_label("Title").fill("Look up all prices")
    page.get_by_label("Agent").fill("codex")
    page.get_by_label("Priority").fill("90")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Look up all prices")
    expect(page.locator("#task > .about").first).to_contain_text("priority 90")
    page.get_by_text("Cancel it").click()
    page.get_by_label("Why").fill("too dear")
    page.get_by_role("button", name="Cancel the task").click()
    expect(page.locator("#error ~ .quote")).to_have_text("too dear")
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("It is done already").click()
    page.get_by_label("What was done").fill("Asked them")
    page.get_by_role("button", name="Done by hand").click()
    expect(page.locator("#left ~ pre")).to_contain_text("Asked them")
    assert status(conn, "prices") == "completed"
    actors = [move["actor"] for move in tasks.events(conn, "prices")][1:]
    assert set(actors) == {"bob"}


def test_of_two_who_change_a_task_the_second_is_told_and_keeps_what_was_typed(visitor: Come, talk: str) -> None:
    bob, carol = visitor("bob"), visitor("carol")
    version = version_in(bob.get("/tasks/prices").text)
    fields = {"do": "edit", "agent": "codex", "priority": "50", "version": version}
    assert carol.send("/tasks/prices", fields | {"title": "Mine"}).status_code == 303
    second = bob.send("/tasks/prices", fields | {"title": "No, mine"})
    assert second.status_code == 412
    assert "was changed since" in second.text
    assert "No, mine</textarea>" in second.text
    assert "<bdi>Mine</bdi></h1>" in second.text
    again = fields | {"title": "No, mine", "version": version_in(second.text)}
    assert bob.send("/tasks/prices", again).status_code == 303


@pytest.mark.parametrize("move", ["approve", "finish"])
def test_what_was_changed_since_it_was_read_is_not_moved(visitor: Come, talk: str, conn: Connection, move: str) -> None:
    bob = visitor("bob")
    version = version_in(bob.get("/tasks/prices").text)
    tasks.update(conn, "prices", title="Buy it all")
    assert bob.send("/tasks/prices", {"do": move, "version": version}).status_code == 412
    assert status(conn, "prices") == "proposed"


def test_an_answer_is_to_the_question_that_was_read(visitor: Come, asking: str, conn: Connection) -> None:
    bob = visitor("bob")
    version = version_in(bob.get(asking).text)
    tasks.answer(conn, "ask/me", answer="The Elbe", person="carol")
    late = bob.send(asking, {"do": "answer", "answer": "The Spree", "version": version})
    assert late.status_code == 412
    [claim] = tasks.claim(conn, "gemini_cli", "desk")
    tasks.ask(conn, "ask/me", claim["claim_token"], question="Delete it?")
    late = bob.send(asking, {"do": "answer", "answer": "Yes", "version": version})
    assert late.status_code == 412
    assert "Yes</textarea>" in late.text
    assert "Delete it?" in late.text


@pytest.mark.parametrize("move", ["approve", "retry", "answer", "edit", "finish", "burn", ""])
def test_a_move_that_its_state_does_not_allow_is_told_on_its_page(
    visitor: Come, talk: str, conn: Connection, move: str
) -> None:
    tasks.cancel(conn, "prices", person="carol")
    tasks.retry(conn, "prices", person="carol")
    tasks.finish(conn, "prices", person="carol")
    fields = {"do": move, "answer": "x", "title": "x", "agent": "codex", "priority": "5"}
    answer = visitor("bob").send("/tasks/prices", fields, page="/tasks/broken")
    assert answer.status_code in (409, 422)
    assert 'role="alert"' in answer.text
    assert status(conn, "prices") == "completed"


@pytest.mark.parametrize("fields", [{"priority": "high"}, {"priority": "9999"}, {"agent": "nobody there"}])
def test_what_makes_no_sense_is_told_and_kept(visitor: Come, talk: str, fields: dict[str, str]) -> None:
    answer = visitor("bob").send("/tasks/prices", {"do": "edit", "title": "x"} | fields)
    assert answer.status_code in (404, 422)
    assert "<details" in answer.text
    assert all(f'value="{value}"' in answer.text for value in fields.values())


def test_a_viewer_is_shown_no_button_that_would_be_refused(visitor: Come, asking: str) -> None:
    alice = visitor("alice")
    page = alice.get(asking).text
    assert "Which river?" in page
    assert 'name="do"' not in page
    token = token_in(alice.get("/").text)
    assert alice.post(asking, {"form_token": token, "do": "cancel"}).status_code == 403


def test_what_somebody_typed_stays_when_the_task_changes_meanwhile(
    desktop: Looks, asking: str, conn: Connection
) -> None:
    page = desktop.as_("bob", asking)
    expect(page.locator("body[data-listening]")).to_be_attached()
    other = page.context.new_page()
    other.goto(asking)
    expect(other.locator("body[data-listening]")).to_be_attached()
    page.get_by_label("Your answer").fill("The Spree")
    page.get_by_role("heading", level=1).click()  # the field has the focus no more
    tasks.answer(conn, "ask/me", answer="The Elbe", person="carol")
    [claim] = tasks.claim(conn, "gemini_cli", "desk")
    tasks.ask(conn, "ask/me", claim["claim_token"], question="In which colour?")
    expect(other.locator("#question ~ .quote")).to_have_text("In which colour?")
    expect(page.locator("#question ~ .quote")).to_have_text("Which river?")
    expect(page.get_by_label("Your answer")).to_have_value("The Spree")
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_role("alert")).to_contain_text("was changed since")
    expect(page.get_by_label("Your answer")).to_have_value("The Spree")


# What others wrote


@pytest.mark.parametrize("text", CORPUS, ids=lambda text: ascii(text[:30]))
def test_nothing_that_was_written_runs_or_changes_a_page(phone: Looks, conn: Connection, text: str) -> None:
    few: Any = text[:3000]
    conn.execute("INSERT INTO sessions (id, title) VALUES ('odd', %s)", [few])
    for task_id in ("t/1?#", "t2", "t3"):
        tasks.add(conn, task_id, title=text, agent_name="codex", session_id="odd", task_type=few[:90],
                  input_data={few: [few, {"answers": few}]})  # fmt: skip
    conn.execute("UPDATE tasks SET doubt = %s", [few])
    first, second, third = tasks.claim(conn, "codex", few[:90] or "x", max_tasks=3)
    tasks.renew(conn, first["task_id"], first["claim_token"], progress=0.3, note=few)
    tasks.fail(conn, second["task_id"], second["claim_token"], error=few, retry=False)
    tasks.ask(conn, third["task_id"], third["claim_token"], question=few)
    for task_id in ("t2", "t3"):
        artifacts.attach(conn, "odd", ArtifactDraft(few, few, task_id=task_id, type="log", format=few[:90]))
    page = phone.as_("bob", "/tasks")
    for path in ("/tasks", "/tasks?list=all", "/tasks/t%2F1%3F%23", "/tasks/t2", "/tasks/t3", "/agents", "/"):
        page.goto(path)
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        assert page.evaluate("window.hacked") is None
        assert (
            page.locator("main script, main img, main svg:not(.bars), main b, main [onerror], main [hx-get]").count()
            == 0
        )
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is wider than the screen"
