"""Grain: an event that names a recording; the recording and its transcript are fetched.

    {"type": "recording_added" or "recording_updated", "user_id", "data": {"id", "title", "url", "start_datetime", …}}
    POST /v2/recordings/ID            ->  {"id", "title", "participants": [{"id", "name", "email"}],
                                          "ai_summary": {"text"}, "ai_action_items": [{"text", "status", "assignee"}]}
    GET /v2/recordings/ID/transcript  ->  [{"start", "end", "text", "speaker", "participant_id"}]

`start` and `end` are milliseconds from the start of the recording.
"""

from urllib.parse import quote

import orjson

from domain.delivery import Delivery, Fetch, Reading
from domain.errors import UnknownEvent
from domain.session import Turn
from processors.readers.meetings import (
    Item,
    answer_of,
    answered,
    assignee_of,
    id_of,
    item_of,
    items_of,
    people_of,
    reading_of,
    session_of,
    short_details,
    turn_of,
    turns_of,
)
from processors.readers.payload import Fields, missing, parse_object
from processors.readers.words import span

READY = frozenset({"recording_added", "recording_updated"})
SILENT = ("recording_deleted", "recording_removed", "highlight_", "story_", "upload_")
VERSION = {"public-api-version": "2025-10-31"}
INCLUDED = orjson.dumps({"include": {"participants": True, "ai_summary": True, "ai_action_items": True}})
MILLISECONDS = 1000.0


def read(delivery: Delivery) -> Reading | Fetch | None:
    """The recording, once it is fetched; None for highlights, stories, uploads, and the empty body of a new hook."""
    body = parse_object(delivery.body)
    event = body.text("type") or ""
    if not body.values or event.startswith(SILENT):
        return None
    if event not in READY:
        raise UnknownEvent(delivery.source)
    data = body.object("data")
    recording = id_of(data, "id")
    if recording is None:
        raise missing(data.at("id"))
    address = f"/v2/recordings/{quote(recording, safe='')}"
    match delivery.fetched:
        case ():
            return Fetch(address, "POST", INCLUDED, {**VERSION, "content-type": "application/json"})
        case (_,):
            return Fetch(f"{address}/transcript", headers=VERSION)
    return read_recording(delivery, data, recording)


def read_recording(delivery: Delivery, data: Fields, recording: str) -> Reading:
    about = answered(delivery, 0)
    people = about.objects("participants")
    names = {number: name for person in people if (number := id_of(person, "id")) and (name := person.text("name"))}
    transcript = Fields({"fetched[1]": answer_of(delivery, 1)})
    turns = turns_of(read_turn(entry, names) for entry in transcript.objects("fetched[1]"))
    kept = ("url", "start_datetime", "end_datetime")
    session = session_of(
        delivery,
        recording,
        title=about.text("title") or data.text("title"),
        people=people_of(people),
        metadata=short_details(data, *kept) | short_details(about, *kept, "duration_ms"),
    )
    return reading_of(
        session,
        turns,
        summary=about.object("ai_summary").text("text"),
        items=items_of(turns, action_items=map(read_item, about.objects("ai_action_items"))),
        may_follow=True,
    )


def read_turn(entry: Fields, names: dict[str, str]) -> Turn | None:
    speaker = entry.text("speaker") or names.get(id_of(entry, "participant_id") or "")
    return turn_of(speaker, entry.text("text"), seconds=span(entry, "start", "end", per_second=MILLISECONDS))


def read_item(item: Fields) -> Item:
    return item_of(
        item.text("text"),
        assignee=assignee_of(item),
        completed=True if item.get("status") == "completed" else None,
    )
