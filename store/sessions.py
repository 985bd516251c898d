"""Sessions and their turns."""

from collections.abc import Collection, Sequence
from datetime import datetime

from psycopg.types.json import Jsonb

from domain.session import SessionDraft, Turn
from store.database import Connection, Row, all_rows, one_row, run
from store.statements import statements

SQL = statements("sessions")


def ensure(conn: Connection, session: SessionDraft, *, live: bool = False, language: str = "english") -> Row:
    """Creates the session or adds to it what the draft says, and locks it for the rest of the transaction. Answers
    {is_new, forgets_until}.

    `live`: it is told segment by segment, and completed by itself when nothing comes for a while. `language` is that of
    a new session that does not say its own.
    """
    made = one_row(
        conn,
        SQL["ensure"],
        {
            "id": session.id,
            "title": session.title,
            "participants": Jsonb(list(session.participants)),
            "context": session.context,
            "status": session.status,
            "metadata": Jsonb(session.metadata),
            "live": live,
            "language": session.language,
            "default_language": language,
        },
    )
    assert made is not None, "an insert or update returns its row"
    return made


def lock_all(conn: Connection, session_ids: Collection[str]) -> None:
    """Locks those of these sessions that there are, in the order of their ids, for the rest of the transaction."""
    all_rows(conn, SQL["lock_all"], {"ids": list(session_ids)})


def lock(conn: Connection, session_id: str) -> bool:
    """Locks the session for the rest of the transaction; False when there is none."""
    return one_row(conn, SQL["lock"], {"id": session_id}) is not None


def withdraw(conn: Connection, session_id: str, deliveries: Sequence[str]) -> list[str]:
    """Takes back the turns and chunks that these deliveries gave, and answers the ids of the chunks.

    The turns after them move up. Lock the session first.
    """
    freed = all_rows(conn, SQL["withdraw"], {"session_id": session_id, "deliveries": list(deliveries)})
    run(conn, SQL["close_gaps"], {"session_id": session_id})
    return [row["chunk_id"] for row in freed]


def complete_idle(conn: Connection, seconds: float) -> int:
    """Completes sessions told live of which nothing came for so long; answers how many."""
    return run(conn, SQL["complete_idle"], {"seconds": seconds})


def exists(conn: Connection, session_id: str) -> bool:
    row = one_row(conn, SQL["exists"], {"id": session_id})
    return bool(row and row["exists"])


def get(conn: Connection, session_id: str) -> Row | None:
    return one_row(conn, SQL["get"], {"id": session_id})


def version(conn: Connection, session_id: str, *, lock: bool = False) -> str | None:
    """A text that changes with every change of the session; None where there is none. `lock` keeps it as it is until
    the transaction ends."""
    row = one_row(conn, SQL["lock_version" if lock else "version"], {"id": session_id})
    return None if row is None else str(row["version"])


def update(conn: Connection, session_id: str, *, title: str | None, status: str | None, context: str | None) -> None:
    """Changes a session; what is None stays."""
    run(conn, SQL["update"], {"id": session_id, "title": title, "status": status, "context": context})


def listing(conn: Connection, *, status: str | None, before: str | None, limit: int) -> list[Row]:
    """Latest activity first; `before` is the id of the last row of the page before."""
    return all_rows(conn, SQL["listing"], {"status": status, "before": before, "limit": limit})


def add_turns(
    conn: Connection,
    session_id: str,
    delivery: str,
    received_at: datetime,
    turns: Sequence[Turn],
) -> list[int]:
    """Adds turns where their delivery belongs among the others and returns their ids, in order.

    Two workers may finish deliveries of one session in another order than they came in, and a failed delivery
    may be replayed days later; later turns move up then. The session has to be locked (`ensure`).
    """
    if not turns:
        return []
    place = one_row(conn, SQL["first_free_seq"], {"session_id": session_id, "received_at": received_at})
    assert place is not None, "an aggregate has one row"
    seq = place["seq"]
    if place["taken"]:
        run(conn, SQL["make_room"], {"session_id": session_id, "seq": seq, "places": len(turns)})
    parameters = {
        "session_id": session_id,
        "seq": seq,
        "delivery": delivery,
        "turns": Jsonb(list(turns)),
    }
    return [row["id"] for row in all_rows(conn, SQL["append_turns"], parameters)]


def turns(conn: Connection, session_id: str, *, after: int = 0, limit: int = 1000) -> list[Row]:
    """Turns with seq greater than `after`, in order."""
    return all_rows(conn, SQL["turns"], {"session_id": session_id, "after": after, "limit": limit})
