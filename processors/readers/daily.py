"""Daily: a transcript that is ready, which is fetched in two steps: a link to the file, then the WebVTT file.

    {"version", "type", "id", "payload": {"id", "room_id", "mtg_session_id", "duration", …}, "event_ts"}
    GET /transcript/ID/access-link  ->  {"transcriptId", "download_link"}; the link is signed and good for an hour

How Daily names speakers in the file is not documented: `<v Name>`, `<v>Name:</v>` and `Name: …` are read alike.
A meeting that was transcribed more than once has a transcript for each time, so each is a part of its session.
"""

import re
from urllib.parse import quote

from domain.delivery import Delivery, Fetch, Reading
from domain.errors import UnknownEvent, Unreadable
from domain.session import SessionDraft
from processors.readers.captions import looks_like_captions, read_captions
from processors.readers.items import TITLE_CHARS
from processors.readers.payload import Fields, missing, parse_object, parse_text, session_of_source, shorten
from processors.readers.words import details

READY = "transcript.ready-to-download"
SILENT = frozenset(
    {
        *(f"transcript.{name}" for name in ("started", "error")),
        *(f"meeting.{name}" for name in ("started", "ended")),
        *(f"participant.{name}" for name in ("joined", "left")),
        *(f"waiting-participant.{name}" for name in ("joined", "left")),
        *(f"recording.{name}" for name in ("started", "ready-to-download", "error")),
        *(f"streaming.{name}" for name in ("started", "updated", "ended", "error")),
        *(f"batch-processor.{name}" for name in ("job-finished", "error")),
        *(f"dialout.{name}" for name in ("connected", "answered", "stopped", "warning", "error")),
        *(f"dialin.{name}" for name in ("ready", "connected", "stopped", "warning", "error")),
    }
)
NAME_IN_TAG = re.compile(r"<v>\s{0,3}([^<>:\n]{1,80}):\s{0,3}</v>")


def read(delivery: Delivery) -> Reading | Fetch | None:
    """The turns of a transcript, once its file is fetched; None for events without one.

    Raises Unreadable: no_turns for a file without words or one that is no WebVTT.
    """
    body = parse_object(delivery.body)
    if body.get("test") is not None and body.get("type") is None:
        return None  # sent once, when the webhook is made
    event = body.required_text("type")
    if event in SILENT:
        return None
    if event != READY:
        raise UnknownEvent(delivery.source)
    payload = body.object("payload")
    transcript_id = payload.identifier("id")
    if transcript_id is None:
        raise missing(payload.at("id"))
    match delivery.fetched:
        case ():
            return Fetch(f"/transcript/{quote(transcript_id, safe='')}/access-link")
        case (answer,):
            return Fetch(link_of(answer), token_header="", token_prefix="")
    return read_file(session_of(delivery, payload, transcript_id), delivery.fetched[-1])


def link_of(answer: bytes) -> str:
    return parse_object(answer).required_text("download_link", "link")


def session_of(delivery: Delivery, payload: Fields, transcript_id: str) -> SessionDraft:
    meeting = payload.identifier("mtg_session_id", "meeting_id")
    room = payload.text("room_name")
    return SessionDraft(
        session_of_source(delivery, meeting or transcript_id),
        title=shorten(room, TITLE_CHARS) if room else None,
        metadata={"transcript_id": transcript_id, **details(payload, "duration", "room_id", "room_name")},
    )


def read_file(session: SessionDraft, content: bytes) -> Reading:
    text = parse_text(content)
    if not looks_like_captions(text):
        raise Unreadable("There is nothing to keep: what was fetched is no WebVTT.", code="no_turns")
    turns = read_captions(NAME_IN_TAG.sub(r"<v \1>", text))
    if not turns:
        raise Unreadable("There is nothing to keep: the transcript has no words.", code="no_turns")
    named = any(turn.speaker for turn in turns)
    return Reading(session, turns=turns, format="dialogue" if named else "transcript")
