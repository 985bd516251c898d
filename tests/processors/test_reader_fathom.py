"""Fathom: a meeting in one body."""

from typing import Any

import pytest

from domain.errors import Unreadable
from processors.readers import read
from tests.processors.meeting import (
    check_any_part_may_be_wrong,
    check_bodies_of_others,
    check_many_turns,
    found,
    items,
    planned,
    recorded,
)
from tests.processors.sent import deliver, reading_of, refusal, rows, said, value

SAID = [
    ("Jon Ek", "Can everybody hear me? I had some trouble with the headset.", 2.0, None),
    ("Mara Lind", "Loud and clear. Shall we start with the bathroom?", 7.0, None),
    ("Jon Ek", "Yes. The tiler wants an answer by Friday at the latest.", 11.0, None),
    ("Mara Lind", "Remind me, how many samples do we still have?", 17.0, None),
    ("Jon Ek", "Three. Slate grey, sand, and the blue one from the small shop.", 21.0, None),
    ("Mara Lind", "The grey looked cold in the evening light.", 26.0, None),
    ("Jon Ek", "I thought so too. And sand shows every drop of water.", 31.0, None),
    ("Priya Nair", "From the budget side all three are within four percent of each other.", 36.0, None),
    ("Mara Lind", "Good, then price is not the argument.", 42.0, None),
    ("Priya Nair", "Delivery is. Blue takes nine days, the others fifteen.", 46.0, None),
    ("Jon Ek", "Nine days would keep the plumber on schedule.", 50.0, None),
    ("Mara Lind", "Okay, we've decided to take the blue tiles.", 54.0, None),
    ("Priya Nair", "Noted. I will update the sheet tonight.", 58.0, None),
    ("Jon Ek", "How much should we order on top for breakage?", 61.0, None),
    ("Mara Lind", "Ten percent is what the tiler asked for last time.", 66.0, None),
    ("Jon Ek", "Then it is thirty-three square metres.", 71.0, None),
    ("Mara Lind", "Action item: Jon orders the tiles by Thursday.", 74.0, None),
    ("Jon Ek", "Will do. I call them right after this.", 78.0, None),
    ("Priya Nair", "One question is open. Who signs for the delivery?", 82.0, None),
    ("Mara Lind", "I am at home all of next week, so I can.", 86.0, None),
    ("Jon Ek", "Perfect. Then we are done early for once.", 91.0, None),
    ("Mara Lind", "Thanks, both. Talk to you on Friday.", 96.0, None),
]


def test_a_meeting_is_read_turn_by_turn() -> None:
    reading = recorded("fathom", "meeting")
    assert rows(reading) == [(speaker, "other", text, start, end) for speaker, text, start, end in SAID]
    assert (reading.extent, reading.format, reading.session.status) == ("whole", "dialogue", "completed")
    assert found(reading, "decision") == [("Take the blue tiles", "Mara Lind")]
    assert ("Jon orders the tiles by Thursday", "Mara Lind") in found(reading, "action_item")


def test_the_session_is_the_recording() -> None:
    session = recorded("fathom", "meeting").session
    assert (session.id, session.title) == ("fathom-94413100", "Bathroom tiles")
    assert session.participants == (
        {"name": "Mara Lind", "email": "mara@example.test"},
        {"name": "Jon Ek", "email": "jon@example.test"},
        {"name": "Priya Nair", "email": "priya@example.test"},
    )
    assert session.metadata["recording_start_time"] == "2026-03-02T09:00:20Z"
    assert recorded("fathom", "without_transcript").session.id == session.id


def test_summary_and_action_items_are_the_senders() -> None:
    reading = recorded("fathom", "meeting")
    assert reading.summary == "## Summary\nBlue tiles were chosen, since they arrive in nine days."
    first, second = items(reading)
    assert first == (
        "action_item",
        {
            "text": "Order the tiles",
            "assignee": {"name": "Jon Ek", "email": "jon@example.test"},
            "recording_timestamp": "00:01:31",
            "recording_playback_url": "https://fathom.video/calls/94413100#t=91",
        },
    )
    assert second[1]["completed"] is True
    assert [title for title, _ in planned(reading)] == ["Order the tiles"]


def test_a_meeting_without_transcript_keeps_summary_and_items() -> None:
    reading = recorded("fathom", "without_transcript")
    assert (reading.turns, len(reading.memories), len(reading.tasks)) == ((), 2, 1)
    assert reading.summary


def test_the_documented_form_without_an_id_and_speakers_without_a_name() -> None:
    reading = recorded("fathom", "documented")
    assert reading.session.id == "fathom-https://fathom.video/calls/94413100"
    assert rows(reading) == [
        ("Jon Ek", "other", "Blue it is.", 7, None),
        ("ana@example.test", "other", "I order them.", 3723, None),
    ]


def body(turns: Any) -> dict[str, Any]:
    return {"recording_id": 1, "transcript": turns}


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        (body([{"speaker": "Jon", "text": "Hi"}]), "wrong_type", "transcript[0].speaker"),
        (body([{"text": 5}]), "wrong_type", "transcript[0].text"),
        (body([{"text": "Hi", "timestamp": "soon"}]), "wrong_type", "transcript[0].timestamp"),
        (body("Hi"), "wrong_type", "transcript"),
        ({**body([]), "action_items": [{"description": "x", "assignee": 7}]}, "wrong_type", "action_items[0].assignee"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(given: Any, code: str, path: str) -> None:
    error = refusal(deliver("fathom", given))
    assert error.code == code
    assert f"`{path}`" in error.message


@pytest.mark.parametrize("given", [{}, body(None), body([]), body([{"text": None}, {"text": " "}, None])])
def test_nothing_said_is_refused(given: Any) -> None:
    assert refusal(deliver("fathom", given)).code == "no_turns"


def test_times_may_go_backwards() -> None:
    turns = [{"text": "b", "timestamp": "00:00:09"}, {"text": "a", "timestamp": "00:00:02"}]
    assert [turn.start_seconds for turn in reading_of(deliver("fathom", body(turns))).turns] == [9, 2]


def test_many_turns_in_any_script() -> None:
    def delivery(talk: list[tuple[str, str]]) -> Any:
        return deliver(
            "fathom", body([{"speaker": {"display_name": s}, "text": t, "timestamp": "99:59:59"} for s, t in talk])
        )

    assert check_many_turns(delivery).turns[0].start_seconds == 359_999


def test_any_part_may_be_wrong() -> None:
    check_any_part_may_be_wrong("fathom", "meeting")
    check_bodies_of_others("fathom")
    with pytest.raises(Unreadable):
        read(deliver("fathom", value("circleback", "meeting.json")))


def test_the_url_may_name_the_session() -> None:
    given = deliver("fathom", body([{"text": "Hi"}]), session_id="tiles")
    assert (reading_of(given).session.id, said(reading_of(given))) == ("tiles", [("", "Hi")])
