"""What a benchmark of claims needs in a database of its own: something to claim, and pgbench scripts to repeat."""

from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from store.database import Connection, our_errors, run
from store.statements import statements

SQL = statements("bench")
INSERT: LiteralString = SQL["insert"]
CLAIM: LiteralString = SQL["claim"]
CLAIM_FIFTY: LiteralString = SQL["claim_fifty"]
CLAIM_AND_COMPLETE: LiteralString = SQL["claim_and_complete"]


def prepare(conn: Connection) -> None:
    run(conn, SQL["prepare"])


def refill(conn: Connection, pending: int, done: int = 0) -> None:
    """So many pending tasks beside so many completed ones."""
    fill(conn, SQL["fill"], pending=pending, done=done)
    settle(conn, "tasks, task_events")


def fill(conn: Connection, statements: LiteralString, **numbers: int) -> None:
    """Runs several statements with numbers put into their text, which several at once allow in no other way."""
    with our_errors():
        psycopg.ClientCursor(conn).execute(statements, numbers or None)


def settle(conn: Connection, tables: LiteralString) -> None:
    """Statistics and dead rows as on a server at rest, even where PostgreSQL would leave a few for later."""
    with our_errors():
        conn.execute("VACUUM (ANALYZE, INDEX_CLEANUP ON) " + tables)


def take_time(conn: Connection) -> None:
    """What this connection does may take as long as it likes: millions of rows are filled in and swept."""
    run(conn, SQL["take_time"])


def checkpoint(conn: Connection) -> None:
    run(conn, SQL["checkpoint"])


def address(conninfo: str) -> dict[str, str]:
    """host, port, user, password and dbname of a connection string, as programs want them."""
    return {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}


def with_database(conninfo: str, name: str) -> str:
    return make_conninfo(conninfo, dbname=name)


def create_database(conn: Connection, name: str) -> None:
    with our_errors():
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
