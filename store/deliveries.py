"""The raw record of what was accepted: recorded once, taken, finished or failed, listed and replayed."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from domain.delivery import Delivery, Extent
from domain.errors import AIWebhookError
from store.database import Connection, Row, all_rows, one_row, our_errors, run
from store.statements import statements

SQL = statements("deliveries")
Finished = Literal["processed", "ignored", "unknown"]


def record(conn: Connection, deliveries: Iterable[Delivery]) -> None:
    """Records deliveries; one that is recorded already is left as it is."""
    rows = [
        {
            "id": d.key,
            "source": d.source,
            "delivery_id": d.delivery_id,
            "event": d.event,
            "received_at": d.received_at,
            "content_type": d.content_type,
            "body": d.body,
            "session_id": d.session_id,
        }
        for d in deliveries
    ]
    if rows:
        with our_errors(), conn.cursor() as cursor:
            cursor.executemany(SQL["record"], rows)


def take(conn: Connection, ids: Sequence[str]) -> list[Delivery]:
    """Locks and returns those of these deliveries that are unfinished, oldest first. Needs a transaction."""
    return [delivery_of(row) for row in all_rows(conn, SQL["take"], {"ids": list(ids)})]


def delivery_of(row: Row) -> Delivery:
    return Delivery(**{name: value for name, value in row.items() if name != "id"} | {"fetched": tuple(row["fetched"])})


def announcing(conn: Connection, ids: Sequence[str], sources: Iterable[str]) -> list[Delivery]:
    """Those unfinished ones among these that come from such a source; not locked."""
    rows = all_rows(conn, SQL["announcing"], {"ids": list(ids), "sources": list(sources)})
    return [delivery_of(row) for row in rows]


def telling(conn: Connection, session_id: str, source: str) -> list[Delivery]:
    """What was processed before and tells the talk of this session and source, in the order of arrival."""
    rows = all_rows(conn, SQL["telling"], {"session_id": session_id, "source": source})
    return [delivery_of(row) for row in rows]


def keep_fetched(conn: Connection, delivery: Delivery) -> None:
    run(conn, SQL["keep_fetched"], {"id": delivery.key, "fetched": list(delivery.fetched)})


def finish(
    conn: Connection,
    delivery: str,
    state: Finished,
    session_id: str | None = None,
    *,
    extent: Extent = "part",
    error: AIWebhookError | None = None,
) -> None:
    parameters = {
        "id": delivery,
        "state": state,
        "session_id": session_id,
        "extent": extent,
        "error": error.message if error else None,
        "error_code": error.code if error else None,
    }
    run(conn, SQL["finish"], parameters)


def record_failure(
    conn: Connection, delivery: str, *, code: str, message: str, retry: bool, max_attempts: int
) -> str | None:
    """Counts a failed try and returns the state that follows: `received` (tried again later) or `failed`."""
    row = one_row(
        conn,
        SQL["record_failure"],
        {"id": delivery, "code": code, "message": message, "retry": retry, "max_attempts": max_attempts},
    )
    return row["state"] if row else None


def due(conn: Connection, *, limit: int = 500) -> list[str]:
    """Ids of unfinished deliveries whose next try is due and that nobody has in hand."""
    return [r["id"] for r in all_rows(conn, SQL["due"], {"limit": limit})]


def postpone(conn: Connection, ids: Sequence[str], seconds: float) -> None:
    run(conn, SQL["postpone"], {"ids": list(ids), "seconds": seconds})


def replay(
    conn: Connection,
    ids: Sequence[str] | None,
    *,
    states: Sequence[str] = ("failed",),
    source: str | None = None,
    error_code: str | None = None,
    session_id: str | None = None,
    since: datetime | None = None,
) -> list[str]:
    """Puts those of these deliveries (None: of all) that fit back to `received`, and returns their ids.

    A worker's sweep finds them; what a delivery gave before is taken back when it is read again.
    """
    parameters = {
        "ids": None if ids is None else list(ids),
        "states": list(states),
        "source": source,
        "error_code": error_code,
        "session_id": session_id,
        "since": since,
    }
    return [r["id"] for r in all_rows(conn, SQL["replay"], parameters)]


def get(conn: Connection, delivery: str) -> Row | None:
    return one_row(conn, SQL["get"], {"id": delivery})


def body(conn: Connection, delivery: str) -> Row | None:
    """{content_type, body} of a delivery, the bytes as they came."""
    return one_row(conn, SQL["body"], {"id": delivery})


def listing(conn: Connection, *, state: str | None, source: str | None, before: str | None, limit: int) -> list[Row]:
    """Newest first; `before` is the id of the last row of the page before."""
    parameters = {"state": state, "source": source, "before": before, "limit": limit}
    return all_rows(conn, SQL["listing"], parameters)


def count_states(conn: Connection) -> dict[str, int]:
    return {r["state"]: r["n"] for r in all_rows(conn, SQL["count_states"])}
