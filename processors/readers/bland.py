"""Bland: the record of a call when it is over.

{"call_id", "started_at", "summary", "concatenated_transcript": lines such as `user: …`,
 "transcripts": [{"user": "user" | "assistant" | "robot" | "agent-action", "text", "created_at"}]}
"""

from datetime import datetime

from domain.delivery import Delivery, Reading
from domain.session import Turn
from processors.readers.calls import call_of, plain_values, since, spoken, turns_of
from processors.readers.generic import read_text
from processors.readers.payload import Fields, parse_object
from processors.readers.words import details


def read(delivery: Delivery) -> Reading | None:
    body = parse_object(delivery.body)
    begin = body.instant("started_at") or body.instant("created_at")
    turns = turns_of(body.objects("transcripts"), lambda entry: turn_of(entry, begin))
    if not turns and (text := body.text("concatenated_transcript")):
        turns = read_text(text, ())
    metadata = {
        **details(body, "started_at", "end_at", "corrected_duration", "status", "answered_by", "call_ended_by"),
        "variables": plain_values(body.object("variables")),
    }
    return call_of(
        delivery, body.required_text("call_id", "c_id"), turns, summary=body.text("summary"), metadata=metadata
    )


def turn_of(entry: Fields, begin: datetime | None) -> Turn | None:
    said_at = entry.instant("created_at")
    return spoken(entry.text("text"), entry.text("user"), seconds=(since(begin, said_at), None), start_time=said_at)
