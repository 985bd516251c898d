"""The stream of events: complete whatever the order of commits, and resumable from any place."""

import pytest

from domain.errors import InvalidRequest
from store import events, memories, tasks
from store.database import Connection, connect
from store.migrate import migrate


def insert_task(conn: Connection, task_id: str) -> None:
    conn.execute("INSERT INTO tasks (id, agent_name, title) VALUES (%s, 'codex', 'Look up prices')", [task_id])


@pytest.fixture
def memory(conn: Connection) -> int:
    conn.execute("INSERT INTO sessions (id, title) VALUES ('walk', 'A walk')")
    row = conn.execute(
        "INSERT INTO memories (session_id, type, key, title, content)"
        " VALUES ('walk', 'decision', 'k', 'We use Postgres', '{}') RETURNING id"
    ).fetchone()
    assert row is not None
    return int(row["id"])


def told(conn: Connection, position: str = events.BEGINNING) -> list[tuple[str, str]]:
    return [(event["type"], event["subject"]) for event in events.after(conn, position)]


def test_moves_of_tasks_come_in_order_with_their_data(conn: Connection) -> None:
    insert_task(conn, "t1")
    [claim] = tasks.claim(conn, "codex", "me")
    tasks.complete(conn, "t1", claim["claim_token"])
    assert told(conn) == [("task.pending", "t1"), ("task.claimed", "t1"), ("task.completed", "t1")]
    last = events.after(conn, events.BEGINNING)[-1]
    assert last["actor"] == "me"
    assert last["title"] == "Look up prices"
    assert last["data"] == {"from": "claimed", "to": "completed", "attempts": 0, "reason": None}


def test_a_reader_goes_on_from_any_event_it_had(conn: Connection) -> None:
    for n in range(5):
        insert_task(conn, f"t{n}")
    first, *rest = events.after(conn, events.BEGINNING, limit=2)
    assert told(conn, first["position"]) == [("task.pending", f"t{n}") for n in range(1, 5)]
    assert told(conn, rest[-1]["position"]) == [("task.pending", f"t{n}") for n in range(2, 5)]


def test_an_event_that_is_committed_late_is_not_missed(conn: Connection, database_url: str) -> None:
    with connect(database_url) as slow, slow.transaction():
        insert_task(slow, "early number, late commit")
        insert_task(conn, "late number, early commit")
        before = events.end(conn)
        assert told(conn) == []  # held back: what is under way may still put something before it
    assert told(conn, before) == [
        ("task.pending", "early number, late commit"),
        ("task.pending", "late number, early commit"),
    ]


def test_after_the_end_there_is_only_what_is_new(conn: Connection) -> None:
    insert_task(conn, "old")
    end = events.end(conn)
    insert_task(conn, "new")
    assert told(conn, end) == [("task.pending", "new")]


def test_what_becomes_of_a_memory_is_told(conn: Connection, memory: int) -> None:
    memories.accept(conn, memory, person="bob")
    memories.edit(conn, memory, person="bob", type=None, title="We use Postgres 18", content=None, tags=None)
    memories.reject(conn, memory, person="alice", reason=None)
    memories.restore(conn, memory, person="alice")
    told = [(e["type"], e["actor"], e["memory_type"], e["session_id"]) for e in events.after(conn, events.BEGINNING)]
    assert [(kind, actor) for kind, actor, _, _ in told[1:]] == [
        ("memory.accepted", "bob"),
        ("memory.edited", "bob"),
        ("memory.rejected", "alice"),
        ("memory.restored", "alice"),
    ]
    assert {(memory_type, session) for _, _, memory_type, session in told} == {("decision", "walk")}


def test_touching_a_memory_is_no_event(conn: Connection, memory: int) -> None:
    before = events.end(conn)
    conn.execute("UPDATE memories SET updated = now(), confidence = 0.5 WHERE id = %s", [memory])
    assert told(conn, before) == []


def test_events_of_a_memory_go_with_it(conn: Connection, memory: int) -> None:
    conn.execute("DELETE FROM memories WHERE id = %s", [memory])
    assert told(conn) == []


@pytest.mark.parametrize("position", ["", "1", "1-", "-1-2", "1-2-3", "a-b", "1 -2", "9" * 19 + "-1", "١-٢"])
def test_what_is_no_position_is_refused(conn: Connection, position: str) -> None:
    with pytest.raises(InvalidRequest):
        events.after(conn, position)


def test_after_a_restore_new_events_come_after_the_restored_ones(conn: Connection, database_url: str) -> None:
    insert_task(conn, "restored")
    conn.execute("ALTER TABLE task_events DISABLE TRIGGER append_only")
    conn.execute("UPDATE task_events SET xact = 1000000000000000")
    conn.execute("ALTER TABLE task_events ENABLE TRIGGER append_only")
    assert told(conn) == []
    assert migrate(database_url) == []
    insert_task(conn, "new")
    assert told(conn) == [("task.pending", "restored"), ("task.pending", "new")]
