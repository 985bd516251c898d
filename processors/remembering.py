"""Memories written into what is there: said again, replaced by what is said later, with the tasks that follow.

A worker's transaction holds the sessions of its batch and waits for nobody else's rows, so that no two workers can wait
for each other in a ring: what somebody else has locked is left to the sweep (`look_again`), which takes one memory at
a time. Two workers that write the same words at the same moment cannot see each other; who comes second leaves its
memory to the sweep, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from domain.delivery import Delivery
from domain.errors import NotFound
from domain.memory import MemoryDraft
from domain.task import TaskDraft
from processors.merging import Place, Saying, said_again, says_again
from processors.sameness import ALIKE, meaning
from processors.superseding import Statement, looks_for, may_replace, replaces
from processors.tasking import about_decision, on_one_subject
from store import memories
from store import tasks as stored_tasks
from store.database import Connection, Row
from store.memories import memory_key

LOOKED_AT = 100  # memories in a sweep


def keep_memories(
    conn: Connection,
    session_id: str,
    delivery: Delivery,
    drafts: Sequence[MemoryDraft],
    turn_ids: Sequence[int],
    replaced: Sequence[str],
) -> tuple[list[int], list[int]]:
    """Stores drafts, what was said before merged into what stands. Returns for each the id of its memory, and of the
    one that stands for it."""
    if not drafts:
        return [], []
    places = held(conn, placed(conn, session_id, delivery, drafts, turn_ids, replaced))
    ids, roots = dict[int, int](), dict[int, int]()
    for is_like in (False, True):  # what is like an earlier draft is merged into that, which has to be there
        wave = [position for position, place in enumerate(places) if (place.like is not None) == is_like]
        merged = [roots[like] if (like := places[p].like) is not None else places[p].root for p in wave]
        kept = memories.remember_merged(
            conn, session_id, delivery.key, [places[p].draft for p in wave], turn_ids, merged, replaced=replaced
        )
        ids.update({position: row["id"] for position, row in zip(wave, kept, strict=True)})
        roots.update({position: row["standing"] for position, row in zip(wave, kept, strict=True)})
    memories.look_at_later(conn, [ids[position] for position, place in enumerate(places) if place.uncertain])
    return [ids[p] for p in range(len(places))], [roots[p] for p in range(len(places))]


def placed(
    conn: Connection,
    session_id: str,
    delivery: Delivery,
    drafts: Sequence[MemoryDraft],
    turn_ids: Sequence[int],
    replaced: Sequence[str],
) -> list[Place]:
    firsts = {memory_key(draft): position for position, draft in reversed(list(enumerate(drafts)))}
    asked = [drafts[position] for position in firsts.values()]
    rows = memories.said_before(
        conn,
        session_id,
        asked,
        turn_ids,
        only_here=[meaning(draft.title).points for draft in asked],
        said_at=delivery.received_at,
        mine=[delivery.key, *replaced],
        alike=ALIKE,
    )
    before = {key: list(group) for key, group in groupby(rows, key=lambda row: str(row["key"]))}
    return said_again(drafts, before, session_id, delivery.key)


def held(conn: Connection, places: Sequence[Place]) -> list[Place]:
    """The places, without roots that somebody else is changing at this moment."""
    roots = {place.root for place in places if place.root is not None}
    free = memories.hold_standing(conn, roots) if roots else set[int]()
    return [
        place if place.root is None or place.root in free else replace(place, root=None, uncertain=True)
        for place in places
    ]


def keep_tasks(
    conn: Connection,
    session_id: str,
    delivery: Delivery,
    drafts: Sequence[MemoryDraft],
    tasks: Sequence[TaskDraft],
    memory_ids: Sequence[int],
    standing: Sequence[int],
) -> None:
    """Stores tasks, one for all that say the same, each with the decision that it is about."""
    wanted = done_once(tasks, standing)
    about = [None if task.memory is None else about_decision(task.memory, drafts) for task in wanted]
    decisions = [None if place is None else memory_ids[place] for place in about]
    if any(task.memory is not None and place is None for task, place in zip(wanted, about, strict=True)):
        earlier = memories.decisions_here(conn, session_id, but=memory_ids)
        decisions = [
            next((row["id"] for row in earlier if on_one_subject(task.title, row["title"])), None)
            if decision is None and task.memory is not None
            else decision
            for task, decision in zip(wanted, decisions, strict=True)
        ]
    stored_tasks.create(conn, session_id, delivery.key, wanted, memory_ids, decisions)


def done_once(tasks: Sequence[TaskDraft], standing: Sequence[int]) -> list[TaskDraft]:
    """The first task of those that come of memories that say the same; pending when one of them is."""
    kept: dict[object, TaskDraft] = {}
    for place, task in enumerate(tasks):
        name: object = ("alone", place) if task.memory is None or task.id is not None else standing[task.memory]
        first = kept.setdefault(name, task)
        if task.status == "pending":
            kept[name] = replace(first, status="pending")
    return list(kept.values())


def keep_replacements(conn: Connection, drafts: Sequence[MemoryDraft], memory_ids: Sequence[int]) -> None:
    """Lets decisions take the place of those that they say they replace."""
    replace_earlier(
        conn,
        {
            memory: Statement.of(draft.type, draft.title, draft.quote, draft.content, draft.extractor)
            for draft, memory in zip(drafts, memory_ids, strict=True)
        },
    )


def replace_earlier(conn: Connection, statements: Mapping[int, Statement]) -> None:
    pairs = replacements(conn, statements)
    if pairs:
        done = memories.supersede(conn, pairs)
        memories.look_at_later(conn, set(pairs.values()) - done)


def replacements(conn: Connection, statements: Mapping[int, Statement]) -> dict[int, int]:
    """What stands and is replaced by one of these memories: the old one's id, and the new one's."""
    claims = {memory: looks_for(statement) for memory, statement in statements.items() if may_replace(statement)}
    rows = memories.replaceable(conn, claims) if claims else []
    pairs = dict[int, int]()
    for memory, group in groupby(rows, key=lambda row: int(row["memory"])):
        if (old := next((row for row in group if replaces(statements[memory], statement_of(row))), None)) is not None:
            pairs.setdefault(old["id"], memory)
    return pairs


def statement_of(row: Row) -> Statement:
    return Statement.of(row["type"], row["title"], row.get("quote"), row["content"], row.get("extractor", "rules"))


def look_again(conn: Connection) -> int:
    """Merges and replaces what workers had to leave; answers how many memories it looked at.

    Each step is a transaction that locks what it needs before it does anything, as the functions for people do.
    """
    left = memories.to_look_at(conn, LOOKED_AT)
    for memory in left:
        try:
            merge_again(conn, memory)
            replace_again(conn, memory)
        except NotFound:
            continue  # it went away in the meantime, and with it the wish to look at it
        memories.looked_at(conn, memory["id"])
    return len(left)


def merge_again(conn: Connection, memory: Row) -> None:
    type, title = memory["type"], memory["title"]
    saying = Saying(type, title, memory["speaker"], memory["content"].get("owner"))
    near = memories.near(conn, memory, only_here=meaning(title).points, alike=ALIKE) if memory["stands"] else []
    for other in near:
        here = other["session_id"] == memory["session_id"]
        if says_again(saying, Saying(type, other["title"], other["speaker"], other["owner"]), here=here):
            first, second = sorted([memory["id"], other["id"]])
            with conn.transaction():
                memories.lock(conn, [first, second])
                if memories.standing(conn, [first, second]) == {first: first, second: second}:
                    memories.join(conn, second, first)
            return


def replace_again(conn: Connection, memory: Row) -> None:
    for old, new in replacements(conn, {memory["id"]: statement_of(memory)}).items():
        with conn.transaction():
            memories.lock(conn, [old, new])
            memories.supersede(conn, {old: new})
