"""Fireflies: an event that names a meeting, which is fetched from the GraphQL API."""

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
    found,
    items,
    outcome,
    planned,
    recorded,
)
from tests.processors.sent import deliver, payload, reading_of, refusal, rows

# Sentences of one speaker that follow one another are one turn.
SAID = [
    (
        "Mara Lind",
        "Let us look at the numbers of the newsletter. The last one was opened by thirty-one percent.",
        2.4,
        9.7,
    ),
    ("Jon Ek", "That is down from thirty-six in the spring.", 10.5, 13.7),
    ("Priya Nair", "The subject line was very long this time. On phones people saw only half of it.", 14.8, 21.7),
    ("Mara Lind", "How long should it be?", 22.5, 24.5),
    ("Priya Nair", "Under forty characters is a good rule.", 25.6, 28.4),
    ("Jon Ek", "We could test two lines each time.", 28.9, 31.7),
    ("Mara Lind", "Is that much work?", 32.5, 34.1),
    ("Jon Ek", "No, the tool does it by itself. It sends each line to a tenth of the list first.", 35.2, 42.9),
    ("Mara Lind", "I like it.", 43.7, 44.9),
    ("Priya Nair", "What about the day? We always send on Monday morning.", 46.0, 50.0),
    ("Jon Ek", "Tuesday at ten was better in both of our tests.", 50.5, 54.5),
    ("Mara Lind", "Then we decided to send on Tuesdays from now on.", 55.3, 59.3),
    ("Priya Nair", "Good, I change the calendar.", 60.4, 62.4),
    ("Jon Ek", "The unsubscribe page is still the old one.", 62.9, 66.1),
    ("Mara Lind", "It even has the old logo.", 66.9, 69.3),
    ("Priya Nair", "Legal asked about it as well.", 70.4, 72.8),
    ("Mara Lind", "Action item: Jon replaces the unsubscribe page by next Wednesday.", 73.3, 77.3),
    ("Jon Ek", "Okay, that is half a day of work.", 78.1, 81.3),
    ("Priya Nair", "Do we want to clean the list too?", 82.4, 85.6),
    ("Mara Lind", "Not this month.", 86.1, 87.3),
    ("Jon Ek", "Then we are through.", 88.1, 89.7),
]


@pytest.mark.parametrize("name", ["meeting.transcribed", "meeting.summarized", "older_form"])
def test_the_meeting_is_asked_for_by_its_id(name: str) -> None:
    wanted = outcome("fireflies", name)
    assert isinstance(wanted, Fetch)
    assert (wanted.url, wanted.method) == ("/graphql", "POST")
    assert wanted.headers == {"content-type": "application/json"}
    assert (wanted.token_header, wanted.token_prefix) == ("Authorization", "Bearer ")
    asked = json.loads(wanted.body or b"")
    assert asked["variables"] == {"transcriptId": "ASxwZxCstx"}
    assert "transcript(id: $transcriptId)" in asked["query"]


def test_a_bot_that_joins_has_nothing_to_keep_and_other_events_are_unknown() -> None:
    assert outcome("fireflies", "meeting.bot_joined") is None
    for body in ({}, {"event": "meeting.deleted", "meeting_id": "F"}, {"meetingId": "F", "eventType": "Other"}):
        assert isinstance(refusal(deliver("fireflies", body)), UnknownEvent)


def test_sentences_become_turns() -> None:
    reading = recorded("fireflies", "meeting.transcribed", "transcribed")
    assert rows(reading) == [(speaker, "other", text, start, end) for speaker, text, start, end in SAID]
    assert (reading.extent, reading.session.status, reading.summary) == ("whole", "completed", None)
    assert found(reading, "decision") == [("Send on Tuesdays from now on", "Mara Lind")]
    assert ("Jon replaces the unsubscribe page by next Wednesday", "Mara Lind") in found(reading, "action_item")


def test_all_events_are_of_one_session() -> None:
    session = recorded("fireflies", "meeting.transcribed", "transcribed").session
    assert (session.id, session.title) == ("fireflies-ASxwZxCstx", "Newsletter")
    assert session.participants == (
        {"name": "Mara Lind", "email": "mara@example.test"},
        {"name": "Priya Nair", "email": "priya@example.test"},
        {"email": "jon@example.test"},
    )
    assert session.metadata == {
        "duration": 3.4,
        "transcript_url": "https://app.fireflies.ai/view/ASxwZxCstx",
        "organizer_email": "mara@example.test",
        "date": "2026-03-02T09:00:20+00:00",
        "client_reference_id": "newsletter-0302",
    }
    for name in ("meeting.summarized", "older_form"):
        assert recorded("fireflies", name, "summarized").session.id == session.id


def test_the_summary_and_its_items_by_assignee() -> None:
    reading = recorded("fireflies", "meeting.summarized", "summarized")
    assert reading.summary == "The newsletter moves to Tuesdays."
    page = {"text": "Replace the unsubscribe page", "assignee": "Jon Ek", "recording_timestamp": "01:17"}
    lines = {"text": "Test two subject lines", "assignee": "Jon Ek", "recording_timestamp": "00:28"}
    calendar = {"text": "Change the calendar", "recording_timestamp": "01:05"}
    assert items(reading) == [("action_item", page), ("action_item", lines), ("action_item", calendar)]
    assert [title for title, _ in planned(reading)] == [page["text"], lines["text"], calendar["text"]]


def test_a_transcript_that_is_not_there_yet_is_asked_for_again() -> None:
    event = payload("fireflies", "meeting.transcribed.json")
    for answer in (payload("fireflies", "fetched/errors.json"), {"data": None}, {"errors": [{"message": "No"}]}, {}):
        error = refusal(deliver("fireflies", event, (answer,)))
        assert (error.code, error.retry) == ("fetch_pending", True)


def test_an_event_must_name_its_meeting() -> None:
    assert refusal(deliver("fireflies", {"event": "meeting.transcribed"})).code == "missing_field"
    assert refusal(deliver("fireflies", {"event": "meeting.transcribed", "meeting_id": {}})).code == "wrong_type"


def answered(**transcript: Any) -> Delivery:
    event = {"event": "meeting.transcribed", "meeting_id": "F"}
    return deliver("fireflies", event, ({"data": {"transcript": {"id": "F", **transcript}}},))


def test_times_are_numbers_or_texts_and_may_go_backwards() -> None:
    sentences = [
        {"text": "a", "speaker_name": "A", "start_time": "7.5", "end_time": "6"},
        {"text": "b", "speaker_name": "B", "start_time": 2, "end_time": 1e308},
        {"text": None, "raw_text": "c", "speaker_id": 4, "start_time": "00:01:00", "end_time": None},
        {"text": "d", "speaker_id": None, "speaker_name": " "},
    ]
    assert rows(reading_of(answered(sentences=sentences))) == [
        ("A", "other", "a", 7.5, None),
        ("B", "other", "b", 2, 1e308),
        ("Speaker 4", "other", "c", 60, None),
        ("", "other", "d", None, None),
    ]


@pytest.mark.parametrize(
    ("transcript", "code", "path"),
    [
        ({"sentences": "Hi"}, "wrong_type", "sentences"),
        ({"sentences": [{"text": ["Hi"]}]}, "wrong_type", "sentences[0].text"),
        ({"sentences": [{"text": "Hi", "start_time": "x"}]}, "wrong_type", "sentences[0].start_time"),
        ({"summary": {"action_items": 3}}, "wrong_type", "summary.action_items"),
        ({"date": 1e300}, "wrong_type", "date"),
    ],
)
def test_a_wrong_field_of_the_answer_is_named_by_its_path(transcript: Any, code: str, path: str) -> None:
    error = refusal(answered(**transcript))
    assert error.code == code
    assert f"`fetched[0].data.transcript.{path}`" in error.message


def test_an_answer_that_is_no_json_or_says_nothing_is_refused() -> None:
    event = payload("fireflies", "meeting.transcribed.json")
    assert refusal(deliver("fireflies", event, (b"<html>",))).code == "invalid_json"
    assert refusal(deliver("fireflies", event, ([],))).code == "wrong_type"
    assert refusal(answered(sentences=[])).code == "no_turns"


def test_many_turns_in_any_script() -> None:
    check_many_turns(lambda talk: answered(sentences=[{"speaker_name": s, "text": t} for s, t in talk]))


def test_any_part_may_be_wrong() -> None:
    check_any_part_may_be_wrong("fireflies", "meeting.summarized", "summarized")
    check_bodies_of_others("fireflies")
    assert isinstance(read(deliver("fireflies", {"event": "meeting.transcribed", "meeting_id": 5})), Fetch)
