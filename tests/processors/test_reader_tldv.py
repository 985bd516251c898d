"""tl;dv: a meeting that is ready, and its transcript, which comes with its event or is fetched."""

from typing import Any

import pytest

from domain.delivery import Fetch
from domain.errors import UnknownEvent
from tests.processors.meeting import (
    check_any_part_may_be_wrong,
    check_bodies_of_others,
    check_many_turns,
    found,
    outcome,
    recorded,
)
from tests.processors.sent import deliver, reading_of, refusal, rows, said

SAID = [
    ("Aylin Kaya", "Shall we wait for the others?", 2.4, 4.8),
    ("Ben Moor", "No, they are at the dentist, both of them.", 5.3, 8.9),
    ("Aylin Kaya", "Both? What a coincidence.", 9.7, 11.3),
    ("Ben Moor", "It is the same dentist, they share the car.", 12.4, 16.0),
    ("Aylin Kaya", "Okay. Then about the new office.", 16.5, 18.9),
    ("Ben Moor", "I saw two places yesterday. One at the station, one at the river.", 19.7, 24.9),
    ("Aylin Kaya", "How large are they?", 26.0, 27.6),
    ("Ben Moor", "Two hundred and two hundred and sixty square metres.", 28.1, 31.7),
    ("Aylin Kaya", "And the rent?", 32.5, 33.7),
    ("Ben Moor", "Almost the same, since the river one is older.", 34.8, 38.4),
    ("Aylin Kaya", "How is the internet there?", 38.9, 40.9),
    ("Ben Moor", "Fibre in both. I asked twice.", 41.7, 44.1),
    ("Aylin Kaya", "And the way to work for most of us?", 45.2, 48.8),
    ("Ben Moor", "The station is better for everybody but you.", 49.3, 52.5),
    ("Aylin Kaya", "Ha. I can live with that.", 53.3, 55.7),
    ("Ben Moor", "Then we've decided on the office at the station.", 56.8, 60.4),
    ("Aylin Kaya", "Yes. Can we still change the floor?", 60.9, 63.7),
    ("Ben Moor", "Until we sign, they said.", 64.5, 66.5),
    ("Aylin Kaya", "Action item: Ben asks for the contract by Monday.", 67.6, 71.2),
    ("Ben Moor", "Sure, I write to them today.", 71.7, 74.1),
    ("Aylin Kaya", "And I look for a moving company.", 74.9, 77.7),
    ("Ben Moor", "Very good. See you tomorrow.", 78.8, 80.8),
]


@pytest.mark.parametrize(("name", "answers"), [("TranscriptReady", []), ("TranscriptReady.announced", ["transcript"])])
def test_the_transcript_is_read_turn_by_turn(name: str, answers: list[str]) -> None:
    reading = recorded("tldv", name, *answers)
    assert rows(reading) == [(speaker, "other", text, start, end) for speaker, text, start, end in SAID]
    assert (reading.extent, reading.session.status) == ("whole", "completed")
    assert reading.session.id == "tldv-696104f8b00d8300141a5b7c"
    assert reading.session.participants == ("Aylin Kaya", "Ben Moor")
    assert found(reading, "decision") == [("The office at the station", "Ben Moor")]
    assert ("Ben asks for the contract by Monday", "Aylin Kaya") in found(reading, "action_item")


def test_a_meeting_that_is_ready_tells_title_and_people() -> None:
    reading = recorded("tldv", "MeetingReady")
    session = reading.session
    assert (session.id, session.title, session.status) == ("tldv-696104f8b00d8300141a5b7c", "New office", None)
    assert session.participants == (
        {"name": "Aylin Kaya", "email": "aylin@example.test"},
        {"name": "Ben Moor", "email": "ben@example.test"},
    )
    assert session.metadata["happenedAt"] == "2026-03-02T09:00:20.000Z"
    assert (reading.turns, reading.extent) == ((), "part")


def test_a_transcript_that_is_only_announced_is_fetched() -> None:
    assert outcome("tldv", "TranscriptReady.announced") == Fetch(
        "/v1alpha1/meetings/696104f8b00d8300141a5b7c/transcript",
        token_header="x-api-key",
        token_prefix="",
    )


def test_other_events_are_unknown_and_an_event_must_name_its_meeting() -> None:
    for body in ({}, {"event": "MeetingDeleted"}, {"trigger": "TranscriptReady"}):
        assert isinstance(refusal(deliver("tldv", body)), UnknownEvent)
    for event in ("MeetingReady", "TranscriptReady"):
        assert refusal(deliver("tldv", {"event": event, "data": {}})).code == "missing_field"


def ready(transcript: Any) -> dict[str, Any]:
    return {"event": "TranscriptReady", "data": {"meetingId": "m", "data": transcript}}


@pytest.mark.parametrize(
    ("transcript", "turns"),
    [
        ("Ben: Hello.\nAylin: Hi.", [("Ben", "Hello."), ("Aylin", "Hi.")]),
        (["Ben: Hello.", "Aylin: Hi."], [("Ben", "Hello."), ("Aylin", "Hi.")]),
        ([{"speaker": {"name": "Ben"}, "text": "Hello."}, {"text": "Hi."}], [("Ben", "Hello."), ("", "Hi.")]),
    ],
)
def test_transcripts_of_any_plain_form(transcript: Any, turns: list[tuple[str, str]]) -> None:
    assert said(reading_of(deliver("tldv", ready(transcript)))) == turns


@pytest.mark.parametrize(
    ("transcript", "path"),
    [
        (7, "data.data"),
        ([7], "data.data[0]"),
        ([{"text": []}], "data.data[0].text"),
        ([{"text": "Hi", "startTime": "later"}], "data.data[0].startTime"),
    ],
)
def test_a_wrong_transcript_is_named_by_its_path(transcript: Any, path: str) -> None:
    error = refusal(deliver("tldv", ready(transcript)))
    assert error.code == "wrong_type"
    assert f"`{path}`" in error.message


@pytest.mark.parametrize("answer", [{"data": []}, {}, [], "", [{"text": None}]])
def test_an_empty_answer_is_refused(answer: Any) -> None:
    error = refusal(deliver("tldv", ready([]), (answer,)))
    assert (error.code, error.retry) == ("no_turns", True)


def test_times_may_be_huge_or_go_backwards() -> None:
    transcript = [{"text": "a", "startTime": 9, "endTime": 8}, {"text": "b", "startTime": 2.5, "endTime": 1e308}]
    turns = reading_of(deliver("tldv", ready(transcript))).turns
    assert [(t.start_seconds, t.end_seconds) for t in turns] == [(9, None), (2.5, 1e308)]


def test_many_turns_in_any_script() -> None:
    check_many_turns(lambda talk: deliver("tldv", ready([{"speaker": s, "text": t} for s, t in talk])))


def test_any_part_may_be_wrong() -> None:
    check_any_part_may_be_wrong("tldv", "MeetingReady")
    check_any_part_may_be_wrong("tldv", "TranscriptReady")
    check_any_part_may_be_wrong("tldv", "TranscriptReady.announced", "transcript")
    check_bodies_of_others("tldv")
