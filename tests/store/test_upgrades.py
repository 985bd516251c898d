"""A database of every earlier version comes to today's schema with all that is in it. One database goes through all
versions, and at each of them a conversation is put into it as plain SQL of the first version could: so what was written
at any version has gone through every migration after it."""

import hashlib
from collections.abc import Iterator
from typing import LiteralString

import pytest

from ops.embedded import Servers
from store import migrate as migrating
from store import search, tasks
from store.database import Connection, connect
from store.migrate import migrate, migrations, pending
from tests.conftest import ROOT
from tests.store.test_schema import NAMES, new_database, schema_script, skip_unless_packaged_version

# By the columns that the first version has. %(word)s is said in this conversation and in no other.
CONVERSATION: tuple[LiteralString, ...] = (
    "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body, session_id, state,"
    "  processed_at) VALUES (%(key)s, 'generic', %(id)s, 'transcript', now(), 'application/json',"
    """  '{"turns": []}', %(id)s, 'processed', now())""",
    "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body, state, error_code, error)"
    "  VALUES (md5(%(id)s), 'omi', %(id)s, 'transcript', now(), 'text/plain', '', 'failed', 'no_turns', 'Empty.')",
    "INSERT INTO sessions (id, title, participants) VALUES (%(id)s, 'A walk', '[\"Alice\"]')",
    "INSERT INTO turns (session_id, seq, speaker, role, text, delivery)"
    "  VALUES (%(id)s, 1, 'Alice', 'user', 'We decided to use ' || %(word)s || ' for it.', %(key)s),"
    "         (%(id)s, 2, 'Bob', 'other', 'I write the schema.', %(key)s)",
    "INSERT INTO conversation_chunks (session_id, chunk_id, content, first_turn, last_turn, delivery)"
    "  SELECT %(id)s, '0001', string_agg(text, ' ' ORDER BY seq), min(id), max(id), %(key)s"
    "    FROM turns WHERE session_id = %(id)s",
    "INSERT INTO memories (session_id, type, key, title, content, turn, char_start, char_end, quote, speaker, delivery)"
    "  SELECT %(id)s, 'decision', 'd1', 'Use ' || %(word)s, jsonb_build_object('title', 'Use ' || %(word)s), id, 0, 10,"
    "         'We decided', 'Alice', %(key)s FROM turns WHERE session_id = %(id)s AND seq = 1",
    "INSERT INTO tasks (id, session_id, agent_name, title, memory, delivery)"
    "  SELECT 'waits ' || %(id)s, %(id)s, 'claude_code', 'Try ' || %(word)s, id, %(key)s"
    "    FROM memories WHERE session_id = %(id)s",
    "INSERT INTO tasks (id, session_id, agent_name, title, status, completed, output_data)"
    "  VALUES ('done ' || %(id)s, %(id)s, 'codex', 'Done', 'completed', now(), '{\"exit_code\": 0}')",
    "INSERT INTO artifacts (id, session_id, task_id, name, content)"
    "  VALUES ('notes ' || %(id)s, %(id)s, 'done ' || %(id)s, 'notes.md', 'About ' || %(word)s)",
)
COUNTERS: LiteralString = """
SELECT id, conversation_chunk_count, memory_count, task_count, artifact_count,
       (SELECT count(*) FROM conversation_chunks c WHERE c.session_id = s.id) AS chunks,
       (SELECT count(*) FROM memories m WHERE m.session_id = s.id) AS memories,
       (SELECT count(*) FROM tasks t WHERE t.session_id = s.id) AS tasks,
       (SELECT count(*) FROM artifacts a WHERE a.session_id = s.id) AS artifacts
  FROM sessions s"""


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def word_of(name: str) -> str:
    return "".join(chr(ord("a") + int(digit, 16)) for digit in digest(name)[:10])


def converse(conn: Connection, name: str) -> None:
    for statement in CONVERSATION:
        conn.execute(statement, {"id": name, "key": digest(name), "word": word_of(name)})


def apply(conn: Connection, name: str, steps: LiteralString) -> None:
    """One migration, as the version that brought it did."""
    with conn.transaction():
        conn.execute("INSERT INTO schema_migrations (name) VALUES (%s)", [name])
        conn.execute(steps)


@pytest.fixture(scope="module")
def upgraded(servers: Servers) -> Iterator[str]:
    """A database that was at every version, as a conninfo string."""
    with new_database(servers) as url:
        with connect(url) as conn:
            conn.execute(migrating.HISTORY)
            for name, steps in migrations():
                apply(conn, name, steps)
                converse(conn, name)
        assert migrate(url) == []
        yield url


@pytest.fixture
def conn(upgraded: str) -> Iterator[Connection]:
    with connect(upgraded) as connection:
        yield connection


def test_from_every_version_the_schema_becomes_what_a_new_database_has(upgraded: str, conn: Connection) -> None:
    assert pending(conn) == []
    skip_unless_packaged_version(upgraded)
    assert schema_script().dump(upgraded) == (ROOT / "store" / "schema.sql").read_text("utf-8")


def test_from_every_version_the_counters_are_right(conn: Connection) -> None:
    rows = conn.execute(COUNTERS).fetchall()
    assert {row["id"] for row in rows} == set(NAMES)
    for row in rows:
        counted = [row[f"{what}_count"] for what in ("conversation_chunk", "memory", "task", "artifact")]
        assert counted == [row["chunks"], row["memories"], row["tasks"], row["artifacts"]] == [1, 1, 2, 1], row["id"]
    figures = conn.execute(
        "SELECT state, sum(n)::int AS n FROM delivery_figures(now() - interval '1 day') GROUP BY state"
    )
    assert {row["state"]: row["n"] for row in figures} == {"processed": len(NAMES), "failed": len(NAMES)}


def test_from_every_version_what_was_said_is_found(conn: Connection) -> None:
    search.fold(conn)
    for name in NAMES:
        hits = search.search(conn, word_of(name))
        assert {hit["session_id"] for hit in hits} == {name}
        assert {"turns", "memories", "tasks", "artifacts"} <= {hit["kind"] for hit in hits}, name
        (memory,) = conn.execute("SELECT * FROM memory_overview WHERE session_id = %s", [name]).fetchall()
        assert (memory["quote"], memory["review"], memory["merged_into"]) == ("We decided", "proposed", None)


def test_from_every_version_tasks_can_be_claimed_and_completed(conn: Connection) -> None:
    done = set()
    while claims := tasks.claim(conn, "claude_code", "me"):
        (claim,) = claims
        tasks.complete(conn, claim["task_id"], claim["claim_token"], output_data={"exit_code": 0})
        done.add(claim["task_id"])
    assert done == {f"waits {name}" for name in NAMES}
    assert conn.execute("SELECT DISTINCT status FROM tasks").fetchall() == [{"status": "completed"}]


def test_from_the_first_version_in_one_go(servers: Servers) -> None:
    first, *others = migrations()
    with new_database(servers) as url:
        with connect(url) as conn:
            conn.execute(migrating.HISTORY)
            apply(conn, *first)
            converse(conn, first[0])
        assert migrate(url) == [name for name, _ in others]
        with connect(url) as conn:
            assert {hit["session_id"] for hit in search.search(conn, word_of(first[0]))} == {first[0]}
