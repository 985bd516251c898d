"""Applies migrations/ in order, each once: forward only, one transaction each, safe when two start at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import LiteralString

from domain.errors import SettingsError
from store.database import Connection, connect, is_pooled, one_row, our_errors

# Any fixed number will do, as long as nothing else of ours takes the same lock.
LOCK = 4_827_031_556
HISTORY: LiteralString = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
)"""


def migrations() -> list[tuple[str, LiteralString]]:
    """(name, SQL) of every migration, in order."""
    folder = files("store").joinpath("migrations")
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return [(n.removesuffix(".sql"), folder.joinpath(n).read_text("utf-8")) for n in names]


def migrate(conninfo: str) -> list[str]:
    """Brings the database to today's schema, its roles to today's rights, and what was restored from another server
    into this one's order of events; returns the names of the migrations that were new to it.

    A database that knows a migration which this version does not is newer than we are: SettingsError. So is one that
    lacks some, for a user who is not its owner; with none lacking, such a user is answered that nothing was new.
    """
    with connect(conninfo, "migrate") as conn:
        if not (owns_schema(conn) and not is_pooled(conn)):
            refuse_change(conn, new_among(conn))
            return []
    with locked(conninfo) as conn, our_errors():
        conn.execute(HISTORY)
        new = new_among(conn)
        for name, sql in new:
            with conn.transaction():
                conn.execute("INSERT INTO schema_migrations (name) VALUES (%s)", [name])
                # psycopg sends a parameterless statement by the simple protocol, so one call may hold many statements.
                conn.execute(sql)
        conn.execute("SELECT settle_events()")
        if new:
            conn.execute("SELECT grant_roles()")
        return [name for name, _ in new]


@contextmanager
def locked(conninfo: str) -> Iterator[Connection]:
    """A connection of the owner, who changes the schema or the roles alone and is not hurried."""
    with connect(conninfo, "migrate") as conn, our_errors():
        if is_pooled(conn):
            raise SettingsError(
                "The schema cannot be changed through a pooler such as PgBouncer.",
                hint="Set AI_WEBHOOK_MIGRATE_URL to the address of PostgreSQL itself.",
            )
        conn.execute("SET lock_timeout = 0; SET statement_timeout = 0; SET client_min_messages = error")
        conn.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        yield conn


def new_among(conn: Connection) -> list[tuple[str, LiteralString]]:
    """The migrations that the database lacks; SettingsError when it has one that this version does not know."""
    known = migrations()
    applied = applied_in(conn)
    if unknown := sorted(applied - {name for name, _ in known}):
        raise SettingsError(
            f"The database is of a newer version: it has the migration {unknown[-1]}.",
            hint="Use the version of ai-webhook that made it, or a newer one.",
        )
    return [(name, sql) for name, sql in known if name not in applied]


def owns_schema(conn: Connection) -> bool:
    """Whether whoever is connected may make tables, and is the owner of those that there are."""
    row = one_row(
        conn,
        "SELECT has_schema_privilege('public', 'CREATE') AND COALESCE((SELECT pg_has_role(relowner, 'USAGE')"
        "  FROM pg_class WHERE oid = to_regclass('schema_migrations')), true) AS owns",
    )
    return bool(row and row["owns"])


def refuse_change(conn: Connection, new: list[tuple[str, LiteralString]]) -> None:
    if new and is_pooled(conn):
        raise SettingsError(
            f"{len(new)} migrations are missing, and cannot be applied through a pooler such as PgBouncer.",
            hint="Set AI_WEBHOOK_MIGRATE_URL to the address of PostgreSQL itself and run `ai-webhook migrate`.",
        )
    if new:
        raise SettingsError(
            f"{len(new)} migrations are missing, and {conn.info.user} may not change the schema.",
            hint="Set AI_WEBHOOK_MIGRATE_URL to the database's owner and run `ai-webhook migrate`.",
        )


def applied_in(conn: Connection) -> set[str]:
    with our_errors():
        exists = conn.execute("SELECT to_regclass('schema_migrations') AS t").fetchone()
        if exists is None or exists["t"] is None:
            return set()
        return {row["name"] for row in conn.execute("SELECT name FROM schema_migrations")}


def pending(conn: Connection) -> list[str]:
    """Names of migrations that the database still lacks."""
    applied = applied_in(conn)
    return [name for name, _ in migrations() if name not in applied]
