"""Read.ai: a report in one body."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import UnknownEvent
from tests.processors.meeting import (
    check_any_part_may_be_wrong,
    check_bodies_of_others,
    check_many_turns,
    found,
    items,
    outcome,
    planned,
    recorded,
)
from tests.processors.sent import deliver, reading_of, refusal

START = datetime(2026, 3, 2, 9, 0, 20, tzinfo=UTC)
# Seconds after START.
SAID = [
    ("Mara Lind", "Good morning. Today is only about the move of the database.", 2.4, 6.8),
    ("Jon Ek", "I ran the import twice over the weekend. It took forty minutes each time.", 7.3, 12.9),
    ("Mara Lind", "Forty minutes of downtime is more than we promised.", 13.7, 17.3),
    ("Sam Okafor", "We promised fifteen in the notice to customers.", 18.4, 21.6),
    ("Jon Ek", "With logical replication we would be at about two minutes.", 22.1, 26.1),
    ("Sam Okafor", "What does that need on the old server?", 26.9, 30.1),
    ("Jon Ek", "A restart with a changed setting, once, at night.", 31.2, 34.8),
    ("Mara Lind", "Who has done that before?", 35.3, 37.3),
    ("Sam Okafor", "I have, at my last job. It is boring when it is prepared.", 38.1, 43.3),
    ("Mara Lind", "Boring is what I want to hear.", 44.4, 47.2),
    ("Jon Ek", "The sequences have to be copied by hand afterwards.", 47.7, 51.3),
    ("Sam Okafor", "Right, that is the one thing people forget.", 52.1, 55.3),
    ("Mara Lind", "Let's go with logical replication then.", 56.4, 58.8),
    ("Jon Ek", "Fine with me. I write the runbook.", 59.3, 62.1),
    ("Sam Okafor", "Can we rehearse it on the staging system?", 62.9, 66.1),
    ("Mara Lind", "Yes, on Wednesday, with both of you.", 67.2, 70.0),
    ("Jon Ek", "Action item: Sam prepares the staging server by Tuesday.", 70.5, 74.1),
    ("Sam Okafor", "Okay, I have it on my list.", 74.9, 77.7),
    ("Mara Lind", "What happens if the lag does not go down?", 78.8, 82.4),
    ("Jon Ek", "Then we stop, and nothing has been lost.", 82.9, 86.1),
    ("Mara Lind", "Good. I tell support about the window.", 86.9, 89.7),
]


def test_a_report_is_read_turn_by_turn() -> None:
    reading = recorded("readai", "meeting_end")
    assert [(t.speaker, t.role, t.text, t.start_time, t.end_time) for t in reading.turns] == [
        (speaker, "other", text, START + timedelta(seconds=start), START + timedelta(seconds=end))
        for speaker, text, start, end in SAID
    ]
    assert {(t.start_seconds, t.end_seconds) for t in reading.turns} == {(None, None)}
    assert (reading.extent, reading.session.status) == ("whole", "completed")
    assert found(reading, "decision") == [("Logical replication", "Mara Lind")]
    assert ("Sam prepares the staging server by Tuesday", "Jon Ek") in found(reading, "action_item")


def test_the_session_is_the_meeting() -> None:
    session = recorded("readai", "meeting_end").session
    assert (session.id, session.title) == ("readai-01JX3Q5W8Z", "Moving the database")
    assert session.participants == (
        {"name": "Mara Lind", "email": "mara@example.test"},
        "Jon Ek",
        {"name": "Sam Okafor", "email": "sam@example.test"},
    )
    assert (session.metadata["platform"], session.metadata["topics"]) == ("meet", ["Downtime", "Replication"])
    assert recorded("readai", "texts_and_seconds").session.id == session.id


def test_summary_items_and_questions_are_the_senders() -> None:
    reading = recorded("readai", "meeting_end")
    assert reading.summary == "The database is moved by logical replication."
    assert items(reading) == [
        ("question", {"text": "What happens if the lag does not go down?"}),
        ("action_item", {"text": "Prepare the staging server"}),
        ("action_item", {"text": "Write the runbook"}),
    ]
    question = reading.memories[0]
    assert (question.speaker, question.turn, question.quote) == ("Mara Lind", 18, question.title)
    assert [title for title, _ in planned(reading)] == ["Prepare the staging server", "Write the runbook"]


def test_times_are_numbers_or_texts_in_milliseconds_or_seconds() -> None:
    turns = recorded("readai", "texts_and_seconds").turns
    at = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    assert [(t.speaker, t.start_time, t.end_time) for t in turns] == [
        ("Jon Ek", at + timedelta(seconds=7), at + timedelta(seconds=9.5)),
        ("Mara Lind", at + timedelta(seconds=10), at + timedelta(seconds=12)),
        ("", at + timedelta(seconds=13), None),  # its end is before its start
    ]


def test_the_start_of_a_meeting_has_nothing_to_keep_and_other_events_are_unknown() -> None:
    assert outcome("readai", "meeting_start") is None
    for body in ({}, {"trigger": "meeting_paused"}, {"type": "recording_added"}):
        assert isinstance(refusal(deliver("readai", body)), UnknownEvent)


def report(blocks: Any) -> dict[str, Any]:
    return {"trigger": "meeting_end", "session_id": "S", "transcript": {"speaker_blocks": blocks}}


@pytest.mark.parametrize(
    ("blocks", "path"),
    [
        ([{"words": ["Hi"]}], "words"),
        ([{"words": "Hi", "speaker": "Jon"}], "speaker"),
        ([{"words": "Hi", "start_time": "soon"}], "start_time"),
        ([{"words": "Hi", "start_time": 1e300}], "start_time"),
        ([{"words": "Hi", "end_time": "9" * 19}], "end_time"),
        ([{"words": "Hi", "end_time": {}}], "end_time"),
    ],
)
def test_a_wrong_block_is_named_by_its_path(blocks: Any, path: str) -> None:
    error = refusal(deliver("readai", report(blocks)))
    assert error.code == "wrong_type"
    assert f"`transcript.speaker_blocks[0].{path}`" in error.message


@pytest.mark.parametrize("blocks", [None, [], [{"words": None}, {"words": " "}]])
def test_nothing_said_is_refused(blocks: Any) -> None:
    assert refusal(deliver("readai", report(blocks))).code == "no_turns"


def test_what_is_no_time_of_our_days_is_left_out() -> None:
    blocks = [{"words": "Hi", "start_time": 0, "end_time": -5}, {"words": "Yo", "start_time": "", "end_time": None}]
    turns = reading_of(deliver("readai", report(blocks))).turns
    assert [(t.start_time, t.end_time) for t in turns] == [(None, None), (None, None)]


def test_many_turns_in_any_script() -> None:
    check_many_turns(lambda talk: deliver("readai", report([{"speaker": {"name": s}, "words": t} for s, t in talk])))


def test_any_part_may_be_wrong() -> None:
    check_any_part_may_be_wrong("readai", "meeting_end")
    check_bodies_of_others("readai")
