"""The raw record of what was accepted: recorded once, taken, finished or failed, listed and replayed."""

from collections.abc import Iterable, Sequence
from typing import Literal

from domain.delivery import Delivery
from store.database import Connection, Row, all_rows, one_row, our_errors, run
from store.statements import statements

SQL = statements("deliveries")


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
    rows = all_rows(conn, SQL["take"], {"ids": list(ids)})
    return [Delivery(**{k: v for k, v in row.items() if k not in ("id", "attempts")}) for row in rows]


def finish(conn: Connection, delivery: str, state: Literal["processed", "ignored"], session_id: str | None) -> None:
    run(conn, SQL["finish"], {"id": delivery, "state": state, "session_id": session_id})


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


def replay(conn: Connection, ids: Sequence[str]) -> list[str]:
    """Puts failed deliveries back to `received` with all their tries and returns the ids of those."""
    return [r["id"] for r in all_rows(conn, SQL["replay"], {"ids": list(ids)})]


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
