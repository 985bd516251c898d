"""Circleback: a meeting when its notes are ready.

    {"id", "name", "createdAt", "duration", "url", "tags", "attendees": [{"name", "email"}], "notes",
     "actionItems": [{"id", "title", "description", "assignee": {"name", "email"}, "status": "PENDING" or "DONE"}],
     "transcript": [{"speaker", "text", "timestamp"}], "insights"}

`notes` are Markdown and the summary. Timestamps are seconds from the start; turns have no end. The form of `insights`,
which each customer defines, is not documented; they stay in the delivery.
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


def read(delivery: Delivery) -> Reading:
    """The meeting. Raises Unreadable: no_turns when it brings no transcript, notes or action items."""
    body = parse_object(delivery.body)
    turns = turns_of(read_turn(entry) for entry in body.objects("transcript"))
    tags = list(body.texts("tags"))
    session = session_of(
        delivery,
        id_of(body, "id"),
        title=body.text("name"),
        people=people_of(body.objects("attendees")),
        metadata=short_details(body, "createdAt", "duration", "url", "icalUid") | ({"tags": tags} if tags else {}),
    )
    items = items_of(turns, action_items=map(read_item, body.objects("actionItems")))
    return reading_of(session, turns, summary=body.text("notes"), items=items)


def read_turn(entry: Fields) -> Turn | None:
    return turn_of(entry.text("speaker"), entry.text("text"), seconds=(clock(entry, "timestamp"), None))


def read_item(item: Fields) -> Item:
    return item_of(
        item.text("title", "description"),
        description=item.text("description") if item.text("title") else None,
        assignee=assignee_of(item),
        completed=True if item.get("status") == "DONE" else None,
    )
