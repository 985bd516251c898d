"""Decisions as a ledger: what was decided, what took its place, and the tasks that hang on it. Only reads."""

from collections.abc import Sequence
from datetime import datetime

from store.database import Connection, Row, all_rows
from store.statements import statements

SQL = statements("decisions")

MOST = 1000  # of what one decision may have of a kind, so that none holds up a page
EACH = 5
STEPS = 10


def listing(
    conn: Connection,
    *,
    as_of: datetime | None = None,
    session_id: str | None = None,
    tag: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[Row]:
    """Decisions that nobody rejected, the latest first: id, session_id, session_title, title, quote, speaker, said_at,
    review, reviewed_by, tags, superseded_by, superseded_at, times_said. With `as_of` those in force at that time.
    `before` is the last one of the page before."""
    parameters = {"as_of": as_of, "session_id": session_id, "tag": tag, "before": before, "limit": limit}
    ids = [row["id"] for row in all_rows(conn, SQL["ids" if as_of is None else "ids_as_of"], parameters)]
    return all_rows(conn, SQL["told"], {"ids": ids, "most": MOST})


def said_again(conn: Connection, ids: Sequence[int]) -> list[Row]:
    """{decision, id, session_id, session_title, speaker, said_at}: the last few times that each was said again."""
    return all_rows(conn, SQL["said_again"], {"ids": list(ids), "most": MOST, "each": EACH})


def chains(conn: Connection, ids: Sequence[int]) -> list[Row]:
    """{decision, step, id, title, …}: what each replaced (steps below zero) and was replaced by, first to last."""
    return all_rows(conn, SQL["chains"], {"ids": list(ids), "most": MOST, "each": EACH, "steps": STEPS})


def tasks(conn: Connection, ids: Sequence[int]) -> list[Row]:
    """{decision, id, title, status, agent_name, doubt} of the latest few tasks of each."""
    return all_rows(conn, SQL["tasks"], {"ids": list(ids), "most": MOST, "each": EACH})


def artifacts(conn: Connection, tasks: Sequence[str]) -> list[Row]:
    """{id, task_id, name} of the latest few artifacts of each task."""
    return all_rows(conn, SQL["artifacts"], {"tasks": list(tasks), "each": EACH})


def doubted(conn: Connection, limit: int) -> list[Row]:
    return all_rows(conn, SQL["doubted"], {"limit": limit})


def tags(conn: Connection, limit: int) -> list[Row]:
    """{tag, decisions}, the most frequent first."""
    return all_rows(conn, SQL["tags"], {"most": MOST, "limit": limit})
