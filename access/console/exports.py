"""A session as a file to keep: Markdown, JSON or WebVTT; and one turn of it as text. Told piece by piece, however long
it is."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from typing import Any
from urllib.parse import quote

import orjson
from starlette.responses import Response, StreamingResponse

from access.console.rendering import HEADERS, plain, position
from access.console.visit import Visit
from domain.errors import InvalidRequest, NotFound
from store import console, memories, sessions
from store.database import Row

AT_ONCE = 1000
CUE_SECONDS = 4.0  # of a last turn that says no end
MARKDOWN = re.compile(r"([\\`*_\[\]<>#~|])")


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    label: str
    media: str
    tell: Callable[[Row, Iterator[Row], list[Row]], Iterator[str]]
    needs_times: bool = False


def download(visit: Visit, session_id: str, form: str) -> Response:
    visit.caller.require("read")
    if form == "turn":
        return turn_text(visit, session_id)
    kind = KINDS.get(form)
    session = visit.read(lambda conn: sessions.get(conn, session_id))
    if session is None or kind is None:
        raise NotFound("There is no such session or form of it.", hint=f"The forms are {', '.join(KINDS)}.")
    if kind.needs_times and not visit.read(lambda conn: console.last_turn(conn, session_id))[1]:
        raise InvalidRequest("This conversation does not say when in it each turn was.", hint="Export it as Markdown.")
    visit.seen_as = "export_session"
    items = visit.read(lambda conn: all_memories(conn, session_id))
    told = in_blocks(kind.tell(session, turns_of(visit, session_id), items))
    return StreamingResponse(
        told, media_type=kind.media, headers=HEADERS | {"content-disposition": named(session, form)}
    )


def turn_text(visit: Visit, session_id: str) -> Response:
    """The whole of a turn that is too long for its page."""
    seq = visit.number("turn") or 0
    text = visit.read(lambda conn: console.turn(conn, session_id, seq))
    if text is None:
        raise NotFound("There is no such turn.")
    return Response(text, media_type="text/plain; charset=utf-8", headers=HEADERS)


def named(session: Row, form: str) -> str:
    """A file name from the title that leads nowhere, wherever it is saved."""
    title = re.sub(r"[^\w .-]+", " ", session["title"] or session["id"])[:80].strip(" .") or "conversation"
    return f"attachment; filename=\"conversation.{form}\"; filename*=UTF-8''{quote(f'{title}.{form}', safe='')}"


def turns_of(visit: Visit, session_id: str) -> Iterator[Row]:
    """All turns. No connection is held while the browser takes its time."""
    after = 0
    while rows := visit.read(partial(sessions.turns, session_id=session_id, after=after, limit=AT_ONCE)):
        yield from rows
        after = rows[-1]["seq"]


def all_memories(conn: Any, session_id: str) -> list[Row]:
    found: list[Row] = []
    before = None
    while True:
        rows = memories.listing(conn, type=None, session_id=session_id, tag=None, before=before, limit=AT_ONCE)
        found += rows
        if len(rows) < AT_ONCE:
            return found[::-1]  # as they were said
        before = rows[-1]["id"]


def in_blocks(pieces: Iterator[str]) -> Iterator[str]:
    """The same in larger pieces: each is handed from thread to thread and compressed by itself."""
    block: list[str] = []
    for piece in pieces:
        block.append(piece)
        if len(block) >= AT_ONCE:
            yield "".join(block)
            block = []
    yield "".join(block)


def markdown(session: Row, turns: Iterator[Row], items: list[Row]) -> Iterator[str]:
    yield f"# {in_markdown(session['title'] or session['id'])}\n\n"
    if items:
        yield "## What came of it\n\n"
    for item in items:
        place = f", turn {item['turn_seq']}" if item["turn_seq"] else ""
        yield f"- **{item['type'].replace('_', ' ')}**: {in_markdown(item['title'])} ({item['review']}{place})\n"
    yield "\n## What was said\n"
    for turn in turns:
        at = f" ({position(turn['start_seconds'])})" if turn["start_seconds"] is not None else ""
        yield f"\n**{in_markdown(turn['speaker'] or turn['role'])}**{at}: {in_markdown(turn['text'])}\n"


def in_markdown(text: str) -> str:
    """As text: what was said begins no heading, link or HTML wherever the file is shown."""
    return MARKDOWN.sub(r"\\\1", plain(text)).replace("\n", "  \n")


def json(session: Row, turns: Iterator[Row], items: list[Row]) -> Iterator[str]:
    yield f'{{"session":{written(session)},"memories":{written(items)},"turns":['
    for number, turn in enumerate(turns):
        yield f"{',' if number else ''}\n{written(turn)}"
    yield "\n]}\n"


def written(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()


def vtt(session: Row, turns: Iterator[Row], items: list[Row]) -> Iterator[str]:
    """Those turns that say when they were. One without an end lasts until the next begins."""
    yield "WEBVTT\n"
    timed = (turn for turn in turns if turn["start_seconds"] is not None)
    for turn, following in pairwise(chain(timed, [None])):
        assert turn is not None, "only the last is"
        start, end = turn["start_seconds"], turn["end_seconds"]
        if end is None:
            end = following["start_seconds"] if following else start + CUE_SECONDS
        voice = f"<v {in_cue(turn['speaker'])}>" if turn["speaker"] else ""
        yield f"\n{cue_time(start)} --> {cue_time(max(end, start + 0.001))}\n{voice}{in_cue(turn['text'])}\n"


def cue_time(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


def in_cue(text: str) -> str:
    """On one line: an empty one ends a cue, and `-->` or a tag would begin something else."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("md", "Markdown", "text/markdown; charset=utf-8", markdown),
        Kind("json", "JSON", "application/json", json),
        Kind("vtt", "WebVTT", "text/vtt; charset=utf-8", vtt, needs_times=True),
    )
}
