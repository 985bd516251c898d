"""Decisions: a ledger by topic and time, what took the place of what, and the tasks that hang on each."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from access.console.picture import Box, Line, drawn
from access.console.search import end_of_day, written_day
from access.console.sessions import TURN_CHARS
from access.console.visit import Visit
from access.links import artifact_link, memory_link, session_link, task_link
from domain.errors import InvalidRequest
from store import console, decisions
from store.database import Connection, Row

LIMIT = 30
DOUBTED, TAGS = 20, 24
DRAWN = 20  # decisions in the picture
COLUMNS = ("Conversations", "Decisions", "Tasks", "Artifacts")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for."""

    as_of: str | None = None
    tag: str | None = None
    session: str | None = None
    by: str | None = None
    before: str | None = None

    @classmethod
    def of(cls, visit: Visit) -> "Asked":
        by = "time" if visit.query("by") == "time" else None
        return cls(visit.query("as_of"), visit.query("tag"), visit.query("session"), by, visit.query("before"))

    def link(self, **changes: str | None) -> str:
        """The address that asks this with changes, from its first page on."""
        asked = replace(self, **{"before": None} | changes)
        pairs = [(name, value) for name in self.__slots__ if (value := getattr(asked, name))]
        return f"/decisions?{urlencode(pairs)}" if pairs else "/decisions"


def show(visit: Visit) -> Response:
    asked = Asked.of(visit)
    at = end_of_day(asked.as_of, visit.zone)
    if isinstance(at, str):
        problem = InvalidRequest("This is no day.", hint="A day is written as 2026-03-31.")
        return visit.show(problem.status, asked=asked, day="", problem=problem, **NOTHING)
    context = visit.read(lambda conn: found(conn, asked, at))
    return visit.show(asked=asked, day=written_day(asked.as_of), problem=None, **context)


NOTHING: dict[str, Any] = {"groups": [], "doubted": [], "tags": [], "picture": None, "rows": [], "later": None}


def found(conn: Connection, asked: Asked, at: datetime | None) -> dict[str, Any]:
    before = int(asked.before) if asked.before and asked.before.isascii() and asked.before.isdigit() else None
    before = before if before is None or before < 2**63 else None
    rows = decisions.listing(conn, as_of=at, session_id=asked.session, tag=asked.tag, before=before, limit=LIMIT + 1)
    shown = with_all(conn, rows[:LIMIT])
    doubted = decisions.doubted(conn, DOUBTED) if not before else []
    return {
        "groups": groups(asked, shown),
        "rows": shown,
        "doubted": [task | {"link": task_link(task["id"])} for task in doubted],
        "tags": decisions.tags(conn, TAGS),
        "picture": picture(shown[:DRAWN]) if shown else None,
        "later": asked.link(before=str(shown[-1]["id"])) if len(rows) > LIMIT else None,
    }


def with_all(conn: Connection, rows: Sequence[Row]) -> list[Row]:
    """Decisions with their chain, evidence, tasks and artifacts, each with its link."""
    ids = [row["id"] for row in rows]
    again, steps, tasks = decisions.said_again(conn, ids), decisions.chains(conn, ids), decisions.tasks(conn, ids)
    artifacts = by("task_id", linked_artifacts(decisions.artifacts(conn, [task["id"] for task in tasks])))
    wanted = {*ids, *(row["id"] for row in again), *(row["id"] for row in steps)}
    places = console.places(conn, list(wanted), chars=TURN_CHARS)
    told = [task | {"link": task_link(task["id"]), "artifacts": artifacts.get(task["id"], [])} for task in tasks]
    sayings, chain, of_decision = by("decision", again), by("decision", steps), by("decision", told)
    return [
        row
        | {
            "link": memory_link(places[row["id"]]),
            "again": [one | {"link": memory_link(places[one["id"]])} for one in sayings.get(row["id"], [])],
            "chain": [one | {"link": memory_link(places[one["id"]])} for one in chain.get(row["id"], [])],
            "tasks": of_decision.get(row["id"], []),
        }
        for row in rows
        if row["id"] in places
    ]


def linked_artifacts(rows: Iterable[Row]) -> list[Row]:
    return [row | {"link": artifact_link(row["id"])} for row in rows]


def by(name: str, rows: Iterable[Row]) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row[name], []).append(row)
    return found


# By topic


def groups(asked: Asked, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The decisions under what they are about: the tag that most of those here have in common, else their conversation.
    By time, or within one topic, they are one list."""
    if asked.by == "time" or asked.tag or asked.session:
        return [{"title": None, "link": None, "rows": rows}] if rows else []
    counted = Counter(tag for row in rows for tag in set(row["tags"]))
    made: dict[str, dict[str, Any]] = {}
    for row in rows:
        title, link = topic(asked, row, counted)
        made.setdefault(link, {"title": title, "link": link, "rows": []})["rows"].append(row)
    return list(made.values())


def topic(asked: Asked, row: Row, counted: Counter[str]) -> tuple[str, str]:
    tag = max(row["tags"], key=lambda tag: counted[tag], default=None)
    if tag is not None and counted[tag] > 1:
        return tag, asked.link(tag=tag)
    return row["session_title"] or "Untitled conversation", asked.link(session=row["session_id"])


# The picture


def picture(rows: Sequence[Row]) -> Any:
    """Conversations, the decisions made in them, their tasks, and what came of those."""
    boxes: list[Box] = []
    lines: list[Line] = []
    for row in rows:
        draw(row, boxes, lines)
    boxes.sort(key=lambda box: box.column)  # stable: a column keeps the order of the decisions
    return drawn(COLUMNS, boxes, lines)


def draw(row: Row, boxes: list[Box], lines: list[Line]) -> None:
    name = key("decision", row["id"])
    for place in (row, *row["again"]):
        session = key("session", place["session_id"])
        title = place["session_title"] or "Untitled conversation"
        boxes.append(Box(session, 0, "session", title, session_link(place["session_id"])))
        lines.append(Line(session, name))
    boxes.append(Box(name, 1, "replaced" if row["superseded_by"] else "decision", row["title"], row["link"]))
    for other in row["chain"]:
        if other["step"] in (-1, 1):
            other_name = key("decision", other["id"])
            kind = "replaced" if other["superseded_by"] else "decision"
            boxes.append(Box(other_name, 1, kind, other["title"], other["link"]))
            pair = (name, other_name) if other["step"] == 1 else (other_name, name)
            lines.append(Line(*pair, "replaces"))
    for task in row["tasks"]:
        task_name = key("task", task["id"])
        boxes.append(Box(task_name, 2, "doubted" if task["doubt"] else "task", task["title"], task["link"]))
        lines.append(Line(name, task_name))
        for artifact in task["artifacts"]:
            artifact_name = key("artifact", artifact["id"])
            boxes.append(Box(artifact_name, 3, "artifact", artifact["name"], artifact["link"]))
            lines.append(Line(task_name, artifact_name))


def key(kind: str, name: object) -> str:
    return f"{kind} {name}"
