"""The registry of agents: who they are, how many tasks they may hold, whether they are alive."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from store.database import Connection, Row, all_rows, one_row, run
from store.statements import statements

SQL = statements("agents")

MOST_WAITING = 1000
MOST_ENDED = 20_000  # of an agent and a span, which takes some milliseconds
MOST_TIMED = 1000


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


def working(conn: Connection, *, after: str | None, limit: int) -> list[Row]:
    """Agents by name, each with what it holds and what it could claim now; MOST_WAITING + 1 is more than that."""
    return all_rows(conn, SQL["working"], {"after": after, "limit": limit, "most": MOST_WAITING})


def ended(conn: Connection, names: Sequence[str], edges: Sequence[datetime]) -> list[Row]:
    """How many tasks each agent completed and failed between one instant and the next; `number` counts the spans from
    1, and those in which nothing ended are left out. Of a span no more than MOST_ENDED tasks are looked at."""
    parameters = {"names": list(names), "starts": list(edges[:-1]), "ends": list(edges[1:]), "most": MOST_ENDED}
    return all_rows(conn, SQL["ended"], parameters)


def durations(conn: Connection, names: Sequence[str], since: datetime) -> dict[str, float]:
    """The median seconds from claim to completion, by agent, among the latest MOST_TIMED that it ended since then."""
    rows = all_rows(conn, SQL["durations"], {"names": list(names), "since": since, "most": MOST_TIMED})
    return {row["name"]: row["median"] for row in rows}


def holding(conn: Connection, names: Sequence[str], limit: int) -> list[Row]:
    """What these agents hold now."""
    return all_rows(conn, SQL["holding"], {"names": list(names), "limit": limit})
