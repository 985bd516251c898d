"""Synthflow: a call when it is over, its transcript as one text of `bot:` and `human:` lines.

    {"status", "lead": {"name"}, "call": {"call_id", "transcript", "duration", "end_call_reason", …},
     "executed_actions": {…}, "collected_variables": {name: {"value"}} or null}

In some deliveries the fields of the call are at the top.
"""

from domain.delivery import Delivery, Reading
from processors.readers.calls import call_of, plain_values
from processors.readers.generic import read_text
from processors.readers.payload import parse_object
from processors.readers.words import details


def read(delivery: Delivery) -> Reading | None:
    body = parse_object(delivery.body)
    call = body.object("call") if body.get("call") is not None else body
    text = call.text("transcript")
    metadata = {
        **details(call, "start_time", "duration", "end_call_reason", "model_id", "status"),
        **details(body.object("lead"), "name"),
        "collected": plain_values(body.object("collected_variables")),
    }
    return call_of(delivery, call.required_text("call_id"), read_text(text, ()) if text else (), metadata=metadata)
