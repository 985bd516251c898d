"""Circleback: a meeting in one body."""

from typing import Any

import pytest

from tests.processors.meeting import (
    check_any_part_may_be_wrong,
    check_bodies_of_others,
    check_many_turns,
    found,
    items,
    planned,
    recorded,
)
from tests.processors.sent import deliver, reading_of, refusal, rows

SAID = [
    ("Lena Vogt", "Hi, is this still a good time for you?", 2.4, None),
    ("Jon Ek", "It is. I have the contract open in front of me.", 6.5, None),
    ("Lena Vogt", "Great. Most of it is the standard text from last year.", 11.7, None),
    ("Jon Ek", "My only worry is the notice period of six months.", 17.2, None),
    ("Lena Vogt", "I can see that. Three months is what others have.", 21.7, None),
    ("Jon Ek", "Three months would be fine for us.", 26.5, None),
    ("Lena Vogt", "Let me write that down. What about the number of seats?", 30.4, None),
    ("Jon Ek", "We have forty people today, and will be sixty in the autumn.", 35.3, None),
    ("Lena Vogt", "Then the step at fifty matters to you.", 40.9, None),
    ("Jon Ek", "Exactly. Can we start with forty and grow?", 45.2, None),
    ("Lena Vogt", "Yes, you only pay from the month in which you grow.", 48.9, None),
    ("Jon Ek", "Do you still offer the yearly discount?", 54.1, None),
    ("Lena Vogt", "Twelve percent when it is paid in advance.", 58.0, None),
    ("Jon Ek", "We decided to pay yearly, our finance team prefers it.", 61.7, None),
    ("Lena Vogt", "Wonderful, then I put that into the offer.", 66.5, None),
    ("Jon Ek", "When could we start the trial?", 70.8, None),
    ("Lena Vogt", "On Monday, if I get the list of names.", 73.7, None),
    ("Jon Ek", "Action item: I send you the list of names by Friday.", 78.1, None),
    ("Lena Vogt", "And I send the changed contract today.", 83.6, None),
    ("Jon Ek", "One more thing, is the data kept in Europe?", 86.9, None),
    ("Lena Vogt", "It is, in Frankfurt, and that is in the contract too.", 91.3, None),
    ("Jon Ek", "Then I have no more questions.", 96.8, None),
]


def test_a_meeting_is_read_turn_by_turn() -> None:
    reading = recorded("circleback", "meeting")
    assert rows(reading) == [(speaker, "other", text, start, end) for speaker, text, start, end in SAID]
    assert (reading.extent, reading.session.status) == ("whole", "completed")
    assert found(reading, "decision") == [("Pay yearly, our finance team prefers it", "Jon Ek")]
    assert ("I send you the list of names by Friday", "Jon Ek") in found(reading, "action_item")


def test_the_session_is_the_meeting_and_notes_are_its_summary() -> None:
    reading = recorded("circleback", "meeting")
    session = reading.session
    assert (session.id, session.title) == ("circleback-4711", "Contract with Vogt")
    assert session.participants == (
        {"name": "Jon Ek", "email": "jon@example.test"},
        {"name": "Lena Vogt", "email": "lena@example.test"},
    )
    assert (session.metadata["duration"], session.metadata["tags"]) == (190, ["sales", "contract"])
    assert reading.summary == "#### Contract\n* Yearly payment\n* Three months of notice"


def test_action_items_keep_their_assignee_and_done_ones_are_no_tasks() -> None:
    reading = recorded("circleback", "meeting")
    assert items(reading) == [
        (
            "action_item",
            {
                "text": "Send the list of names",
                "description": "For the trial, by Friday",
                "assignee": {"name": "Jon Ek", "email": "jon@example.test"},
            },
        ),
        ("action_item", {"text": "Check where the data is kept", "completed": True}),
    ]
    ((title, memory),) = planned(reading)
    assert title == memory.title == "Send the list of names"
    assert reading.tasks[0].input_data["description"] == "For the trial, by Friday"


def test_notes_may_come_before_the_transcript() -> None:
    reading = recorded("circleback", "notes_only")
    assert (reading.turns, reading.session.id, len(reading.memories)) == ((), "circleback-4712", 2)


def meeting(transcript: Any) -> dict[str, Any]:
    return {"id": 1, "transcript": transcript}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (meeting([{"text": 1}]), "transcript[0].text"),
        (meeting([{"text": "Hi", "speaker": {"name": "Jon"}}]), "transcript[0].speaker"),
        (meeting([{"text": "Hi", "timestamp": "later"}]), "transcript[0].timestamp"),
        (meeting({"text": "Hi"}), "transcript"),
        ({**meeting([]), "id": [1]}, "id"),
        ({**meeting([]), "actionItems": ["x"]}, "actionItems[0]"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(given: Any, path: str) -> None:
    error = refusal(deliver("circleback", given))
    assert error.code == "wrong_type"
    assert f"`{path}`" in error.message


@pytest.mark.parametrize("given", [{}, meeting(None), meeting([{"text": None}])])
def test_nothing_said_is_refused(given: Any) -> None:
    assert refusal(deliver("circleback", given)).code == "no_turns"


def test_times_may_be_texts_huge_or_go_backwards() -> None:
    transcript = [{"text": "a", "timestamp": time} for time in ("7.25", 1e308, 3, "01:02")]
    turns = reading_of(deliver("circleback", meeting(transcript))).turns
    assert [turn.start_seconds for turn in turns] == [7.25, 1e308, 3, 62]


def test_many_turns_in_any_script() -> None:
    check_many_turns(lambda talk: deliver("circleback", meeting([{"speaker": s, "text": t} for s, t in talk])))


def test_any_part_may_be_wrong() -> None:
    check_any_part_may_be_wrong("circleback", "meeting")
    check_bodies_of_others("circleback")
