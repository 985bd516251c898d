"""The stream of what happened to tasks and memories, read from any place in it without missing anything."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from domain.errors import InvalidRequest
from store.database import Connection, Row, all_rows, one_row, run
from store.statements import statements

SQL = statements("events")
POSITION = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)
BEGINNING = "0-0"


def after(conn: Connection, position: str, *, limit: int = 500) -> list[Row]:
    """What happened after a position, first to last: position, at, type (as task.completed), kind (task or memory),
    subject (its id), session_id, title, agent_name, memory_type, actor, data. Raises InvalidRequest for what is no
    position."""
    found = POSITION.fullmatch(position)
    if found is None:
        raise InvalidRequest("This is no position in the stream of events.", hint="Give the id of an event you had.")
    return all_rows(conn, SQL["after"], {"xact": int(found[1]), "id": int(found[2]), "limit": limit})


@contextmanager
def put_down_to(conn: Connection, actor: str) -> Iterator[None]:
    """A transaction whose deeds are told as this actor's."""
    with conn.transaction():
        run(conn, SQL["say_actor"], {"actor": actor})
        yield


def end(conn: Connection) -> str:
    """The position after which there is only what is still to happen."""
    row = one_row(conn, SQL["end"])
    assert row is not None, "there is always a snapshot"
    return str(row["position"])
