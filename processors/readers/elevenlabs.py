"""ElevenLabs agents: the transcript after a call, with its analysis.

    {"type": "post_call_transcription", "event_timestamp",
     "data": {"conversation_id", "agent_name", "metadata": {"start_time_unix_secs"},
              "transcript": [{"role": "user" | "agent", "message": text or null, "time_in_call_secs"}],
              "analysis": {"transcript_summary", "call_summary_title", "data_collection_results": {key: {"value"}}}}}

The message is null on turns that only call tools. Audio, and calls that did not come about, carry nothing to keep.
"""

from domain.delivery import Delivery, Reading
from domain.errors import UnknownEvent
from domain.session import Turn
from processors.readers.calls import after, call_of, plain_values, spoken, turns_of, unix_seconds
from processors.readers.payload import Fields, parse_object
from processors.readers.words import details

TRANSCRIPTS = ("post_call_transcription", "unredacted_transcript")
IGNORED = (
    "post_call_audio",
    "unredacted_audio",
    "call_initiation_failure",
    "answering_machine_detection",
    "voice_removal_notice",
    "voice_removal_notice_withdrawn",
    "voice_removal_completed",
)


def read(delivery: Delivery) -> Reading | None:
    body = parse_object(delivery.body)
    event = body.required_text("type")
    if event in IGNORED:
        return None
    if event not in TRANSCRIPTS:
        raise UnknownEvent("elevenlabs")
    data = body.object("data")
    about, analysis = data.object("metadata"), data.object("analysis")
    begin = unix_seconds(about, "start_time_unix_secs")
    names = {"assistant": data.text("agent_name") or ""}

    def turn(entry: Fields) -> Turn | None:
        start = entry.number("time_in_call_secs")
        return spoken(
            entry.text("message"),
            entry.text("role"),
            names=names,
            seconds=(start, None),
            start_time=after(begin, start),
        )

    metadata = {
        **details(data, "agent_id", "user_id", "status"),
        **details(about, "call_duration_secs", "termination_reason", "main_language"),
        **details(analysis, "call_successful"),
        "data_collection": plain_values(analysis.object("data_collection_results")),
    }
    return call_of(
        delivery,
        data.text("conversation_id"),
        turns_of(data.objects("transcript"), turn),
        title=analysis.text("call_summary_title"),
        summary=analysis.text("transcript_summary"),
        metadata=metadata,
    )
