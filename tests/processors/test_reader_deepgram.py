"""Deepgram's callback: utterances, words by speaker, channels."""

from typing import Any

import pytest

from processors.extracting import extract
from processors.readers import read
from tests.growth import grows_evenly
from tests.processors.sent import broken, deliver, foreign, payload, reading_of, refusal, rows, said, sensible, value

UTTERANCES = value("deepgram", "utterances.json")
WORDS = value("deepgram", "words.json")


def callback(results: Any, **metadata: Any) -> Any:
    return deliver("deepgram", {"metadata": {"request_id": "r1", **metadata}, "results": results})


def words(*spoken: dict[str, Any], transcript: str = "") -> Any:
    return callback({"channels": [{"alternatives": [{"transcript": transcript, "words": list(spoken)}]}]})


def test_utterances_are_turns() -> None:
    reading = reading_of(deliver("deepgram", payload("deepgram", "utterances.json")))
    assert reading.session.id == "deepgram-a1b2c3d4-0000-4000-8000-00000000000a"
    assert (len(reading.turns), reading.extent, reading.format) == (22, "whole", "dialogue")
    assert reading.session.status == "completed"
    assert rows(reading)[:2] == [
        ("Speaker 0", "other", "Okay, the workshop is empty, let us plan the winter.", 0.4, 3.4),
        ("Speaker 1", "other", "Before that, how many bikes are still waiting?", 6.0, 8.4),
    ]
    found = {(m.type, m.title) for m in extract(reading.turns)}
    assert any(kind == "decision" and "Mondays" in title for kind, title in found)
    assert any(kind == "action_item" and "opening hours" in title for kind, title in found)


def test_the_secret_of_the_callback_is_not_kept() -> None:
    session = reading_of(deliver("deepgram", UTTERANCES)).session
    assert session.metadata == {"created": "2026-03-02T10:10:00.000Z", "duration": 118.2, "channels": 1}


def test_without_utterances_words_are_grouped_by_speaker() -> None:
    reading = reading_of(deliver("deepgram", WORDS))
    assert rows(reading) == [
        ("Speaker 0", "other", "Blue or grey?", 0.4, 1.6),
        ("Speaker 1", "other", "Blue.", 2.0, 2.4),
        ("Speaker 1", "other", "Then we order today.", 6.0, 7.3),
    ]
    assert reading.summary == "They choose blue."
    silent_utterances = {**WORDS["results"], "utterances": []}
    assert said(reading_of(deliver("deepgram", {**WORDS, "results": silent_utterances}))) == said(reading)


def test_words_without_punctuation_end_a_turn_at_a_silence_or_another_speaker() -> None:
    reading = reading_of(
        words(
            {"word": "one", "start": 0, "end": 0.5, "speaker": 0},
            {"word": "two", "start": 1, "end": 1.5, "speaker": 0},
            {"word": "three", "start": 9, "end": 9.5, "speaker": 0},
            {"word": "four", "start": 9.6, "end": 9.9, "speaker": 1},
        )
    )
    assert said(reading) == [("Speaker 0", "one two"), ("Speaker 0", "three"), ("Speaker 1", "four")]


def test_a_monologue_is_cut_between_sentences() -> None:
    spoken = [{"word": f"w{i}" + "." * (i % 10 == 9), "start": i, "end": i + 0.5} for i in range(200)]
    reading = reading_of(words(*spoken))
    assert [len(turn.text.split()) for turn in reading.turns] == [80, 80, 40]
    assert all(turn.text.endswith(".") for turn in reading.turns)


def test_channels_are_speakers_in_the_order_of_time() -> None:
    reading = reading_of(deliver("deepgram", payload("deepgram", "two_channels.json")))
    assert rows(reading) == [
        ("Channel 0", "other", "Hello, garage.", 0.1, 0.9),
        ("Channel 1", "other", "My car is loud.", 2.0, 3.0),
        ("Channel 0", "other", "Tomorrow at nine.", 6.0, 7.0),
    ]
    utterances = [
        {"channel": 0, "speaker": 0, "transcript": "Hello.", "start": 0, "end": 1},
        {"channel": 1, "speaker": 0, "transcript": "Hi.", "start": 1, "end": 2},
    ]
    both = reading_of(callback({"channels": [{}, {}], "utterances": utterances}))
    assert said(both) == [("Channel 0 speaker 0", "Hello."), ("Channel 1 speaker 0", "Hi.")]


def test_a_text_without_words_is_read_in_paragraphs() -> None:
    assert said(reading_of(words(transcript="One.\n\nTwo."))) == [("", "One."), ("", "Two.")]


def test_the_request_id_may_stand_at_the_top() -> None:
    body = {"request_id": "r9", "results": WORDS["results"]}
    assert reading_of(deliver("deepgram", body)).session.id == "deepgram-r9"


def test_a_failed_transcription_carries_nothing() -> None:
    assert read(deliver("deepgram", {"err_code": "BAD_AUDIO", "err_msg": "no audio", "request_id": "r1"})) is None


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({}, "missing_field", "`metadata.request_id`"),
        ({"metadata": {"request_id": "r"}}, "missing_field", "`results`"),
        ({"metadata": {"request_id": "r"}, "results": {}}, "no_turns", ""),
        ({"metadata": {"request_id": "r"}, "results": []}, "wrong_type", "`results`"),
        ({"metadata": 7, "results": {}}, "wrong_type", "`metadata`"),
        (
            {"metadata": {"request_id": "r"}, "results": {"utterances": [{"transcript": "a", "start": "0:01"}]}},
            "wrong_type",
            "`results.utterances[0].start`",
        ),
        (
            {"metadata": {"request_id": "r"}, "results": {"channels": [{"alternatives": [{"words": [{"word": 3}]}]}]}},
            "wrong_type",
            "`results.channels[0].alternatives[0].words[0].word`",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_path(body: Any, code: str, path: str) -> None:
    error = refusal(deliver("deepgram", body))
    assert error.code == code
    assert path in error.message


def test_times_that_run_backwards_and_huge_ones_are_taken_as_they_are() -> None:
    utterances = [
        {"transcript": "late", "start": 90.5, "end": 10, "speaker": 0},
        {"transcript": "early", "start": 1, "end": 2, "speaker": 0},
        {"transcript": "huge", "start": 1e300, "end": 10**300, "speaker": 10**30},
    ]
    assert [row[2:] for row in rows(reading_of(callback({"utterances": utterances})))] == [
        ("late", 90.5, None),
        ("early", 1.0, 2.0),
        ("huge", 1e300, 1e300),
    ]


def test_every_way_to_break_a_body_ends_well() -> None:
    for body in (*broken(UTTERANCES), *broken(WORDS), *broken(value("deepgram", "two_channels.json"))):
        sensible(deliver("deepgram", body))
    for other in foreign("deepgram"):
        sensible(deliver("deepgram", other))


def test_time_grows_with_the_turns_in_any_script() -> None:
    def read(count: int) -> None:
        utterances = [
            {"speaker": i % 2, "transcript": f"שלום 👋🏽 {i}", "start": i, "end": i + 1} for i in range(count)
        ]
        assert len(reading_of(callback({"utterances": utterances})).turns) == count
        spoken = [{"word": f"كلمة{i}؟", "speaker": i % 2, "start": i, "end": i + 1} for i in range(count)]
        assert len(reading_of(words(*spoken)).turns) == count

    grows_evenly(read)
