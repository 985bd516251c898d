"""Answers for a sender who waits: to queries, and to commands sent with `"sync": true`.

The form is the one our clients know: {"type": "collaborative_session_response", "command", "session_id", "status",
"message", "data"}. `message` is a sentence that an assistant can say.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from domain.delivery import Query
from domain.errors import AIWebhookError, NotFound, error_body
from store import memories, sessions, tasks
from store.database import Connection, Row
from store.search import search

MOST = 100  # rows of an answer
SPOKEN = 3  # of them in the sentence

Reply = dict[str, Any]


def answer(conn: Connection, query: Query) -> Reply:
    """The answer to a query; an unknown session or key is an answer with status `error`, not a failed delivery."""
    try:
        message, data = ANSWERS[query.command](conn, query)
    except NotFound as error:
        return refused(query.command, query.session_id, error)
    return success(query.command, query.session_id, message, data)


def success(command: str, session_id: str | None, message: str, data: Mapping[str, Any]) -> Reply:
    head = {"type": "collaborative_session_response", "command": command, "session_id": session_id}
    return {**head, "status": "success", "message": message, "data": dict(data)}


def refused(command: str, session_id: str | None, error: AIWebhookError) -> Reply:
    head = {"type": "collaborative_session_response", "command": command, "session_id": session_id}
    return {**head, "status": "error", "message": error.message, **error_body(error)}


def encoded(reply: Reply) -> bytes:
    """The reply as JSON, times in RFC 3339. Not by orjson: numbers of any size come back from the database."""
    return json.dumps(reply, ensure_ascii=False, default=rfc3339).encode()


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def query_memories(conn: Connection, query: Query) -> tuple[str, dict[str, Any]]:
    wanted, limit = query.parameters, limit_of(query, 10)
    kind = wanted.get("type")
    if text := wanted.get("query"):
        hits = search(conn, text, kinds=["memories"], session_id=query.session_id, type=kind, limit=limit)
        rows = memories.some(conn, [int(hit["id"]) for hit in hits])
    else:
        rows = memories.query(conn, query.session_id, type=kind, tags=wanted.get("tags") or [], limit=limit)
    found = [memory_of(row) for row in rows]
    return sentence(kind or "memory", [row["title"] for row in rows]), {"memories": found, "count": len(found)}


def retrieve_memory(conn: Connection, query: Query) -> tuple[str, dict[str, Any]]:
    row = memories.by_key(conn, known_session(conn, query)["id"], query.parameters["key"])
    if row is None:
        raise NotFound("The session has no memory of this key.")
    return str(row["title"]), {"memory": memory_of(row)}


def list_sessions(conn: Connection, query: Query) -> tuple[str, dict[str, Any]]:
    rows = sessions.listing(conn, status=query.parameters.get("status"), before=None, limit=limit_of(query, 20))
    active = tasks.count_active(conn, [row["id"] for row in rows])
    found = [summary_of(row, active.get(row["id"], 0)) for row in rows]
    return sentence("session", [row["title"] or row["id"] for row in rows]), {"sessions": found, "count": len(found)}


def get_session_summary(conn: Connection, query: Query) -> tuple[str, dict[str, Any]]:
    session = known_session(conn, query)
    title = session["title"] or session["id"]
    message = f"{title}: {count(session['memory_count'], 'memory')}, {count(session['task_count'], 'task')}."
    return message, summary_of(session, tasks.count_active(conn, [session["id"]]).get(session["id"], 0))


ANSWERS: Mapping[str, Callable[[Connection, Query], tuple[str, dict[str, Any]]]] = {
    "query_memories": query_memories,
    "retrieve_memory": retrieve_memory,
    "list_sessions": list_sessions,
    "get_session_summary": get_session_summary,
}


def known_session(conn: Connection, query: Query) -> Row:
    session = sessions.get(conn, query.session_id or "")
    if session is None:
        raise NotFound("There is no such session; create it first with create_session.")
    return session


def limit_of(query: Query, default: int) -> int:
    return max(1, min(MOST, int(query.parameters.get("limit") or default)))


def memory_of(row: Row) -> dict[str, Any]:
    names = ("type", "key", "title", "content", "tags", "session_id", "speaker", "quote")
    return {name: row[name] for name in names} | {"timestamp": row["created"]}


def summary_of(session: Row, active_tasks: int) -> dict[str, Any]:
    return {
        "session_id": session["id"],
        **{name: session[name] for name in ("title", "participants", "context", "status", "created", "last_activity")},
        "duration_minutes": round((session["last_activity"] - session["created"]).total_seconds() / 60, 1),
        "stats": {
            "conversation_chunks": session["conversation_chunk_count"],
            "memories": session["memory_count"],
            "tasks": session["task_count"],
            "active_tasks": active_tasks,
            "artifacts": session["artifact_count"],
        },
    }


def sentence(noun: str, titles: Sequence[str]) -> str:
    """`2 decisions: Use Postgres; Walk at nine.`"""
    noun = noun.replace("_", " ")
    if not titles:
        return f"No {noun} found."
    more = f"; and {len(titles) - SPOKEN} more" if len(titles) > SPOKEN else ""
    return f"{count(len(titles), noun)}: {'; '.join(title.rstrip('.') for title in titles[:SPOKEN])}{more}."


def count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1] + 'ies' if noun.endswith('y') else noun + 's'}"
