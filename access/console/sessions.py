"""Sessions: the list, and one of them as a conversation with what was extracted from it."""

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from access.console import exports
from access.console.highlights import by_turn, pieces
from access.console.visit import Visit
from access.links import forget_link, session_link
from domain.errors import ChangedMeanwhile, NotFound, Refused
from store import console, sessions
from store.database import Connection, Row

STATES = ("active", "paused", "completed")
WINDOW = 100  # turns of a page
TURN_CHARS = 20_000  # of a turn on the page; the whole of it is a text of its own
MOVES = {"pause": "paused", "resume": "active", "complete": "completed"}
DONE = {"paused": "Paused.", "active": "Goes on.", "completed": "Completed."}


def show_all(visit: Visit) -> Response:
    status = visit.query("status")
    status = status if status in STATES else None
    listed = visit.act("list_sessions", status=status, before=visit.query("before"))
    return visit.show(listed=listed, status=status, states=STATES)


@dataclass(frozen=True, slots=True)
class Window:
    """The turns that a page shows: whole pages of them, so that an address means the same tomorrow."""

    first: int
    last: int
    total: int

    @classmethod
    def around(cls, turn: int, total: int) -> "Window":
        turn = min(max(1, turn), max(1, total))
        first = (turn - 1) // WINDOW * WINDOW + 1
        return cls(first, min(first + WINDOW - 1, total), total)

    @property
    def before(self) -> int | None:
        return self.first - WINDOW if self.first > 1 else None

    @property
    def after(self) -> int | None:
        return self.last + 1 if self.last < self.total else None


def show(visit: Visit) -> Response:
    session_id = visit.at()
    if (form := visit.query("export")) is not None:
        return exports.download(visit, session_id, form)
    return tell(visit, session_id)


def tell(visit: Visit, session_id: str, status: int = 200, **more: Any) -> Response:
    """The page; `more` is what was typed and not taken."""
    context = visit.read(lambda conn: found(conn, session_id, visit.number("turn") or 1))
    return visit.show(status, **{"title": context["session"]["title"] or "", "problem": None} | context | more)


def found(conn: Connection, session_id: str, turn: int) -> dict[str, Any]:
    session = sessions.get(conn, session_id)
    if session is None:
        raise NotFound("There is no such session.", hint="Sessions lists those there are.")
    total, is_timed = console.last_turn(conn, session_id)
    window = Window.around(turn, total)
    items = console.items(conn, session_id, first=window.first, last=window.last)
    turns = console.turns(conn, session_id, first=window.first, last=window.last, chars=TURN_CHARS)
    return {
        "session": session,
        "version": sessions.version(conn, session_id),
        "link": session_link(session_id),
        "forget_link": forget_link(session_id),
        "window": window,
        "is_timed": is_timed,
        "turns": with_pieces(turns, items),
        "items": items,
        "exports": exports.KINDS,
    }


def with_pieces(turns: list[Row], items: list[Row]) -> list[Row]:
    shown = by_turn(item for item in items if item["review"] != "rejected")
    return [turn | {"pieces": pieces(turn["text"], shown.get(turn["seq"], []))} for turn in turns]


def change(visit: Visit) -> Response:
    session_id, version = visit.at(), visit.form.text("version")
    changes: dict[str, Any] = {"status": MOVES.get(visit.form.get("move", ""))}
    if (title := visit.form.text("title")) is not None:
        changes = {"title": title, "version": version}
    try:
        session = visit.act("update_session", session_id=session_id, **changes)
    except ChangedMeanwhile as problem:
        # What was typed stays in the field, beside what the title is now; sent again, it goes before that.
        return tell(visit, session_id, problem.status, title=title, problem=problem)
    except NotFound:
        raise
    except Refused as problem:
        return tell(visit, session_id, problem.status, title=title or "", problem=problem)
    return visit.go(session_link(session_id), "The title is changed." if title else DONE[session["status"]])
