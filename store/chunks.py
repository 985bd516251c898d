"""The chunks of a session: spans of whole turns, sized for search."""

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from domain.session import Chunk
from store.database import Connection, Row, all_rows, run
from store.statements import statements

SQL = statements("chunks")


def add(
    conn: Connection,
    session_id: str,
    delivery: str,
    chunks: Sequence[Chunk],
    *,
    turn_ids: Sequence[int],
    extracted: Sequence[dict[str, Any]],
    freed: Sequence[str] = (),
) -> None:
    """Adds chunks of turns just added; `extracted[i]` tells what was extracted from chunk i, titles by type.

    `freed` are the ids of the chunks that these stand in for.
    """
    if not chunks:
        return
    rows = [
        {
            "content": chunk.content,
            "format": chunk.format,
            "start_time": chunk.start_time,
            "end_time": chunk.end_time,
            "participants": list(chunk.participants),
            "extracted_items": items,
            "first_turn": turn_ids[chunk.first_turn],
            "last_turn": turn_ids[chunk.last_turn],
        }
        for chunk, items in zip(chunks, extracted, strict=True)
    ]
    run(conn, SQL["add"], {"session_id": session_id, "delivery": delivery, "chunks": Jsonb(rows), "freed": list(freed)})


def listing(conn: Connection, session_id: str, *, limit: int = 1000) -> list[Row]:
    return all_rows(conn, SQL["listing"], {"session_id": session_id, "limit": limit})
