"""What the hot statements read: a few rows by index, however long the queue and however much is done already.

PostgreSQL counts how a transaction found its rows. A plan that walks a table shows there, even within a function.
"""

from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest

from store import tasks
from store.database import Connection, Row, connect

PENDING, DONE = 20_000, 40_000
MOST_ROWS = 12  # a handful for the task, its agent, session and memory

FILL: LiteralString = """
ALTER TABLE tasks DISABLE TRIGGER USER;
INSERT INTO sessions (id, title) VALUES ('walk', 'Carbon');
INSERT INTO tasks (id, session_id, agent_name, priority)
SELECT 'waits-' || n, 'walk', 'claude_code', 1 + n %% 90 FROM generate_series(1, %(pending)s) AS n;
INSERT INTO tasks (id, session_id, agent_name, status, completed)
SELECT 'done-' || n, 'walk', 'claude_code', 'completed', now() FROM generate_series(1, %(done)s) AS n;
ALTER TABLE tasks ENABLE TRIGGER USER;
UPDATE agents SET max_concurrent = 500 WHERE name = 'claude_code';
INSERT INTO tasks (id, agent_name, capabilities, priority) VALUES ('shared', NULL, '["docs"]', 0)
"""
READS: LiteralString = """
SELECT COALESCE(sum(seq_scan), 0)::int AS walks, COALESCE(sum(idx_tup_fetch), 0)::int AS rows
  FROM pg_stat_xact_user_tables WHERE relname IN ('tasks', 'task_events', 'task_words', 'sessions')
"""


@pytest.fixture(scope="module")
def url(url: str) -> str:
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor, autocommit=True) as conn:
        conn.execute(FILL, {"pending": PENDING, "done": DONE})
        conn.execute("VACUUM (ANALYZE) tasks")
    return url


@pytest.fixture
def conn(url: str) -> Iterator[Connection]:
    """In a transaction that is rolled back."""
    with connect(url, "test") as connection, connection.transaction(force_rollback=True):
        yield connection


def reads(conn: Connection, statement: LiteralString) -> Row:
    before = conn.execute(READS).fetchone()
    conn.execute(statement)
    after = conn.execute(READS).fetchone()
    assert before is not None
    assert after is not None
    return {name: after[name] - before[name] for name in after}


CLAIM: LiteralString = "SELECT * FROM claim_task('claude_code', 'me')"


@pytest.mark.parametrize("shared", [True, False])
def test_a_claim_reads_a_few_rows_by_index(conn: Connection, shared: bool) -> None:
    if not shared:
        conn.execute("DELETE FROM tasks WHERE id = 'shared'")
    found = reads(conn, CLAIM)
    assert found["walks"] == 0
    # A queue that is shared with agents of a capability is read by a cursor, which fetches some rows ahead.
    assert found["rows"] <= MOST_ROWS + (30 if shared else 0)


def test_a_batch_reads_a_few_rows_for_each_task(conn: Connection) -> None:
    conn.execute("DELETE FROM tasks WHERE id = 'shared'")
    found = reads(conn, "SELECT * FROM claim_task('claude_code', 'me', 300, 50)")
    assert found["walks"] == 0
    assert found["rows"] <= 50 * MOST_ROWS


def test_a_fair_claim_looks_at_the_front_of_the_queue_only(conn: Connection) -> None:
    found = reads(conn, "SELECT * FROM claim_task('claude_code', 'me', fair => true)")
    assert found["walks"] == 0
    assert found["rows"] <= 500 * 4


@pytest.mark.parametrize(
    "move",
    [
        "SELECT start_task({})",
        "SELECT renew_task({}, 600, 0.5, 'half')",
        "SELECT complete_task({})",
        "SELECT fail_task({}, 'no network')",
        "SELECT release_task({})",
        "SELECT ask_task({}, 'Which region?')",
    ],
)
def test_a_move_reads_a_few_rows_by_index(conn: Connection, move: LiteralString) -> None:
    (claim,) = tasks.claim(conn, "claude_code", "me")
    found = reads(conn, move.format(f"'{claim['task_id']}', '{claim['claim_token']}'"))
    assert found["walks"] == 0
    assert found["rows"] <= MOST_ROWS


def test_looking_for_lapsed_leases_reads_only_those(conn: Connection) -> None:
    tasks.claim(conn, "claude_code", "me", max_tasks=3)
    conn.execute("UPDATE tasks SET lease_until = now() - interval '1 s' WHERE status = 'claimed'")
    found = reads(conn, "SELECT expire_claims()")
    assert found["walks"] == 0
    assert found["rows"] <= 3 * MOST_ROWS
