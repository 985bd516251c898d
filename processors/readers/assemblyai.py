"""AssemblyAI: what a streaming session said, and the notice that a recording is transcribed.

    streaming     {"session_id", "messages": [{"type": "Turn", "turn_order", "transcript", "speaker_label"?,
                   "end_of_turn", "turn_is_formatted", "words": [{"text", "start", "end"}]}]}
    pre-recorded  {"transcript_id", "status": "completed" or "error"}; the transcript is fetched from
                  GET /v2/transcript/ID: {"status", "text", "utterances"?, "words"?, "summary"?, "audio_duration", …}

All times are milliseconds. Without speaker labels nobody is named.
"""

from urllib.parse import quote

from domain.delivery import Delivery, Fetch, Reading
from domain.errors import Unreadable
from domain.session import SessionDraft, Turn
from processors.readers.captions import Entry
from processors.readers.dialogue import bounded, read_dialogue, role_of
from processors.readers.payload import Fields, missing, parse_object, session_of_source
from processors.readers.words import details, sentences_of, span, speaker_label, turns_of

MILLISECONDS = 1000.0


def read(delivery: Delivery) -> Reading | Fetch | None:
    """The turns of a session or recording; None for a transcription that failed.

    Raises Unreadable: no_turns when nothing was said, fetch_pending when the transcript is not finished.
    """
    body = parse_object(delivery.body)
    transcript_id = body.identifier("transcript_id")
    if transcript_id is not None:
        return read_recording(delivery, body, transcript_id)
    if body.get("session_id") is None and body.get("messages") is None:
        raise missing("transcript_id")
    return read_stream(delivery, body)


def read_stream(delivery: Delivery, body: Fields) -> Reading:
    session_id = session_of_source(delivery, body.identifier("session_id"))
    turns = bounded(turn for message in final_turns(body) if (turn := turn_of_message(message)) is not None)
    return reading_of(SessionDraft(session_id, status="completed"), turns)


def final_turns(body: Fields) -> list[Fields]:
    """The turns in their order, each once: formatted rather than plain, ended rather than going on."""
    messages = [message for message in body.objects("messages") if message.text("type") in ("Turn", None)]
    best: dict[object, Fields] = {}
    for place, message in enumerate(messages):
        order = message.number("turn_order")
        name = ("at", place) if order is None else order
        if name not in best or finality(message) >= finality(best[name]):
            best[name] = message
    if all(isinstance(name, float) for name in best):
        return sorted(best.values(), key=lambda message: message.number("turn_order") or 0.0)
    return list(best.values())


def finality(message: Fields) -> tuple[bool, bool]:
    return message.get("end_of_turn") is not False, message.get("turn_is_formatted") is True


def turn_of_message(message: Fields) -> Turn | None:
    text = message.text("transcript", "utterance")
    if text is None:
        return None
    spans = [span(word, "start", "end", per_second=MILLISECONDS) for word in message.objects("words")]
    start = next((start for start, _ in spans if start is not None), None)
    end = next((end for _, end in reversed(spans) if end is not None), None)
    if start is not None and end is not None and end < start:
        end = None
    speaker = speaker_label(message, "speaker_label") or ""
    return Turn(speaker, text, role_of(speaker), start_seconds=start, end_seconds=end)


def read_recording(delivery: Delivery, body: Fields, transcript_id: str) -> Reading | Fetch | None:
    if body.text("status") == "error":
        return None
    if not delivery.fetched:
        return Fetch(f"/v2/transcript/{quote(transcript_id, safe='')}", token_prefix="")
    answer = parse_object(delivery.fetched[0])
    status = answer.text("status")
    if status == "error":
        return None
    if status in ("queued", "processing"):
        raise Unreadable("The transcript is announced but not finished; replay it later.", code="fetch_pending")
    metadata = details(answer, "audio_duration", "language_code", "speech_model")
    session = SessionDraft(session_of_source(delivery, transcript_id), status="completed", metadata=metadata)
    return reading_of(session, turns_of_answer(answer), answer.text("summary"))


def turns_of_answer(answer: Fields) -> tuple[Turn, ...]:
    """From utterances where speakers were told apart, else from words, else from the text alone."""
    utterances = list(entries_of(answer, "utterances"))
    if utterances:
        return turns_of(utterances)
    words = list(entries_of(answer, "words"))
    if words:
        return turns_of(sentences_of(words))
    text = answer.text("text")
    return read_dialogue(text) if text else ()


def entries_of(answer: Fields, name: str) -> list[Entry]:
    return [
        Entry(text, speaker_label(part, "speaker", "channel"), *span(part, "start", "end", per_second=MILLISECONDS))
        for part in answer.objects(name)
        if (text := part.text("text")) is not None
    ]


def reading_of(session: SessionDraft, turns: tuple[Turn, ...], summary: str | None = None) -> Reading:
    if not turns and not summary:
        raise Unreadable("There is nothing to keep: no words were recognised.", code="no_turns")
    named = any(turn.speaker for turn in turns)
    return Reading(session, turns=turns, format="dialogue" if named else "transcript", summary=summary, extent="whole")
