"""The inbox: what was extracted and what agents ask, each with the words it came from, until a person has looked at it.

This module reads; reviewing.py does what a reviewer says.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import merge
from typing import Any
from urllib.parse import quote, unquote, urlencode

import orjson
from starlette.responses import Response

from access.console.visit import Visit
from domain.errors import AIWebhookError, NotFound
from domain.memory import MEMORY_TYPES
from store import console, memories
from store.database import Connection, Row

PAGE = 25
CHARS = 1000  # of a title, quote or question
KINDS = {"": "All", "memories": "Memories", "tasks": "Tasks", "questions": "Questions of agents"}
NEAR = 8
ALIKE = 0.3  # of what is offered to merge with: a person looks at it, so it may be far
MOST_ID = 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SAFE_PLACE = re.compile(r"(memory|task)-[A-Za-z0-9_-]{1,80}")
NEWEST = re.compile(r"([0-9]{1,18})~([0-9]{1,17})~(.*)", re.DOTALL)
LEAST_CERTAIN = re.compile(r"(0|1|[01]\.[0-9]{1,12}|[0-9]e-[0-9]{1,2})~([0-9]{1,18})")
UNDO_COOKIE = "undo"


@dataclass(frozen=True, slots=True)
class Key:
    """What an item is called in forms and addresses: `memory-12`, `task-` and its id."""

    kind: str
    id: int | str

    @classmethod
    def of(cls, text: str | None) -> "Key":
        kind, _, name = (text or "").partition("-")
        if kind == "task" and name:
            return cls(kind, name)
        if kind == "memory" and name.isascii() and name.isdigit() and 0 < int(name[:20]) <= MOST_ID:
            return cls(kind, int(name[:20]))
        raise NotFound("There is no such item.", hint="The inbox lists those there are.")

    def __str__(self) -> str:
        return f"{self.kind}-{self.id}"

    @property
    def place(self) -> str:
        """Its id in the page: ids of tasks are the senders' own and may be any text."""
        text = str(self)
        return text if SAFE_PLACE.fullmatch(text) else f"task-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: below a memory and before a task, or above a memory in the order of certainty."""

    memory: int = MOST_ID
    task: tuple[datetime, str] = (datetime.max.replace(tzinfo=UTC), "")
    certain: tuple[float, int] = (-1.0, 0)

    @classmethod
    def of(cls, text: str | None) -> "Cursor":
        if found := NEWEST.fullmatch(text or ""):
            return cls(memory=int(found[1]), task=(EPOCH + timedelta(microseconds=int(found[2])), found[3]))
        if found := LEAST_CERTAIN.fullmatch(text or ""):
            return cls(certain=(float(found[1]), int(found[2])))
        return cls()

    def newest(self) -> str:
        at, id = self.task
        return f"{self.memory}~{min((at - EPOCH) // timedelta(microseconds=1), 10**17 - 1)}~{id}"

    def least_certain(self) -> str:
        return f"{self.certain[0]:g}~{self.certain[1]}"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which items, in which order, from where on: what stands in the address."""

    kind: str = ""
    type: str = ""
    session: str = ""
    order: str = ""  # newest first, or `certainty`: the least certain first
    before: str = ""

    @classmethod
    def of(cls, visit: Visit) -> "Choice":
        kind, type, order = (visit.query(name) or "" for name in ("kind", "type", "order"))
        return cls(
            kind if kind in KINDS else "",
            type if type in MEMORY_TYPES else "",
            visit.query("session") or "",
            order if order == "certainty" else "",
            visit.query("before") or "",
        )

    def address(self, **changes: str) -> str:
        """The page with this changed; from its beginning, unless the change says from where."""
        chosen = replace(self, **({"before": ""} | changes))
        given = {name: getattr(chosen, name) for name in Choice.__slots__ if getattr(chosen, name)}
        return f"/inbox?{urlencode(given, quote_via=quote, safe='')}" if given else "/inbox"

    @property
    def here(self) -> str:
        return self.address(before=self.before)

    @property
    def cursor(self) -> Cursor:
        return Cursor.of(self.before)

    @property
    def has_memories(self) -> bool:
        return self.kind in ("", "memories")

    @property
    def has_tasks(self) -> bool:
        """Tasks have no type of memories, and no certainty of their own."""
        return self.kind in ("tasks", "questions") or (self.kind == "" and not self.type and not self.order)


def show(visit: Visit) -> Response:
    return tell(visit)


def tell(
    visit: Visit, status: int = 200, /, *, opened: Key | None = None, outcome: object = None, **typed: Any
) -> Response:
    """The page with one item opened for editing; `typed` is what was typed there and not taken, and the problem."""
    choice = Choice.of(visit)
    opened = opened or opened_by(visit)
    context = visit.read(lambda conn: found(conn, choice, opened))
    response = visit.show(
        status, **context, **item_context(visit, typed), choice=choice, outcome=outcome, undo=kept_undo(visit)
    )
    if UNDO_COOKIE in visit.request.cookies:
        response.delete_cookie(UNDO_COOKIE, path="/inbox")
    return response


def item_context(visit: Visit, typed: dict[str, Any]) -> dict[str, Any]:
    """What the template of an item needs besides the item."""
    return {"problem": None, "typed": {}} | typed | {"types": MEMORY_TYPES, "may_review": visit.may("review")}


def opened_by(visit: Visit) -> Key | None:
    try:
        return Key.of(visit.query("edit")) if visit.may("review") else None
    except NotFound:
        return None


def kept_undo(visit: Visit) -> str:
    """How to take back what the page before has done, as it was left for this page."""
    return unquote(visit.request.cookies.get(UNDO_COOKIE, ""))


def found(conn: Connection, choice: Choice, opened: Key | None) -> dict[str, Any]:
    keys, following = waiting(conn, choice)
    listed = items(conn, keys)
    panel = None
    if opened is not None:
        panel = panel_of(conn, opened)
        if panel and opened not in keys:
            listed.insert(0, panel["one"])
    return {
        "items": listed,
        "opened": panel,
        "next_page": choice.address(before=following) if following else None,
        "kinds": KINDS,
        "memory_types": MEMORY_TYPES,
    }


def waiting(conn: Connection, choice: Choice) -> tuple[list[Key], str | None]:
    """The items of a page, and where the next one begins."""
    ids, tasks = memories_of(conn, choice), tasks_of(conn, choice)
    if choice.order:
        rows = console.inbox_memory_rows(conn, ids[:PAGE], chars=1)
        more = len(ids) > PAGE and ids[PAGE - 1] in rows
        last = replace(choice.cursor, certain=(rows[ids[PAGE - 1]]["confidence"], ids[PAGE - 1])) if more else None
        return [Key("memory", id) for id in ids[:PAGE]], last.least_certain() if last else None
    shown = [row for row in tasks if row["is_shown"]]
    keys = together(conn, ids, shown)
    following = cursor_after(choice.cursor, keys[:PAGE], tasks)
    return keys[:PAGE], following.newest() if len(keys) > PAGE or len(shown) < len(tasks) else None


def memories_of(conn: Connection, choice: Choice) -> list[int]:
    if not choice.has_memories:
        return []
    return console.inbox_memories(
        conn,
        types=[choice.type] if choice.type else MEMORY_TYPES,
        session_id=choice.session or None,
        least_certain=bool(choice.order),
        after=choice.cursor.certain,
        before=choice.cursor.memory,
        limit=PAGE + 1,
    )


def tasks_of(conn: Connection, choice: Choice) -> list[Row]:
    if not choice.has_tasks:
        return []
    return console.inbox_tasks(
        conn,
        questions=choice.kind == "questions",
        apart=choice.kind == "",
        session_id=choice.session or None,
        before=choice.cursor.task,
        limit=PAGE + 1,
    )


def together(conn: Connection, ids: Sequence[int], tasks: Iterable[Row]) -> list[Key]:
    """Both as one list, the newest first; neither changes its own order, by which the next page goes on."""
    rows = console.inbox_memory_rows(conn, ids, chars=1)
    of_memories = [(rows[id]["created"], Key("memory", id)) for id in ids if id in rows]
    of_tasks = [(row["created"], Key("task", row["id"])) for row in tasks]
    return [key for _, key in merge(of_memories, of_tasks, key=lambda pair: pair[0], reverse=True)]


def cursor_after(cursor: Cursor, keys: Sequence[Key], tasks: Sequence[Row]) -> Cursor:
    taken = {key.id for key in keys if key.kind == "task"}
    last_memory = [key.id for key in keys if key.kind == "memory"][-1:]
    last_task = cursor.task
    for row in tasks:
        if row["is_shown"] and row["id"] not in taken:
            break
        last_task = (row["created"], row["id"])
    return Cursor(memory=int(last_memory[0]) if last_memory else cursor.memory, task=last_task)


def items(conn: Connection, keys: Sequence[Key]) -> list[Row]:
    """Items as the page shows them, in this order; those that are gone are left out."""
    rows: dict[Key, Row] = {}
    if ids := [int(key.id) for key in keys if key.kind == "memory"]:
        found = console.inbox_memory_rows(conn, ids, chars=CHARS)
        rows |= {Key("memory", id): memory_item(row) for id, row in found.items()}
    if names := [str(key.id) for key in keys if key.kind == "task"]:
        rows |= {
            Key("task", id): task_item(row) for id, row in console.inbox_task_rows(conn, names, chars=CHARS).items()
        }
    return [rows[key] for key in keys if key in rows]


def memory_item(row: Row) -> Row:
    key = Key("memory", row["id"])
    task = None
    if row["task_id"] is not None:
        names = ("agent_name", "capabilities", "priority", "not_before", "due")
        task = {name: row[name] for name in names} | {
            "id": row["task_id"],
            "key": str(Key("task", row["task_id"])),
            "title": row["task_title"],
            "status": row["task_status"],
            "version": row["task_version"],
        }
    waits = row["review"] == "proposed" and row["merged_into"] is None and row["superseded_by"] is None
    return row | named(key, task, f"{row['version']}{row['task_version']}") | {"waits": waits, "status": row["type"]}


def task_item(row: Row) -> Row:
    key = Key("task", row["id"])
    waits = row["status"] in ("proposed", "needs_input")
    return row | named(key, row | {"key": str(key)}, row["version"]) | {"waits": waits, "tags": []}


def named(key: Key, task: Row | None, seen: str) -> Row:
    return {"kind": key.kind, "key": str(key), "place": key.place, "task": task, "seen": seen}


def panel_of(conn: Connection, opened: Key) -> dict[str, Any] | None:
    """An item opened: with the agents there are, and memories that may say the same."""
    listed = items(conn, [opened])
    if not listed:
        return None
    one = listed[0]
    return {"one": one, "key": one["key"], "agents": console.agent_names(conn), "near": near(conn, one)}


def near(conn: Connection, one: Row) -> list[Row]:
    row = memories.get(conn, one["id"]) if one["kind"] == "memory" else None
    if row is None:
        return []
    told_apart = row | {"apart_from": []}  # a person may change their mind
    alike = [found["id"] for found in memories.near(conn, told_apart, only_here=False, alike=ALIKE)]
    ids = list(dict.fromkeys([*alike, *console.alike_in_session(conn, row, alike=ALIKE, limit=NEAR)]))
    rows = console.inbox_memory_rows(conn, ids, chars=CHARS)
    return [rows[id] for id in ids if id in rows and id != row["id"] and rows[id]["merged_into"] is None][:NEAR]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, how it is taken back, and what could not be done, one by one. `undo` has a chain of actions for
    each item: [[[action, what it is asked], …], …]."""

    said: str = ""
    undo: tuple[Any, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def undo_text(self) -> str:
        return orjson.dumps(self.undo, option=orjson.OPT_UTC_Z).decode() if self.undo else ""


def problem_of(error: AIWebhookError, message: str) -> dict[str, str]:
    return {"message": message, "hint": error.hint}
