"""Search: the address is the question, so that it can be kept and gone back to. First results, then how they spread."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.responses import Response

from access.console.highlights import pieces
from access.console.sessions import TURN_CHARS
from access.console.visit import Visit
from access.links import place_of
from domain.errors import InvalidRequest
from domain.memory import MEMORY_TYPES
from store import console
from store.database import Row
from store.search import KINDS, MOST_RESULTS

LIMIT = 20
FACETS_SHOWN = 12
ONE = {"turns": "turn", "chunks": "passage", "memories": "memory", "tasks": "task", "artifacts": "artifact"}
FACETS = {"kind": "Kind", "type": "Type", "session": "Conversation", "speaker": "Who", "month": "Month"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for, by the names that stand in it."""

    q: str = ""
    kinds: tuple[str, ...] = ()
    type: str | None = None
    session: str | None = None
    speaker: str | None = None
    since: str | None = None
    until: str | None = None
    as_of: str | None = None

    @classmethod
    def by(cls, visit: Visit) -> "Asked":
        kinds = visit.request.query_params.getlist("in")
        single = [field.name for field in fields(cls) if field.name not in ("q", "kinds")]
        return cls(
            visit.query("q") or "",
            tuple(kind for kind in KINDS if kind in kinds),
            **{name: visit.query(name) for name in single},
        )

    def link(self, path: str = "/search", cursor: int | None = None, **changes: Any) -> str:
        """The address that asks this, or this with changes."""
        asked = replace(self, **changes)
        pairs = [("q", asked.q), *(("in", kind) for kind in asked.kinds)]
        pairs += [(name, getattr(asked, name)) for name in asked.narrowed_by]
        pairs += [("cursor", str(cursor))] if cursor else []
        return f"{path}?{urlencode(pairs)}"

    @property
    def narrowed_by(self) -> list[str]:
        """The filters that are set, but for kinds."""
        return [field.name for field in fields(self)[2:] if getattr(self, field.name)]

    @property
    def is_narrowed(self) -> bool:
        return bool(self.kinds or self.narrowed_by)

    def day(self, name: str) -> str:
        """A filter as a field for days holds it: nothing, where it is none."""
        return written_day(getattr(self, name))

    @property
    def anywhere(self) -> str:
        """The address that asks the same without filters."""
        return Asked(self.q).link()

    def filters(self, zone: ZoneInfo | None) -> dict[str, Any]:
        """As the actions take them. Days are the reader's, and both ends belong to what is asked for."""
        return {
            "query": self.q,
            "kinds": list(self.kinds) or None,
            "session_id": self.session,
            "type": self.type,
            "speaker": self.speaker,
            "since": day(self.since, zone),
            "until": day(self.until, zone, after=timedelta(days=1)),
            "as_of": end_of_day(self.as_of, zone),
        }


def written_day(text: str | None) -> str:
    try:
        return date.fromisoformat(text or "").isoformat()
    except ValueError:
        return ""


def day(text: str | None, zone: ZoneInfo | None, after: timedelta = timedelta()) -> datetime | str | None:
    """When a day begins for the reader, or so long after that. What is no day is left for the action to judge."""
    try:
        begins = datetime.combine(date.fromisoformat(text or ""), datetime.min.time(), zone or UTC)
        return (begins + after).astimezone(UTC)
    except (ValueError, OverflowError):
        return text


def end_of_day(text: str | None, zone: ZoneInfo | None) -> datetime | str | None:
    return day(text, zone, after=timedelta(days=1, microseconds=-1))


def show(visit: Visit) -> Response:
    asked = Asked.by(visit)
    try:
        context = found(visit, asked, visit.number("cursor") or 0)
    except InvalidRequest as problem:
        return visit.show(problem.status, asked=asked, problem=problem, hits=[], **CHOICES)
    response = visit.show(asked=asked, problem=None, **context, **CHOICES)
    if visit.by_htmx:  # while somebody types: the address without what is for this answer only
        response.headers["hx-replace-url"] = asked.link() if asked.q or asked.is_narrowed else "/search"
    return response


CHOICES: dict[str, Any] = {"kinds": ONE, "types": MEMORY_TYPES}


def found(visit: Visit, asked: Asked, cursor: int) -> dict[str, Any]:
    if not asked.q:
        return {"hits": []}
    unfinished = True if visit.query("unfinished") == "true" else None
    filters = asked.filters(visit.zone)
    listed = visit.act("search", **filters, cursor=cursor, limit=LIMIT, unfinished=unfinished)
    return {
        "hits": told(visit, listed["items"]),
        "first": cursor + 1,
        "earlier": asked.link(cursor=max(0, cursor - LIMIT)) if cursor else None,
        "later": asked.link(cursor=int(listed["next"])) if listed["next"] else None,
        "is_cut": len(listed["items"]) == LIMIT and cursor + 2 * LIMIT > MOST_RESULTS,
    }


def told(visit: Visit, hits: Sequence[Row]) -> list[Row]:
    """Hits with their place in the console and their words in pieces."""
    ids = [int(hit["id"]) for hit in hits if hit["kind"] == "memories"]
    places = visit.read(lambda conn: console.places(conn, ids, chars=TURN_CHARS)) if ids else {}
    return [
        hit | {"link": place_of(hit, places), "one": ONE[hit["kind"]], "pieces": pieces(hit["snippet"], spans_of(hit))}
        for hit in hits
    ]


def spans_of(hit: Row) -> list[dict[str, int]]:
    return [{"char_start": start, "char_end": end} for start, end in hit["highlights"]]


def spread(visit: Visit) -> Response:
    """How the best hits spread; the page of results asks for it after them."""
    asked = Asked.by(visit)
    rows = visit.act("search_facets", **asked.filters(visit.zone))["items"] if asked.q else []
    return visit.show(asked=asked, facets=list(facets(asked, rows)))


def facets(asked: Asked, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    counted = {name: list(values) for name, values in groupby(rows, key=lambda row: row["facet"])}
    for name, title in FACETS.items():
        values = [row | facet_link(asked, name, row["value"]) for row in counted.get(name, [])[:FACETS_SHOWN]]
        if values:
            yield {"title": title, "name": name, "values": values}


def facet_link(asked: Asked, name: str, value: str) -> dict[str, Any]:
    """Where a value of a facet leads: to what has it alone, or, where that is what is asked for, to the others, too."""
    wanted = narrowed(name, value)
    is_set = all(getattr(asked, field) == wish for field, wish in wanted.items())
    empty: dict[str, Any] = {field: () if field == "kinds" else None for field in wanted}
    return {"is_set": is_set, "link": asked.link(**(empty if is_set else wanted))}


def narrowed(name: str, value: str) -> dict[str, Any]:
    if name == "kind":
        return {"kinds": (value,)}
    if name == "month":
        first = date.fromisoformat(f"{value}-01")
        last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        return {"since": first.isoformat(), "until": last.isoformat()}
    return {name: value}
