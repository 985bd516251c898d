"""Memories: statements worth keeping, each with the words it came from."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
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
    delivery: str | None,
    drafts: Sequence[MemoryDraft],
    turn_ids: Sequence[int],
    *,
    replaced: Sequence[str] = (),
) -> list[int]:
    """Stores drafts whose `turn` counts in `turn_ids`; returns the memory's id for each.

    Drafts of one key are one memory: the first of them, unless the sender gives a later one outright.
    `replaced` are deliveries whose readings these drafts stand in for.
    """
    merged = [None] * len(drafts)
    return [
        row["id"] for row in remember_merged(conn, session_id, delivery, drafts, turn_ids, merged, replaced=replaced)
    ]


def remember_merged(
    conn: Connection,
    session_id: str,
    delivery: str | None,
    drafts: Sequence[MemoryDraft],
    turn_ids: Sequence[int],
    merged: Sequence[int | None],
    *,
    replaced: Sequence[str] = (),
) -> list[Row]:
    """As `remember`; `merged` has, for drafts that say again what a memory says, that memory. If a person rejected it,
    they are rejected, too. Returns {id, standing} for each: its memory, and the one that stands for it."""
    if not drafts:
        return []
    keys = [memory_key(draft) for draft in drafts]
    chosen: dict[str, dict[str, Any]] = {}
    for key, draft, root in zip(keys, drafts, merged, strict=True):
        if key not in chosen or draft.extractor == "sender":
            chosen[key] = row_of(key, draft, turn_ids) | {"merged_into": root}
    memories = Jsonb(list(chosen.values()))
    parameters = {"session_id": session_id, "delivery": delivery, "memories": memories, "replaced": list(replaced)}
    kept = {row["key"]: row for row in all_rows(conn, SQL["remember"], parameters)}
    return [kept[key] for key in keys]


def said_before(
    conn: Connection,
    session_id: str,
    drafts: Sequence[MemoryDraft],
    turn_ids: Sequence[int],
    *,
    only_here: Sequence[bool],
    said_at: datetime,
    mine: Sequence[str],
    alike: float,
) -> list[Row]:
    """For drafts of different keys what their session has under each, and memories whose words are nearly the same.

    One row or more for each: key; known, known_standing, known_title, known_merged_into, known_of_others, known_stands
    of its key; id, session_id, title, speaker, owner of one that is alike; `free` is false where another transaction
    writes the same words at this moment. `only_here`: look in this session alone. `mine` are the deliveries that the
    drafts are of.
    """
    rows = [
        {
            "position": position,
            "key": memory_key(draft),
            "type": draft.type,
            "title": draft.title,
            "here": here,
            "turn": None if draft.turn is None else turn_ids[draft.turn],
        }
        for position, (draft, here) in enumerate(zip(drafts, only_here, strict=True))
    ]
    parameters = {"session_id": session_id, "said_at": said_at, "mine": list(mine), "alike": alike}
    return all_rows(conn, SQL["said_before"], parameters | {"drafts": Jsonb(rows)})


def standing(conn: Connection, ids: Iterable[int]) -> dict[int, int]:
    """The memory that stands for each of these: itself, or the one that it is merged into."""
    return {row["id"]: row["standing"] for row in all_rows(conn, SQL["standing"], {"ids": list(ids)})}


def hold_standing(conn: Connection, ids: Iterable[int]) -> set[int]:
    """Those of these memories that stand, kept so until the transaction ends; not those that somebody has right now."""
    return {row["id"] for row in all_rows(conn, SQL["hold_standing"], {"ids": sorted(set(ids))})}


def look_at_later(conn: Connection, ids: Iterable[int]) -> None:
    """Leaves memories to the sweep, which looks again whether they were said before and what they replace."""
    if wanted := sorted(ids):
        run(conn, SQL["look_at_later"], {"ids": wanted})


def to_look_at(conn: Connection, limit: int) -> list[Row]:
    """Memories that were left to the sweep: id, session_id, type, title, speaker, quote, content, extractor, said_at,
    apart_from, and whether each `stands`."""
    return all_rows(conn, SQL["to_look_at"], {"limit": limit})


def looked_at(conn: Connection, memory: int) -> None:
    run(conn, SQL["looked_at"], {"id": memory})


def near(conn: Connection, memory: Row, *, only_here: bool, alike: float) -> list[Row]:
    """{id, session_id, title, speaker, owner} of what stands and is alike, but for what a person told apart from it."""
    names = ("id", "type", "title", "said_at", "apart_from")
    parameters = {name: memory[name] for name in names} | {"alike": alike}
    return all_rows(conn, SQL["near"], parameters | {"session_id": memory["session_id"] if only_here else None})


def lock(conn: Connection, ids: Sequence[int]) -> None:
    """Locks memories and their sessions in the one order that everybody keeps to."""
    run(conn, SQL["lock_memories"], {"ids": list(ids)})


def join(conn: Connection, memory: int, root: int) -> None:
    """Lets `root` stand for `memory`, as the rules do it. Lock both first."""
    run(conn, SQL["join_memories"], {"memory": memory, "root": root})


def replaceable(conn: Connection, claims: Mapping[int, Sequence[str]]) -> list[Row]:
    """For memories what they may replace: memory, id, session_id, type, title, content. In other sessions only what has
    all the words of one of the parts that a memory comes with."""
    rows = [{"memory": memory, "parts": list(parts)} for memory, parts in claims.items()]
    return all_rows(conn, SQL["replaceable"], {"claims": Jsonb(rows)})


def supersede(conn: Connection, pairs: Mapping[int, int]) -> set[int]:
    """Lets the second of each pair take the place of the first, and answers for which of the second it was done:
    a session that somebody else has locked is left alone."""
    rows = [{"old": old, "new": new} for old, new in pairs.items()]
    return {row["id"] for row in all_rows(conn, SQL["supersede"], {"pairs": Jsonb(rows)})}


def decisions_here(conn: Connection, session_id: str, *, but: Sequence[int]) -> list[Row]:
    """{id, title} of decisions of the session that stand, the latest first."""
    return all_rows(conn, SQL["decisions_here"], {"session_id": session_id, "ids": list(but)})


def in_use(conn: Connection, session_id: str, deliveries: Sequence[str]) -> list[Row]:
    """{id, key, type, title} of what was extracted from these deliveries and people or agents have touched since."""
    return all_rows(conn, SQL["in_use"], {"session_id": session_id, "deliveries": list(deliveries)})


def withdraw(
    conn: Connection, session_id: str, deliveries: Sequence[str], *, kept: Sequence[int], turn_ids: Sequence[int]
) -> None:
    """Takes back what these deliveries gave, with its tasks, but for `kept` and what somebody has touched since.

    What is said again elsewhere stands there from now on, and has its task. What stays finds its words in the new
    turns, where they are said still.
    """
    parameters: dict[str, Any] = {"session_id": session_id, "deliveries": list(deliveries), "kept": list(kept)}
    locked = [row["id"] for row in all_rows(conn, SQL["lock_heirs"], parameters)]
    run(conn, SQL["hand_over_tasks"], parameters)
    run(conn, SQL["withdraw_tasks"], parameters)
    run(conn, SQL["withdraw"], parameters | {"locked": locked})
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


def version(conn: Connection, memory: int) -> str:
    """A text that changes with every change of the memory that stands for this one. Raises NotFound."""
    row = one_row(conn, SQL["version"], {"id": memory})
    assert row is not None, "a memory that stands for one is there"
    return str(row["version"])


def evidence(conn: Connection, memory: int) -> list[Row]:
    """Every time that it was said: id, session_id, session_title, turn_seq, title, quote, speaker, said_at."""
    return all_rows(conn, SQL["evidence"], {"id": memory})


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
    review: str | None = None,
) -> list[Row]:
    """Newest first, what says the same once; `before` is the id of the last row of the page before."""
    parameters = {"type": type, "session_id": session_id, "tag": tag, "review": review, "before": before}
    return all_rows(conn, SQL["listing"], parameters | {"limit": limit})


def reviewed(conn: Connection, verb: str, memory: int, **parameters: Any) -> int:
    """Does what a person says about a memory, and answers the memory that stands for it now.

    Raises NotFound, or InvalidRequest where the memory's state does not allow it.
    """
    row = one_row(conn, SQL[verb], {"id": memory, **parameters})
    assert row is not None, "a review answers the memory or raises"
    return int(row["id"])


def accept(conn: Connection, memory: int, *, person: str) -> int:
    return reviewed(conn, "accept", memory, person=person)


def reject(conn: Connection, memory: int, *, person: str, reason: str | None = None) -> int:
    return reviewed(conn, "reject", memory, person=person, reason=reason)


def restore(conn: Connection, memory: int, *, person: str) -> int:
    """Takes back what a person said of it last; what it says stays."""
    return reviewed(conn, "restore", memory, person=person)


def edit(
    conn: Connection,
    memory: int,
    *,
    person: str,
    type: str | None = None,
    title: str | None = None,
    content: Mapping[str, Any] | None = None,
    tags: Sequence[str] | None = None,
) -> int:
    """Says anew what a memory says; what is None stays."""
    changes = {
        "type": type,
        "title": title,
        "content": None if content is None else Jsonb(content),
        "tags": None if tags is None else list(tags),
    }
    return reviewed(conn, "edit", memory, person=person, **changes)


def merge(conn: Connection, memory: int, *, into: int, person: str) -> int:
    return reviewed(conn, "merge", memory, into=into, person=person)


def split(conn: Connection, memory: int, *, person: str) -> int:
    return reviewed(conn, "split", memory, person=person)


def supersede_one(conn: Connection, memory: int, *, by: int, person: str) -> int:
    return reviewed(conn, "supersede_one", memory, by=by, person=person)


def reinstate(conn: Connection, memory: int, *, person: str) -> int:
    """Takes back that a memory was replaced."""
    return reviewed(conn, "reinstate", memory, person=person)
