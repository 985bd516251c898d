"""tl;dv: a meeting that is ready, and later its transcript.

    {"event": "MeetingReady", "data": {"id", "name", "happenedAt", "url", "duration", "organizer", "invitees"}}
    {"event": "TranscriptReady", "data": {"id", "meetingId", "data": [{"speaker", "text", "startTime", "endTime"}]}}
    GET /v1alpha1/meetings/ID/transcript  ->  {"id", "meetingId", "data": […as above…]}

The API is documented, with seconds for times; that the events look like its answers is known only from receivers of
others. So the transcript is taken in any plain form, and fetched when the event comes without it.
"""

from dataclasses import replace
from urllib.parse import quote

from domain.delivery import Delivery, Fetch, Reading
from domain.errors import UnknownEvent
from processors.readers.meetings import (
    answer_of,
    id_of,
    loose_transcript,
    people_of,
    reading_of,
    session_of,
    short_details,
)
from processors.readers.payload import Fields, missing, parse_object


def read(delivery: Delivery) -> Reading | Fetch:
    """What the meeting is, or what was said in it."""
    body = parse_object(delivery.body)
    event = body.text("event")
    if event not in ("MeetingReady", "TranscriptReady"):
        raise UnknownEvent(delivery.source)
    data = body.object("data")
    meeting = id_of(data, "meetingId", "id")
    if meeting is None:
        raise missing(data.at("id"))
    if event == "MeetingReady":
        return read_meeting(delivery, data, meeting)
    return read_transcript(delivery, data, meeting)


def read_meeting(delivery: Delivery, data: Fields, meeting: str) -> Reading:
    """Title and people; the talk follows."""
    session = session_of(
        delivery,
        meeting,
        title=data.text("name"),
        people=people_of([data.object("organizer")], data.objects("invitees")),
        metadata=short_details(data, "happenedAt", "url", "duration"),
    )
    return Reading(replace(session, status=None))


def read_transcript(delivery: Delivery, data: Fields, meeting: str) -> Reading | Fetch:
    names = ("data", "transcript")
    given = next((name for name in names if data.get(name)), None)
    if given is not None:
        turns = loose_transcript(data.at(given), data.get(given))
    elif delivery.fetched:
        turns = loose_transcript("fetched[0]", answer_of(delivery, 0))
    else:
        address = f"/v1alpha1/meetings/{quote(meeting, safe='')}/transcript"
        return Fetch(address, token_header="x-api-key", token_prefix="")  # noqa: S106 - the name of a header
    names_heard = tuple(dict.fromkeys(turn.speaker for turn in turns if turn.speaker))
    return reading_of(session_of(delivery, meeting, people=names_heard), turns, may_follow=given is None)
