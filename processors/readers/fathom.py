"""Fathom: a meeting when its content is ready. The body is the meeting; there is no envelope and no event.

    {"recording_id", "title", "url", "recording_start_time", …,
     "transcript": [{"speaker": {"display_name", "matched_calendar_invitee_email"}, "text", "timestamp": "HH:MM:SS"}],
     "default_summary": {"markdown_formatted"}, "action_items": [{"description", "completed", "assignee", …}],
     "calendar_invitees": [{"name", "email"}], "recorded_by": {"name", "email"}}

Transcript, summary and action items are there when the webhook was set up to include them. Turns have no end.
"""

from domain.delivery import Delivery, Reading
from domain.session import Turn
from processors.readers.meetings import (
    Item,
    assignee_of,
    clock,
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
from processors.readers.payload import Fields, parse_object

KEPT = (
    *("url", "share_url", "recording_start_time", "recording_end_time", "scheduled_start_time", "scheduled_end_time"),
    *("transcript_language", "meeting_type", "calendar_invitees_domains_type"),
)


def read(delivery: Delivery) -> Reading:
    """The meeting. Raises Unreadable: no_turns when it brings no transcript, summary or action items."""
    body = parse_object(delivery.body)
    turns = turns_of(read_turn(entry) for entry in body.objects("transcript"))
    session = session_of(
        delivery,
        id_of(body, "recording_id", "url"),  # the documented example has no recording_id
        title=body.text("title", "meeting_title"),
        people=people_of([body.object("recorded_by")], body.objects("calendar_invitees")),
        metadata=short_details(body, *KEPT),
    )
    return reading_of(
        session,
        turns,
        summary=body.object("default_summary").text("markdown_formatted"),
        items=items_of(turns, action_items=map(read_item, body.objects("action_items"))),
    )


def read_turn(entry: Fields) -> Turn | None:
    speaker = entry.object("speaker").text("display_name", "matched_calendar_invitee_email")
    return turn_of(speaker, entry.text("text"), seconds=(clock(entry, "timestamp"), None))


def read_item(item: Fields) -> Item:
    return item_of(
        item.text("description"),
        assignee=assignee_of(item),
        completed=True if item.get("completed") is True else None,
        **short_details(item, "recording_timestamp", "recording_playback_url"),
    )
