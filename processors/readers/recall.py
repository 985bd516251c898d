"""Recall.ai: a meeting bot's segments while it listens, and the whole transcript when it is done.

    transcript.data   {"event", "data": {"data": {"words": [{"text", "start_timestamp": {"relative"}, "end_timestamp"}],
                                                  "participant": {"id", "name"}}, "transcript", "recording", "bot"}}
    transcript.done   {"event", "data": {"data": {"code"}, "transcript": {"id"}, "recording": {"id"}, "bot": {"id"}}}
    GET /api/v1/transcript/ID/  ->  {"data": {"download_url"}}
    the file                    ->  [{"participant": {"id", "name"}, "words": […as above…]}]

`relative` is seconds from the start of the recording, `absolute`, where it is given, an instant. The URL of the file
is signed. The session is the bot's; without a bot (desktop recordings) the recording's.
"""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from domain.delivery import Delivery, Fetch, Reading
from domain.errors import UnknownEvent
from domain.session import SessionDraft, Turn
from processors.readers.dialogue import bounded
from processors.readers.meetings import (
    answer_of,
    answered,
    id_of,
    not_there,
    reading_of,
    session_of,
    short_details,
    turn_of,
    turns_of,
)
from processors.readers.payload import Fields, missing, parse_object, session_of_source

# Partial segments come again as transcript.data. The rest says what bots, recordings and files are doing.
SILENT = (
    *("transcript.partial_data", "transcript.provider_data", "transcript.processing", "transcript.failed"),
    *("transcript.deleted", "bot.", "recording.", "participant_events.", "meeting_metadata.", "realtime_endpoint."),
    *("video_mixed.", "video_separate.", "audio_mixed.", "audio_separate.", "sdk_upload.", "calendar."),
)


def read(delivery: Delivery) -> Reading | Fetch | None:
    """A segment, or the whole transcript once it is fetched; None for what has no words."""
    body = parse_object(delivery.body)
    event, data = body.text("event") or "", body.object("data")
    if event == "transcript.data":
        return read_segment(delivery, data)
    if event == "transcript.done":
        return read_done(delivery, data)
    if event.startswith(SILENT):
        return None
    raise UnknownEvent(delivery.source)


def read_segment(delivery: Delivery, data: Fields) -> Reading | None:
    segment = data.object("data")
    segment.required("words")
    turn = read_entry(segment)
    if turn is None:
        return None
    names = (turn.speaker,) if turn.speaker else ()
    session = SessionDraft(session_of_source(delivery, talk_id(data)), participants=names, metadata=metadata_of(data))
    return Reading(session, turns=bounded([turn]), format="dialogue" if names else "transcript", extent="live")


def read_done(delivery: Delivery, data: Fields) -> Reading | Fetch:
    transcript = id_of(data.object("transcript"), "id")
    if transcript is None:
        raise missing(data.object("transcript").at("id"))
    match delivery.fetched:
        case ():
            return Fetch(f"/api/v1/transcript/{quote(transcript, safe='')}/", token_prefix="Token ")  # noqa: S106
        case (_,):
            url = answered(delivery, 0).object("data").text("download_url")
            if url is None:
                raise not_there("The transcript")
            return Fetch(url, token_header="", token_prefix="")
    file = Fields({"fetched[1]": answer_of(delivery, 1)})
    turns = turns_of(read_entry(entry) for entry in file.objects("fetched[1]"))
    names = tuple(dict.fromkeys(turn.speaker for turn in turns if turn.speaker))
    return reading_of(session_of(delivery, talk_id(data), people=names, metadata=metadata_of(data)), turns)


def read_entry(entry: Fields) -> Turn | None:
    """The words that one participant said in one go."""
    words = entry.objects("words")
    texts = [text for word in words if (text := word.text("text"))]
    if not texts:
        return None
    first, last = words[0].object("start_timestamp"), words[-1].object("end_timestamp")
    times: tuple[datetime | None, datetime | None] = first.instant("absolute"), last.instant("absolute")
    seconds = first.number("relative"), last.number("relative")
    return turn_of(speaker_of(entry.object("participant")), " ".join(texts), seconds=seconds, times=times)


def speaker_of(participant: Fields) -> str | None:
    """The participant's name; those without one are told apart by their number."""
    number = id_of(participant, "id")
    return participant.text("name") or (f"Participant {number}" if number else None)


def talk_id(data: Fields) -> str | None:
    return id_of(data.object("bot"), "id") or id_of(data.object("recording"), "id")


def metadata_of(data: Fields) -> dict[str, Any]:
    """The ids, and what the sender's own side attached to the bot."""
    ids = {f"{name}_id": id_of(data.object(name), "id") for name in ("bot", "recording")}
    attached = data.object("bot").object("metadata")
    return short_details(attached, *attached.values) | {name: value for name, value in ids.items() if value}
