"""Who did what, kept for good or for some time: added to and read, never changed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from store.database import Connection, Row, all_rows, one_row, run
from store.statements import statements

SQL = statements("audit")
DONE = "done"
COMMAND = "command"  # how the command line comes in that works on the database itself


@dataclass(frozen=True, slots=True)
class Entry:
    """`object` is an id of this `kind`; `outcome` is done, counted, or the code of an error. No text of anybody's."""

    actor: str
    via: str
    action: str
    kind: str | None = None
    object: str | None = None
    outcome: str = DONE


def is_kept(conn: Connection) -> bool:
    row = one_row(conn, SQL["is_kept"])
    return bool(row and row["is_kept"])


def add(conn: Connection, *entries: Entry) -> None:
    add_counted(conn, [(entry, 1) for entry in entries])


def add_counted(conn: Connection, entries: Sequence[tuple[Entry, int]]) -> None:
    """Entries, each with how many times it happened."""
    rows = [asdict(entry) | {"times": times} for entry, times in entries]
    run(conn, SQL["add"], {"entries": Jsonb(rows)})


def listing(
    conn: Connection,
    *,
    since: datetime | None = None,
    actor: str | None = None,
    action: str | None = None,
    object: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[Row]:
    """Latest first; `before` is the id of the last row of the page before."""
    parameters = {"since": since, "actor": actor, "action": action, "object": object, "before": before, "limit": limit}
    return all_rows(conn, SQL["listing"], parameters)


def outlive(conn: Connection, days: int) -> int:
    """Takes away what is older, ten thousand rows at most; answers how many."""
    row = one_row(conn, SQL["outlive"], {"days": days})
    return int(row["n"]) if row else 0
