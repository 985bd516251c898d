"""The registry of agents: who they are, how many tasks they may hold, whether they are alive."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from store.database import Connection, Row, all_rows, one_row, run
from store.statements import statements

SQL = statements("agents")


def listing(conn: Connection) -> list[Row]:
    """Every agent with its status, the number of tasks it holds and of those that wait for it, all as of now."""
    return all_rows(conn, SQL["listing"])


def get(conn: Connection, name: str) -> Row | None:
    return one_row(conn, SQL["get"], {"name": name})


def register(
    conn: Connection,
    name: str,
    *,
    type: str = "cli",
    command: str | None = None,
    max_concurrent: int | None = 4,
    capabilities: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Row:
    """Makes an agent known or says anew what it is; counts as a heartbeat. `max_concurrent` None is no limit."""
    parameters = {
        "name": name,
        "type": type,
        "command": command,
        "max_concurrent": max_concurrent,
        "capabilities": Jsonb(list(capabilities)),
        "metadata": Jsonb(dict(metadata or {})),
    }
    row = one_row(conn, SQL["register"], parameters)
    assert row is not None, "registering answers the agent or raises"
    return row


def heartbeat(conn: Connection, name: str) -> Row:
    """Raises UnknownAgent for one that never registered."""
    row = one_row(conn, SQL["heartbeat"], {"name": name})
    assert row is not None, "a heartbeat answers the agent or raises"
    return row


def deregister(conn: Connection, name: str) -> int:
    """Takes the agent offline and returns what it holds to the queue; answers how many tasks."""
    row = one_row(conn, SQL["deregister"], {"name": name})
    return int(row["returned"]) if row else 0


def refresh(conn: Connection) -> None:
    """Writes the derived status and counts into the table, for those who read it."""
    run(conn, SQL["refresh"])
