"""Retell: a call when it ended, again when it was analysed, and on demand while it goes on.

    {"event": "call_analyzed", "call": {"call_id", "start_timestamp": milliseconds since 1970, "transcript": text,
        "transcript_object": [{"role": "agent" | "user" | "transfer_target", "content",
                               "words": [{"word", "start": seconds, "end"}]}],
        "call_analysis": {"call_summary", "custom_analysis_data"}}}

`transcript_updated` tells all that was said so far. A call's scrubbed, earlier and later transcripts are left alone.
"""

from datetime import datetime

from domain.delivery import Delivery, Reading
from domain.errors import UnknownEvent
from domain.session import Turn
from processors.readers.calls import after, call_of, milliseconds, plain_values, spoken, turns_of
from processors.readers.generic import read_text
from processors.readers.payload import Fields, parse_object
from processors.readers.words import details

ENDED = ("call_ended", "call_analyzed", "chat_ended", "chat_analyzed")
IGNORED = (
    "call_started",
    "chat_started",
    "transfer_started",
    "transfer_bridged",
    "transfer_cancelled",
    "transfer_ended",
)


def read(delivery: Delivery) -> Reading | None:
    body = parse_object(delivery.body)
    event = body.required_text("event")
    if event in IGNORED:
        return None
    if event not in (*ENDED, "transcript_updated"):
        raise UnknownEvent("retell")
    call = body.object("chat") if event.startswith("chat") and body.get("chat") else body.object("call")
    begin = milliseconds(call, "start_timestamp")
    turns = turns_of(
        call.objects("transcript_object") or call.objects("message_with_tool_calls"),
        lambda entry: turn_of(entry, begin),
    )
    if not turns and (text := call.text("transcript")):
        turns = read_text(text, ())
    own_id = call.text("call_id", "chat_id")
    if event == "transcript_updated":
        # Without times nothing tells a sentence from the same one told again; the end of the call brings them all.
        timed = all(turn.start_seconds is not None for turn in turns)
        return call_of(delivery, own_id, turns if timed else (), extent="live", status=None)
    analysis = call.object("call_analysis") if call.get("call_analysis") else call.object("chat_analysis")
    metadata = {
        **details(call, "agent_id", "agent_name", "call_type", "direction", "duration_ms", "disconnection_reason"),
        **details(analysis, "user_sentiment", "call_successful", "in_voicemail"),
        "custom_analysis": plain_values(analysis.object("custom_analysis_data")),
    }
    return call_of(delivery, own_id, turns, summary=analysis.text("call_summary", "chat_summary"), metadata=metadata)


def turn_of(entry: Fields, begin: datetime | None) -> Turn | None:
    words = entry.objects("words")
    start = words[0].number("start") if words else None
    end = words[-1].number("end") if words else None
    return spoken(entry.text("content"), entry.text("role"), seconds=(start, end), start_time=after(begin, start))
