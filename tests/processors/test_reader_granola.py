"""Granola: an event that names a note; note and transcript are fetched, the transcript in pages."""

from datetime import UTC, datetime, timedelta
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
    outcome,
    recorded,
)
from tests.processors.sent import deliver, payload, reading_of, refusal, said

START = datetime(2026, 3, 2, 9, 0, 20, tzinfo=UTC)
# Seconds after START.
SAID = [
    ("Mara Lind", "Thank you for making the time today.", 2.4, 5.2),
    ("Others", "Of course. I was curious to see what has changed.", 5.7, 9.7),
    ("Mara Lind", "I will share the screen in a moment. First, how is your week?", 10.5, 15.7),
    ("Others", "Busy. Two of our drivers are ill, so I am driving myself.", 16.8, 21.6),
    ("Mara Lind", "Then I will keep it short.", 22.1, 24.5),
    ("Others", "I appreciate it.", 25.3, 26.5),
    ("Mara Lind", "You asked for a way to see all the tours of one day.", 27.6, 32.8),
    ("Others", "Yes, at the moment we print them and pin them to the wall.", 33.3, 38.5),
    ("Mara Lind", "Here is the new board. Every column is a driver.", 39.3, 43.3),
    ("Others", "Can I move a stop from one driver to another?", 44.4, 48.4),
    ("Mara Lind", "You just drag it, and both phones are updated.", 48.9, 52.5),
    ("Others", "Oh, that is what we were missing.", 53.3, 56.1),
    ("Mara Lind", "Would you like to try it with your own data?", 57.2, 61.2),
    ("Others", "Yes. But not in December, that is our worst month.", 61.7, 65.7),
    ("Mara Lind", "January then. Which depot should be first?", 66.5, 69.3),
    ("Others", "Okay, we decided to begin with the depot in Lund.", 70.4, 74.4),
    ("Mara Lind", "Great. How many drivers are there?", 74.9, 77.3),
    ("Others", "Eleven, and one of them has no smartphone.", 78.1, 81.3),
    ("Mara Lind", "We can lend you one for the trial.", 82.4, 85.6),
    ("Others", "Action item: you send us the trial contract by Friday.", 86.1, 90.1),
    ("Mara Lind", "I will. And I add the price for more than one depot.", 90.9, 95.7),
    ("Others", "Thank you, that saves me a question.", 96.8, 99.6),
]
NOTE = "/v1/notes/not_1d3tmYTlCICgjy"


@pytest.mark.parametrize("name", ["note.generated", "note.edited", "note.access_granted"])
def test_note_and_transcript_are_fetched_page_by_page(name: str) -> None:
    event = payload("granola", f"{name}.json")
    assert outcome("granola", name) == Fetch(NOTE)
    first = Fetch(f"{NOTE}/transcript?page_size=100")
    assert read(deliver("granola", event, fetched("granola", "note"))) == first
    second = Fetch(f"{NOTE}/transcript?page_size=100&cursor=eyJwIjoxMn0%3D")
    assert read(deliver("granola", event, fetched("granola", "note", "page_1"))) == second


def test_the_pages_are_read_turn_by_turn() -> None:
    reading = recorded("granola", "note.generated", "note", "page_1", "page_2")
    assert [(t.speaker, t.role, t.text, t.start_time, t.end_time) for t in reading.turns] == [
        (speaker, "other", text, START + timedelta(seconds=start), START + timedelta(seconds=end))
        for speaker, text, start, end in SAID
    ]
    assert (reading.extent, reading.session.status) == ("whole", "completed")
    assert found(reading, "decision") == [("Begin with the depot in Lund", "Others")]
    assert ("You send us the trial contract by Friday", "Others") in found(reading, "action_item")


def test_the_session_is_the_note() -> None:
    reading = recorded("granola", "note.edited", "note", "page_1", "page_2")
    session = reading.session
    assert (session.id, session.title) == ("granola-not_1d3tmYTlCICgjy", "Depot board")
    assert session.participants == (
        {"name": "Mara Lind", "email": "mara@example.test"},
        {"name": "Olof Berg", "email": "olof@example.test"},
    )
    assert session.metadata == {"web_url": "https://notes.granola.ai/d/1", "created_at": "2026-03-02T10:29:00Z"}
    assert reading.summary == "### Trial\nThe trial begins in Lund."


def test_who_speaks_where_one_microphone_hears_everybody() -> None:
    turns = recorded("granola", "note.generated", "note", "named").turns
    assert [(turn.speaker, turn.text) for turn in turns] == [
        ("Speaker A", "One."),
        ("Mara Lind", "Two."),
        ("Olof Berg", "Three."),
        ("", "Four."),  # a microphone alone tells nobody apart
    ]
    assert turns[1].end_time is None  # it was before the start


def test_a_whole_note_from_zapier() -> None:
    reading = recorded("granola", "zapier")
    assert reading.session.id == "granola-https://notes.granola.ai/d/1"
    assert (reading.session.title, reading.summary) == ("Depot board", "### Trial\n* Begins in Lund")
    assert said(reading) == [("Mara Lind", "Shall we?"), ("Olof Berg", "Yes.")]


def test_other_events_are_unknown_and_an_event_must_name_its_note() -> None:
    for body in ({}, {"event_type": "note.deleted", "note_id": "not_1"}, {"type": "note.generated"}):
        assert isinstance(refusal(deliver("granola", body)), UnknownEvent)
    assert refusal(deliver("granola", {"event_type": "note.generated"})).code == "missing_field"


def test_a_last_page_ends_it_with_or_without_a_cursor() -> None:
    for page in ({"hasMore": False, "cursor": "x"}, {"hasMore": True, "cursor": None}, {"cursor": "x"}):
        assert said(reading_of(answered([{"text": "Hi"}], **page))) == [("", "Hi")]


def answered(transcript: Any, note: Any = None, **page: Any) -> Delivery:
    event = {"event_type": "note.generated", "note_id": "not_1"}
    return deliver("granola", event, (note or {"id": "not_1"}, {"transcript": transcript, **page}))


@pytest.mark.parametrize(
    ("transcript", "path"),
    [
        ("Hi", "transcript"),
        ([{"text": 4}], "transcript[0].text"),
        ([{"text": "Hi", "speaker": "Jon"}], "transcript[0].speaker"),
        ([{"text": "Hi", "start_time": "soon"}], "transcript[0].start_time"),
        ([{"text": "Hi", "start_time": 1e308}], "transcript[0].start_time"),
    ],
)
def test_a_wrong_field_of_a_page_is_named_by_its_path(transcript: Any, path: str) -> None:
    error = refusal(answered(transcript))
    assert error.code == "wrong_type"
    assert f"`fetched[1].{path}`" in error.message


def test_answers_that_say_nothing_are_refused() -> None:
    assert (refusal(answered([])).code, refusal(answered([])).retry) == ("no_turns", True)
    assert refusal(answered([{"text": None}])).code == "no_turns"
    assert (
        refusal(deliver("granola", payload("granola", "note.generated.json"), ({}, b"<html>"))).code == "invalid_json"
    )
    assert reading_of(answered([], {"summary_text": "They met."})).summary == "They met."


def test_times_may_go_backwards() -> None:
    times = ["2026-03-02T09:00:09Z", "2026-03-02T09:00:02Z"]
    turns = reading_of(answered([{"text": "a", "start_time": at} for at in times])).turns
    assert [turn.start_time for turn in turns] == [datetime(2026, 3, 2, 9, 0, s, tzinfo=UTC) for s in (9, 2)]


def test_many_turns_in_any_script() -> None:
    check_many_turns(lambda talk: answered([{"speaker": {"name": s}, "text": t} for s, t in talk]))


def test_any_part_may_be_wrong() -> None:
    check_any_part_may_be_wrong("granola", "note.generated", "note", "page_2")
    check_any_part_may_be_wrong("granola", "zapier")
    check_bodies_of_others("granola")
