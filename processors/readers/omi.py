"""Omi: a conversation when it is over, and what is heard while it goes on.

    {"id", "started_at", "finished_at", "structured": {"title", "overview", "category", "action_items": [{"description",
     "completed", "due_at"}]}, "transcript_segments": [{"text", "speaker", "speaker_name", "is_user", "start", "end"}]}
    [{"text", "speaker", "is_user", "start", "end"}], or {"segments": […], "session_id"}: live

`is_user` is the wearer; everybody else is somebody in the room. Live segments name the wearer's stream and not the
conversation that will be made of them, so they are a session of their own, in the order in which they came.
"""

from datetime import datetime
from typing import Any

from domain.delivery import Delivery, Reading
from domain.session import SessionDraft, Turn
from processors.readers.calls import after
from processors.readers.dialogue import bounded, clean_speaker
from processors.readers.items import TITLE_CHARS
from processors.readers.meetings import Item, end_of, item_of, items_of
from processors.readers.payload import Fields, parse_json, session_of_source, shorten, wrong_type
from processors.readers.words import details


def read(delivery: Delivery) -> Reading | None:
    value = parse_json(delivery.body)
    if isinstance(value, list):
        return read_live(delivery, Fields({"segments": value}))
    if not isinstance(value, dict):
        raise wrong_type("", value, "an object or a list")
    body = Fields(value)
    if "segments" in value:
        return read_live(delivery, body)
    if "summary_json" in value:  # of the day: it says again what its conversations said
        return None
    return read_conversation(delivery, body)


def read_conversation(delivery: Delivery, body: Fields) -> Reading | None:
    own_id, structured = body.required_text("id"), body.object("structured")
    begin = body.instant("started_at") or body.instant("created_at")
    turns = bounded(turn for segment in body.objects("transcript_segments") if (turn := turn_of(segment, begin)))
    memories, tasks = items_of(turns, action_items=map(read_item, structured.objects("action_items")))
    summary = structured.text("overview")
    if not (turns or summary or memories):
        return None
    title = structured.text("title")
    session = SessionDraft(
        session_of_source(delivery, own_id),
        title=shorten(title, TITLE_CHARS) if title else None,
        participants=tuple(dict.fromkeys(turn.speaker for turn in turns)),
        status="completed",
        metadata={
            **details(body, "source", "language", "started_at", "finished_at"),
            **details(structured, "category"),
        },
    )
    return Reading(session, turns=turns, summary=summary, memories=memories, tasks=tasks, extent="whole")


def turn_of(segment: Fields, begin: datetime | None) -> Turn | None:
    text = segment.text("text")
    if text is None:
        return None
    mine = segment.get("is_user") is True
    start = segment.number("start")
    return Turn(
        clean_speaker(segment.text("speaker_name", "speaker") or ("User" if mine else "")),
        text,
        "user" if mine else "other",
        start_seconds=start,
        end_seconds=end_of(start, segment.number("end")),
        start_time=after(begin, start),
    )


def read_item(item: Fields) -> Item:
    return item_of(
        item.text("description"),
        completed=True if item.get("completed") is True else None,
        due=item.text("due_at"),
    )


def read_live(delivery: Delivery, body: Fields) -> Reading | None:
    """Seconds begin anew with every conversation of the stream, so that segments are placed by when they came."""
    segments = body.objects("segments")
    first: Any = segments[0].number("start") if segments else None
    turns = []
    for segment in segments:
        turn = turn_of(segment, None)
        if turn is not None:
            late = 0.0 if first is None or turn.start_seconds is None else max(0.0, turn.start_seconds - first)
            said_at = after(delivery.received_at, late) or delivery.received_at
            turns.append(Turn(turn.speaker, turn.text, turn.role, start_time=said_at))
    if not turns:
        return None
    session = SessionDraft(session_of_source(delivery, body.text("session_id")))
    return Reading(session, turns=bounded(turns), extent="live")
