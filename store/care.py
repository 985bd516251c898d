"""What a backup, a restore and a reset need to know of the database as a whole."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg import IsolationLevel, sql

from domain.errors import SettingsError
from store.database import Connection, Row, all_rows, connect, is_pooled, one_row, our_errors
from store.statements import statements

SQL = statements("care")


@contextmanager
def snapshot(conninfo: str) -> Iterator[tuple[Connection, str]]:
    """A connection that sees one state of the database, and that state's name, for pg_dump to see the same."""
    with connect(conninfo, "backup") as conn:
        if is_pooled(conn):
            raise SettingsError(
                "A backup cannot be made through a pooler such as PgBouncer.",
                hint="Set AI_WEBHOOK_MIGRATE_URL to the address of PostgreSQL itself.",
            )
        conn.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        with our_errors(), conn.transaction():
            row = one_row(conn, SQL["begin_snapshot"])
            assert row is not None, "a snapshot has a name"
            yield conn, str(row["snapshot"])


def migrations(conn: Connection) -> list[str]:
    return [row["name"] for row in all_rows(conn, SQL["migrations"])]


def server(conn: Connection) -> Row:
    """{major, database}"""
    row = one_row(conn, SQL["server"])
    assert row is not None, "a server has a version"
    return row


def is_empty(conn: Connection) -> bool:
    """Whether there is nothing of anybody's in it."""
    row = one_row(conn, SQL["is_empty"])
    return bool(row and row["is_empty"])


def sums(conn: Connection) -> dict[str, dict[str, Any]]:
    """For every table how many rows it has, and a sum over what was written into them, in whatever order."""
    return {row["name"]: sum_of(conn, row["name"], row["columns"]) for row in all_rows(conn, SQL["tables"])}


def sum_of(conn: Connection, table: str, columns: Sequence[str]) -> dict[str, Any]:
    query = sql.SQL("SELECT count(*) AS n, sum(hashtextextended(ROW({})::text, 0))::text AS total FROM {}")
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with our_errors():
        row = conn.execute(query.format(names, sql.Identifier(table))).fetchone()
    assert row is not None, "an aggregate has one row"
    return {"rows": row["n"], "sum": row["total"]}


def empty(conninfo: str) -> None:
    """Takes everything out of the database, in one transaction."""
    with connect(conninfo, "reset") as conn, our_errors(), conn.transaction():
        for statement in SQL["empty"].split(";"):
            conn.execute(statement)


def create_database(conninfo: str, name: str) -> None:
    """A new, empty database on the same server; raises InvalidRequest where there is one of this name."""
    with connect(conninfo, "restore") as conn, our_errors():
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name)))
