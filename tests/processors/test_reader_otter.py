"""Otter: a conversation whose inner form is not documented."""

from typing import Any

import pytest

from domain.errors import UnknownEvent
from tests.processors.meeting import (
    check_any_part_may_be_wrong,
    check_bodies_of_others,
    check_many_turns,
    found,
    items,
    planned,
    recorded,
)
from tests.processors.sent import deliver, reading_of, refusal, rows, said

SAID = [
    ("Mara Lind", "Welcome, everybody. This is the review of the summer fair.", 2.0, None),
    ("Tom Reyes", "We had about four hundred visitors, a few more than last year.", 6.0, None),
    ("Mara Lind", "And the weather held until the evening.", 12.0, None),
    ("Ana Costa", "The queue at the food stand was too long again.", 16.0, None),
    ("Tom Reyes", "At the worst point people waited for half an hour.", 20.0, None),
    ("Mara Lind", "What would have helped?", 25.0, None),
    ("Ana Costa", "A second till. The kitchen was not the problem.", 28.0, None),
    ("Tom Reyes", "We could rent one for about sixty euros.", 32.0, None),
    ("Mara Lind", "That is cheap for what it gives us.", 36.0, None),
    ("Ana Costa", "And children could get their own line.", 40.0, None),
    ("Tom Reyes", "I like that.", 44.0, None),
    ("Mara Lind", "So we agreed on a second till for next year.", 46.0, None),
    ("Ana Costa", "Yes, please.", 51.0, None),
    ("Tom Reyes", "The band was asked twice to play more quietly.", 52.0, None),
    ("Mara Lind", "By the same neighbour as always?", 56.0, None),
    ("Tom Reyes", "By the same one, and he was friendly about it.", 60.0, None),
    ("Ana Costa", "We could turn the stage away from the houses.", 64.0, None),
    ("Mara Lind", "Action item: Tom draws a new plan of the stage by October.", 69.0, None),
    ("Tom Reyes", "I can do that.", 75.0, None),
    ("Ana Costa", "Who thanks the volunteers?", 77.0, None),
    ("Mara Lind", "I write to all of them this week.", 79.0, None),
    ("Ana Costa", "Then that is all from me.", 84.0, None),
]


def test_a_conversation_in_otters_text_is_read_turn_by_turn() -> None:
    reading = recorded("otter", "conversation_completed")
    assert rows(reading) == [(speaker, "other", text, start, end) for speaker, text, start, end in SAID]
    assert (reading.extent, reading.session.status) == ("whole", "completed")
    assert found(reading, "decision") == [("A second till for next year", "Mara Lind")]
    assert ("Tom draws a new plan of the stage by October", "Mara Lind") in found(reading, "action_item")


def test_the_session_is_the_conversation() -> None:
    reading = recorded("otter", "conversation_completed")
    session = reading.session
    assert (session.id, session.title) == ("otter-ot_5XkP", "Review of the summer fair")
    assert session.participants == (
        {"name": "Mara Lind", "email": "mara@example.test"},
        {"name": "Tom Reyes", "email": "tom@example.test"},
        {"name": "Ana Costa", "email": "ana@example.test"},
    )
    assert session.metadata == {"url": "https://otter.ai/u/ot_5XkP", "created_at": "2026-03-02T09:31:00Z"}
    assert reading.summary == "There will be a second till next year."
    assert items(reading) == [
        ("action_item", {"text": "Draw a new plan of the stage"}),
        ("action_item", {"text": "Thank the volunteers"}),
    ]
    assert [title for title, _ in planned(reading)] == ["Draw a new plan of the stage", "Thank the volunteers"]


def test_the_older_form_without_meta_and_a_transcript_of_objects() -> None:
    reading = recorded("otter", "older_form")
    assert reading.session.id == "otter-ot_5XkQ"
    assert rows(reading) == [
        ("Tom Reyes", "other", "We had about four hundred visitors.", 2.5, 5),
        ("Ana Costa", "other", "The queue was too long.", 6, None),
    ]
    assert [memory.title for memory in reading.memories] == ["Draw a new plan", "Thank the volunteers"]


def test_relationships_are_read_as_otters_api_has_them() -> None:
    reading = recorded("otter", "relationships")
    assert rows(reading) == [
        ("Mara Lind", "other", "Welcome!", 15, None),
        ("Tom Reyes", "other", "Thank you.", 3723, None),
    ]
    assert items(reading) == [
        ("action_item", {"text": "Draw a new plan", "assignee": {"name": "Tom Reyes", "email": "tom@example.test"}}),
        ("action_item", {"text": "Thank the volunteers", "completed": True}),
    ]
    assert [title for title, _ in planned(reading)] == ["Draw a new plan"]


def talk(transcript: Any) -> dict[str, Any]:
    return {"data": {"id": "o", "transcript": transcript}}


@pytest.mark.parametrize(
    ("transcript", "turns"),
    [
        ("Hello there.", [("", "Hello there.")]),
        (["Tom: Hello.", "Ana: Hi.", "Tom: So."], [("Tom", "Hello."), ("Ana", "Hi."), ("Tom", "So.")]),
        ([{"speaker_name": "Tom", "content": "Hello."}, "Ana says hi."], [("Tom", "Hello."), ("", "Ana says hi.")]),
        ({"segments": [{"speaker": {"name": "Tom"}, "text": "Hello."}]}, [("Tom", "Hello.")]),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\n<v Tom>Hello.", [("Tom", "Hello.")]),
    ],
)
def test_transcripts_of_any_plain_form(transcript: Any, turns: list[tuple[str, str]]) -> None:
    assert said(reading_of(deliver("otter", talk(transcript)))) == turns


def test_other_events_are_unknown() -> None:
    body = {"meta": {"webhook": {"event": "conversation_shared"}}, **talk("Hi")}
    assert isinstance(refusal(deliver("otter", body)), UnknownEvent)


@pytest.mark.parametrize(
    ("transcript", "path"),
    [
        (7, "data.transcript"),
        ([7], "data.transcript[0]"),
        ([{"text": "a"}, {"text": 7}], "data.transcript[1].text"),
        ({"data": [{"text": "a", "start": "x"}]}, "data.transcript.data[0].start"),
    ],
)
def test_a_wrong_transcript_is_named_by_its_path(transcript: Any, path: str) -> None:
    error = refusal(deliver("otter", talk(transcript)))
    assert error.code == "wrong_type"
    assert f"`{path}`" in error.message


@pytest.mark.parametrize("given", [{}, talk(None), talk([]), talk(" "), talk({}), talk([{"text": None}])])
def test_nothing_said_is_refused(given: Any) -> None:
    assert refusal(deliver("otter", given)).code == "no_turns"


def test_many_turns_in_any_script() -> None:
    check_many_turns(lambda lines: deliver("otter", talk([{"speaker": s, "text": t} for s, t in lines])))


def test_any_part_may_be_wrong() -> None:
    for name in ("conversation_completed", "older_form", "relationships"):
        check_any_part_may_be_wrong("otter", name)
    check_bodies_of_others("otter")
