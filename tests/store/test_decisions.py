"""The ledger's statements beside many decisions: they read a few rows by index, however much was decided."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest

from store import console, decisions
from store.database import Connection, connect

MANY = 30_000
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)  # when the last one was made; each a minute before the next
MOST_ROWS = 400  # of a page of thirty

# Every tenth was replaced by the next; every hundredth was said again, once a year before.
FILL: LiteralString = """
SET session_replication_role = replica;
INSERT INTO sessions (id, title) SELECT 'talk-' || n, 'Talk ' || n FROM generate_series(0, %(many)s / 100) AS n;
INSERT INTO memories (session_id, type, key, title, content, language, said_at, tags)
SELECT 'talk-' || n / 100, 'decision', 'k' || n, 'Decision ' || n, '{}', 'english',
       %(at)s::timestamptz - (%(many)s - n) * interval '1 minute', ARRAY['tag ' || n %% 1000]
  FROM generate_series(1, %(many)s) AS n ORDER BY n;
UPDATE memories m SET superseded_by = o.id, superseded_at = o.said_at FROM memories o
 WHERE m.key = 'k' || (substr(o.key, 2)::integer - 1) AND m.id %% 10 = 0;
INSERT INTO memories (session_id, type, key, title, content, language, said_at, merged_into)
SELECT session_id, type, 'again ' || key, title, '{}', 'english', said_at - interval '1 year', id FROM memories
 WHERE id %% 100 = 50;
INSERT INTO tasks (id, agent_name, title, status, completed, decision, doubt)
SELECT 'task-' || id, 'codex', title, CASE WHEN id %% 2 = 0 THEN 'pending' ELSE 'completed' END,
       CASE WHEN id %% 2 = 1 THEN now() END, id, CASE WHEN id %% 1000 < 2 THEN 'Replaced.' END FROM memories;
INSERT INTO artifacts (id, task_id, type, name, format, content, language)
SELECT 'made-' || id, id, 'document', 'a.md', 'text', '', 'english' FROM tasks WHERE status = 'completed'
"""
READS: LiteralString = """
SELECT COALESCE(sum(seq_scan), 0)::int AS walks, COALESCE(sum(idx_tup_fetch), 0)::int AS rows
  FROM pg_stat_xact_user_tables WHERE relname IN ('memories', 'tasks', 'artifacts')
"""


@pytest.fixture(scope="module")
def url(url: str) -> str:
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor, autocommit=True) as conn:
        conn.execute(FILL, {"many": MANY, "at": NEW_YEAR})
        conn.execute("VACUUM (ANALYZE) memories, tasks, artifacts, sessions")
    return url


@pytest.fixture
def conn(url: str) -> Iterator[Connection]:
    with connect(url, "test") as connection, connection.transaction(force_rollback=True):
        yield connection


def reads(conn: Connection, look: Callable[[], Any]) -> tuple[Any, int, int]:
    before = conn.execute(READS).fetchone()
    found = look()
    after = conn.execute(READS).fetchone()
    assert before is not None
    assert after is not None
    return found, after["walks"] - before["walks"], after["rows"] - before["rows"]


def last(conn: Connection) -> list[int]:
    return [row["id"] for row in decisions.listing(conn, limit=30)]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"as_of": NEW_YEAR},
        {"as_of": NEW_YEAR - timedelta(minutes=MANY // 2)},
        {"before": 200},
        {"tag": "tag 7"},
        {"tag": "nothing"},
        {"session_id": "talk-7"},
        {"session_id": "nothing"},
    ],
    ids=str,
)
def test_a_page_of_the_ledger_reads_a_few_decisions(conn: Connection, asked: dict[str, Any]) -> None:
    found, walks, rows = reads(conn, lambda: decisions.listing(conn, limit=30, **asked))
    assert (len(found), walks) == (0 if "nothing" in asked.values() else 30, 0)
    assert rows <= MOST_ROWS + MANY // 50  # what is said again is looked through for a day


@pytest.mark.parametrize("name", ["said_again", "chains", "tasks", "places", "doubted"])
def test_what_belongs_to_a_page_is_found_by_index(conn: Connection, name: str) -> None:
    ids = last(conn)
    looks: dict[str, Callable[[], Any]] = {
        "said_again": lambda: decisions.said_again(conn, ids),
        "chains": lambda: decisions.chains(conn, ids),
        "tasks": lambda: decisions.artifacts(conn, [task["id"] for task in decisions.tasks(conn, ids)]),
        "places": lambda: list(console.places(conn, ids, chars=100).values()),
        "doubted": lambda: decisions.doubted(conn, 20),
    }
    found, walks, rows = reads(conn, looks[name])
    assert found or name == "said_again"
    assert walks == 0
    assert rows <= MOST_ROWS


def test_a_decision_is_in_force_from_when_it_was_first_said(conn: Connection) -> None:
    """One that stands for what was said a year before was in force that long, too."""
    a_while_before = NEW_YEAR - timedelta(days=200)
    found = decisions.listing(conn, limit=1000, as_of=a_while_before)
    assert len(found) == MANY // 100
    assert {row["id"] % 100 for row in found} == {50}
    assert decisions.listing(conn, limit=10, as_of=a_while_before - timedelta(days=365)) == []


def test_pages_of_a_day_follow_one_another(conn: Connection) -> None:
    at = NEW_YEAR - timedelta(minutes=100)
    first = [row["id"] for row in decisions.listing(conn, limit=30, as_of=at)]
    second = [row["id"] for row in decisions.listing(conn, limit=30, as_of=at, before=first[-1])]
    assert [*first, *second] == [row["id"] for row in decisions.listing(conn, limit=60, as_of=at)]


def test_a_decision_that_took_the_place_of_many_tells_some(conn: Connection) -> None:
    ids = last(conn)
    conn.execute("SET LOCAL session_replication_role = replica")
    conn.execute("UPDATE memories SET superseded_by = %s, superseded_at = now() WHERE id <= 5000", [ids[0]])
    found, _, _ = reads(conn, lambda: decisions.chains(conn, ids[:1]))
    assert decisions.EACH <= len(found) <= decisions.MOST
    assert {row["step"] for row in found} <= set(range(-decisions.STEPS, 0))
