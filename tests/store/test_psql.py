"""Every statement that design and guide promise, typed at psql, on each PostgreSQL that this machine has.

The embedded one always; Debian's and others' when they are installed (/usr/lib/postgresql/*/bin).
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import SettingsError
from ops.embedded import EmbeddedServers
from ops.embedded_programs import postgres_major, postgres_programs
from store.migrate import migrate, migrations
from tests.conftest import reachable_folder

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
PROGRAMS = [None, *(path.parent for path in INSTALLED if int(path.parts[-3]) >= 15)]


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda path: path.parts[-2] if path else "embedded")
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database of a server of this version."""
    folder = reachable_folder()
    try:
        with EmbeddedServers(folder, postgres_bin=request.param, valkey=False) as servers:
            assert servers.database_url is not None
            assert migrate(servers.database_url) == [name for name, _ in migrations()]
            yield servers.database_url
    finally:
        shutil.rmtree(folder)


def psql(url: str, statements: str) -> str:
    """What psql prints for statements typed at it, bare; after an error its SQLSTATE."""
    try:
        program = postgres_programs() / "psql"
    except SettingsError:
        pytest.skip("there is no packaged psql for this machine")
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=VERBOSITY=sqlstate"]
    done = subprocess.run([str(program), *options, url], input=statements, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).strip()


def test_the_server_is_of_the_version_it_says(url: str, request: pytest.FixtureRequest) -> None:
    programs = request.node.callspec.params["url"] or postgres_programs()
    assert psql(url, "SELECT current_setting('server_version_num')::int / 10000;") == str(postgres_major(programs))


def test_searches_and_views_run_as_typed(url: str) -> None:
    answers = psql(
        url,
        """
        INSERT INTO sessions (id, title) VALUES ('walk', 'Morning walk');
        INSERT INTO conversation_chunks (session_id, chunk_id, content)
        VALUES ('walk', '0001', 'Tracking carbon per flight.');
        INSERT INTO memories (session_id, type, key, content)
        VALUES ('walk', 'decision', 'pwa', '{"text": "PWA decision"}');
        SELECT chunk_id FROM conversation_chunks
         WHERE to_tsvector('english', content) @@ plainto_tsquery('english', 'carbon tracking');
        SELECT key FROM memories
         WHERE to_tsvector('english', content::text) @@ plainto_tsquery('english', 'PWA decision');
        SELECT conversation_chunk_count, memory_count FROM active_sessions;
        SELECT name FROM agents ORDER BY name;
        SELECT count(*) FROM task_queue;
        """,
    )
    assert answers.split("\n") == ["0001", "pwa", "1|1", "claude_code", "codex", "gemini_cli", "researcher", "0"]


def test_a_task_goes_through_every_move(url: str) -> None:
    """psql keeps the token of each claim in a variable (\\gset), as a person at it would."""
    answers = psql(
        url,
        r"""
        INSERT INTO tasks (id, agent_name, title, status) VALUES ('t', 'codex', 'Look it up', 'proposed');
        SELECT status FROM approve_task('t', 'bob');
        SELECT * FROM claim_task('codex', 'control_agent_1') \gset
        SELECT :'task_id', :'title', :attempt;
        SELECT status, process_id FROM start_task(:'task_id', :'claim_token', 42);
        SELECT progress, progress_note FROM renew_task(:'task_id', :'claim_token', 60, 0.5, 'half');
        SELECT status, question FROM ask_task(:'task_id', :'claim_token', 'Which continent?');
        SELECT status FROM answer_task('t', 'Europe', 'bob');
        SELECT claim_token FROM claim_task('codex', 'control_agent_1') \gset
        SELECT status FROM release_task('t', :'claim_token');
        SELECT claim_token FROM claim_task('codex', 'control_agent_1', 60) \gset
        SELECT status, attempts FROM fail_task('t', :'claim_token', 'no network', true);
        UPDATE tasks SET not_before = NULL;
        SELECT claim_token FROM claim_task('codex', 'control_agent_1', 60, 1) \gset
        UPDATE tasks SET lease_until = now() - interval '1 s';
        SELECT expire_claims();
        SELECT claim_token FROM claim_task('codex', 'control_agent_1', 60, 1, true) \gset
        SELECT status, output_data, artifacts FROM complete_task('t', :'claim_token', '{"n": 1}', '{}');
        SELECT status FROM cancel_task('t', 'too late');
        SELECT input_data #>> '{answers,0,answer}' FROM tasks;
        SELECT string_agg(to_status, ' ' ORDER BY id) FROM task_events WHERE task_id = 't';
        DELETE FROM tasks;
        """,
    )
    assert answers.split("\n") == [
        "pending",
        "t|Look it up|1",
        "running|42",
        "0.5|half",
        "needs_input|Which continent?",
        "pending",
        "pending",
        "pending|1",
        "1",
        'completed|{"n": 1}|{}',
        "Europe",
        "proposed pending claimed running needs_input pending claimed pending claimed pending claimed pending claimed"
        " completed",
        "ERROR:  AW002",
    ]


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("SELECT * FROM claim_task('hal_9000', 'me')", "AW004"),
        ("SELECT * FROM claim_task('codex', '')", "AW006"),
        ("SELECT * FROM claim_task('codex', 'me', 0)", "AW006"),
        ("SELECT * FROM claim_task('codex', 'me', 31536000)", "AW006"),
        ("SELECT * FROM claim_task('codex', 'me', NULL)", "AW006"),
        ("SELECT * FROM claim_task('codex', 'me', 300, 0)", "AW006"),
        ("SELECT * FROM claim_task('codex', 'me', 300, 10000000)", "AW006"),
        ("SELECT * FROM start_task('nowhere', gen_random_uuid())", "AW005"),
        ("SELECT * FROM start_task('t', gen_random_uuid())", "AW001"),
        ("SELECT * FROM renew_task('t', gen_random_uuid(), 0)", "AW006"),
        ("SELECT * FROM complete_task('t', NULL)", "AW001"),
        ("SELECT * FROM complete_task('t', gen_random_uuid(), to_jsonb(repeat('x', 5000000)))", "AW006"),
        ("SELECT * FROM answer_task('t', 'yes', 'bob')", "AW002"),
        ("SELECT * FROM approve_task('t', 'bob')", "AW002"),
        ("SELECT * FROM retry_task('t', 'bob')", "AW002"),
        ("UPDATE tasks SET depends_on = '{t}'", "AW006"),
        ("INSERT INTO tasks (id, agent_name, depends_on) VALUES ('u', 'codex', '{nowhere}')", "AW006"),
        ("INSERT INTO tasks (id, agent_name, depends_on) VALUES ('u', 'codex', '{u}')", "AW006"),
        ("UPDATE agents SET max_concurrent = 0 WHERE name = 'codex'; SELECT * FROM claim_task('codex', 'me')", "AW003"),
        ("DELETE FROM task_events", "AW002"),
        ("SELECT heartbeat_agent('hal_9000')", "AW004"),
    ],
)
def test_what_is_refused_changes_nothing_and_has_its_sqlstate(url: str, statement: str, sqlstate: str) -> None:
    before = "BEGIN; INSERT INTO tasks (id, agent_name) VALUES ('t', 'codex');"
    state = "SELECT id, status, claim_token, attempts FROM tasks;"
    answers = psql(url, f"{before} SAVEPOINT typed; {statement}; ROLLBACK TO typed; {state} ROLLBACK;").split("\n")
    assert sorted(answers) == sorted(["t|pending||0", f"ERROR:  {sqlstate}"])
