"""What a benchmark of claims needs in a database of its own: something to claim, and the statements to repeat."""

from typing import LiteralString

from psycopg.conninfo import conninfo_to_dict

from store.database import Connection, run
from store.statements import statements

SQL = statements("bench")
CLAIM: LiteralString = SQL["claim"]
CLAIM_FIFTY: LiteralString = SQL["claim_fifty"]
INSERT: LiteralString = SQL["insert"]


def prepare(conn: Connection) -> None:
    run(conn, SQL["prepare"])


def refill(conn: Connection, pending: int) -> None:
    """So many pending tasks and no others, with statistics as a server at rest has them."""
    run(conn, SQL["empty"])
    run(conn, SQL["fill"], {"pending": pending})
    run(conn, SQL["settle"])


def address(conninfo: str) -> dict[str, str]:
    """host, port, user, password and dbname of a connection string, as programs want them."""
    return {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
