"""Extraction that is not done yet: pieces that are missing, and what a language model answered about others."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from psycopg.types.json import Jsonb

from store.database import Connection, Row, all_rows, one_row, run
from store.statements import statements

SQL = statements("extraction")
MOST_DUE = 100


@dataclass(frozen=True, slots=True)
class Gap:
    """A piece of a talk that an extractor has not read: `error_code` says why it failed, None that it only waits.

    `piece` is a digest; `turns` what a language model is to be shown, empty for the others.
    """

    extractor: str
    piece: str
    turns: Sequence[Mapping[str, Any]] = ()
    error_code: str | None = None


def record_gaps(conn: Connection, delivery: str, gaps: Collection[Gap], max_attempts: int) -> None:
    """Makes these the gaps of a delivery: others of it are closed."""
    missing = [f"{gap.extractor} {gap.piece}" for gap in gaps]
    run(conn, SQL["close_gaps"], {"delivery": delivery, "missing": missing})
    if gaps:
        rows = list({(gap.extractor, gap.piece): asdict(gap) for gap in gaps}.values())  # the same words twice are one
        parameters = {"delivery": delivery, "gaps": Jsonb(rows), "max_attempts": max_attempts}
        run(conn, SQL["record_gaps"], parameters)


def due(conn: Connection) -> list[str]:
    """Processed deliveries with a piece that shall be tried again."""
    return [row["delivery"] for row in all_rows(conn, SQL["due"], {"limit": MOST_DUE})]


def waiting(conn: Connection, delivery: str) -> list[Row]:
    """{piece, turns} for a language model."""
    return all_rows(conn, SQL["waiting"], {"delivery": delivery})


def put_off(conn: Connection, delivery: str, piece: str, code: str, max_attempts: int) -> None:
    run(conn, SQL["put_off"], {"delivery": delivery, "piece": piece, "code": code, "max_attempts": max_attempts})


def listing(conn: Connection, delivery: str | None = None, limit: int = 100) -> list[Row]:
    return all_rows(conn, SQL["listing"], {"delivery": delivery, "limit": limit})


def reserve(
    conn: Connection,
    piece: str,
    model: str,
    tokens: tuple[int, int],
    cost: float,
    *,
    delivery: str,
    daily_tokens: int | None,
    daily_cost: float | None,
) -> bool:
    """Whether the day's budget has room for a call of so many tokens (in, out); if so they are taken out of it."""
    parameters = {
        "piece": piece,
        "model": model,
        "tokens_in": tokens[0],
        "tokens_out": tokens[1],
        "cost": cost,
        "delivery": delivery,
        "daily_tokens": daily_tokens,
        "daily_cost": daily_cost,
    }
    with conn.transaction():
        one_row(conn, SQL["lock_budget"], {})
        return one_row(conn, SQL["reserve"], parameters) is not None


def settle(
    conn: Connection, piece: str, more: tuple[int, int], more_cost: float, items: Sequence[Mapping[str, Any]] | None
) -> None:
    """Sets the tokens right by how many more (or fewer) there were, and keeps the answer."""
    parameters = {
        "piece": piece,
        "more_in": more[0],
        "more_out": more[1],
        "more_cost": more_cost,
        "items": None if items is None else Jsonb(list(items)),
    }
    run(conn, SQL["settle"], parameters)


def answers(conn: Connection, pieces: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """The items that were answered for these pieces, for those that were."""
    rows = all_rows(conn, SQL["answers"], {"pieces": list(pieces)}) if pieces else []
    return {row["piece"]: row["items"] for row in rows}
