"""Full-text search over turns, chunks, memories, tasks and artifacts, in one ranked list."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.errors import InvalidRequest
from store.database import Connection, Row, all_rows, run
from store.statements import statements

SQL = statements("search")
KINDS = ("turns", "chunks", "memories", "tasks", "artifacts")
# A chunk repeats its turns, so chunks are found only when asked for.
DEFAULT_KINDS = ("turns", "memories", "tasks", "artifacts")
QUERY_CHARS = 10_000
MOST_RESULTS = 1000
COUNTED = 200
MARK_START, MARK_END = "\x02", "\x03"


@dataclass(frozen=True, slots=True)
class Filters:
    """What a hit has to be. `since` and `until` (not itself) are of when it was said; `as_of` finds memories alone,
    those that were in force then."""

    kinds: Sequence[str] = DEFAULT_KINDS
    session_id: str | None = None
    type: str | None = None
    speaker: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    as_of: datetime | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.kinds) - set(KINDS)):
            raise InvalidRequest(f"There is nothing called {unknown[0]} to search; choose from {', '.join(KINDS)}.")
        if self.since is not None and self.until is not None and self.since > self.until:
            raise InvalidRequest("`since` is after `until`.", hint="Swap them.")


def search(
    conn: Connection,
    query: str,
    *,
    unfinished: bool = False,
    meaning: Sequence[float] | None = None,
    model: str | None = None,
    limit: int = 10,
    skip: int = 0,
    **filters: Any,
) -> list[Row]:
    """What answers the query, best first; the first `skip` are left out. `filters` are the fields of Filters.

    With `unfinished` the last word may be the beginning of one, for a list that changes as people type. `meaning` is
    the query as a vector of `model`, which turns and chunks are compared with (embedding.py).

    Each hit has kind, id, session_id, session_title, speaker, type, turn_seq, at, score, `explained` (the part of the
    score that each word can give), `snippet` as plain text and `highlights`, the spans of the snippet that matched,
    [start, end) in characters. One of a memory has `times_said`, how often it was said, and `superseded_by`, the memory
    that took its place.
    """
    if not 1 <= limit <= MOST_RESULTS:
        raise InvalidRequest(f"The limit is 1 to {MOST_RESULTS}.")
    if not 0 <= skip <= MOST_RESULTS - limit:
        raise InvalidRequest(f"Search answers the best {MOST_RESULTS}; ask more precisely for the others.")
    asked = parameters(query, Filters(**filters)) | {"unfinished": unfinished, "wanted": limit + skip, "skipped": skip}
    asked |= {"meaning": None if meaning is None else list(meaning), "model": model}
    return [with_highlights(row) for row in all_rows(conn, SQL["search"], asked)]


def facets(conn: Connection, query: str, **filters: Any) -> list[Row]:
    """How the best COUNTED hits spread: {facet, value, label, hits}, where facet is kind, type, session, speaker or
    month (2026-03); the most frequent first."""
    return all_rows(conn, SQL["facets"], parameters(query, Filters(**filters)) | {"wanted": COUNTED})


def fold(conn: Connection) -> None:
    """Adds up how often words were said by now, as writers do every so often."""
    run(conn, SQL["fold"])


def passages(conn: Connection, places: Sequence[tuple[str, int]], around: int) -> list[Row]:
    """Turns at these places (session id and seq) with so many before and after them, each once, in order: session_id,
    session_title, seq, speaker, text, at."""
    wanted = [{"session_id": session_id, "seq": seq} for session_id, seq in places]
    return all_rows(conn, SQL["passages"], {"places": Jsonb(wanted), "around": around})


def related(
    conn: Connection, text: str, *, limit: int, memory: int | None = None, task: str | None = None
) -> list[Row]:
    """What else was said, decided or planned about the same, in any session: hits without the memory or task itself,
    what says it again, and the turns that it is of."""
    own = {(row["kind"], row["id"]) for row in all_rows(conn, SQL["own"], {"memory": memory, "task": task})}
    hits = search(conn, text, limit=min(MOST_RESULTS, 2 * limit + len(own)))
    return [hit for hit in hits if (hit["kind"], hit["id"]) not in own and hit["explained"]][:limit]


def parameters(query: str, filters: Filters) -> dict[str, Any]:
    return {**asdict(filters), "kinds": list(filters.kinds), "query": query.replace("\x00", " ")[:QUERY_CHARS]}


def with_highlights(row: Row) -> Row:
    plain, spans, rest = "", [], row["snippet"]
    while MARK_START in rest:
        before, _, rest = rest.partition(MARK_START)
        marked, _, rest = rest.partition(MARK_END)
        plain += before
        spans.append([len(plain), len(plain) + len(marked)])
        plain += marked
    return {**row, "snippet": plain + rest, "highlights": spans}
