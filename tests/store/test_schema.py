"""The schema as people's SQL meets it: migrations, names, the guide's statements, constraints, and the dump of it."""

import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import LiteralString

import psycopg
import pytest
from psycopg import errors as pg
from psycopg import sql

from domain.errors import AIWebhookError, DatabaseUnavailable, InvalidMove, SettingsError
from ops.embedded import Servers
from ops.embedded_programs import postgres_major, postgres_programs
from store import migrate as migrating
from store.database import Connection, connect, our_errors
from store.migrate import migrate, migrations, pending
from tests.conftest import ROOT, with_database

NAMES = [name for name, _ in migrations()]

# design.md, section 3: names that people's SQL relies on.
COLUMNS = {
    "sessions": "id title participants context status created last_activity completed_at conversation_chunk_count"
    " memory_count task_count artifact_count metadata",
    "turns": "session_id seq speaker role text start_seconds end_seconds start_time end_time",
    "conversation_chunks": "id session_id chunk_id content format start_time end_time participants extracted_items"
    " metadata created first_turn last_turn",
    "memories": "id session_id type key content tags created confidence turn char_start char_end quote speaker"
    " extractor review superseded_by",
    "tasks": "id session_id agent_name task_type status priority input_data process_id claimed_by claimed_at started"
    " completed output_data artifacts error_message created updated claim_token lease_until attempts max_attempts"
    " not_before depends_on memory",
    "artifacts": "id session_id task_id type name content format metadata created sha256 size",
    "agents": "name type command max_concurrent capabilities status current_tasks last_heartbeat metadata created"
    " updated",
    "deliveries": "source delivery_id event received_at body state attempts error session_id",
    "active_sessions": "id title status last_activity",
    "task_queue": "id title agent_name status priority",
}
TYPES = {
    ("sessions", "id"): "text",
    ("sessions", "participants"): "jsonb",
    ("sessions", "metadata"): "jsonb",
    ("conversation_chunks", "extracted_items"): "jsonb",
    ("memories", "content"): "jsonb",
    ("memories", "tags"): "ARRAY",
    ("tasks", "id"): "text",
    ("tasks", "input_data"): "jsonb",
    ("tasks", "output_data"): "jsonb",
    ("tasks", "artifacts"): "ARRAY",
    ("tasks", "claim_token"): "uuid",
    ("tasks", "lease_until"): "timestamp with time zone",
    ("artifacts", "id"): "text",
    ("agents", "capabilities"): "jsonb",
    ("deliveries", "body"): "bytea",
}
# design.md, section 3: the arguments in order; those after the slash have defaults.
FUNCTIONS = {
    "claim_task": "agent_name text, control_agent text / lease_seconds integer, max_tasks integer, fair boolean",
    "start_task": "task_id text, claim_token uuid / process_id integer",
    "renew_task": "task_id text, claim_token uuid / lease_seconds integer, progress real, note text",
    "complete_task": "task_id text, claim_token uuid / output_data jsonb, artifacts text[]",
    "fail_task": "task_id text, claim_token uuid, error text / retry boolean",
    "release_task": "task_id text, claim_token uuid /",
    "ask_task": "task_id text, claim_token uuid, question text /",
    "answer_task": "task_id text, answer text, person text /",
    "approve_task": "task_id text, person text /",
    "cancel_task": "task_id text / reason text, person text",
    "expire_claims": "/",
}
CHUNK_SEARCH = """
SELECT * FROM conversation_chunks
WHERE to_tsvector('english', content) @@ plainto_tsquery('english', 'carbon tracking');
"""
MEMORY_SEARCH = """
SELECT * FROM memories
WHERE to_tsvector('english', content::text) @@ plainto_tsquery('english', 'PWA decision');
"""


@contextmanager
def new_database(servers: Servers) -> Iterator[str]:
    name = f"schema_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield with_database(servers.database_url, name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def empty_database(servers: Servers) -> Iterator[str]:
    """A database that no migration has seen, as a conninfo string."""
    with new_database(servers) as url:
        yield url


@pytest.fixture(scope="module")
def migrated(servers: Servers) -> Iterator[str]:
    """A database that a migration made and `talk` filled, as a conninfo string; every test leaves it as it was."""
    with new_database(servers) as url:
        migrate(url)
        with connect(url) as conn:
            talk(conn)
        yield url


@pytest.fixture(scope="module")
def connection(migrated: str) -> Iterator[Connection]:
    with connect(migrated) as conn:
        yield conn


@pytest.fixture
def conn(connection: Connection) -> Iterator[Connection]:
    """A connection to that database; what a test writes is rolled back."""
    with connection.transaction(force_rollback=True):
        yield connection


def psql(conninfo: str, statements: str) -> str:
    """What psql prints, bare and unaligned, for statements typed at it."""
    try:
        program = postgres_programs() / "psql"
    except SettingsError:
        pytest.skip("there is no packaged psql for this machine")
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
    answer = subprocess.run(
        [program, *options, "--dbname", conninfo], input=statements, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def talk(conn: Connection) -> None:
    """A session with a chunk, a memory and a pending task."""
    conn.execute("INSERT INTO sessions (id, title) VALUES ('walk', 'Morning walk')")
    conn.execute(
        "INSERT INTO conversation_chunks (session_id, chunk_id, content)"
        " VALUES ('walk', '0001', 'Alice wants carbon emissions tracked: tracking carbon per flight.')"
    )
    conn.execute(
        "INSERT INTO memories (session_id, type, key, content)"
        """ VALUES ('walk', 'decision', 'pwa', '{"title": "Decision: build it as a PWA"}')"""
    )
    conn.execute("INSERT INTO tasks (id, session_id, agent_name) VALUES ('look-up', 'walk', 'claude_code')")


def test_every_migration_is_applied_once_and_never_again(empty_database: str) -> None:
    with connect(empty_database) as conn:
        assert pending(conn) == NAMES
        assert migrate(empty_database) == NAMES
        assert pending(conn) == []
        before = conn.execute("SELECT * FROM schema_migrations ORDER BY name").fetchall()
        assert [row["name"] for row in before] == NAMES
        talk(conn)
        assert migrate(empty_database) == []
        assert conn.execute("SELECT * FROM schema_migrations ORDER BY name").fetchall() == before
        assert conn.execute("SELECT task_count FROM sessions").fetchone() == {"task_count": 1}


def test_two_migrators_that_start_at_once_share_the_work(empty_database: str) -> None:
    both, answers = threading.Barrier(2), []

    def start() -> None:
        both.wait()
        answers.append(migrate(empty_database))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [[], NAMES]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(migrated: str) -> None:
    with connect(migrated) as conn:
        conn.execute("INSERT INTO schema_migrations (name) VALUES ('9999_from_the_future')")
        with pytest.raises(SettingsError, match="9999_from_the_future") as refusal:
            migrate(migrated)
        assert "newer" in refusal.value.hint
        assert conn.execute("SELECT count(*) AS n FROM schema_migrations").fetchone() == {"n": len(NAMES) + 1}
        conn.execute("DELETE FROM schema_migrations WHERE name = '9999_from_the_future'")


def test_a_migration_that_breaks_leaves_nothing_behind(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, LiteralString]] = [
        ("0001_good", "CREATE TABLE good ()"),
        ("0002_bad", "CREATE TABLE half (); SELECT 1 / 0"),
    ]
    monkeypatch.setattr(migrating, "migrations", lambda: steps)
    with pytest.raises(AIWebhookError):
        migrate(empty_database)
    with connect(empty_database) as conn:
        assert conn.execute("SELECT name FROM schema_migrations").fetchall() == [{"name": "0001_good"}]
        assert conn.execute(
            "SELECT to_regclass('good') IS NOT NULL AS good, to_regclass('half') AS half"
        ).fetchone() == {
            "good": True,
            "half": None,
        }


def test_migrating_without_a_server_says_that_there_is_none() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(DatabaseUnavailable):
            migrate(f"postgresql://app@127.0.0.1:{silent.getsockname()[1]}/nothing")


def test_every_promised_table_view_and_column_is_there(conn: Connection) -> None:
    rows = conn.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    ).fetchall()
    types = {(row["table_name"], row["column_name"]): row["data_type"] for row in rows}
    promised = {(table, column) for table, columns in COLUMNS.items() for column in columns.split()}
    assert promised - types.keys() == set()
    assert {place: types[place] for place in TYPES} == TYPES


def test_every_promised_function_takes_what_was_promised(conn: Connection) -> None:
    rows = conn.execute(
        "SELECT proname, pronargdefaults AS defaults, pg_get_function_identity_arguments(oid) AS arguments"
        "  FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname = ANY (%s)",
        [list(FUNCTIONS)],
    ).fetchall()
    found = {}
    for row in rows:
        arguments = [a for a in row["arguments"].split(", ") if a]
        required = len(arguments) - row["defaults"]
        found[row["proname"]] = f"{', '.join(arguments[:required])} / {', '.join(arguments[required:])}".strip()
    assert found == FUNCTIONS


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("conversation_chunks", "chunk_id, session_id"),
        ("memories", "key, session_id"),
        ("deliveries", "delivery_id, source"),
    ],
)
def test_what_is_unique_is_unique(conn: Connection, table: str, columns: str) -> None:
    rows = conn.execute(
        "SELECT string_agg(a.attname, ', ' ORDER BY a.attname) AS columns FROM pg_constraint c"
        "  JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)"
        " WHERE c.conrelid = %s::regclass AND c.contype = 'u' GROUP BY c.oid",
        [table],
    ).fetchall()
    assert {"columns": columns} in rows


def test_the_agents_of_the_guide_are_registered(conn: Connection) -> None:
    rows = conn.execute("SELECT name, status FROM agents ORDER BY name").fetchall()
    assert [row["name"] for row in rows] == ["claude_code", "codex", "gemini_cli", "researcher"]
    assert {row["status"] for row in rows} == {"available"}


def test_the_guides_statements_run_in_psql_as_typed(migrated: str) -> None:
    assert "tracking carbon per flight" in psql(migrated, CHUNK_SEARCH)
    assert "build it as a PWA" in psql(migrated, MEMORY_SEARCH)
    assert psql(migrated, "SELECT COUNT(*) FROM sessions;") == "1\n"
    assert "walk|Morning walk" in psql(migrated, "SELECT * FROM active_sessions;")
    assert psql(migrated, "SELECT * FROM agents;").count("\n") == 4
    assert psql(migrated, "SELECT * FROM task_queue;").startswith("look-up|")
    claim = "SELECT * FROM claim_task('claude_code', 'control_agent_1');"
    claims = psql(migrated, f"BEGIN; {claim} {claim} ROLLBACK;")
    assert claims.startswith("look-up|walk|")
    assert claims.count("\n") == 1


def test_the_guides_backup_restores_into_an_empty_database(migrated: str, servers: Servers) -> None:
    skip_unless_packaged_version(migrated)
    backup = subprocess.run(
        [postgres_programs() / "pg_dump", "--no-owner", "--dbname", migrated],
        capture_output=True,
        text=True,
        check=True,
    )
    everything = "SELECT id, status, input_data FROM tasks; SELECT title, quote FROM memories; SELECT id FROM sessions;"
    with new_database(servers) as restored:
        psql(restored, backup.stdout)
        assert psql(restored, everything) == psql(migrated, everything)
        assert psql(restored, "SELECT * FROM claim_task('claude_code', 'control_agent_1');").startswith("look-up|walk|")


@pytest.mark.parametrize(
    ("statement", "index"), [(CHUNK_SEARCH, "conversation_chunks_words"), (MEMORY_SEARCH, "memories_words")]
)
def test_the_guides_searches_use_their_index(migrated: str, statement: str, index: str) -> None:
    plan = psql(migrated, f"SET enable_seqscan = off; EXPLAIN {statement}")
    assert f"Bitmap Index Scan on {index}" in plan


@pytest.mark.parametrize("state", ["active", "paused", "completed"])
def test_a_sessions_status_typed_as_plain_sql_keeps_its_time(conn: Connection, state: str) -> None:
    for status in ("completed", state):
        conn.execute("UPDATE sessions SET status = %s", [status])
    row = conn.execute("SELECT status, completed_at IS NOT NULL AS ended FROM sessions").fetchone()
    assert row == {"status": state, "ended": state == "completed"}


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_a_task_ended_by_plain_sql_keeps_the_constraints(conn: Connection, state: str) -> None:
    conn.execute("SELECT claim_task('claude_code', 'control_agent_1')")
    conn.execute("UPDATE tasks SET status = %s", [state])
    row = conn.execute(
        "SELECT status, completed IS NOT NULL AS ended, num_nonnulls(claim_token, lease_until) AS held FROM tasks"
    ).fetchone()
    assert row == {"status": state, "ended": True, "held": 0}
    conn.execute("UPDATE tasks SET status = 'pending'")
    assert conn.execute("SELECT status, completed FROM tasks").fetchone() == {"status": "pending", "completed": None}


@pytest.mark.parametrize(
    ("status", "constraint"),
    [
        ("running", "a_held_task_has_a_token"),
        ("needs_input", "an_asking_task_has_its_question"),
        ("doing", "tasks_status_check"),
    ],
)
def test_plain_sql_cannot_put_a_task_where_only_a_move_can(conn: Connection, status: str, constraint: str) -> None:
    with pytest.raises(pg.CheckViolation) as refusal:
        conn.execute("UPDATE tasks SET status = %s", [status])
    assert refusal.value.diag.constraint_name == constraint


def test_plain_sql_cannot_make_a_claim(conn: Connection) -> None:
    with pytest.raises(InvalidMove, match="only by claim_task"), our_errors():
        conn.execute(
            "UPDATE tasks SET status = 'claimed', claimed_by = 'me', claimed_at = now(), lease_until = now(),"
            " claim_token = gen_random_uuid()"
        )


def test_a_task_keeps_its_id(conn: Connection) -> None:
    with pytest.raises(InvalidMove, match="keeps its id"), our_errors():
        conn.execute("UPDATE tasks SET id = 'other'")


HOLD = {
    "claimed_by": "'control_agent_1'",
    "claimed_at": "now()",
    "claim_token": "gen_random_uuid()",
    "lease_until": "now()",
    "started": "now()",
}


def held_without(column: str, status: str = "claimed") -> str:
    columns = HOLD | {column: "NULL"}
    return f"UPDATE tasks SET status = '{status}', " + ", ".join(f"{name} = {columns[name]}" for name in columns)


def delivery_with(column: str, value: str) -> str:
    return (
        f"INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body, {column})"
        f" VALUES (repeat('0', 32), 'generic', '1', 'transcript', now(), 'application/json', '', {value})"
    )


INCONSISTENT = {
    "a completed session without its time": "UPDATE sessions SET status = 'completed'",
    "an active session with the time of its end": "UPDATE sessions SET completed_at = now()",
    "a session in no known status": "UPDATE sessions SET status = 'over'",
    "a session with fewer than no tasks": "UPDATE sessions SET task_count = -1",
    "a session whose participants are no list": "UPDATE sessions SET participants = '{}'",
    "a session without an id": "INSERT INTO sessions (id) VALUES ('')",
    "a session with an endless id": "INSERT INTO sessions (id) VALUES (repeat('x', 201))",
    "a pending task with a token": "UPDATE tasks SET claim_token = gen_random_uuid()",
    "a pending task with a lease": "UPDATE tasks SET lease_until = now()",
    "a pending task with the time of its end": "UPDATE tasks SET completed = now()",
    "a pending task with a question": "UPDATE tasks SET question = 'Which?'",
    "a claimed task without a token": held_without("claim_token"),
    "a claimed task without a lease": held_without("lease_until"),
    "a claimed task without a holder": held_without("claimed_by"),
    "a claimed task without its time": held_without("claimed_at"),
    "a running task that never started": held_without("started", "running"),
    "a completed task that is still held": held_without("started", "completed") + ", completed = now()",
    "a completed task without its time": "UPDATE tasks SET status = 'completed'",
    "a failed task without its time": "UPDATE tasks SET status = 'failed'",
    "a cancelled task without its time": "UPDATE tasks SET status = 'cancelled'",
    "a task that asks nothing": "UPDATE tasks SET status = 'needs_input'",
    "a task without a try": "UPDATE tasks SET max_attempts = 0",
    "a task that is more than done": "UPDATE tasks SET progress = 1.1",
    "an agent in no known status": "UPDATE agents SET status = 'asleep'",
    "an agent that may hold fewer than no tasks": "UPDATE agents SET max_concurrent = -1",
    "a chunk in no known format": "UPDATE conversation_chunks SET format = 'prose'",
    "a chunk that begins with a turn and ends with none": "UPDATE conversation_chunks SET first_turn = 1",
    "a memory of no known type": "UPDATE memories SET type = 'hunch'",
    "a memory without a key": "UPDATE memories SET key = ''",
    "a memory surer than sure": "UPDATE memories SET confidence = 1.5",
    "a memory that replaces itself": "UPDATE memories SET superseded_by = id",
    "a quote without its place": "UPDATE memories SET quote = 'We build a PWA.'",
    "a quote longer than its place": "UPDATE memories SET quote = 'PWA', char_start = 0, char_end = 2",
    "a turn before the first": "INSERT INTO turns (session_id, seq, text) VALUES ('walk', 0, 'Hi')",
    "a turn that says nothing": "INSERT INTO turns (session_id, seq, text) VALUES ('walk', 1, '')",
    "a turn of no known role": "INSERT INTO turns (session_id, seq, text, role) VALUES ('walk', 1, 'Hi', 'ghost')",
    "a processed delivery without its time": delivery_with("state", "'processed'"),
    "an ignored delivery without its time": delivery_with("state", "'ignored'"),
    "a waiting delivery with the time of its end": delivery_with("processed_at", "now()"),
    "a failed delivery without a reason": delivery_with("state", "'failed'"),
    "a delivery in no known state": delivery_with("state", "'lost'"),
    "a delivery whose id is no digest": delivery_with("state", "'received'").replace("repeat('0', 32)", "'1'"),
}


@pytest.mark.parametrize("state", INCONSISTENT)
def test_nobody_can_store(conn: Connection, state: str) -> None:
    # The constraints alone stand guard: the triggers that would mend a statement are off.
    conn.execute("ALTER TABLE sessions DISABLE TRIGGER keep_times")
    conn.execute("ALTER TABLE tasks DISABLE TRIGGER keep_times_inserted, DISABLE TRIGGER keep_times_updated")
    with pytest.raises(pg.CheckViolation), conn.transaction():
        conn.execute(INCONSISTENT[state])


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO tasks (agent_name) VALUES ('nobody')",
        "INSERT INTO tasks (agent_name, session_id) VALUES ('codex', 'nowhere')",
        "INSERT INTO memories (session_id, type, key, content) VALUES ('nowhere', 'idea', 'k', '{}')",
        "DELETE FROM agents WHERE name = 'claude_code'",
    ],
)
def test_nothing_points_to_what_is_not_there(conn: Connection, statement: LiteralString) -> None:
    with pytest.raises(pg.ForeignKeyViolation):
        conn.execute(statement)


def test_an_artifact_knows_its_size_in_bytes_and_its_digest(conn: Connection) -> None:
    conn.execute("INSERT INTO artifacts (name, content) VALUES ('note', 'Grüße')")
    assert conn.execute(
        "SELECT size, sha256 = encode(sha256(content::bytea), 'hex') AS right FROM artifacts"
    ).fetchone() == {
        "size": 7,
        "right": True,
    }


def test_the_active_sessions_are_the_active_ones_latest_first(conn: Connection) -> None:
    conn.execute("DELETE FROM sessions")
    conn.execute(
        "INSERT INTO sessions (id, status, last_activity) VALUES ('old', 'active', now() - interval '1 day'),"
        " ('new', 'active', now()), ('off', 'paused', now()), ('done', 'completed', now())"
    )
    conn.execute("INSERT INTO tasks (session_id, agent_name, status) VALUES ('old', 'codex', 'proposed')")
    conn.execute("UPDATE sessions SET last_activity = now() - interval '1 day' WHERE id = 'old'")
    rows = conn.execute("SELECT id, active_tasks FROM active_sessions").fetchall()
    assert rows == [{"id": "new", "active_tasks": 0}, {"id": "old", "active_tasks": 1}]


def schema_script() -> ModuleType:
    loader = SourceFileLoader("schema_script", str(ROOT / "scripts" / "schema"))
    script = ModuleType(loader.name)
    script.__file__ = loader.path
    loader.exec_module(script)
    return script


def skip_unless_packaged_version(conninfo: str) -> None:
    try:
        packaged = postgres_major(postgres_programs())
    except SettingsError:
        pytest.skip("there is no packaged pg_dump for this machine")
    with connect(conninfo) as conn:
        if conn.info.server_version // 10_000 != packaged:
            pytest.skip(f"the server is not of the packaged version {packaged}, and dumps differ between versions")


def test_the_written_schema_is_what_the_migrations_give(migrated: str) -> None:
    skip_unless_packaged_version(migrated)
    written = (ROOT / "store" / "schema.sql").read_text(encoding="utf-8")
    assert schema_script().dump(migrated) == written, "run scripts/schema"
