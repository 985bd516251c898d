"""Artifacts: what senders and agents leave with a session or a task."""

from psycopg.types.json import Jsonb

from domain.errors import InvalidRequest
from domain.task import ArtifactDraft
from store.database import Connection, Row, all_rows, one_row
from store.statements import statements

SQL = statements("artifacts")


def attach(conn: Connection, session_id: str | None, draft: ArtifactDraft, *, delivery: str | None = None) -> str:
    """Stores an artifact and returns its id; the same id again replaces it, unless it is another session's."""
    parameters = {
        "id": draft.id,
        "session_id": session_id,
        "task_id": draft.task_id,
        "type": draft.type,
        "name": draft.name,
        "content": draft.content if isinstance(draft.content, str) else "",
        "bytes": draft.content if isinstance(draft.content, bytes) else None,
        "format": draft.format,
        "metadata": Jsonb(draft.metadata),
        "delivery": delivery,
    }
    row = one_row(conn, SQL["attach"], parameters)
    if row is None:
        raise InvalidRequest("An artifact of another session has this id.", hint="Give the artifact an id of its own.")
    return str(row["id"])


def get(conn: Connection, artifact: str) -> Row | None:
    """With its content, which is None where it is no text."""
    return one_row(conn, SQL["get"], {"id": artifact})


def content(conn: Connection, artifact: str) -> Row | None:
    """{name, format, content, is_text} with the content as bytes."""
    return one_row(conn, SQL["content"], {"id": artifact})


def listing(
    conn: Connection, *, session_id: str | None, task_id: str | None, before: str | None, limit: int
) -> list[Row]:
    """Newest first, without contents; `before` is the id of the last row of the page before."""
    parameters = {"session_id": session_id, "task_id": task_id, "before": before, "limit": limit}
    return all_rows(conn, SQL["listing"], parameters)
