"""Rows that come of a tree of JSON files: written once, and again when the file changed and nobody changed the row."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from domain.errors import InvalidRequest, SessionForgotten
from domain.session import Turn
from store import forgetting
from store.database import Connection, Row, all_rows, one_row, run
from store.sessions import SQL as SESSIONS
from store.statements import statements

SQL = statements("importing")

Kind = Literal["session", "chunk", "memory", "task", "artifact"]


def begin(conn: Connection, session_id: str, now: datetime) -> Row | None:
    """Locks the session for the rest of the transaction; answers {last_activity}, None where it is not there yet.
    Raises SessionForgotten: a file brings nothing back that was forgotten."""
    one_row(conn, SQL["say_actor"])
    times = one_row(conn, SQL["session_times"], {"id": session_id})
    if forgetting.is_forgotten(conn, session_id, now) or (times is not None and times["forgets_until"] is not None):
        raise SessionForgotten("This session, or a part of it, was forgotten here; its files are left alone.")
    return times


def end(conn: Connection, session_id: str, last_activity: datetime | None) -> None:
    if last_activity is not None:
        run(conn, SQL["keep_last_activity"], {"id": session_id, "last_activity": last_activity})


def known(conn: Connection, session_id: str) -> dict[str, Row]:
    """{digest, version} by path of what was imported into the session before."""
    return {row["path"]: row for row in all_rows(conn, SQL["known"], {"session_id": session_id})}


def put(
    conn: Connection,
    session_id: str,
    kind: Kind,
    values: Mapping[str, Any],
    *,
    path: str,
    digest: str,
    before: Mapping[str, Any] | None,
    turns: Sequence[Turn] = (),
    after: str | None = None,
) -> None:
    """Writes a row and remembers its file. `before` is what is known of the file; `turns` are a chunk's, and `after` is
    the chunk that it follows. Raises InvalidRequest where somebody else has the id, or changed the row since."""
    name = {"id": values["id"], "session_id": session_id}
    there = one_row(conn, SQL[f"{kind}_version"], name)
    if before is None and there is not None:
        raise InvalidRequest(f"There is another {kind} of this id already, which stands.")
    if before is not None and (there is None or there["version"] != before["version"]):
        raise InvalidRequest(f"The file changed, and so did the {kind} since it was imported; the {kind} stands.")
    parameters = {**values, "session_id": session_id}
    if kind == "chunk":
        put_chunk(conn, name, parameters, turns, after)
    else:
        if kind == "task":
            run(conn, SQL["name_agent"], {"agent_name": values["agent_name"]})
        run(conn, SQL[f"put_{kind}"], in_json(parameters))
    left = one_row(conn, SQL[f"{kind}_version"], name)
    assert left is not None, "it was just written"
    run(conn, SQL["note"], {"session_id": session_id, "path": path, "digest": digest, "version": left["version"]})


def put_chunk(
    conn: Connection, name: Mapping[str, Any], values: Mapping[str, Any], turns: Sequence[Turn], after: str | None
) -> None:
    """Its new turns come where its old ones were."""
    session_id = name["session_id"]
    old = [row["id"] for row in all_rows(conn, SQL["turns_of_chunk"], name)]
    place = one_row(conn, SQL["place_after"], {"session_id": session_id, "after": after})
    assert place is not None, "there is always a place"
    if place["taken"] and turns:
        run(conn, SESSIONS["make_room"], {"session_id": session_id, "seq": place["seq"], "places": len(turns)})
    parameters = {"session_id": session_id, "seq": place["seq"], "delivery": None, "turns": Jsonb(list(turns))}
    ids = [row["id"] for row in all_rows(conn, SESSIONS["append_turns"], parameters)]
    edges = {"first_turn": ids[0] if ids else None, "last_turn": ids[-1] if ids else None}
    run(conn, SQL["put_chunk"], in_json({**values, **edges}))
    if old:
        run(conn, SQL["remove_turns"], {"ids": old})
        run(conn, SESSIONS["close_gaps"], {"session_id": session_id})


JSON = ("participants", "metadata", "extracted_items", "input_data", "output_data")


def in_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is jsonb as such; a memory's content is, a chunk's is text."""
    return {
        name: Jsonb(value) if value is not None and (name in JSON or isinstance(value, dict)) else value
        for name, value in values.items()
    }
