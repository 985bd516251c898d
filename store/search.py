"""Full-text search over turns, chunks, memories, tasks and artifacts, in one ranked list."""

from collections.abc import Sequence
from datetime import datetime

from domain.errors import InvalidRequest
from store.database import Connection, Row, all_rows
from store.statements import statements

SQL = statements("search")
KINDS = ("turns", "chunks", "memories", "tasks", "artifacts")
# A chunk repeats its turns, so chunks are found only when asked for.
DEFAULT_KINDS = ("turns", "memories", "tasks", "artifacts")
QUERY_CHARS = 10_000
MARK_START, MARK_END = "\x02", "\x03"


def search(
    conn: Connection,
    query: str,
    *,
    kinds: Sequence[str] = DEFAULT_KINDS,
    session_id: str | None = None,
    type: str | None = None,
    speaker: str | None = None,
    since: datetime | None = None,
    limit: int = 10,
) -> list[Row]:
    """What shares words with the query, best first.

    Each hit has kind, id, session_id, session_title, speaker, type, turn_seq, at, score, `snippet` as plain text and
    `highlights`, the spans of the snippet that matched, [start, end) in characters. One of a memory has `times_said`,
    how often it was said, and `superseded_by`, the memory that took its place.
    """
    if unknown := set(kinds) - set(KINDS):
        raise InvalidRequest(f"There is nothing called {sorted(unknown)[0]} to search; choose from {', '.join(KINDS)}.")
    if not 1 <= limit <= 1000:
        raise InvalidRequest("The limit is 1 to 1000.")
    parameters = {
        "query": query.replace("\x00", " ")[:QUERY_CHARS],
        "kinds": list(kinds),
        "session_id": session_id,
        "type": type,
        "speaker": speaker,
        "since": since,
        "limit": limit,
    }
    return [with_highlights(row) for row in all_rows(conn, SQL["search"], parameters)]


def with_highlights(row: Row) -> Row:
    plain, spans, rest = "", [], row["snippet"]
    while MARK_START in rest:
        before, _, rest = rest.partition(MARK_START)
        marked, _, rest = rest.partition(MARK_END)
        plain += before
        spans.append([len(plain), len(plain) + len(marked)])
        plain += marked
    return {**row, "snippet": plain + rest, "highlights": spans}
