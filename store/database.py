"""Connections to PostgreSQL, and the one place where its errors become ours."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, LiteralString, Self

import orjson
import psycopg
from psycopg import errors as pg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import ConnectionPool, PoolTimeout

from domain import errors
from domain.tracing import is_traced, span
from store.statements import NAMES

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

# What ends a transaction whatever it holds: others in its way, no room, an operator.
NOBODYS_FAULT = (
    pg.DeadlockDetected,
    pg.SerializationFailure,
    pg.LockNotAvailable,
    pg.DiskFull,
    pg.TooManyConnections,
    pg.AdminShutdown,
    pg.CannotConnectNow,
)

# What a row may not name without its being there.
MISSING: dict[str, errors.AIWebhookError] = {
    "tasks_agent_name_fkey": errors.UnknownAgent("There is no such agent.", hint="Register it first."),
    "tasks_session_id_fkey": errors.NotFound("There is no such session."),
    "tasks_memory_fkey": errors.NotFound("There is no such memory."),
}
# What libpq and the server say when they refuse a connection for good, and what that means. Their own words name users.
REFUSALS = (
    (
        "does not match host name",
        "PostgreSQL's certificate is for another host than the one in the address.",
        "Connect by the name that the certificate is for, or have one made for this name.",
    ),
    (
        "certificate verify failed",
        "PostgreSQL's certificate is of no authority that we trust, or has expired.",
        "Set sslrootcert in the address to the file of the authority that signed it, or renew it.",
    ),
    (
        "root certificate file",
        "The file with the authority for PostgreSQL's certificate is not there or cannot be read.",
        "Set sslrootcert in the address to it; sslrootcert=system takes the authorities of this machine.",
    ),
    (
        "server does not support SSL",
        "PostgreSQL does not speak TLS, and the address asks for it.",
        "Set ssl = on there with a certificate, or use a server that has one.",
    ),
    (
        "password authentication failed",
        "PostgreSQL refuses the password, or knows no such user.",
        "Look at the user and password in the address; `ai-webhook role app` makes a new one.",
    ),
    (
        "too many clients",
        "PostgreSQL has no connection free.",
        "docs/database.md says how many web and workers take; raise max_connections or take smaller pools.",
    ),
)
REFUSES_OPTIONS = "unsupported startup parameter"  # PgBouncer's words


class PlainConnection(psycopg.Connection[DictRow]):
    """One that notices a pooler, such as PgBouncer, between us and PostgreSQL, and gets along with it: it asks for no
    settings of its own (role_of('app') has them, limit_role()), and prepares no statements."""

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        try:
            conn = super().connect(conninfo, **options)
        except psycopg.OperationalError as error:
            if REFUSES_OPTIONS not in str(error):
                raise
            conn = super().connect(conninfo, **{name: given for name, given in options.items() if name != "options"})
        # A pooler gives each of its clients a number of its own; the server behind it answers with another.
        answer = conn.execute("SELECT pg_backend_pid() AS pid").fetchone()
        if answer is None or answer["pid"] != conn.info.backend_pid:
            conn.prepare_threshold = None  # they would be on one server's connection, and we on the next
        return conn


def is_pooled(conn: psycopg.Connection[Any]) -> bool:
    """Whether a pooler stands between: one transaction and the next may then be in different sessions of PostgreSQL."""
    return conn.prepare_threshold is None


def is_limited(conn: psycopg.Connection[DictRow]) -> bool:
    """Whether a statement that hangs is ended some time."""
    row = one_row(conn, "SELECT current_setting('statement_timeout') <> '0' AS limited")
    return bool(row and row["limited"])


def session_options(name: str) -> dict[str, Any]:
    """How every connection of ours is set: named for pg_stat_activity, times in UTC, no wait without an end. When the
    other host is gone either side notices within about ten seconds, PostgreSQL too: nobody waits for its locks."""
    gone = {"keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3}  # seconds; libpq's words
    return {
        "row_factory": dict_row,
        "application_name": f"ai-webhook {name}",
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,  # milliseconds
        **gone,
        "options": "-c timezone=UTC -c statement_timeout=60s -c lock_timeout=30s"
        " -c idle_in_transaction_session_timeout=5min -c tcp_user_timeout=10s"
        + "".join(f" -c tcp_{name}={value}" for name, value in gone.items()),
    }


def connect(conninfo: str, name: str = "command") -> Connection:
    """One connection, autocommit; the caller opens a transaction where statements belong together."""
    with our_errors():
        return PlainConnection.connect(conninfo, autocommit=True, **session_options(name))


def open_pool(conninfo: str, name: str, max_size: int, *, timeout: float = 4) -> Pool:
    """A pool that waits so many seconds for a connection and then raises DatabaseUnavailable (through our_errors)."""
    return ConnectionPool(
        conninfo,
        connection_class=PlainConnection,
        kwargs={"autocommit": True, **session_options(name)},
        min_size=1,
        max_size=max_size,
        timeout=timeout,
        check=ConnectionPool.check_connection,
        open=True,
    )


def answers(pool: Pool, seconds: float = 1.0) -> bool:
    """Whether the database answers within a time: who asks after our health does not wait for long either."""
    try:
        with borrowed(pool, seconds) as conn:
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
def borrowed(pool: Pool, seconds: float | None = None) -> Iterator[Connection]:
    """A connection of the pool for a while; raises DatabaseUnavailable when none comes in time, the pool's own unless
    `seconds` are given."""
    with our_errors(), pool.connection(seconds) as conn:
        yield conn


def translated(error: psycopg.Error) -> errors.AIWebhookError:
    state = error.sqlstate or ""
    if state in MOVES:
        return MOVES[state](error.diag.message_primary or "The task cannot be moved.")
    if isinstance(error, pg.ProgramLimitExceeded):  # psycopg counts it as operational, but no retry helps
        return errors.InvalidRequest("A text is too long for the database to index.", hint="Send it in parts.")
    if isinstance(error, NOBODYS_FAULT):
        return errors.DatabaseConflict(f"PostgreSQL is not available ({type(error).__name__}).")
    if isinstance(error, psycopg.OperationalError):  # connection lost, shutting down, out of connections, timeouts
        for words, message, hint in REFUSALS:
            if words in str(error):
                return errors.DatabaseUnavailable(message, hint=hint)
        return errors.DatabaseUnavailable(f"PostgreSQL is not available ({type(error).__name__}).")
    if isinstance(error, pg.ReadOnlySqlTransaction):  # it was primary, and has been replaced
        return errors.DatabaseUnavailable("PostgreSQL takes no writes here: this is a replica now.")
    if isinstance(error, pg.IntegrityError):
        name = error.diag.constraint_name or error.diag.column_name
        if (missing := MISSING.get(name or "")) is not None:
            return type(missing)(missing.message, hint=missing.hint)
        return errors.InvalidRequest(f"The database refuses the change: it breaks {name} ({type(error).__name__}).")
    if isinstance(error, psycopg.DataError):
        return errors.InvalidRequest(f"A value does not fit the database ({type(error).__name__}).")
    return errors.AIWebhookError(f"The database refused a statement ({type(error).__name__}, {state}).")


Parameters = Mapping[str, Any] | Sequence[Any]


def traced(statement: str) -> AbstractContextManager[None]:
    """A span of the statement's name, where a trace is under way."""
    return span(NAMES.get(statement, "sql")) if is_traced() else nullcontext()


def all_rows(conn: Connection, statement: LiteralString, parameters: Parameters = ()) -> list[Row]:
    with our_errors(), traced(statement):
        return conn.execute(statement, parameters or None).fetchall()


def one_row(conn: Connection, statement: LiteralString, parameters: Parameters = ()) -> Row | None:
    with our_errors(), traced(statement):
        return conn.execute(statement, parameters or None).fetchone()


def run(conn: Connection, statement: LiteralString, parameters: Parameters = ()) -> int:
    """Runs a statement and answers how many rows it touched."""
    with our_errors(), traced(statement):
        return conn.execute(statement, parameters or None).rowcount
