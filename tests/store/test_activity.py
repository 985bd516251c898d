"""Counters and last_activity of a session, kept by triggers whoever writes: plain SQL included."""

import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st
from psycopg import sql

from store.database import Connection, connect

LONG_AGO = "2000-01-01T00:00:00Z"
COUNTERS = {
    "conversation_chunks": "conversation_chunk_count",
    "memories": "memory_count",
    "tasks": "task_count",
    "artifacts": "artifact_count",
}
# The columns that a row needs beside its session; %(mark)s tells rows of one statement apart.
NEEDED = {
    "conversation_chunks": ("chunk_id, content", "mark, 'Carbon'"),
    "memories": ("type, key, content", "'idea', mark, '{}'"),
    "tasks": ("id, agent_name", "mark, 'codex'"),
    "artifacts": ("id, name, content", "mark, 'Notes', 'Text'"),
}
WITHOUT_SESSION = ("tasks", "artifacts")


@pytest.fixture(scope="module")
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as conn:
        yield conn


@pytest.fixture
def conn(connection: Connection) -> Iterator[Connection]:
    """Two sessions that nothing has happened in for long; what a test writes is rolled back."""
    with connection.transaction(force_rollback=True):
        connection.execute("INSERT INTO sessions (id) VALUES ('walk'), ('drive')")
        rest(connection)
        yield connection


def rest(conn: Connection) -> None:
    conn.execute("UPDATE sessions SET last_activity = %s", [LONG_AGO])


def insert(conn: Connection, table: str, *sessions: str | None) -> None:
    """One statement that inserts a row for each of these sessions."""
    columns, values = (sql.SQL(part) for part in NEEDED[table])
    statement = sql.SQL(
        "INSERT INTO {} (session_id, {}) SELECT session_id, {}"
        "  FROM unnest(%s::text[], %s::text[]) AS r (session_id, mark)"
    ).format(sql.Identifier(table), columns, values)
    conn.execute(statement, [list(sessions), [uuid.uuid4().hex for _ in sessions]])


def execute(conn: Connection, statement: str, table: str, *parameters: object) -> None:
    conn.execute(sql.SQL(statement).format(sql.Identifier(table)), parameters)


def counts(conn: Connection, table: str) -> dict[str, int]:
    statement = sql.SQL("SELECT id, {} AS n FROM sessions").format(sql.Identifier(COUNTERS[table]))
    return {row["id"]: row["n"] for row in conn.execute(statement)}


def active(conn: Connection) -> set[str]:
    """The sessions in which something has happened since `rest`."""
    return {row["id"] for row in conn.execute("SELECT id FROM sessions WHERE last_activity > %s", [LONG_AGO])}


def all_counters_are_right(conn: Connection) -> bool:
    row = conn.execute(
        """SELECT bool_and(conversation_chunk_count = (SELECT count(*) FROM conversation_chunks WHERE session_id = s.id)
                       AND memory_count = (SELECT count(*) FROM memories WHERE session_id = s.id)
                       AND task_count = (SELECT count(*) FROM tasks WHERE session_id = s.id)
                       AND artifact_count = (SELECT count(*) FROM artifacts WHERE session_id = s.id)) AS right
             FROM sessions s"""
    ).fetchone()
    return row is not None and row["right"] is not False


@pytest.mark.parametrize("table", COUNTERS)
def test_a_row_inserted_by_plain_sql_is_counted_in_its_session_alone(conn: Connection, table: str) -> None:
    insert(conn, table, "walk")
    assert counts(conn, table) == {"walk": 1, "drive": 0}
    assert active(conn) == {"walk"}
    assert all_counters_are_right(conn)


@pytest.mark.parametrize("table", COUNTERS)
def test_a_statement_of_many_rows_counts_each(conn: Connection, table: str) -> None:
    insert(conn, table, "walk", "drive", "walk", "walk")
    assert counts(conn, table) == {"walk": 3, "drive": 1}
    assert active(conn) == {"walk", "drive"}
    rest(conn)
    execute(conn, "DELETE FROM {} WHERE session_id = 'walk'", table)
    assert counts(conn, table) == {"walk": 0, "drive": 1}
    assert active(conn) == {"walk"}


@pytest.mark.parametrize("table", COUNTERS)
def test_a_row_moved_to_another_session_is_counted_there(conn: Connection, table: str) -> None:
    insert(conn, table, "walk", "walk")
    rest(conn)
    execute(conn, "UPDATE {} SET session_id = 'drive'", table)
    assert counts(conn, table) == {"walk": 0, "drive": 2}
    assert active(conn) == {"walk", "drive"}


@pytest.mark.parametrize("table", WITHOUT_SESSION)
def test_a_row_that_joins_or_leaves_a_session_is_counted(conn: Connection, table: str) -> None:
    insert(conn, table, None, "walk")
    assert counts(conn, table) == {"walk": 1, "drive": 0}
    execute(conn, "UPDATE {} SET session_id = 'drive' WHERE session_id IS NULL", table)
    assert counts(conn, table) == {"walk": 1, "drive": 1}
    execute(conn, "UPDATE {} SET session_id = NULL", table)
    assert counts(conn, table) == {"walk": 0, "drive": 0}


@pytest.mark.parametrize("table", COUNTERS)
def test_an_update_that_moves_nothing_counts_nothing(conn: Connection, table: str) -> None:
    insert(conn, table, "walk")
    rest(conn)
    execute(conn, "UPDATE {} SET session_id = session_id", table)
    assert counts(conn, table) == {"walk": 1, "drive": 0}
    assert active(conn) == set()


@pytest.mark.parametrize("conflict", ["DO NOTHING", "(session_id, key) DO UPDATE SET tags = EXCLUDED.tags"])
def test_a_row_that_is_there_already_is_not_counted_again(conn: Connection, conflict: str) -> None:
    for _ in range(2):
        statement = (
            "INSERT INTO {} (session_id, type, key, content) VALUES ('walk', 'idea', 'pwa', '{{}}') ON CONFLICT "
        )
        execute(conn, statement + conflict, "memories")
    assert counts(conn, "memories") == {"walk": 1, "drive": 0}


@pytest.mark.parametrize("table", COUNTERS)
def test_the_time_of_activity_never_goes_back(conn: Connection, table: str) -> None:
    conn.execute("UPDATE sessions SET last_activity = '2999-01-01'")
    insert(conn, table, "walk")
    execute(conn, "UPDATE {} SET session_id = 'drive'", table)
    execute(conn, "DELETE FROM {}", table)
    rows = conn.execute("SELECT DISTINCT last_activity = '2999-01-01' AS kept FROM sessions").fetchall()
    assert rows == [{"kept": True}]


def test_a_session_takes_all_that_is_in_it_along(conn: Connection) -> None:
    conn.execute("INSERT INTO turns (session_id, seq, text) VALUES ('walk', 1, 'Hello.'), ('drive', 1, 'Hi.')")
    for table in COUNTERS:
        insert(conn, table, "walk", "walk", "drive")
    conn.execute("UPDATE artifacts SET task_id = (SELECT min(id) FROM tasks WHERE session_id = 'walk')")
    conn.execute(
        "UPDATE conversation_chunks SET (first_turn, last_turn) = (SELECT t.id, t.id FROM turns t WHERE"
        " t.session_id = conversation_chunks.session_id)"
    )
    conn.execute("UPDATE memories SET turn = (SELECT t.id FROM turns t WHERE t.session_id = memories.session_id)")
    conn.execute("DELETE FROM sessions WHERE id = 'walk'")
    assert all(counts(conn, table) == {"drive": 1} for table in COUNTERS)
    assert all_counters_are_right(conn)
    assert conn.execute("SELECT session_id FROM turns").fetchall() == [{"session_id": "drive"}]


def test_an_artifact_outlives_its_task(conn: Connection) -> None:
    insert(conn, "tasks", "walk")
    insert(conn, "artifacts", "walk")
    conn.execute("UPDATE artifacts SET task_id = (SELECT id FROM tasks)")
    conn.execute("DELETE FROM tasks")
    assert conn.execute("SELECT session_id, task_id FROM artifacts").fetchall() == [
        {"session_id": "walk", "task_id": None}
    ]
    assert (counts(conn, "tasks")["walk"], counts(conn, "artifacts")["walk"]) == (0, 1)


SESSIONS = st.sampled_from(["walk", "drive", "call"])
TABLES = st.sampled_from(sorted(COUNTERS))
OPERATIONS = st.one_of(
    st.tuples(st.just("insert"), TABLES, st.lists(SESSIONS, min_size=1, max_size=4)),
    st.tuples(st.just("insert"), st.sampled_from(WITHOUT_SESSION), st.lists(st.none() | SESSIONS, max_size=3)),
    st.tuples(st.just("delete"), TABLES, SESSIONS),
    st.tuples(st.just("move"), TABLES, st.tuples(SESSIONS, SESSIONS)),
    st.tuples(st.just("leave"), st.sampled_from(WITHOUT_SESSION), SESSIONS),
    st.tuples(st.just("end"), st.just("sessions"), SESSIONS),
)


@given(st.lists(OPERATIONS, max_size=12))
@rules(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counters_equal_counts_after_anything(
    connection: Connection, operations: list[tuple[str, str, object]]
) -> None:
    with connection.transaction(force_rollback=True):
        for verb, table, what in operations:
            connection.execute("INSERT INTO sessions (id) VALUES ('walk'), ('drive'), ('call') ON CONFLICT DO NOTHING")
            match verb, what:
                case "insert", list(sessions):
                    insert(connection, table, *sessions)
                case "delete", session:
                    execute(connection, "DELETE FROM {} WHERE session_id = %s", table, session)
                case "move", (here, there):
                    execute(connection, "UPDATE {} SET session_id = %s WHERE session_id = %s", table, there, here)
                case "leave", session:
                    execute(connection, "UPDATE {} SET session_id = NULL WHERE session_id = %s", table, session)
                case "end", session:
                    execute(connection, "DELETE FROM {} WHERE id = %s", table, session)
            assert all_counters_are_right(connection)
