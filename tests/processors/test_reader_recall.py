"""Recall.ai: segments while a meeting goes on, and the transcript that is fetched when it is done."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.delivery import Fetch
from domain.errors import UnknownEvent
from processors.readers import read
from tests.processors.meeting import (
    check_any_part_may_be_wrong,
    check_bodies_of_others,
    check_many_turns,
    fetched,
    found,
    outcome,
    recorded,
)
from tests.processors.sent import deliver, payload, reading_of, refusal, rows, value

SAID = [
    ("Jon Ek", "Okay, the recording has started.", 2.4, 4.4),
    ("Mara Lind", "Good. We only have to settle the date of the launch.", 4.9, 9.3),
    ("Jon Ek", "The stores need about five days for their review.", 10.1, 13.7),
    ("Participant 3", "Sometimes it is only two, but I would not count on it.", 14.8, 19.6),
    ("Mara Lind", "And marketing wants a Tuesday.", 20.1, 22.1),
    ("Jon Ek", "The ninth is a Tuesday.", 22.9, 24.9),
    ("Participant 3", "The ninth is also the day of the big conference.", 26.0, 30.0),
    ("Mara Lind", "Then nobody would notice us.", 30.5, 32.5),
    ("Jon Ek", "A week later is the sixteenth.", 33.3, 35.7),
    ("Participant 3", "I am on holiday from the eighteenth.", 36.8, 39.6),
    ("Mara Lind", "Two days are enough to see whether something burns.", 40.1, 43.7),
    ("Jon Ek", "Do we have the translations by then?", 44.5, 47.3),
    ("Participant 3", "All but the Portuguese one.", 48.4, 50.4),
    ("Mara Lind", "Can we add that one afterwards?", 50.9, 53.3),
    ("Participant 3", "Yes, it needs no new version.", 54.1, 56.5),
    ("Mara Lind", "Then we've decided to launch on the sixteenth.", 57.6, 60.8),
    ("Jon Ek", "I block the release branch on the tenth.", 61.3, 64.5),
    ("Mara Lind", "Action item: Jon submits the build to both stores by the tenth.", 65.3, 70.1),
    ("Jon Ek", "Got it.", 71.2, 72.0),
    ("Participant 3", "I write the release notes tomorrow.", 72.5, 74.9),
    ("Mara Lind", "Lovely. Anything else?", 75.7, 76.9),
    ("Jon Ek", "No, that was all.", 78.0, 79.6),
]


def test_a_segment_is_a_turn_of_the_bots_session() -> None:
    reading = recorded("recall", "transcript.data")
    assert rows(reading) == [("Jon Ek", "other", "Okay, the recording has started.", 2.4, 4.4)]
    assert (reading.extent, reading.session.id, reading.session.status) == ("live", "recall-b-77", None)
    assert reading.session.participants == ("Jon Ek",)
    assert reading.session.metadata == {"bot_id": "b-77", "recording_id": "r-31c", "project": "launch"}


def test_a_participant_without_a_name_goes_by_number() -> None:
    assert recorded("recall", "transcript.data.unnamed").turns[0].speaker == "Participant 3"
    unknown = segment([{"text": "Hi"}], participant=None)
    assert rows(reading_of(deliver("recall", unknown))) == [("", "other", "Hi", None, None)]


def test_the_whole_transcript_is_fetched_in_two_steps() -> None:
    done = payload("recall", "transcript.done.json")
    assert outcome("recall", "transcript.done") == Fetch("/api/v1/transcript/t-8f1/", token_prefix="Token ")
    file = read(deliver("recall", done, fetched("recall", "transcript")))
    assert file == Fetch("https://files.example.test/t-8f1.json?signature=abc", token_header="", token_prefix="")


def test_the_whole_transcript_is_read_turn_by_turn() -> None:
    reading = recorded("recall", "transcript.done", "transcript", "file")
    assert rows(reading) == [(speaker, "other", text, start, end) for speaker, text, start, end in SAID]
    assert reading.turns[0].start_time == datetime(2026, 3, 2, 9, 0, 22, 400_000, tzinfo=UTC)
    assert (reading.extent, reading.session.id, reading.session.status) == ("whole", "recall-b-77", "completed")
    assert reading.session.participants == ("Jon Ek", "Mara Lind", "Participant 3")
    assert found(reading, "decision") == [("Launch on the sixteenth", "Mara Lind")]
    assert ("Jon submits the build to both stores by the tenth", "Mara Lind") in found(reading, "action_item")


def test_a_transcript_that_is_not_there_yet_is_asked_for_again() -> None:
    error = refusal(deliver("recall", payload("recall", "transcript.done.json"), fetched("recall", "not_ready")))
    assert (error.code, error.retry) == ("fetch_pending", True)


def test_an_id_stays_one_part_of_the_address() -> None:
    body = {"event": "transcript.done", "data": {"transcript": {"id": "../bot?x=1"}}}
    assert read(deliver("recall", body)) == Fetch(
        "/api/v1/transcript/..%2Fbot%3Fx%3D1/",
        token_prefix="Token ",
    )


@pytest.mark.parametrize("name", ["transcript.partial_data", "recording.done", "bot.done"])
def test_other_doings_of_the_bot_have_nothing_to_keep(name: str) -> None:
    assert outcome("recall", name) is None


def test_other_events_are_unknown() -> None:
    for body in ({}, {"event": "transcript.rewritten"}, {"event": "call.ended"}):
        assert isinstance(refusal(deliver("recall", body)), UnknownEvent)


def segment(words: Any, participant: Any = "Jon") -> dict[str, Any]:
    who = {"id": 1, "name": participant} if participant else None
    return {"event": "transcript.data", "data": {"data": {"words": words, "participant": who}, "bot": {"id": "b"}}}


def stamped(text: Any, start: Any, end: Any) -> dict[str, Any]:
    return {"text": text, "start_timestamp": {"relative": start}, "end_timestamp": {"relative": end}}


@pytest.mark.parametrize(
    ("words", "code", "path"),
    [
        (None, "missing_field", "words"),
        ("Hi", "wrong_type", "words"),
        ([stamped(5, 0, 1)], "wrong_type", "words[0].text"),
        ([stamped("Hi", "now", 1)], "wrong_type", "words[0].start_timestamp.relative"),
        ([{"text": "Hi", "start_timestamp": 3}], "wrong_type", "words[0].start_timestamp"),
    ],
)
def test_wrong_words_are_named_by_their_path(words: Any, code: str, path: str) -> None:
    error = refusal(deliver("recall", segment(words)))
    assert error.code == code
    assert f"`data.data.{path}`" in error.message


def test_a_segment_without_words_has_nothing_to_keep() -> None:
    assert read(deliver("recall", segment([]))) is None
    assert read(deliver("recall", segment([stamped(None, 0, 1), stamped(" ", 1, 2)]))) is None


def test_times_may_be_huge_or_go_backwards() -> None:
    (turn,) = reading_of(deliver("recall", segment([stamped("a", 9, 10), stamped("b", 1e308, 2)]))).turns
    assert (turn.text, turn.start_seconds, turn.end_seconds) == ("a b", 9, None)


def test_a_desktop_recording_is_its_own_session() -> None:
    body = segment([{"text": "Hi"}])
    body["data"] |= {"bot": None, "recording": {"id": "r-5"}}
    assert reading_of(deliver("recall", body)).session.id == "recall-r-5"


def test_an_empty_file_is_refused() -> None:
    done, link = payload("recall", "transcript.done.json"), value("recall", "fetched/transcript.json")
    for file, code in (
        ([], "no_turns"),
        ({}, "wrong_type"),
        (b"<html>", "invalid_json"),
        ([{"words": 1}], "wrong_type"),
    ):
        assert refusal(deliver("recall", done, (link, file))).code == code


def test_many_turns_in_any_script() -> None:
    done, link = payload("recall", "transcript.done.json"), value("recall", "fetched/transcript.json")
    check_many_turns(
        lambda talk: deliver(
            "recall", done, (link, [{"participant": {"name": s}, "words": [{"text": t}]} for s, t in talk])
        )
    )


def test_any_part_may_be_wrong() -> None:
    check_any_part_may_be_wrong("recall", "transcript.data")
    check_any_part_may_be_wrong("recall", "transcript.done", "transcript", "file")
    check_bodies_of_others("recall")
