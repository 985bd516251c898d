"""Memories: statements worth keeping, each with the words it came from."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from domain.memory import MemoryDraft
from store.database import Connection, Row, all_rows, one_row, run
from store.statements import statements

SQL = statements("memories")
NOT_WORD = re.compile(r"\W+")
KEY_CHARS = 80


def memory_key(draft: MemoryDraft) -> str:
    """The draft's own key, or one made of type and title: `decision-use-the-carbon-interface-api`."""
    if draft.key:
        return draft.key
    words = NOT_WORD.sub("-", draft.title.lower()).strip("-")
    if len(words) > KEY_CHARS or not words:  # what is cut off still tells two titles apart
        digest = hashlib.sha256(draft.title.encode()).hexdigest()[:8]
        words = f"{words[:KEY_CHARS]}-{digest}".strip("-")
    return f"{draft.type}-{words}"


def content_of(draft: MemoryDraft) -> dict[str, Any]:
    """What people search as `content::text`: with the type and the quote, so that "PWA decision" finds one."""
    known = {"type": draft.type, "title": draft.title, "quote": draft.quote}
    return {name: value for name, value in known.items() if value} | draft.content


def remember(
    conn: Connection,
    session_id: str,
    delivery: str,
    drafts: Sequence[MemoryDraft],
    turn_ids: Sequence[int],
    *,
    replaced: Sequence[str] = (),
) -> list[int]:
    """Stores drafts whose `turn` counts in `turn_ids`; returns the memory's id for each draft.

    Drafts of one key are one memory: the first of them, unless the sender gives a later one outright.
    `replaced` are deliveries whose readings these drafts stand in for.
    """
    if not drafts:
        return []
    keys = [memory_key(draft) for draft in drafts]
    chosen: dict[str, MemoryDraft] = {}
    for key, draft in zip(keys, drafts, strict=True):
        if key not in chosen or draft.extractor == "sender":
            chosen[key] = draft
    rows = [row_of(key, draft, turn_ids) for key, draft in chosen.items()]
    parameters = {"session_id": session_id, "delivery": delivery, "memories": Jsonb(rows), "replaced": list(replaced)}
    ids = {row["key"]: row["id"] for row in all_rows(conn, SQL["remember"], parameters)}
    return [ids[key] for key in keys]


def in_use(conn: Connection, session_id: str, deliveries: Sequence[str]) -> list[Row]:
    """{id, key, type, title} of what was extracted from these deliveries and people or agents have touched since."""
    return all_rows(conn, SQL["in_use"], {"session_id": session_id, "deliveries": list(deliveries)})


def withdraw(
    conn: Connection, session_id: str, deliveries: Sequence[str], *, kept: Sequence[int], turn_ids: Sequence[int]
) -> None:
    """Takes back what these deliveries gave, with its tasks, but for `kept` and what somebody has touched since.

    What stays finds its words in the new turns, where they are said still.
    """
    parameters = {"session_id": session_id, "deliveries": list(deliveries), "kept": list(kept)}
    run(conn, SQL["withdraw_tasks"], parameters)
    run(conn, SQL["withdraw"], parameters)
    run(conn, SQL["place_again"], parameters | {"turns": list(turn_ids)})


def row_of(key: str, draft: MemoryDraft, turn_ids: Sequence[int]) -> dict[str, Any]:
    return {
        "key": key,
        "type": draft.type,
        "title": draft.title,
        "content": content_of(draft),
        "tags": list(draft.tags),
        "confidence": draft.confidence,
        "extractor": draft.extractor,
        "speaker": draft.speaker,
        "turn": None if draft.turn is None else turn_ids[draft.turn],
        "char_start": draft.char_start,
        "char_end": draft.char_end,
        "quote": draft.quote,
        "review": "accepted" if draft.extractor == "sender" else "proposed",
    }


def get(conn: Connection, memory: int) -> Row | None:
    return one_row(conn, SQL["get"], {"id": memory})


def some(conn: Connection, ids: Sequence[int]) -> list[Row]:
    """These memories, in this order."""
    return all_rows(conn, SQL["some"], {"ids": list(ids)})


def by_key(conn: Connection, session_id: str, key: str) -> Row | None:
    return one_row(conn, SQL["by_key"], {"session_id": session_id, "key": key})


def query(conn: Connection, session_id: str | None, *, type: str | None, tags: Sequence[str], limit: int) -> list[Row]:
    """What a voice assistant asks for: newest first, of a session or of all; with any of these tags."""
    parameters = {"session_id": session_id, "type": type, "tags": list(tags), "limit": limit}
    return all_rows(conn, SQL["query"], parameters)


def listing(
    conn: Connection,
    *,
    type: str | None,
    session_id: str | None,
    tag: str | None,
    before: int | None,
    limit: int,
) -> list[Row]:
    """Newest first; `before` is the id of the last row of the page before."""
    parameters = {"type": type, "session_id": session_id, "tag": tag, "before": before, "limit": limit}
    return all_rows(conn, SQL["listing"], parameters)
