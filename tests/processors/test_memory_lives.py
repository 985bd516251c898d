"""What becomes of memories when more is said: by real workers on a real database, from transcripts."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from access import actions
from domain.caller import operator
from domain.delivery import Delivery
from domain.settings import Settings
from processors.extracting import extract
from processors.jobs import Workshop, process_deliveries, sweep
from processors.remembering import look_again
from processors.telling import attempt_to_read, tell
from store import deliveries, memories, tasks
from store.database import Connection, connect
from tests.conftest import delivery
from tests.processors.test_replay import reprocess
from tests.processors.test_telling import rows
from tests.processors.workshop import accept, acme, command, hear, states, talk, work

pytestmark = pytest.mark.usefixtures("acme_source")

Says = Callable[..., Delivery]


@pytest.fixture
def said(settings: Settings, shop: Workshop) -> Says:
    """Delivers a talk, as soon as it is said, and has it processed."""

    def send(session: str, *texts: str, at: datetime | None = None) -> Delivery:
        one = delivery(talk(session, *texts), received_at=at)
        accept(settings, one)
        work(shop)
        return one

    return send


def standing(conn: Connection, type: str | None = None) -> list[tuple[str, str, int]]:
    found = memories.listing(conn, type=type, session_id=None, tag=None, before=None, limit=100)
    return [(row["session_id"], row["title"], row["times_said"]) for row in reversed(found)]


def open_tasks(conn: Connection) -> list[tuple[str, str, str]]:
    return [
        (row["session_id"], row["title"], row["status"])
        for row in rows(conn, "SELECT * FROM tasks WHERE completed IS NULL ORDER BY created, id")
    ]


def the_memory(conn: Connection, title: str) -> Any:
    found = [row for row in rows(conn, "SELECT * FROM memories ORDER BY id") if row["title"] == title]
    assert len(found) == 1, [row["title"] for row in rows(conn, "SELECT title FROM memories")]
    return found[0]


# Said again


def test_a_decision_said_again_is_one_with_evidence(conn: Connection, said: Says) -> None:
    said(
        "monday",
        "I've decided we use the Carbon Interface API.",
        "So again: we decided to use the Carbon Interface API.",
    )
    said("tuesday", "Let's use the Carbon Interface API.")
    assert standing(conn) == [("monday", "We use the Carbon Interface API", 3)]
    evidence = rows(conn, "SELECT session_id, turn_seq, quote FROM memory_evidence ORDER BY evidence")
    assert [(e["session_id"], e["turn_seq"]) for e in evidence] == [("monday", 1), ("monday", 2), ("tuesday", 1)]
    assert all(e["quote"].endswith("Carbon Interface API.") for e in evidence)
    counts = rows(conn, "SELECT id, memory_count FROM sessions ORDER BY id")
    assert counts == [{"id": "monday", "memory_count": 2}, {"id": "tuesday", "memory_count": 1}]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Let's use Postgres 15.", "Let's use Postgres 16."),
        ("I've decided to ship on Monday.", "I've decided to ship on Tuesday."),
        ("I've decided we use Redis.", "We decided not to use Redis."),
        ("Let's use Redis.", "Let's use Valkey."),
    ],
)
def test_what_differs_in_a_number_a_day_a_name_or_a_not_stands_beside_it(
    conn: Connection, said: Says, one: str, other: str
) -> None:
    said("monday", one)
    said("tuesday", other)
    assert [times for *_, times in standing(conn)] == [1, 1]
    assert rows(conn, "SELECT 1 FROM memories WHERE merged_into IS NOT NULL") == []


def test_an_item_said_again_is_not_done_twice_until_it_is_done(conn: Connection, said: Says, shop: Workshop) -> None:
    said("monday", "Add a task: order the blue tiles.", "Add an action item: order blue tiles.")
    said("tuesday", "Add a task: order the blue tiles.")
    assert open_tasks(conn) == [("monday", "Order the blue tiles", "pending")]
    assert standing(conn, "action_item") == [("monday", "Order the blue tiles", 3)]
    (claim,) = tasks.claim(conn, "claude_code", "me")
    tasks.complete(conn, claim["task_id"], claim["claim_token"])
    said("wednesday", "Add a task: order the blue tiles.", "And add a task: order the blue tiles.")
    assert open_tasks(conn) == [("wednesday", "Order the blue tiles", "pending")]
    assert standing(conn, "action_item") == [("monday", "Order the blue tiles", 5)]
    before = snapshot(conn)
    reprocess(shop, conn)
    assert snapshot(conn) == before


def test_what_points_at_something_is_a_task_in_each_session(conn: Connection, said: Says) -> None:
    said("monday", "I've decided we use Climatiq.", "Add a task: look up its prices.")
    said("tuesday", "I've decided we use Carbon Interface.", "Add a task: look up its prices.")
    assert [session for session, *_ in open_tasks(conn)] == ["monday", "tuesday"]


def test_an_inferred_item_said_outright_later_is_approved(conn: Connection, said: Says) -> None:
    said("monday", "We need to order the blue tiles.")
    assert open_tasks(conn) == [("monday", "Order the blue tiles", "proposed")]
    said("tuesday", "Add a task: order the blue tiles.")
    assert open_tasks(conn) == [("monday", "Order the blue tiles", "pending")]


def test_what_the_sender_stores_under_a_key_stays_where_it_can_be_fetched(
    settings: Settings, shop: Workshop, conn: Connection, said: Says
) -> None:
    accept(
        settings,
        command("create_session"),
        command(
            "store_memory", data={"key": "db", "type": "decision", "content": "Use Postgres", "title": "Use Postgres"}
        ),
    )
    work(shop)
    said("monday", "Let's use Postgres.")
    (stored,) = rows(conn, "SELECT id, merged_into FROM memories WHERE key = 'db'")
    assert stored["merged_into"] is None
    assert [row["merged_into"] for row in rows(conn, "SELECT * FROM memories WHERE key <> 'db'")] == [stored["id"]]


# Read again

TWO_DAYS = (
    "Let's use Postgres. Add a task: order the blue tiles.",
    "Let's use Postgres. Add a task: order blue tiles.",
)


def snapshot(conn: Connection) -> list[Any]:
    return [
        rows(conn, "SELECT id, session_id, key, title, merged_into, superseded_by, review FROM memories ORDER BY id"),
        rows(conn, "SELECT id, memory, decision, status, doubt FROM tasks ORDER BY id"),
    ]


def test_reading_again_changes_nothing_about_what_was_said_twice(conn: Connection, said: Says, shop: Workshop) -> None:
    said("monday", *TWO_DAYS, "Let's use MySQL instead of Postgres.")
    said("tuesday", *TWO_DAYS)
    before = snapshot(conn)
    assert sum(row["merged_into"] is not None for row in before[0]) == 5
    for _ in range(2):
        assert reprocess(shop, conn) == 2
        assert snapshot(conn) == before
    reprocess(shop, conn, session_id="monday")
    assert snapshot(conn) == before


def test_what_is_no_longer_found_leaves_its_place_and_its_task_to_who_said_it_again(
    conn: Connection, said: Says, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    said("monday", TWO_DAYS[0])
    said("tuesday", TWO_DAYS[0])
    (task,) = rows(conn, "SELECT * FROM tasks")
    with monkeypatch.context() as patch:
        hear(patch, lambda turns: [])
        reprocess(shop, conn, session_id="monday")
    assert standing(conn) == [("tuesday", "Use Postgres", 1), ("tuesday", "Order the blue tiles", 1)]
    (kept,) = rows(conn, "SELECT * FROM tasks")
    assert (kept["id"], kept["status"]) == (task["id"], "pending")
    assert kept["memory"] == the_memory(conn, "Order the blue tiles")["id"]
    reprocess(shop, conn)
    assert [(s, n) for s, _, n in standing(conn)] == [("tuesday", 2), ("tuesday", 2)]
    assert len(rows(conn, "SELECT * FROM tasks")) == 1


def test_a_split_survives_being_read_again(conn: Connection, said: Says, shop: Workshop) -> None:
    said("monday", TWO_DAYS[0])
    said("tuesday", TWO_DAYS[0])
    second = rows(conn, "SELECT id FROM memories WHERE type = 'action_item' ORDER BY id")[1]["id"]
    memories.split(conn, second, person="bob")
    before = snapshot(conn)
    assert len(before[1]) == 2
    reprocess(shop, conn)
    reprocess(shop, conn, session_id="tuesday")
    look_again(conn)
    assert snapshot(conn) == before


def test_a_merge_by_a_person_survives_being_read_again(conn: Connection, said: Says, shop: Workshop) -> None:
    said("monday", "Let's use Postgres.", "The decision is that the elephant carries our data.")
    first, second = (row["id"] for row in rows(conn, "SELECT id FROM memories ORDER BY id"))
    memories.merge(conn, second, into=first, person="bob")
    before = snapshot(conn)
    reprocess(shop, conn)
    assert snapshot(conn) == before


@pytest.mark.parametrize("worded", [str.upper, lambda title: f"{title} at last"])
def test_an_edit_survives_a_reading_that_words_it_differently(
    conn: Connection, said: Says, shop: Workshop, monkeypatch: pytest.MonkeyPatch, worded: Callable[[str], str]
) -> None:
    said("monday", "I've decided we use Postgres. Add a task: order the blue tiles.")
    decision, item = the_memory(conn, "We use Postgres"), the_memory(conn, "Order the blue tiles")
    actions.edit_memory(operator(), conn, decision["id"], person="bob", title="Postgres 16 for everything")
    conn.execute("UPDATE memories SET title = 'Order forty blue tiles' WHERE id = %s", [item["id"]])
    expected = ["Postgres 16 for everything", "Order forty blue tiles"]
    hear(monkeypatch, lambda turns: [replace(draft, title=worded(draft.title)) for draft in extract(turns)])
    reprocess(shop, conn)
    kept = rows(conn, "SELECT id, title, review FROM memories WHERE merged_into IS NULL ORDER BY id")
    assert [(row["title"], row["review"]) for row in kept if row["id"] in (decision["id"], item["id"])] == [
        (title, "edited") for title in expected
    ]
    (task,) = rows(conn, "SELECT title FROM tasks WHERE memory = " + str(item["id"]))
    assert task == {"title": "Order forty blue tiles"}


# Replaced


def test_a_later_decision_takes_the_place_of_an_earlier_one_and_its_tasks_are_in_doubt(
    conn: Connection, said: Says
) -> None:
    said("monday", "I've decided we use SQLite.", "Add a task: set up SQLite.", "Add a task: order the blue tiles.")
    said("tuesday", "Let's use Postgres instead of SQLite.")
    old, new = the_memory(conn, "We use SQLite"), the_memory(conn, "Use Postgres instead of SQLite")
    assert (old["superseded_by"], new["superseded_by"]) == (new["id"], None)
    assert old["superseded_at"] == new["said_at"]
    doubts = {row["title"]: row["doubt"] for row in rows(conn, "SELECT title, doubt FROM tasks")}
    assert doubts == {
        "Set up SQLite": f"Decision {old['id']} (“We use SQLite”) was replaced by {new['id']}"
        " (“Use Postgres instead of SQLite”).",
        "Order the blue tiles": None,
    }
    memories.reinstate(conn, old["id"], person="bob")
    assert rows(conn, "SELECT 1 FROM tasks WHERE doubt IS NOT NULL") == []


def test_a_change_of_mind_in_one_breath(conn: Connection, said: Says) -> None:
    said(
        "monday",
        "Let's use SQLite for storage. Add a task: set up its backup.",
        "Hm. I changed my mind, let's use Postgres for storage.",
    )
    old, new = the_memory(conn, "Use SQLite for storage"), the_memory(conn, "Use Postgres for storage")
    assert old["superseded_by"] == new["id"]
    (task,) = rows(conn, "SELECT * FROM tasks")
    assert task["decision"] == old["id"]
    assert task["doubt"] is not None


def test_a_decision_is_revoked_and_taken_up_again(conn: Connection, said: Says) -> None:
    said("monday", "I've decided we use Redis.")
    said("tuesday", "Let's not use Redis after all.")
    said("wednesday", "Actually let's use Redis after all.")
    first, second, third = rows(conn, "SELECT * FROM memories ORDER BY id")
    assert [m["superseded_by"] for m in (first, second, third)] == [second["id"], third["id"], None]
    assert third["merged_into"] is None  # what was replaced stands for nothing that is said later


@pytest.mark.parametrize(
    "text", ["Let's use Postgres.", "Actually, let's paint the fence.", "Let's use Postgres 16 for storage."]
)
def test_a_decision_that_replaces_nothing_lets_the_others_stand(conn: Connection, said: Says, text: str) -> None:
    said("monday", "I've decided we use SQLite.")
    said("tuesday", text)
    assert rows(conn, "SELECT 1 FROM memories WHERE superseded_by IS NOT NULL") == []


def test_what_was_said_before_is_not_replaced_by_being_told_late(conn: Connection, said: Says) -> None:
    now = datetime.now(UTC)
    said("tuesday", "I've decided we use SQLite.", at=now)
    said("monday", "Let's use Postgres instead of SQLite.", at=now - timedelta(days=1))
    assert rows(conn, "SELECT 1 FROM memories WHERE superseded_by IS NOT NULL") == []


def test_what_was_said_again_before_it_was_replaced_is_replaced(conn: Connection, said: Says) -> None:
    now = datetime.now(UTC)
    said("one", "I've decided we use SQLite.", at=now - timedelta(days=3))
    said("three", "Let's use Postgres instead of SQLite.", at=now - timedelta(days=1))
    said("two", "Let's use SQLite.", at=now - timedelta(days=2))
    said("four", "Let's use SQLite.", at=now)
    assert standing(conn) == [
        ("one", "We use SQLite", 2),
        ("three", "Use Postgres instead of SQLite", 1),
        ("four", "Use SQLite", 1),
    ]


def test_a_replacement_that_is_read_no_more_replaces_nothing(
    conn: Connection, said: Says, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    said("monday", "I've decided we use SQLite.", "Add a task: set up SQLite.")
    said("tuesday", "Let's use Postgres instead of SQLite.")
    hear(monkeypatch, lambda turns: [])
    reprocess(shop, conn, session_id="tuesday")
    assert the_memory(conn, "We use SQLite")["superseded_by"] is None
    assert rows(conn, "SELECT doubt FROM tasks") == [{"doubt": None}]


def test_a_replacement_that_is_worded_differently_today_still_replaces(
    conn: Connection, said: Says, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    said("monday", "I've decided we use SQLite.", "Let's use Postgres instead of SQLite.")
    hear(
        monkeypatch, lambda turns: [replace(d, title=f"So {d.title.lower()} it is, to be sure") for d in extract(turns)]
    )
    reprocess(shop, conn)
    old, new = rows(conn, "SELECT * FROM memories ORDER BY id")
    assert old["superseded_by"] == new["id"]


# Reviewed


def test_a_rejected_item_does_not_come_back(
    conn: Connection, said: Says, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    said("monday", "Add a task: order the blue tiles.")
    actions.reject_memory(operator(), conn, the_memory(conn, "Order the blue tiles")["id"], person="bob")
    said("monday", "Add a task: order blue tiles.")
    said("tuesday", "Add a task: order the blue tiles.")
    reprocess(shop, conn)
    hear(monkeypatch, lambda turns: [replace(draft, title=f"{draft.title} now") for draft in extract(turns)])
    reprocess(shop, conn)
    assert open_tasks(conn) == []
    assert {row["review"] for row in rows(conn, "SELECT review FROM memories")} == {"rejected"}
    assert [times for *_, times in standing(conn)] == [3]


def test_something_else_is_not_rejected_with_it(conn: Connection, said: Says) -> None:
    said("monday", "Add a task: order the blue tiles.")
    actions.reject_memory(operator(), conn, the_memory(conn, "Order the blue tiles")["id"], person="bob")
    said("tuesday", "Add a task: order the green tiles.", "Add a task: do not order the blue tiles.")
    assert [title for _, title, _ in open_tasks(conn)] == ["Order the green tiles", "Do not order the blue tiles"]


def test_a_rejection_can_be_taken_back(conn: Connection, said: Says) -> None:
    said("monday", "Add a task: order the blue tiles.")
    first = the_memory(conn, "Order the blue tiles")["id"]
    actions.reject_memory(operator(), conn, first, person="bob")
    said("tuesday", "Add a task: order the blue tiles.")
    restored = actions.restore_memory(operator(), conn, first, person="bob")
    assert (restored["review"], restored["times_said"]) == ("proposed", 2)
    assert open_tasks(conn) == [("monday", "Order the blue tiles", "pending")]


def test_a_restored_decision_replaces_again_what_it_replaced(conn: Connection, said: Says, shop: Workshop) -> None:
    said("monday", "I've decided we use SQLite.", "Let's use Postgres instead of SQLite.")
    new = the_memory(conn, "Use Postgres instead of SQLite")["id"]
    actions.reject_memory(operator(), conn, new, person="bob")
    assert the_memory(conn, "We use SQLite")["superseded_by"] is None
    actions.restore_memory(operator(), conn, new, person="bob")
    sweep(shop)
    assert the_memory(conn, "We use SQLite")["superseded_by"] == new


# At the same moment


@pytest.fixture
def other(database_url: str) -> Iterator[Connection]:
    with connect(database_url, "other") as connection:
        yield connection


def told(conn: Connection, settings: Settings, session: str, *texts: str) -> None:
    one = delivery(talk(session, *texts))
    deliveries.record(conn, [one])
    reading = attempt_to_read(one)
    tell(conn, settings, one, reading)  # type: ignore[arg-type]


def test_the_same_said_in_two_sessions_at_the_same_moment_becomes_one(
    conn: Connection, other: Connection, settings: Settings, shop: Workshop
) -> None:
    text = "Let's use Postgres. Add a task: order the blue tiles."
    with conn.transaction(), other.transaction():
        told(conn, settings, "monday", text)
        told(other, settings, "tuesday", text)  # which cannot see what is not committed, and does not wait
    assert len(open_tasks(conn)) == 2
    sweep(shop)
    assert standing(conn) == [("monday", "Use Postgres", 2), ("monday", "Order the blue tiles", 2)]
    assert open_tasks(conn) == [("monday", "Order the blue tiles", "pending")]
    assert rows(conn, "SELECT * FROM memories_to_look_at") == []


def test_what_somebody_is_merging_is_merged_into_a_little_later(
    conn: Connection, other: Connection, settings: Settings, shop: Workshop, said: Says
) -> None:
    said("monday", "Let's use Postgres.")
    with other.transaction():
        memories.lock(other, [the_memory(conn, "Use Postgres")["id"]])
        with conn.transaction():
            told(conn, settings, "tuesday", "Let's use Postgres.")
    assert [times for *_, times in standing(conn)] == [1, 1]
    sweep(shop)
    assert standing(conn) == [("monday", "Use Postgres", 2)]


def test_what_is_in_a_session_that_is_being_written_is_replaced_a_little_later(
    conn: Connection, other: Connection, settings: Settings, shop: Workshop, said: Says
) -> None:
    said("monday", "I've decided we use SQLite.")
    with other.transaction():
        other.execute("SELECT FROM sessions WHERE id = 'monday' FOR UPDATE")
        with conn.transaction():
            told(conn, settings, "tuesday", "Let's use Postgres instead of SQLite.")
    assert the_memory(conn, "We use SQLite")["superseded_by"] is None
    sweep(shop)
    assert the_memory(conn, "We use SQLite")["superseded_by"] is not None


def test_what_was_left_and_has_gone_away_is_forgotten(conn: Connection, said: Says, shop: Workshop) -> None:
    said("monday", "Let's use Postgres.", "Let's use Vue.")
    first, second = (row["id"] for row in rows(conn, "SELECT id FROM memories ORDER BY id"))
    memories.look_at_later(conn, [first, second])
    conn.execute("DELETE FROM memories WHERE id = %s", [first])
    assert look_again(conn) == 1
    assert look_again(conn) == 0


def test_batches_that_say_the_same_in_each_others_sessions_do_not_wait_in_a_ring(
    conn: Connection, other: Connection, settings: Settings, shop: Workshop
) -> None:
    """Many talks in a few sessions, in opposite orders, by two workers at once; and all of it read again."""
    texts = [
        f"I've decided we use part {n % 3}. Add a task: test part {n % 5}. Let's drop part {n % 4}." for n in range(40)
    ]
    names = [f"room-{n % 6}" for n in range(40)]
    sent = [delivery(talk(name, text)) for name, text in zip(names, texts, strict=True)]
    deliveries.record(conn, sent)
    keys = [one.key for one in sent]

    def process(mine: Connection, batches: list[list[str]], failures: list[Any]) -> None:
        for batch in batches:
            try:
                process_deliveries(mine, shop, batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                failures.append(error)

    for round in range(2):
        failures: list[Any] = []
        batches = [keys[n : n + 5] for n in range(0, 40, 5)]
        threads = [
            threading.Thread(target=process, args=(conn, batches[::2], failures)),
            threading.Thread(target=process, args=(other, batches[1::2][::-1], failures)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert states(conn) == {"processed": 40}, round
        deliveries.replay(conn, keys, states=["processed"])
        conn.execute("UPDATE deliveries SET next_attempt_at = now()")
    look_again(conn)
    doubles = rows(
        conn,
        "SELECT words FROM memories WHERE merged_into IS NULL AND type = 'action_item' GROUP BY 1 HAVING count(*) > 1",
    )
    assert doubles == []
    assert len(open_tasks(conn)) == 5


def test_what_a_sender_lists_is_said_again_too(settings: Settings, shop: Workshop, conn: Connection) -> None:
    accept(settings, acme("part", ("Ann", None, "Let's use Postgres.")))
    work(shop)
    accept(settings, acme("part", ("Ann", None, "Well."), decisions=["Use Postgres"], session="other"))
    work(shop)
    assert standing(conn) == [("meeting", "Use Postgres", 2)]
