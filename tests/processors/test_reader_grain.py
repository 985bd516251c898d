"""Grain: an event that names a recording; recording and transcript are fetched."""

import json
from typing import Any

import pytest

from domain.delivery import Delivery, Fetch
from domain.errors import UnknownEvent
from processors.readers import read
from tests.processors.meeting import (
    check_any_part_may_be_wrong,
    check_bodies_of_others,
    check_many_turns,
    fetched,
    found,
    items,
    outcome,
    planned,
    recorded,
)
from tests.processors.sent import deliver, payload, reading_of, refusal, rows

RECORDING = "/v2/recordings/b5185ccb-9a08-458c-9be1-db17a03fb14c"
SAID = [
    ("Obi Lang", "Hello, can you see my slides?", 2.4, 4.8),
    ("Dana Roth", "I can. The first one says onboarding.", 5.3, 8.1),
    ("Obi Lang", "Right. We lose a third of the new users on the second page.", 8.9, 14.1),
    ("Dana Roth", "Is that the page that asks for the team?", 15.2, 18.8),
    ("Obi Lang", "Yes. Most of them have no team yet.", 19.3, 22.5),
    ("Dana Roth", "Then the question comes too early.", 23.3, 25.7),
    ("Obi Lang", "That is my guess as well.", 26.8, 29.2),
    ("Dana Roth", "What would happen without the page?", 29.7, 32.1),
    ("Obi Lang", "We would name the team after the person and let them change it.", 32.9, 38.1),
    ("Dana Roth", "I would not miss it.", 39.2, 41.2),
    ("Obi Lang", "Sales uses the field to find larger companies.", 41.7, 44.9),
    ("Dana Roth", "They can get the same from the address of the mail.", 45.7, 50.1),
    ("Obi Lang", "Good point, I had not thought of that.", 51.2, 54.4),
    ("Dana Roth", "Then we've decided to drop the team page.", 54.9, 58.1),
    ("Obi Lang", "Agreed. That is two days of work for me.", 58.9, 62.5),
    ("Dana Roth", "Do we measure it properly this time?", 63.6, 66.4),
    ("Obi Lang", "With half of the new users, for two weeks.", 66.9, 70.5),
    ("Dana Roth", "Action item: Obi sets up the experiment by the twelfth.", 71.3, 75.3),
    ("Obi Lang", "Yes, I put it on the board.", 76.4, 79.2),
    ("Dana Roth", "Who tells sales?", 79.7, 80.9),
    ("Obi Lang", "Could you? They listen to you.", 81.7, 84.1),
    ("Dana Roth", "Ha, fine. I talk to them on Monday.", 85.2, 88.4),
]


@pytest.mark.parametrize("name", ["recording_added", "recording_updated"])
def test_recording_and_transcript_are_fetched(name: str) -> None:
    first = outcome("grain", name)
    assert isinstance(first, Fetch)
    assert (first.url, first.method) == (RECORDING, "POST")
    assert first.headers == {"public-api-version": "2025-10-31", "content-type": "application/json"}
    asked = json.loads(first.body or b"")
    assert asked == {"include": {"participants": True, "ai_summary": True, "ai_action_items": True}}
    second = read(deliver("grain", payload("grain", f"{name}.json"), fetched("grain", "recording")))
    assert second == Fetch(f"{RECORDING}/transcript", headers={"public-api-version": "2025-10-31"})


def test_the_transcript_is_read_turn_by_turn() -> None:
    reading = recorded("grain", "recording_added", "recording", "transcript")
    assert rows(reading) == [(speaker, "other", text, start, end) for speaker, text, start, end in SAID]
    assert (reading.extent, reading.session.status) == ("whole", "completed")
    assert found(reading, "decision") == [("Drop the team page", "Dana Roth")]
    assert ("Obi sets up the experiment by the twelfth", "Dana Roth") in found(reading, "action_item")


def test_the_session_is_the_recording_with_its_summary_and_items() -> None:
    reading = recorded("grain", "recording_updated", "recording", "transcript")
    session = reading.session
    assert (session.id, session.title) == ("grain-b5185ccb-9a08-458c-9be1-db17a03fb14c", "Onboarding")
    assert session.participants == ({"name": "Obi Lang", "email": "obi@example.test"}, "Dana Roth")
    assert session.metadata["start_datetime"] == "2026-03-02T09:00:20Z"
    assert reading.summary == "The team page is dropped."
    assert items(reading) == [
        ("action_item", {"text": "Set up the experiment", "assignee": "Obi Lang"}),
        ("action_item", {"text": "Share the slides", "completed": True}),
    ]
    assert [title for title, _ in planned(reading)] == ["Set up the experiment"]


def test_what_else_happens_has_nothing_to_keep() -> None:
    assert outcome("grain", "recording_deleted") is None
    assert outcome("grain", "highlight_added") is None
    assert read(deliver("grain", {})) is None  # sent when the hook is made
    for event in ("story_updated", "upload_status"):
        assert read(deliver("grain", {"type": event, "data": {}})) is None


def test_other_events_are_unknown_and_an_event_must_name_its_recording() -> None:
    for body in ({"user_id": "u"}, {"type": "meeting_ended"}, {"event": "recording_added"}):
        assert isinstance(refusal(deliver("grain", body)), UnknownEvent)
    assert refusal(deliver("grain", {"type": "recording_added", "data": {}})).code == "missing_field"


def answered(transcript: Any, recording: Any = None) -> Delivery:
    event = {"type": "recording_added", "data": {"id": "g/1"}}
    return deliver("grain", event, (recording or {"id": "g/1"}, transcript))


def test_an_id_stays_one_part_of_the_address() -> None:
    wanted = read(deliver("grain", {"type": "recording_added", "data": {"id": "g/../1"}}))
    assert isinstance(wanted, Fetch)
    assert wanted.url == "/v2/recordings/g%2F..%2F1"


@pytest.mark.parametrize(
    ("transcript", "path"),
    [
        ({"transcript": []}, "fetched[1]"),
        (["Hi"], "fetched[1][0]"),
        ([{"text": 1}], "fetched[1][0].text"),
        ([{"text": "Hi", "start": "1"}], "fetched[1][0].start"),
        ([{"text": "Hi", "speaker": {}}], "fetched[1][0].speaker"),
    ],
)
def test_a_wrong_field_of_the_transcript_is_named_by_its_path(transcript: Any, path: str) -> None:
    error = refusal(answered(transcript))
    assert error.code == "wrong_type"
    assert f"`{path}`" in error.message


def test_answers_that_say_nothing_are_refused() -> None:
    assert (refusal(answered([])).code, refusal(answered([])).retry) == ("no_turns", True)  # may be announced early
    assert refusal(answered([{"text": None, "start": 1}])).code == "no_turns"
    assert refusal(answered(b"\xff")).code == "invalid_utf8"
    assert reading_of(answered([], {"ai_summary": {"text": "They met."}})).summary == "They met."


def test_times_may_be_huge_or_go_backwards() -> None:
    transcript = [{"text": "a", "start": 9000, "end": 8000}, {"text": "b", "start": 2500, "end": 1e308}]
    turns = reading_of(answered(transcript)).turns
    assert [(t.start_seconds, t.end_seconds) for t in turns] == [(9, None), (2.5, 1e305)]


def test_many_turns_in_any_script() -> None:
    check_many_turns(lambda talk: answered([{"speaker": s, "text": t} for s, t in talk]))


def test_any_part_may_be_wrong() -> None:
    check_any_part_may_be_wrong("grain", "recording_added", "recording", "transcript")
    check_bodies_of_others("grain")
