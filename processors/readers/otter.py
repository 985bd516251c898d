"""Otter: a conversation of a workspace when it is completed.

    {"meta": {"webhook": {"event": "conversation_completed"}},
     "data": {"id", "title", "url", "owner", "created_at", "calendar_guests": [{"name", "email"}], "abstract_summary",
              "action_items", "insights", "outline", "transcript"}}

An older form has the fields of `data` at the top. How `transcript` and `action_items` look within is not documented:
text and lists are read alike, also under `relationships`, as Otter's API has them ({"content": text}, {"text",
"assignee", "status"}). Insights and outline stay in the delivery.
"""

from domain.delivery import Delivery, Reading
from domain.errors import UnknownEvent
from processors.readers.meetings import (
    id_of,
    items_of,
    loose_items,
    loose_transcript,
    people_of,
    reading_of,
    session_of,
    short_details,
)
from processors.readers.payload import Fields, parse_object

COMPLETED = "conversation_completed"


def read(delivery: Delivery) -> Reading:
    """The conversation. Raises Unreadable: no_turns when it brings no transcript, summary or action items."""
    body = parse_object(delivery.body)
    event = body.object("meta").object("webhook").text("event")
    if event not in (None, COMPLETED):
        raise UnknownEvent(delivery.source)
    data = body.object("data") if body.get("data") is not None else body
    people = people_of([data.object("owner")], data.objects("calendar_guests"))
    turns = loose_transcript(*found(data, "transcript"), people)
    session = session_of(
        delivery,
        id_of(data, "id"),
        title=data.text("title"),
        people=people,
        metadata=short_details(data, "url", "created_at"),
    )
    items = items_of(turns, action_items=loose_items(*found(data, "action_items")))
    return reading_of(session, turns, summary=data.text("abstract_summary"), items=items)


def found(data: Fields, name: str) -> tuple[str, object]:
    """The path and value of a field of the conversation, or of its `relationships`."""
    fields = data if data.get(name) is not None else data.object("relationships")
    return fields.at(name), fields.get(name)
