"""Read.ai: a report when a meeting has ended.

    {"trigger": "meeting_end", "session_id", "title", "start_time", "end_time", "participants": [{"name", "email"}],
     "owner", "summary", "action_items": [{"text"}], "key_questions": [{"text"}], "topics": [{"text"}], "report_url",
     "platform", "transcript": {"speaker_blocks": [{"start_time", "end_time", "speaker": {"name"}, "words"}]}}

`words` is one text. Times of blocks are instants in milliseconds since 1970, as numbers or texts; some reports have
been seen with seconds, which are told apart by their size.
"""

from collections.abc import Iterator

from domain.delivery import Delivery, Reading
from domain.errors import UnknownEvent
from domain.session import Turn
from processors.readers.meetings import (
    Item,
    epoch,
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

KEPT = ("start_time", "end_time", "report_url", "platform", "platform_meeting_id")


def read(delivery: Delivery) -> Reading | None:
    """The report; None for `meeting_start`, which has no content."""
    body = parse_object(delivery.body)
    trigger = body.text("trigger")
    if trigger == "meeting_start":
        return None
    if trigger != "meeting_end":
        raise UnknownEvent(delivery.source)
    turns = turns_of(read_block(block) for block in body.object("transcript").objects("speaker_blocks"))
    topics = [topic["text"] for topic in texts_of(body, "topics")]
    session = session_of(
        delivery,
        id_of(body, "session_id"),
        title=body.text("title"),
        people=people_of([body.object("owner")], body.objects("participants")),
        metadata=short_details(body, *KEPT) | ({"topics": topics} if topics else {}),
    )
    items = items_of(turns, action_items=texts_of(body, "action_items"), questions=texts_of(body, "key_questions"))
    return reading_of(session, turns, summary=body.text("summary"), items=items)


def read_block(block: Fields) -> Turn | None:
    times = epoch(block, "start_time"), epoch(block, "end_time")
    return turn_of(block.object("speaker").text("name"), block.text("words"), times=times)


def texts_of(body: Fields, name: str) -> Iterator[Item]:
    return (item_of(text) for entry in body.objects(name) if (text := entry.text("text")))
