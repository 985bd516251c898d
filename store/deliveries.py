"""The raw record of what was accepted: recorded once, taken, finished or failed, listed and replayed.

What came, and what was fetched for it, is sealed with the current key of a Sealing; without one it lies there as it is.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

from domain.delivery import Delivery, Extent
from domain.errors import AIWebhookError
from domain.sealing import UNSEALED, Sealing
from store.database import Connection, Row, all_rows, one_row, our_errors, run
from store.statements import statements

SQL = statements("deliveries")
Finished = Literal["processed", "ignored", "unknown"]


def record(conn: Connection, deliveries: Iterable[Delivery], sealing: Sealing = UNSEALED) -> None:
    """Records deliveries; one that is recorded already is left as it is."""
    rows = [
        {
            "id": d.key,
            "source": d.source,
            "delivery_id": d.delivery_id,
            "event": d.event,
            "received_at": d.received_at,
            "content_type": d.content_type,
            "body": sealing.seal(d.body, d.key),
            "sealed_with": sealing.current,
            "session_id": d.session_id,
        }
        for d in deliveries
    ]
    if rows:
        with our_errors(), conn.cursor() as cursor:
            cursor.executemany(SQL["record"], rows)


def take(conn: Connection, ids: Sequence[str], sealing: Sealing = UNSEALED) -> list[Delivery]:
    """Locks and returns those of these deliveries that are unfinished, oldest first. Needs a transaction. Raises
    SealedElsewhere, as all do that open what is sealed."""
    return [delivery_of(row, sealing) for row in all_rows(conn, SQL["take"], {"ids": list(ids)})]


def name_connection(conn: Connection, delivery: str) -> None:
    """Has pg_stat_activity tell which delivery this connection is at, until the transaction ends."""
    run(conn, SQL["name_connection"], {"name": f"ai-webhook worker {delivery}"})


def delivery_of(row: Row, sealing: Sealing) -> Delivery:
    told = {name: value for name, value in row.items() if name not in ("id", "sealed_with")}
    return Delivery(**told | opened(row, sealing))


def opened(row: Row, sealing: Sealing) -> dict[str, Any]:
    """{body, fetched} of a row, as they came."""
    body = sealing.open(row["body"], row["sealed_with"], row["id"])
    pieces = enumerate(row["fetched"])
    return {
        "body": body,
        "fetched": tuple(sealing.open(piece, row["sealed_with"], f"{row['id']} {n}") for n, piece in pieces),
    }


def sealed(key: str, body: bytes, fetched: Sequence[bytes], sealing: Sealing) -> dict[str, Any]:
    """{id, body, fetched, sealed_with}: a row has one key for all of it."""
    return {
        "id": key,
        "body": sealing.seal(body, key),
        "fetched": [sealing.seal(piece, f"{key} {n}") for n, piece in enumerate(fetched)],
        "sealed_with": sealing.current,
    }


def announcing(
    conn: Connection, ids: Sequence[str], sources: Iterable[str], sealing: Sealing = UNSEALED
) -> list[Delivery]:
    """Those unfinished ones among these that come from such a source; not locked."""
    rows = all_rows(conn, SQL["announcing"], {"ids": list(ids), "sources": list(sources)})
    return [delivery_of(row, sealing) for row in rows]


def telling(conn: Connection, session_id: str, source: str, sealing: Sealing = UNSEALED) -> list[Delivery]:
    """What was processed before and tells the talk of this session and source, in the order of arrival."""
    rows = all_rows(conn, SQL["telling"], {"session_id": session_id, "source": source})
    return [delivery_of(row, sealing) for row in rows]


def keep_fetched(conn: Connection, delivery: Delivery, sealing: Sealing = UNSEALED) -> None:
    run(conn, SQL["keep_fetched"], sealed(delivery.key, delivery.body, delivery.fetched, sealing))


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
) -> Row | None:
    """Counts a failed try: {source, state}, where the state that follows is `received` (tried again later) or `failed`.
    None where the delivery is gone or was finished meanwhile."""
    parameters = {"id": delivery, "code": code, "message": message, "retry": retry, "max_attempts": max_attempts}
    return one_row(conn, SQL["record_failure"], parameters)


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


def body(conn: Connection, delivery: str, sealing: Sealing = UNSEALED) -> Row | None:
    """{content_type, body} of a delivery, the bytes as they came."""
    row = one_row(conn, SQL["body"], {"id": delivery})
    if row is None:
        return None
    return {"content_type": row["content_type"], "body": sealing.open(row["body"], row["sealed_with"], delivery)}


def sealed_with(conn: Connection) -> dict[str | None, int]:
    """How many deliveries are sealed with each key, by its name; None is for those that are not sealed."""
    return {row["sealed_with"]: row["n"] for row in all_rows(conn, SQL["sealed_with"])}


def reseal(conn: Connection, sealing: Sealing, wanted: Sealing, *, after: str, limit: int) -> tuple[int, str | None]:
    """Opens up to so many deliveries after this id with `sealing` and seals them with the current key of `wanted`;
    returns how many, and the last id, None when there are no more. In a transaction of its own."""
    with conn.transaction():
        rows = all_rows(conn, SQL["sealed_otherwise"], {"wanted": wanted.current, "after": after, "limit": limit})
        for row in rows:
            plain = opened(row, sealing)
            run(conn, SQL["reseal"], sealed(row["id"], plain["body"], plain["fetched"], wanted))
    return len(rows), rows[-1]["id"] if rows else None


def listing(
    conn: Connection,
    *,
    state: str | None,
    source: str | None,
    before: str | None,
    limit: int,
    error_code: str | None = None,
) -> list[Row]:
    """Newest first; `before` is the id of the last row of the page before."""
    parameters = {"state": state, "source": source, "error_code": error_code, "before": before, "limit": limit}
    return all_rows(conn, SQL["listing"], parameters)


def count_fitting(
    conn: Connection, *, states: Sequence[str], source: str | None, error_code: str | None, most: int
) -> int:
    """How many deliveries `replay` would put back; `most` + 1 is more than that."""
    parameters = {"states": list(states), "source": source, "error_code": error_code, "most": most}
    row = one_row(conn, SQL["count_fitting"], parameters)
    assert row is not None, "an aggregate has one row"
    return int(row["n"])


def count_states(conn: Connection) -> dict[str, int]:
    return {r["state"]: r["n"] for r in all_rows(conn, SQL["count_states"])}


def count_quarters(conn: Connection) -> None:
    """Counts what has come to rest, for the console's figures; part of a sweep."""
    run(conn, SQL["count_quarters"])
