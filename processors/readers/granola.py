"""Granola: an event that names a note; the note and its transcript are fetched. Or a whole note, sent by Zapier.

    {"event_id", "event_type": "note.generated", "note.edited" or "note.access_granted", "note_id", "occurred_at"}
    GET /v1/notes/ID             ->  {"id", "title", "owner", "attendees", "summary_markdown", "web_url", …}
    GET /v1/notes/ID/transcript  ->  {"transcript": [{"speaker": {"source", "attribution"?, "diarization_label"?,
                                     "name"?}, "text", "start_time", "end_time"}], "hasMore", "cursor"}
    {"title", "attendees": [{"name", "email"}], "note_content"}                        from Zapier

A note with `include=transcript` is refused when the transcript is long, so it is fetched in pages. Times are
instants. `source` is the owner's microphone or the loudspeaker, by which all others are heard.
"""

from collections.abc import Iterable
from urllib.parse import quote

from domain.delivery import Delivery, Fetch, Reading
from domain.errors import UnknownEvent
from domain.session import Turn
from processors.readers.meetings import (
    answered,
    id_of,
    loose_transcript,
    people_of,
    reading_of,
    session_of,
    short_details,
    turn_of,
    turns_of,
)
from processors.readers.payload import Fields, missing, parse_object

READY = frozenset({"note.generated", "note.edited", "note.access_granted"})
PAGE = 100  # the largest that Granola gives
OTHERS = "Others"


def read(delivery: Delivery) -> Reading | Fetch:
    """The note with its talk, once all is fetched."""
    body = parse_object(delivery.body)
    event = body.text("event_type")
    if event is None and body.get("note_content") is not None:
        return read_sent(delivery, body)
    if event not in READY:
        raise UnknownEvent(delivery.source)
    note = id_of(body, "note_id")
    if note is None:
        raise missing("note_id")
    address = f"/v1/notes/{quote(note, safe='')}"
    if not delivery.fetched:
        return Fetch(address)
    pages = [answered(delivery, number) for number in range(1, len(delivery.fetched))]
    if not pages:
        return Fetch(f"{address}/transcript?page_size={PAGE}")
    cursor = pages[-1].text("cursor")
    if pages[-1].get("hasMore") is True and cursor:
        return Fetch(f"{address}/transcript?page_size={PAGE}&cursor={quote(cursor, safe='')}")
    return read_note(delivery, note, answered(delivery, 0), pages)


def read_note(delivery: Delivery, note_id: str, note: Fields, pages: Iterable[Fields]) -> Reading:
    owner = note.object("owner")
    entries = [entry for page in pages for entry in page.objects("transcript")]
    turns = read_turns(entries, owner.text("name", "email") or "Me")
    session = session_of(
        delivery,
        note_id,
        title=note.text("title"),
        people=people_of([owner], note.objects("attendees")),
        metadata=short_details(note, "web_url", "created_at"),
    )
    summary = note.text("summary_markdown", "summary_text")
    return reading_of(session, turns, summary=summary, may_follow=True)


def read_turns(entries: list[Fields], owner: str) -> tuple[Turn, ...]:
    # A phone on the table hears everybody by its microphone; a computer hears the others by its loudspeaker.
    two_sided = any(entry.object("speaker").get("source") == "speaker" for entry in entries)
    return turns_of(read_turn(entry, owner, two_sided) for entry in entries)


def read_turn(entry: Fields, owner: str, two_sided: bool) -> Turn | None:
    times = entry.instant("start_time"), entry.instant("end_time")
    return turn_of(speaker_of(entry.object("speaker"), owner, two_sided), entry.text("text"), times=times)


def speaker_of(speaker: Fields, owner: str, two_sided: bool) -> str | None:
    side, source = speaker.text("attribution"), speaker.text("source")
    named = speaker.text("name", "diarization_label")
    if named is not None:
        return named
    if side == "them" or (side is None and source == "speaker"):
        return OTHERS
    if side == "me" or (side is None and source == "microphone" and two_sided):
        return owner
    return None


def read_sent(delivery: Delivery, body: Fields) -> Reading:
    """A note as a Zap sends it: Markdown, and the transcript when the Zap was told to add it."""
    people = people_of(body.objects("attendees"))
    session = session_of(
        delivery,
        id_of(body, "note_id", "id", "link"),
        title=body.text("title"),
        people=people,
        metadata=short_details(body, "link"),
    )
    turns = loose_transcript("transcript", body.get("transcript"), people)
    return reading_of(session, turns, summary=body.text("note_content"))
