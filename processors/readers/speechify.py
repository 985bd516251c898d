"""Speechify voice agents: a conversation when it is over.

{"event": "conversation.completed", "conversation": {"id", "started_at", …},
 "messages": [{"role": "user" | "assistant", "content", "started_at"}],
 "evaluations": [{"kind": "criterion" | "data", "name", "passed", "data": {"value"}}]}
"""

from datetime import datetime
from typing import Any

from domain.delivery import Delivery, Reading
from domain.errors import UnknownEvent
from domain.session import Turn
from processors.readers.calls import call_of, since, spoken, turns_of
from processors.readers.payload import Fields, parse_object
from processors.readers.words import details


def read(delivery: Delivery) -> Reading | None:
    body = parse_object(delivery.body)
    if body.required_text("event") != "conversation.completed":
        raise UnknownEvent("speechify")
    talk = body.object("conversation")
    begin = talk.instant("started_at")
    metadata = {
        **details(talk, "agent_id", "status", "duration_ms", "started_at", "ended_at"),
        "evaluations": dict(map(read_evaluation, body.objects("evaluations"))),
    }
    turns = turns_of(body.objects("messages"), lambda entry: turn_of(entry, begin))
    return call_of(delivery, talk.text("id"), turns, metadata=metadata)


def turn_of(entry: Fields, begin: datetime | None) -> Turn | None:
    said_at = entry.instant("started_at")
    return spoken(entry.text("content"), entry.text("role"), seconds=(since(begin, said_at), None), start_time=said_at)


def read_evaluation(evaluation: Fields) -> tuple[str, Any]:
    """What the sender found by its own rules, by name: a value, or whether a criterion was met."""
    name = evaluation.text("name", "id") or ""
    data = evaluation.get("data")
    value = data.get("value") if isinstance(data, dict) else evaluation.get("passed")
    return name, value if isinstance(value, str | int | float) else None
