"""The registry of agents."""

from store.database import Connection, Row, all_rows
from store.statements import statements

SQL = statements("agents")


def listing(conn: Connection) -> list[Row]:
    """Every agent with the number of tasks it holds and of those that wait for it."""
    return all_rows(conn, SQL["listing"])
