"""Connections to PostgreSQL, and the one place where its errors become ours."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import orjson
import psycopg
from psycopg import errors as pg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import ConnectionPool, PoolTimeout

from domain import errors

Connection = psycopg.Connection[DictRow]
Pool = ConnectionPool[Connection]
Row = dict[str, Any]

set_json_dumps(orjson.dumps)
set_json_loads(orjson.loads)

# The SQLSTATEs raised in migrations/*_task_moves.sql and *_memory_lives.sql.
MOVES: dict[str, type[errors.AIWebhookError]] = {
    "AW001": errors.ClaimLost,
    "AW002": errors.InvalidMove,
    "AW003": errors.AgentAtCapacity,
    "AW004": errors.UnknownAgent,
    "AW005": errors.UnknownTask,
    "AW006": errors.InvalidRequest,
    "AW007": errors.NotAccepted,
    "AW008": errors.NotFound,
}


def session_options(name: str) -> dict[str, Any]:
    """How every connection of ours is set: named for pg_stat_activity, times in UTC, no wait without an end."""
    return {
        "row_factory": dict_row,
        "application_name": f"ai-webhook {name}",
        "connect_timeout": 5,
        "options": "-c timezone=UTC -c statement_timeout=60s -c lock_timeout=30s",
    }


def connect(conninfo: str, name: str = "command") -> Connection:
    """One connection, autocommit; the caller opens a transaction where statements belong together."""
    with our_errors():
        return psycopg.connect(conninfo, autocommit=True, **session_options(name))


def open_pool(conninfo: str, name: str, max_size: int) -> Pool:
    """A pool that waits at most 4 s for a connection and then raises DatabaseUnavailable (through our_errors)."""
    return ConnectionPool(
        conninfo,
        connection_class=psycopg.Connection[DictRow],
        kwargs={"autocommit": True, **session_options(name)},
        min_size=1,
        max_size=max_size,
        timeout=4,
        check=ConnectionPool.check_connection,
        open=True,
    )


def answers(pool: Pool) -> bool:
    """Whether the database answers now."""
    try:
        with borrowed(pool) as conn:
            return conn.execute("SELECT 1 AS one").fetchone() is not None
    except errors.DatabaseUnavailable:
        return False


@contextmanager
def our_errors() -> Iterator[None]:
    """Turns psycopg's errors into ours, whose messages quote no values: PostgreSQL's details may hold what was said."""
    try:
        yield
    except (pg.RaiseException, psycopg.DatabaseError) as error:
        raise translated(error) from None
    except (PoolTimeout, psycopg.InterfaceError):
        raise errors.DatabaseUnavailable("PostgreSQL does not answer.") from None


@contextmanager
def borrowed(pool: Pool) -> Iterator[Connection]:
    """A connection of the pool for a while; raises DatabaseUnavailable when none comes in time."""
    with our_errors(), pool.connection() as conn:
        yield conn


def translated(error: psycopg.Error) -> errors.AIWebhookError:
    state = error.sqlstate or ""
    if state in MOVES:
        return MOVES[state](error.diag.message_primary or "The task cannot be moved.")
    if isinstance(error, pg.ProgramLimitExceeded):  # psycopg counts it as operational, but no retry helps
        return errors.InvalidRequest("A text is too long for the database to index.", hint="Send it in parts.")
    if isinstance(error, psycopg.OperationalError):  # connection lost, shutting down, out of connections, timeouts
        return errors.DatabaseUnavailable(f"PostgreSQL is not available ({type(error).__name__}).")
    if isinstance(error, pg.IntegrityError):
        name = error.diag.constraint_name or error.diag.column_name
        return errors.InvalidRequest(f"The database refuses the change: it breaks {name} ({type(error).__name__}).")
    if isinstance(error, psycopg.DataError):
        return errors.InvalidRequest(f"A value does not fit the database ({type(error).__name__}).")
    return errors.AIWebhookError(f"The database refused a statement ({type(error).__name__}, {state}).")


Parameters = Mapping[str, Any] | Sequence[Any]


def all_rows(conn: Connection, statement: LiteralString, parameters: Parameters = ()) -> list[Row]:
    with our_errors():
        return conn.execute(statement, parameters or None).fetchall()


def one_row(conn: Connection, statement: LiteralString, parameters: Parameters = ()) -> Row | None:
    with our_errors():
        return conn.execute(statement, parameters or None).fetchone()


def run(conn: Connection, statement: LiteralString, parameters: Parameters = ()) -> int:
    """Runs a statement and answers how many rows it touched."""
    with our_errors():
        return conn.execute(statement, parameters or None).rowcount
