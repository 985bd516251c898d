"""Applies migrations/ in order, each once: forward only, one transaction each, safe when two start at once."""

from importlib.resources import files
from typing import LiteralString

import psycopg

from domain.errors import SettingsError
from store.database import our_errors, session_options

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
    """Brings the database to today's schema and returns the names of the migrations that were new to it.

    A database that knows a migration which this version does not is newer than we are: SettingsError.
    """
    # psycopg sends a parameterless statement by the simple protocol, so one call may hold many statements.
    with our_errors(), psycopg.connect(conninfo, autocommit=True, **session_options("migrate")) as conn:
        conn.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        conn.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        conn.execute("SET client_min_messages = warning")
        conn.execute(HISTORY)
        applied = {row["name"] for row in conn.execute("SELECT name FROM schema_migrations")}
        known = migrations()
        if unknown := sorted(applied - {name for name, _ in known}):
            raise SettingsError(
                f"The database is of a newer version: it has the migration {unknown[-1]}.",
                hint="Use the version of ai-webhook that made it, or a newer one.",
            )
        new = [(name, sql) for name, sql in known if name not in applied]
        for name, sql in new:
            with conn.transaction():
                conn.execute("INSERT INTO schema_migrations (name) VALUES (%s)", [name])
                conn.execute(sql)
        return [name for name, _ in new]


def pending(conn: psycopg.Connection[dict[str, object]]) -> list[str]:
    """Names of migrations that the database still lacks."""
    with our_errors():
        exists = conn.execute("SELECT to_regclass('schema_migrations') AS t").fetchone()
        if exists is None or exists["t"] is None:
            return [name for name, _ in migrations()]
        applied = {row["name"] for row in conn.execute("SELECT name FROM schema_migrations")}
    return [name for name, _ in migrations() if name not in applied]
