"""Deliveries processed again: a replay makes what a first success would have made, a reprocess changes only what
today's processors see otherwise, and neither touches what people and agents did."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from access import actions
from domain.caller import operator
from domain.delivery import Delivery, Reading
from domain.memory import MemoryDraft
from domain.session import SessionDraft
from domain.settings import Settings
from processors import readers, telling
from processors.extracting import extract
from processors.jobs import Workshop, sweep
from store import deliveries
from store.database import Connection
from tests.conftest import delivery
from tests.processors.test_telling import ANALYSIS, SEGMENTS, TALK, clear, rows, send_one_by_one, stored
from tests.processors.workshop import accept, acme, command, hear, read_acme, states, talk, work, work_again

pytestmark = pytest.mark.usefixtures("acme_source")

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
FINISHED = ("processed", "ignored", "unknown")
WALK = [
    delivery(talk("walk", "Good morning.", "I've decided we use the Carbon Interface API."), received_at=AT),
    delivery(talk("walk", "Add an action item: look up its prices."), received_at=AT + timedelta(minutes=1)),
    delivery(talk("walk", "Let's go with Postgres.", "That is all."), received_at=AT + timedelta(minutes=2)),
]


def reprocess(shop: Workshop, conn: Connection, **filters: Any) -> int:
    replayed = actions.replay_deliveries(operator(), conn, states=FINISHED, **filters)["replayed"]
    work_again(shop, conn)
    return int(replayed)


def use_reader(monkeypatch: pytest.MonkeyPatch, reader: Callable[[Delivery], Any]) -> None:
    monkeypatch.setitem(readers.READERS, "acme", reader)  # type: ignore[arg-type]


def work_badly(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with a bug, which tries once."""
    impatient = replace(shop, settings=shop.settings.model_copy(update={"max_attempts": 1}))
    with monkeypatch.context() as patch:
        patch.setattr(telling, "chunk", lambda turns, **how: 1 / 0)
        work(impatient)


# Replay: after a fix


def test_a_replay_makes_what_a_first_success_would_have_made(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_one_by_one(settings, shop, *WALK)
    expected = stored(conn)
    clear(conn)
    redis_client.flushall()
    accept(settings, *WALK)
    work_badly(shop, monkeypatch)
    assert states(conn) == {"failed": 3}
    assert stored(conn)["turns"] == []
    assert actions.replay_deliveries(operator(), conn) == {"replayed": 3}
    work_again(shop, conn)
    assert states(conn) == {"processed": 3}
    assert stored(conn) == expected


def test_a_delivery_replayed_late_finds_its_place_among_the_others(
    settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_one_by_one(settings, shop, WALK[0])
    accept(settings, WALK[1])
    work_badly(shop, monkeypatch)
    send_one_by_one(settings, shop, WALK[2])
    actions.replay_delivery(operator(), conn, WALK[1].key)
    work_again(shop, conn)
    assert [turn["text"] for turn in stored(conn)["turns"]] == [
        "Good morning.",
        "I've decided we use the Carbon Interface API.",
        "Add an action item: look up its prices.",
        "Let's go with Postgres.",
        "That is all.",
    ]


def test_an_unknown_event_is_read_after_its_reader_has_learned_it(
    settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = replace(acme("part", ("Alice", None, "Let's go with Postgres.")), event="mood.changed")
    accept(settings, new)
    work(shop)
    assert states(conn) == {"unknown": 1}
    use_reader(monkeypatch, lambda one: read_acme(replace(one, event="part")))
    actions.replay_delivery(operator(), conn, new.key)
    work_again(shop, conn)
    assert states(conn) == {"processed": 1}
    assert len(stored(conn)["memories"]) == 1
    assert rows(conn, "SELECT readings, error, error_code FROM deliveries") == [
        {"readings": 1, "error": None, "error_code": None}
    ]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, {"one", "two", "three"}),
        ({"source": "acme"}, {"three"}),
        ({"code": "no_turns"}, {"one", "two"}),
        ({"code": "no_turns", "since": AT + timedelta(minutes=1)}, {"two"}),
        ({"session_id": "walk"}, {"one"}),
        ({"source": "nobody"}, set()),
    ],
)
def test_failed_deliveries_are_replayed_by_what_they_have_in_common(
    settings: Settings, shop: Workshop, conn: Connection, filters: dict[str, Any], found: set[str]
) -> None:
    accept(
        settings,
        delivery('{"turns": []}', delivery_id="one", received_at=AT, session_id="walk"),
        delivery('{"turns": []}', delivery_id="two", received_at=AT + timedelta(minutes=2)),
        delivery("no json", source="acme", delivery_id="three", event="whole", received_at=AT),
        delivery(talk("walk", "Words."), delivery_id="four"),
    )
    work(shop)
    conn.execute("UPDATE deliveries SET state = 'failed' WHERE delivery_id = 'three'")  # whatever its tries may be
    assert states(conn) == {"failed": 3, "processed": 1}
    assert actions.replay_deliveries(operator(), conn, **filters) == {"replayed": len(found)}
    assert {row["delivery_id"] for row in rows(conn, "SELECT * FROM deliveries WHERE state = 'received'")} == found


# Reprocess: today's processors


@pytest.mark.parametrize("sent", [WALK, TALK], ids=["parts", "one talk"])
def test_reprocessing_with_the_same_processors_changes_nothing(
    settings: Settings, shop: Workshop, conn: Connection, sent: list[Delivery]
) -> None:
    def ids() -> list[Any]:
        names = ("memories", "tasks", "artifacts")
        return [rows(conn, f"SELECT id, created FROM {name} ORDER BY id") for name in names]

    send_one_by_one(settings, shop, *sent)
    before, named = stored(conn), ids()
    assert reprocess(shop, conn) == len(sent)
    assert stored(conn) == before
    assert ids() == named
    for one in sent:
        actions.replay_deliveries(operator(), conn, states=FINISHED, since=one.received_at)
        work_again(shop, conn)
    assert stored(conn) == before
    assert min(row["readings"] for row in rows(conn, "SELECT readings FROM deliveries")) == 3


def test_what_today_is_extracted_otherwise_takes_the_place_of_what_was(
    settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loudly(turns: Any) -> list[MemoryDraft]:
        return [replace(draft, title=draft.title.upper(), confidence=0.9) for draft in extract(turns)]

    with monkeypatch.context() as patch:
        hear(patch, lambda turns: [replace(d, title=f"Old: {d.title}") for d in extract(turns)])
        send_one_by_one(settings, shop, *WALK)
    old = stored(conn)
    assert [task["title"] for task in old["tasks"]] == ["Old: Look up its prices"]
    hear(monkeypatch, loudly)
    reprocess(shop, conn)
    new = stored(conn)
    assert len(new["memories"]) == len(old["memories"])
    assert all(memory["title"].isupper() for memory in new["memories"])
    assert [task["title"] for task in new["tasks"]] == ["LOOK UP ITS PRICES"]
    assert new["turns"] == old["turns"]


@pytest.mark.parametrize(
    "edit", ["title = 'Mine'", "content = '{\"mine\": 1}'", "tags = '{mine}'", "review = 'rejected'"]
)
def test_what_a_person_edited_or_reviewed_is_not_touched(
    settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch, edit: str
) -> None:
    send_one_by_one(settings, shop, *WALK)
    conn.execute(f"UPDATE memories SET {edit}")
    before = rows(conn, "SELECT * FROM memories ORDER BY id")
    assert {row["review"] for row in before} <= {"edited", "rejected"}
    reprocess(shop, conn)
    after = rows(conn, "SELECT * FROM memories ORDER BY id")
    assert [row | {"turn": None} for row in after] == [row | {"turn": None} for row in before]
    assert all(row["turn"] for row in after)
    hear(monkeypatch, lambda turns: [])
    reprocess(shop, conn)
    after = rows(conn, "SELECT m.*, t.text FROM memories m JOIN turns t ON t.id = m.turn ORDER BY m.id")
    assert [row["title"] for row in after] == [row["title"] for row in before]
    assert all(row["text"][row["char_start"] : row["char_end"]] == row["quote"] for row in after)


@pytest.mark.parametrize("sent", [WALK, TALK], ids=["parts", "one talk"])
def test_what_an_agent_works_on_is_not_touched(
    settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch, sent: list[Delivery]
) -> None:
    send_one_by_one(settings, shop, *sent)
    task = rows(conn, "SELECT * FROM tasks WHERE memory IS NOT NULL")[0]
    claim = conn.execute("SELECT * FROM claim_task(%s, 'me')", [task["agent_name"]]).fetchone()
    assert claim
    assert claim["task_id"] == task["id"]
    before = rows(conn, "SELECT * FROM tasks ORDER BY id")
    reprocess(shop, conn)
    assert rows(conn, "SELECT * FROM tasks ORDER BY id") == before
    hear(monkeypatch, lambda turns: [])
    reprocess(shop, conn)
    assert rows(conn, f"SELECT * FROM tasks WHERE id = '{task['id']}'") == [
        row for row in before if row["id"] == task["id"]
    ]
    assert conn.execute("SELECT * FROM start_task(%s, %s, 1)", [task["id"], claim["claim_token"]]).fetchone()


def test_a_task_that_was_moved_and_is_free_again_stays(
    settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_one_by_one(settings, shop, *WALK)
    (task,) = rows(conn, "SELECT * FROM tasks")
    claim = conn.execute("SELECT * FROM claim_task(%s, 'me')", [task["agent_name"]]).fetchone()
    assert claim
    conn.execute("SELECT release_task(%s, %s)", [task["id"], claim["claim_token"]])
    hear(monkeypatch, lambda turns: [])
    reprocess(shop, conn)
    assert [row["id"] for row in rows(conn, "SELECT id FROM tasks")] == [task["id"]]


def test_commands_read_again_do_not_undo_later_ones(settings: Settings, shop: Workshop, conn: Connection) -> None:
    sent = [
        command("create_session", data={"title": "First"}, received_at=AT),
        command("store_memory", data={"key": "price", "content": "One"}, received_at=AT + timedelta(seconds=1)),
        command("store_memory", data={"key": "price", "content": "Two"}, received_at=AT + timedelta(seconds=2)),
        command("add_artifact", data={"artifact_id": "plan", "name": "a", "content": "1"}),
        command("add_artifact", data={"artifact_id": "plan", "name": "b", "content": "2"}),
        command("pause_session"),
    ]
    send_one_by_one(settings, shop, *sent)
    assert set(states(conn)) == {"processed"}
    conn.execute("UPDATE sessions SET title = 'Mine', status = 'active'")
    before = stored(conn)
    assert before["artifacts"] == [{"session_id": "walk", "name": "b", "content": "2"}]
    assert reprocess(shop, conn) == len(sent)
    for one in reversed(sent):
        deliveries.replay(conn, [one.key], states=FINISHED)
        work_again(shop, conn)
    assert stored(conn) == before
    assert rows(conn, "SELECT title, status FROM sessions") == [{"title": "Mine", "status": "active"}]


# When today's reader sees something else


@pytest.mark.parametrize("sent", [[acme("part", ("Alice", None, "Let's go with Postgres."), tasks=["Do it"])], TALK])
def test_what_belongs_to_another_session_today_moves_there(
    settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch, sent: list[Delivery]
) -> None:
    def elsewhere(one: Delivery) -> Reading | None:
        reading = read_acme(one)
        return replace(reading, session=SessionDraft("other")) if reading else None

    send_one_by_one(settings, shop, *sent)
    before = stored(conn)
    use_reader(monkeypatch, elsewhere)
    reprocess(shop, conn)
    moved = stored(conn)
    assert [turn["text"] for turn in moved["turns"]] == [turn["text"] for turn in before["turns"]]
    assert {turn["session_id"] for turn in moved["turns"]} == {"other"}
    assert {memory["session_id"] for memory in moved["memories"]} == {"other"}
    assert {chunk["session_id"] for chunk in moved["chunks"]} == {"other"}


def test_what_says_nothing_today_is_taken_back_and_the_others_tell_the_talk(
    settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_one_by_one(settings, shop, *TALK)
    use_reader(monkeypatch, lambda one: None if one.event == "whole" else read_acme(one))
    reprocess(shop, conn)
    assert states(conn) == {"processed": 3, "ignored": 2}
    assert [turn["text"] for turn in stored(conn)["turns"]] == [
        "Good morning. Add a task: look up the tile prices.",
        "I've decided we take the blue tiles.",
    ]
    use_reader(monkeypatch, read_acme)
    actions.replay_delivery(operator(), conn, ANALYSIS.key)
    work_again(shop, conn)
    assert [turn["text"] for turn in stored(conn)["turns"]][-1] == "Blue tiles."


def test_what_breaks_today_leaves_what_there_is(
    settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_one_by_one(settings, shop, SEGMENTS[0])
    before = stored(conn)
    actions.replay_deliveries(operator(), conn, states=FINISHED)
    sweep(shop)
    work_badly(shop, monkeypatch)
    assert states(conn) == {"failed": 1}
    assert stored(conn) == before
    actions.replay_delivery(operator(), conn, SEGMENTS[0].key)
    work_again(shop, conn)
    assert stored(conn) == before
