"""Deepgram's callback: the transcription of a recording, as its API answers it.

    {"metadata": {"request_id", "created", "duration", "channels", "extra"?},
     "results": {"utterances"?: [{"start", "end", "transcript", "speaker"?, "channel"}],
                 "channels": [{"alternatives": [{"transcript", "words": [{"word", "punctuated_word"?, "start", "end",
                               "speaker"?}]}]}], "summary"?: {"short"}}}

Without utterances the words are grouped by speaker. Times are seconds. Of several alternatives the first is read,
which is the most likely. `extra` is not kept, since it may hold the secret by which the callback is known.
"""

from domain.delivery import Delivery, Reading
from domain.errors import Unreadable
from domain.session import SessionDraft, Turn
from processors.readers.captions import Entry
from processors.readers.dialogue import read_dialogue
from processors.readers.payload import Fields, missing, parse_object, session_of_source
from processors.readers.words import details, sentences_of, span, speaker_label, turns_of


def read(delivery: Delivery) -> Reading | None:
    """The turns of a recording; None for a transcription that failed. Raises Unreadable: no_turns."""
    body = parse_object(delivery.body)
    metadata = body.object("metadata")
    request_id = metadata.identifier("request_id") or body.identifier("request_id")
    if body.get("results") is None and body.get("err_code") is not None:
        return None
    if request_id is None:
        raise missing("metadata.request_id")
    if body.get("results") is None:
        raise missing("results")
    results = body.object("results")
    turns, summary = turns_of_results(results), summary_of(results)
    if not turns and not summary:
        raise Unreadable("There is nothing to keep: no words were recognised.", code="no_turns")
    return Reading(
        SessionDraft(
            session_of_source(delivery, request_id),
            status="completed",
            metadata=details(metadata, "created", "duration", "channels"),
        ),
        turns=turns,
        format="dialogue" if any(turn.speaker for turn in turns) else "transcript",
        summary=summary,
        extent="whole",
    )


def turns_of_results(results: Fields) -> tuple[Turn, ...]:
    channels = results.objects("channels")
    utterances = results.objects("utterances")
    if utterances:
        several = len(channels) > 1 or len({utterance.number("channel") for utterance in utterances}) > 1
        return turns_of(entry for utterance in utterances if (entry := entry_of_utterance(utterance, several)))
    sentences: list[Entry] = []
    for number, channel in enumerate(channels):
        if alternatives := channel.objects("alternatives"):
            sentences += sentences_of_channel(alternatives[0], number if len(channels) > 1 else None)
    if len(channels) > 1 and all(sentence.start is not None for sentence in sentences):
        sentences.sort(key=lambda sentence: sentence.start or 0.0)
    if any(sentence.start is not None for sentence in sentences):
        return turns_of(sentences)
    return tuple(
        turn for sentence in sentences for turn in read_dialogue(sentence.text, speaker=sentence.speaker or "")
    )


def entry_of_utterance(utterance: Fields, several: bool) -> Entry | None:
    text = utterance.text("transcript")
    if text is None:
        return None
    channel = utterance.number("channel") if several else None
    return Entry(text, speaker_of(utterance, channel), *span(utterance, "start", "end"))


def sentences_of_channel(alternative: Fields, channel: int | None) -> list[Entry]:
    """The sentences in the words of a channel; its whole text where words are missing."""
    words = [
        Entry(text, speaker_of(word, channel), *span(word, "start", "end"))
        for word in alternative.objects("words")
        if (text := word.text("punctuated_word", "word")) is not None
    ]
    if words:
        return list(sentences_of(words))
    text = alternative.text("transcript")
    return [Entry(text, speaker_of(alternative, channel), None, None)] if text else []


def speaker_of(fields: Fields, channel: float | None) -> str | None:
    """`Speaker 0`; with several channels, where every channel counts its speakers anew, `Channel 1 speaker 0`."""
    speaker = speaker_label(fields, "speaker")
    if channel is None:
        return speaker
    named = f"Channel {channel:.0f}"
    return f"{named} {speaker[0].lower()}{speaker[1:]}" if speaker else named


def summary_of(results: Fields) -> str | None:
    """`summary.short`, which comes when it was asked for."""
    return results.object("summary").text("short") if isinstance(results.get("summary"), dict) else None
