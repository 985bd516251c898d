"""Vapi: the report at the end of a call, and before it what is said, sentence by sentence.

    {"message": {"type": "end-of-call-report", "call": {"id"}, "startedAt", "endedReason",
                 "artifact": {"messages": [{"role", "message", "time", "endTime", "secondsFromStart"}], "transcript"},
                 "analysis": {"summary", "structuredData"}}}
    {"message": {"type": "transcript", "transcriptType": "final", "role", "transcript", "timestamp", "call": {"id"}}}

Older reports hold `messages`, `transcript` and `summary` at the message itself. `time` and `endTime` are milliseconds
since 1970, at times with a fraction. Partial transcripts are said again when they are final.
"""

from domain.delivery import Delivery, Reading
from domain.errors import UnknownEvent
from domain.session import Turn
from processors.readers.calls import call_of, milliseconds, plain_values, since, spoken, turns_of
from processors.readers.generic import read_text
from processors.readers.payload import Fields, parse_object
from processors.readers.words import details

IGNORED = (
    "assistant-request",
    "assistant.started",
    "call.deleted",
    "call.delete.failed",
    "conversation-update",
    "function-call",
    "handoff-destination-request",
    "hang",
    "knowledge-base-request",
    "language-change-detected",
    "model-output",
    "phone-call-control",
    "speech-update",
    "status-update",
    "tool-calls",
    "transfer-destination-request",
    "transfer-update",
    "user-interrupted",
    "voice-input",
    "voice-request",
)
IGNORED_FAMILIES = ("chat.", "session.")


def read(delivery: Delivery) -> Reading | None:
    message = parse_object(delivery.body).object("message")
    event = message.required_text("type")
    if event == "end-of-call-report":
        return read_report(delivery, message)
    if event.partition("[")[0] == "transcript":
        return read_sentence(delivery, message, final="final" in event)
    if event in IGNORED or event.startswith(IGNORED_FAMILIES):
        return None
    raise UnknownEvent("vapi")


def read_report(delivery: Delivery, message: Fields) -> Reading | None:
    artifact, analysis = message.object("artifact"), message.object("analysis")
    turns = turns_of(artifact.objects("messages") or message.objects("messages"), read_turn)
    if not turns and (text := artifact.text("transcript") or message.text("transcript")):
        turns = read_text(text, ())
    metadata = {
        **details(message, "startedAt", "endedAt", "endedReason", "cost"),
        **details(analysis, "successEvaluation"),
        "structured_data": plain_values(analysis.object("structuredData")),
    }
    return call_of(
        delivery,
        call_id(message),
        turns,
        summary=analysis.text("summary") or message.text("summary"),
        metadata=metadata,
    )


def read_turn(entry: Fields) -> Turn | None:
    begun, ended = milliseconds(entry, "time"), milliseconds(entry, "endTime")
    start, lasted = entry.number("secondsFromStart"), since(begun, ended)
    return spoken(
        entry.text("message", "content"),
        entry.text("role"),
        seconds=(start, None if start is None or lasted is None else start + lasted),
        start_time=begun,
    )


def read_sentence(delivery: Delivery, message: Fields, *, final: bool) -> Reading | None:
    if not final and message.text("transcriptType") != "final":
        return None
    said_at = milliseconds(message, "timestamp") or delivery.received_at
    turn = spoken(message.text("transcript"), message.text("role"), start_time=said_at)
    return call_of(delivery, call_id(message), [turn] if turn else [], extent="live", status=None)


def call_id(message: Fields) -> str | None:
    return message.object("call").text("id")
