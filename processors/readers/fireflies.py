"""Fireflies: an event that names a meeting; the talk, summary and items are fetched from the GraphQL API.

    {"event": "meeting.transcribed" or "meeting.summarized", "timestamp", "meeting_id", "client_reference_id"?}
    {"meetingId", "eventType": "Transcription completed", "clientReferenceId"?}        the older form
    POST /graphql  ->  {"data": {"transcript": {"id", "title", "date", "duration", "sentences": […], "summary", …}}}

Sentences of one speaker that follow one another are one turn, as captions are joined. `start_time` and `end_time` are
seconds, as numbers or texts. `summary.action_items` is one text: a line with the assignee in bold, then an item a
line, with the time in the recording in brackets.
"""

import re
from collections.abc import Iterator

import orjson

from domain.delivery import Delivery, Fetch, Reading
from domain.errors import UnknownEvent
from processors.readers.captions import Entry
from processors.readers.dialogue import clean_speaker
from processors.readers.meetings import (
    Item,
    answered,
    clock,
    end_of,
    epoch,
    id_of,
    item_of,
    items_of,
    loose_items,
    not_there,
    people_of,
    reading_of,
    session_of,
    short_details,
)
from processors.readers.payload import Fields, missing, parse_object
from processors.readers.words import turns_of

READY = frozenset({"meeting.transcribed", "meeting.summarized", "Transcription completed"})
QUERY = """query Transcript($transcriptId: String!) {
  transcript(id: $transcriptId) {
    id title date duration transcript_url organizer_email participants
    meeting_attendees { displayName email name }
    speakers { id name }
    sentences { index text raw_text start_time end_time speaker_id speaker_name }
    summary { overview short_summary gist action_items keywords }
  }
}"""

ASSIGNEE = re.compile(r"\*\*(.{1,200}?):?\*\*:?")
MARKS = re.compile(r"^(?:[-*•]|[0-9]{1,3}[.)]|\[[ xX]?\])\s+")
STAMP = re.compile(r"\s*\(([0-9:]{4,8})\)$")


def read(delivery: Delivery) -> Reading | Fetch | None:
    """The meeting, once it is fetched; None for a bot that joined."""
    body = parse_object(delivery.body)
    event = body.text("event", "eventType")
    if event == "meeting.bot_joined":
        return None
    if event not in READY:
        raise UnknownEvent(delivery.source)
    meeting = id_of(body, "meeting_id", "meetingId")
    if meeting is None:
        raise missing("meeting_id")
    if not delivery.fetched:
        asked = orjson.dumps({"query": QUERY, "variables": {"transcriptId": meeting}})
        return Fetch("/graphql", "POST", asked, {"content-type": "application/json"})
    return read_transcript(delivery, body, meeting)


def read_transcript(delivery: Delivery, body: Fields, meeting: str) -> Reading:
    data = answered(delivery, 0).object("data")
    if not data.get("transcript"):  # errors too come with HTTP 200
        raise not_there("The transcript")
    found = data.object("transcript")
    turns = turns_of(sentences_of(found))
    summary = found.object("summary")
    metadata = short_details(found, "duration", "transcript_url", "organizer_email")
    if date := epoch(found, "date"):
        metadata["date"] = date.isoformat()
    if reference := id_of(body, "client_reference_id", "clientReferenceId"):
        metadata["client_reference_id"] = reference[:500]
    session = session_of(delivery, meeting, title=found.text("title"), people=people(found), metadata=metadata)
    return reading_of(
        session,
        turns,
        summary=summary.text("overview", "short_summary", "gist"),
        items=items_of(turns, action_items=action_items(summary)),
    )


def people(found: Fields) -> tuple[object, ...]:
    invited = [Fields({"email": email}) for email in found.texts("participants")]
    return people_of(found.objects("meeting_attendees"), invited)


def sentences_of(found: Fields) -> Iterator[Entry]:
    names = {id_of(speaker, "id"): speaker.text("name") for speaker in found.objects("speakers")}
    for sentence in found.objects("sentences"):
        text = sentence.text("text", "raw_text")
        number = id_of(sentence, "speaker_id")
        named = sentence.text("speaker_name") or names.get(number) or (f"Speaker {number}" if number else "")
        start, end = clock(sentence, "start_time"), clock(sentence, "end_time")
        if text is not None:
            yield Entry(text, clean_speaker(named) or None, start, end_of(start, end))


def action_items(summary: Fields) -> Iterator[Item]:
    given = summary.get("action_items")
    if not isinstance(given, str):
        yield from loose_items(summary.at("action_items"), given)
        return
    assignee: str | None = None
    for line in map(str.strip, given.split("\n")):
        heading = ASSIGNEE.fullmatch(line)
        if heading:
            assignee = None if heading[1].strip().casefold() == "unassigned" else heading[1].strip()
            continue
        stamp = STAMP.search(line[-40:])
        text = line[: len(line) - len(stamp[0])] if stamp else line
        yield item_of(MARKS.sub("", text, count=1), assignee=assignee, recording_timestamp=stamp and stamp[1])
