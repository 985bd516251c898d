"""What the board and the page of agents read: by index, however many tasks there are."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest

from store import agents, console
from store.database import Connection, connect

DONE, WAITING = 60_000, 20_000
MOST_ROWS = 400  # a board holds some 110

FILL: LiteralString = """
ALTER TABLE tasks DISABLE TRIGGER USER;
INSERT INTO tasks (id, agent_name, title, status, claimed_at, completed)
SELECT 'done-' || n, 'codex', 'x', CASE WHEN n %% 10 = 0 THEN 'failed' ELSE 'completed' END,
       now() - n * interval '1 minute' - interval '30 seconds', now() - n * interval '1 minute'
  FROM generate_series(1, %(done)s) AS n;
INSERT INTO tasks (id, agent_name, title, status, created)
SELECT 'waits-' || n, 'codex', 'x', CASE WHEN n = 1 THEN 'proposed' ELSE 'pending' END, now() - interval '99 days'
  FROM generate_series(1, %(waiting)s) AS n;
ALTER TABLE tasks ENABLE TRIGGER USER
"""
READS: LiteralString = """
SELECT COALESCE(sum(seq_scan), 0)::int AS walks, COALESCE(sum(idx_tup_fetch), 0)::int AS rows
  FROM pg_stat_xact_user_tables WHERE relname IN ('tasks', 'task_events', 'artifacts')
"""


@pytest.fixture(scope="module")
def url(url: str) -> str:
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor, autocommit=True) as conn:
        conn.execute(FILL, {"done": DONE, "waiting": WAITING})
        conn.execute("VACUUM (ANALYZE) tasks")
    return url


@pytest.fixture
def conn(url: str) -> Iterator[Connection]:
    with connect(url, "test") as connection, connection.transaction(force_rollback=True):
        yield connection


def reads(conn: Connection, look: Callable[[], Any]) -> tuple[int, int]:
    """(tables walked, rows fetched)"""
    before = conn.execute(READS).fetchone()
    look()
    after = conn.execute(READS).fetchone()
    assert before is not None
    assert after is not None
    return after["walks"] - before["walks"], after["rows"] - before["rows"]


def week(spans: int = 7) -> list[datetime]:
    return [datetime.now(UTC) - timedelta(days=days) for days in range(spans, -1, -1)]


def test_a_board_reads_what_it_shows(conn: Connection) -> None:
    walks, rows = reads(conn, lambda: console.board(conn, open=20, ended=10))
    assert walks == 0
    assert rows <= MOST_ROWS
    found = console.board(conn, open=20, ended=10)
    ended = [row for row in found if row["status"] == "completed"]
    assert [row["id"] for row in ended[:2]] == ["done-1", "done-2"]
    assert [row["id"] for row in found if row["status"] == "proposed"] == ["waits-1"]


def test_counts_end_at_the_most(conn: Connection) -> None:
    walks, _ = reads(conn, lambda: console.board_counts(conn))
    counts = console.board_counts(conn)
    assert walks == 0
    assert (counts["completed"], counts["proposed"], counts["needs_input"]) == (console.MOST_COUNTED + 1, 1, 0)


def test_the_work_of_a_week_is_counted_within_its_index(conn: Connection) -> None:
    walks, rows = reads(conn, lambda: agents.ended(conn, ["codex", "claude_code"], week()))
    assert walks == 0
    assert rows == 0  # an index-only scan fetches none
    counted = agents.ended(conn, ["codex", "claude_code"], week())
    assert [row["number"] for row in counted] == list(range(1, 8))
    assert sum(row["completed"] + row["failed"] for row in counted) in range(7 * 1440 - 5, 7 * 1440 + 1)


def test_durations_and_what_is_held_read_a_bounded_number(conn: Connection) -> None:
    walks, rows = reads(conn, lambda: agents.durations(conn, ["codex"], week()[0]))
    assert walks == 0
    assert rows <= 2 * agents.MOST_TIMED
    assert agents.durations(conn, ["codex"], week()[0]) == {"codex": 30.0}
    walks, rows = reads(conn, lambda: agents.holding(conn, ["codex"], 200))
    assert (walks, rows) == (0, 0)
    waiting = {row["name"]: row["waiting"] for row in agents.working(conn, after=None, limit=50)}
    assert waiting["codex"] == agents.MOST_WAITING + 1


def test_a_task_reads_its_own(conn: Connection) -> None:
    def look() -> None:
        console.task_place(conn, "done-77")
        console.task_depends_on(conn, "done-77", 20)
        console.task_waited_for_by(conn, "done-77", 20)
        console.task_moves(conn, "done-77", limit=100, chars=100)
        console.task_artifacts(conn, "done-77", 50)
        console.task_log(conn, "done-77", 4096)

    _, rows = reads(conn, look)
    assert rows <= 20
