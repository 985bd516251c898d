"""Decisions: by topic and time, what took the place of what, what hangs on each, and the picture of it."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from access.console.picture import HEIGHT, Box, Line, drawn, wrapped
from store import memories
from store.database import Connection
from tests.access.console.conftest import Looks, Visitor, add_memory

Come = Callable[..., Visitor]
DAYS = ("2026-03-02T10:00Z", "2026-03-09T10:00Z", "2026-03-16T10:00Z")


@pytest.fixture
def ledger(conn: Connection, talk: str) -> dict[str, int]:
    """Three decisions on where to deploy, each in place of the one before; one on something else, said twice; tasks."""
    said = ["We deploy on Heroku.", "No, we deploy on Fly.", "We deploy at home after all.", "Lunch is at noon.",
            "As I said, lunch is at noon."]  # fmt: skip
    conn.execute("INSERT INTO sessions (id, title) VALUES ('ops/1', 'Operations'), ('lunch', 'In the canteen')")
    for seq, text in enumerate(said, 1):
        conn.execute(
            "INSERT INTO turns (session_id, seq, speaker, text, language) VALUES (%s, %s, 'Ada', %s, 'english')",
            ["ops/1" if seq < 5 else "lunch", seq, text],
        )
    names = ("heroku", "fly", "home", "noon", "again")
    ids = {
        name: add_memory(conn, "ops/1" if seq < 5 else "lunch", seq, "decision", text.rstrip("."), text)
        for seq, (name, text) in enumerate(zip(names, said, strict=True), 1)
    }
    for name, day in zip(names, DAYS, strict=False):
        conn.execute("UPDATE memories SET said_at = %s, tags = '{deploy,app}' WHERE id = %s", [day, ids[name]])
    conn.execute("UPDATE memories SET said_at = '2026-03-01' WHERE type = 'decision' AND session_id = 'walk'")
    conn.execute("UPDATE memories SET merged_into = %s WHERE id = %s", [ids["noon"], ids["again"]])
    conn.execute(
        "INSERT INTO tasks (id, session_id, agent_name, title, status, decision) VALUES"
        " ('host/1', 'ops/1', 'codex', 'Order a host', 'pending', %s)",
        [ids["heroku"]],
    )
    conn.execute(
        "INSERT INTO artifacts (id, session_id, task_id, type, name, format, content)"
        " VALUES ('offer', 'ops/1', 'host/1', 'document', 'offer.md', 'text', 'Hosts')"
    )
    for old, new, at in (("heroku", "fly", DAYS[1]), ("fly", "home", DAYS[2])):
        conn.execute("UPDATE memories SET superseded_by = %s, superseded_at = %s WHERE id = %s",
                     [ids[new], at, ids[old]])  # fmt: skip
    return ids


def test_the_ledger_says_what_took_the_place_of_what(screen: Looks, ledger: dict[str, int]) -> None:
    page = screen.as_("alice", "/decisions")
    fly = page.locator(f"#decision-{ledger['fly']}")
    expect(fly).to_contain_text("replaced")
    expect(fly.get_by_role("listitem")).to_contain_text(
        ["We deploy on Heroku, 2 Mar", "This one", "Replaced by We deploy at home after all, 16 Mar"]
    )
    home = page.locator(f"#decision-{ledger['home']}").get_by_label("What took the place of what")
    expect(home.get_by_role("listitem")).to_contain_text(["Heroku", "Fly", "This one"])
    fly.get_by_role("link", name="We deploy at home after all").click()
    expect(page.locator(f"#said-{ledger['home']}:target")).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_text("Operations")


def test_a_task_that_hangs_on_what_was_replaced_is_told_first(screen: Looks, ledger: dict[str, int]) -> None:
    page = screen.as_("alice", "/decisions")
    expect(page.locator("[id='doubted-host/1']")).to_contain_text("was replaced by")
    heroku = page.locator(f"#decision-{ledger['heroku']}")
    expect(heroku.get_by_role("link", name="Order a host")).to_have_attribute("href", "/tasks/host%2F1")
    expect(heroku.locator(".state.pending")).to_be_visible()
    expect(heroku.get_by_role("link", name="offer.md")).to_have_attribute("href", "/artifacts/offer")


def test_what_was_said_again_is_there_once_with_its_sayings(screen: Looks, ledger: dict[str, int]) -> None:
    page = screen.as_("alice", "/decisions")
    noon = page.locator(f"#decision-{ledger['noon']}")
    expect(noon).to_contain_text("Said 2 times, also in In the canteen (Ada")
    expect(page.locator(f"#decision-{ledger['again']}")).to_have_count(0)
    noon.get_by_role("link", name="In the canteen").click()
    expect(page.locator(f"#said-{ledger['again']}:target")).to_have_count(1)


def test_topics_are_tags_in_common_or_else_conversations(visitor: Come, ledger: dict[str, int]) -> None:
    page = visitor("alice").get("/decisions").text
    assert '<a href="/decisions?tag=deploy"><bdi>deploy</bdi></a></h2>' in page
    assert '<a href="/decisions?session=walk"><bdi>Carbon in the planner</bdi></a></h2>' in page
    assert shown(visitor, "/decisions?tag=deploy") == [ledger["home"], ledger["fly"], ledger["heroku"]]
    assert shown(visitor, "/decisions?session=ops%2F1")[0] == ledger["noon"]
    assert len(shown(visitor, "/decisions?by=time")) == 5


def shown(visitor: Come, path: str) -> list[int]:
    parts = visitor("alice").get(path).text.split('<li id="decision-')[1:]
    return [int(part.partition('"')[0]) for part in parts]


def test_as_of_a_day_is_what_was_in_force_at_its_end(visitor: Come, ledger: dict[str, int]) -> None:
    assert shown(visitor, "/decisions?as_of=2026-03-08&tag=deploy") == [ledger["heroku"]]
    assert shown(visitor, "/decisions?as_of=2026-03-09&tag=deploy") == [ledger["fly"]]
    assert shown(visitor, "/decisions?as_of=2026-03-16&tag=deploy") == [ledger["home"]]
    assert shown(visitor, "/decisions?as_of=2026-02-01") == []


def test_a_day_is_asked_for_without_scripts(screen: Looks, ledger: dict[str, int]) -> None:
    page = screen.as_("alice", "/decisions?tag=deploy", java_script_enabled=False)
    page.get_by_label("In force at the end of").fill("2026-03-10")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".ledger > li")).to_have_count(1)
    expect(page.locator(f"#decision-{ledger['fly']}")).to_be_visible()
    page.get_by_role("link", name="Those replaced, too").click()
    expect(page.locator(".ledger > li")).to_have_count(3)


def test_a_rejected_decision_is_not_in_the_ledger(visitor: Come, ledger: dict[str, int], conn: Connection) -> None:
    memories.reject(conn, ledger["noon"], person="bob")
    assert ledger["noon"] not in shown(visitor, "/decisions")


def test_pages_follow_one_another(visitor: Come, conn: Connection, ledger: dict[str, int]) -> None:
    conn.execute(
        "INSERT INTO memories (session_id, type, key, title, content, language, said_at)"
        " SELECT 'lunch', 'decision', 'k' || n, 'Number ' || n, '{}', 'english', '2025-01-01'"
        " FROM generate_series(1, 40) AS n"
    )
    first = shown(visitor, "/decisions?by=time")
    second = shown(visitor, f"/decisions?by=time&before={first[-1]}")
    assert (len(first), len(second), set(first) & set(second)) == (30, 15, set())
    assert f'href="/decisions?by=time&amp;before={first[-1]}"' in visitor("alice").get("/decisions?by=time").text


@pytest.mark.parametrize("query", ["as_of=soon", "before=x", "before=99999999999999999999", "before=0", "tag=%00",
                                   "as_of=9999-12-31", "as_of=0001-01-01", "by=nothing", "session=none"])  # fmt: skip
def test_what_is_asked_oddly_is_answered(visitor: Come, ledger: dict[str, int], query: str) -> None:
    answer = visitor("alice").get(f"/decisions?{query}")
    assert answer.status_code == (422 if query == "as_of=soon" else 200)


def test_the_picture_leads_to_things_and_scrolls_in_its_box(screen: Looks, ledger: dict[str, int]) -> None:
    page = screen.as_("alice", "/decisions?tag=deploy", java_script_enabled=False)
    picture = page.locator("svg.picture")
    expect(picture.locator("a")).to_have_count(6)
    expect(picture.locator("path.replaces")).to_have_count(2)
    expect(picture.locator("path.leads")).to_have_count(5)
    box = page.locator(".scroll").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= screen.screen["viewport"]["width"]
    page.get_by_text("The same as a list").click()
    expect(page.get_by_role("main")).to_contain_text("Fly, decided in Operations, replaced by We deploy at home")
    picture.locator("a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Operations")


def test_on_a_phone_the_picture_keeps_its_size_and_scrolls(phone: Looks, ledger: dict[str, int]) -> None:
    page = phone.as_("alice", "/decisions")
    assert page.locator(".scroll").evaluate("box => box.scrollWidth > 2 * box.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_what_is_decided_is_seen_at_once(desktop: Looks, ledger: dict[str, int]) -> None:
    page = desktop.as_("alice", "/decisions")
    expect(page.locator("body[data-listening]")).to_be_attached()
    new = add_memory(desktop.conn, "ops/1", 4, "decision", "Lunch is at one", "Lunch is at noon.")
    expect(page.locator(f"#decision-{new}")).to_be_visible()


# The picture by itself


def test_boxes_stand_in_columns_and_lines_lead_to_what_is_there() -> None:
    decided = Box("d", 1, "decision", "A", "/d")
    boxes = [Box("s", 0, "session", "Talk", "/s"), decided, Box("e", 1, "decision", "B", "/e"), decided]
    made = drawn(
        ("Talks", "Decisions"), boxes, [Line("s", "d"), Line("s", "d"), Line("d", "e", "replaces"), Line("d", "x")]
    )
    assert [(one.box.key, one.x) for one in made.boxes] == [("s", 2), ("d", 292), ("e", 292)]
    assert [kind for _, kind in made.paths] == ["leads", "replaces"]
    assert made.height > 2 * HEIGHT
    assert drawn(("Talks",), [], []).boxes == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Short", ["Short"]),
        ("We use the Carbon Interface API", ["We use the Carbon", "Interface API"]),
        ("w" * 500, ["w" * 26, "w" * 25 + "…"]),
        ("", ["…"]),
        ("a\u202eb", ["a⟦U+202E⟧b"]),
    ],
)
def test_a_text_is_put_into_two_lines(text: str, lines: list[str]) -> None:
    assert wrapped(text) == lines


def test_a_picture_has_no_more_boxes_than_can_be_looked_at(visitor: Come, conn: Connection, talk: str) -> None:
    conn.execute(
        "INSERT INTO memories (session_id, type, key, title, content, language)"
        " SELECT 'walk', 'decision', 'k' || n, 'Number ' || n, '{}', 'english' FROM generate_series(1, 60) AS n"
    )
    page: Any = visitor("alice").get("/decisions").text.partition("<svg")[2].partition("</svg>")[0]
    assert page.count("<a ") == 21
