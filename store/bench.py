"""What a benchmark of claims needs in a database of its own: something to claim, and pgbench scripts to repeat."""

from collections.abc import Sequence
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from store.database import Connection, Row, all_rows, one_row, our_errors, run
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


def fill_queue(conn: Connection, agent_name: str, tasks: int) -> None:
    """So many more tasks that wait for an agent."""
    run(conn, SQL["fill_queue"], {"agent_name": agent_name, "tasks": tasks})


def claim_to_completion(conn: Connection, agent_name: str, tasks: int) -> list[float]:
    """Milliseconds that the agent's latest tasks took."""
    rows = all_rows(conn, SQL["claim_to_completion"], {"agent_name": agent_name, "tasks": tasks})
    return [row["milliseconds"] for row in rows]


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


def fill_talks(conn: Connection, texts: Sequence[str], a_session: int, a_chunk: int) -> None:
    """Turns of two speakers in sessions `talk-0`, `talk-1` …, and their chunks."""
    run(conn, SQL["fill_talks"], {"texts": list(texts), "a_session": a_session, "prefix": "talk"})
    run(conn, SQL["chunk_talks"], {"a_chunk": a_chunk})
    settle(conn, "turns, conversation_chunks")


def fill_chunks(conn: Connection, texts: Sequence[str], prefix: str, a_session: int) -> None:
    """Chunks without turns in sessions `prefix-0`, `prefix-1` …"""
    run(conn, SQL["add_sessions"], {"prefix": prefix, "many": -(-len(texts) // a_session)})
    run(conn, SQL["fill_chunks"], {"texts": list(texts), "a_session": a_session, "prefix": prefix})


def without_search(conn: Connection) -> None:
    """Takes out of a database all that search needs."""
    with our_errors():
        conn.execute(SQL["without_search"])


def usual_search(conn: Connection, table: LiteralString, query: str) -> list[Row]:
    return all_rows(conn, SQL[f"usual_{table}"], {"query": query})


def table_bytes(conn: Connection) -> int:
    row = one_row(conn, SQL["table_bytes"])
    assert row is not None, "a sum has one row"
    return int(row["size"])


def search_bytes(conn: Connection) -> Row:
    """Bytes of the texts that can be searched, and of all that is kept for it: lexemes, indexes, counts."""
    row = one_row(conn, SQL["search_bytes"])
    assert row is not None, "a sum has one row"
    return row


def fill_records(conn: Connection, *, memories: int, tasks: int, deliveries: int, words: Sequence[str]) -> None:
    """What a console shows besides talk, in the sessions there are; then everything is as on a server at rest."""
    run(conn, SQL["fill_memories"], {"many": memories, "words": list(words)})
    fill(conn, SQL["fill_tasks"], many=tasks)
    fill(conn, SQL["fill_deliveries"], many=deliveries)
    with our_errors():
        conn.execute(SQL["settle_all"])
