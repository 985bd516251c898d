"""What the tests of memories' lives share: a database of the test's own with things said in it."""

from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from domain.memory import MemoryDraft
from domain.session import SessionDraft, Turn
from domain.task import TaskDraft
from store import deliveries, memories, sessions, tasks
from store.database import Connection, Row
from tests.conftest import delivery

MORNING = datetime(2026, 3, 2, 7, 40, tzinfo=UTC)


def say(
    conn: Connection,
    title: str,
    *,
    session: str = "walk",
    type: Any = "decision",
    minutes: float = 0,
    into: int | None = None,
    speaker: str = "Alice",
    task: str | None = None,
    agent: str = "claude_code",
    task_type: str = "code",
    decision: int | None = None,
    key: str | None = None,
) -> int:
    """A memory said so many minutes past the morning, in its own delivery; `task`: with a task of this status."""
    at = MORNING + timedelta(minutes=minutes)
    one = delivery("{}", received_at=at)
    deliveries.record(conn, [one])
    sessions.ensure(conn, SessionDraft(session))
    turn_ids = sessions.add_turns(conn, session, one.key, at, [Turn(speaker, f"{title}.")])
    draft = MemoryDraft(
        type, title, key=key or f"{type}-{title}-{one.key}", speaker=speaker, turn=0, char_start=0, char_end=len(title),
        quote=title,
    )  # fmt: skip
    (row,) = memories.remember_merged(conn, session, one.key, [draft], turn_ids, [into])
    if task is not None:
        todo = TaskDraft(title, agent, task_type, memory=0, status=task, input_data={"title": title})  # type: ignore[arg-type]
        tasks.create(conn, session, one.key, [todo], [row["id"]], [decision])
    return int(row["id"])


def memory(conn: Connection, memory_id: int) -> Row:
    row = memories.get(conn, memory_id)
    assert row is not None
    return row


def tasks_of(conn: Connection, *memory_ids: int) -> list[Row]:
    return rows(conn, "SELECT * FROM tasks WHERE memory = ANY (%s) ORDER BY created, id", list(memory_ids))


def statuses(conn: Connection, *memory_ids: int) -> list[str]:
    return [row["status"] for row in tasks_of(conn, *memory_ids)]


def rows(conn: Connection, statement: LiteralString, *parameters: Any) -> list[Row]:
    return conn.execute(statement, parameters or None).fetchall()
