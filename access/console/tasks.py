"""Tasks: the board, the list, and one task with its history, its log and what was left with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from access.console import artifacts
from access.console.rendering import HEADERS
from access.console.visit import Visit
from access.links import session_link, task_link
from domain.errors import InvalidRequest, NotFound, Refused, TaskError
from domain.task import TASK_STATES
from store import console, outgoing, tasks
from store.database import Connection, Row

OPEN_ROWS, ENDED_ROWS = 20, 10  # of a column
MOVES_SHOWN, REASON_CHARS = 100, 2000
NEIGHBOURS = 20
ARTIFACTS_SHOWN = 50
LOG_CHARS = 4096
JSON_CHARS = 10_000


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    label: str
    states: tuple[str, ...]


COLUMNS = (
    Column("proposed", "Proposed", ("proposed",)),
    Column("pending", "Pending", ("pending",)),
    Column("needs_input", "Needs input", ("needs_input",)),
    Column("held", "In hand", ("claimed", "running")),
    Column("completed", "Completed", ("completed",)),
    Column("failed", "Failed", ("failed",)),
    Column("cancelled", "Cancelled", ("cancelled",)),
)
FILTERS = ("status", "agent", "session")
# What a person may do with a task, by its state; `edit`, `answer` and the like are the forms of its page.
NOT_HELD = ("edit", "finish", "cancel")
MAY: dict[str, tuple[str, ...]] = {
    "proposed": ("approve", *NOT_HELD),
    "pending": NOT_HELD,
    "needs_input": ("answer", *NOT_HELD),
    "claimed": ("cancel",),
    "running": ("cancel",),
    "failed": ("retry",),
    "cancelled": ("retry",),
}


# The board and the list


def show_all(visit: Visit) -> Response:
    if any(visit.query(name) for name in (*FILTERS, "list", "before")):
        return listed(visit)
    counts = visit.read(console.board_counts)
    rows = visit.read(lambda conn: console.board(conn, open=OPEN_ROWS, ended=ENDED_ROWS))
    return visit.show(columns=[(one, counts[one.name], of(one, rows)) for one in COLUMNS])


def of(column: Column, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["status"] in column.states]


def listed(visit: Visit) -> Response:
    asked = {name: visit.query(name) for name in FILTERS}
    if asked["status"] not in TASK_STATES:
        asked["status"] = None
    found = visit.act("list_tasks", **asked, before=visit.query("before"))
    return visit.render("tasks.html", listed=found, asked=asked, states=TASK_STATES)


# One task


def show(visit: Visit) -> Response:
    task_id = visit.at()
    if visit.query("as") == "json":
        told = orjson.dumps(visit.act("get_task", task_id=task_id), option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)
        return Response(told, media_type="application/json", headers=HEADERS)
    return tell(visit, task_id)


def tell(visit: Visit, task_id: str, status: int = 200, **more: Any) -> Response:
    """The page; `more` is what was typed and not taken."""
    context = visit.read(lambda conn: found(conn, task_id))
    return visit.show(status, **{"problem": None, "typed": {}} | context | more)


def found(conn: Connection, task_id: str) -> dict[str, Any]:
    task = tasks.get(conn, task_id)
    if task is None:
        raise NotFound("There is no such task.", hint="Tasks lists those there are.")
    place = console.task_place(conn, task_id) or {}
    return {
        "task": task,
        "version": tasks.version(conn, task_id),
        "link": task_link(task_id),
        "may": MAY.get(task["status"], ()),
        "place": place,
        "source": session_link(task["session_id"], place.get("turn_seq")) if task["session_id"] else None,
        "given": in_json(task["input_data"]),
        "left": in_json(task["output_data"]),
        "acceptance": in_json(task["acceptance"]),
        "depends_on": console.task_depends_on(conn, task_id, NEIGHBOURS),
        "waited_for_by": console.task_waited_for_by(conn, task_id, NEIGHBOURS),
        "moves": console.task_moves(conn, task_id, limit=MOVES_SHOWN, chars=REASON_CHARS),
        "artifacts": artifacts.previewed(console.task_artifacts(conn, task_id, ARTIFACTS_SHOWN)),
        "log": console.task_log(conn, task_id, LOG_CHARS),
        "exports": outgoing.exports_of(conn, task_id),
    }


def in_json(value: Any) -> str | None:
    """As much of it as the page shows, or None for nothing; the whole of the task is a text of its own."""
    if value in (None, {}, []):
        return None
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return text if len(text) <= JSON_CHARS else text[:JSON_CHARS] + "\n…"


# Changes


def change(visit: Visit) -> Response:
    task_id = visit.at()
    try:
        return visit.go(task_link(task_id), moved(visit, task_id))
    except (Refused, TaskError) as problem:
        # What was typed stays, beside what the task is now; sent again, it goes before that.
        return tell(visit, task_id, problem.status, problem=problem, typed=visit.form)


def moved(visit: Visit, task_id: str) -> str:
    """Does what a form asks and answers what to say of it."""
    if (move := DO.get(visit.form.get("do", ""))) is None:
        raise InvalidRequest("There is no such thing to do with a task.")
    action, said, asked = move
    visit.act(action, task_id=task_id, **asked(visit))
    return said


def seen(visit: Visit) -> dict[str, Any]:
    return {"version": visit.form.text("version")}


def edited(visit: Visit) -> dict[str, Any]:
    form = visit.form
    return seen(visit) | {
        "title": form.text("title"),
        "agent_name": form.text("agent"),
        "priority": form.text("priority"),
    }


def done_by_hand(visit: Visit) -> dict[str, Any]:
    note = visit.form.text("note")
    return seen(visit) | {"output_data": {"note": note} if note else None}


Asked = Callable[[Visit], dict[str, Any]]
DO: dict[str, tuple[str, str, Asked]] = {
    "approve": ("approve_task", "Approved.", seen),
    "edit": ("update_task", "The task is changed.", edited),
    "answer": ("answer_task", "Answered.", lambda visit: seen(visit) | {"answer": visit.form.text("answer") or ""}),
    "cancel": ("cancel_task", "Cancelled.", lambda visit: {"reason": visit.form.text("reason")}),
    "retry": ("retry_task", "It has all its tries again.", seen),
    "finish": ("finish_task", "Done by hand.", done_by_hand),
}
