"""GitHub: its own events, and transcripts of senders that sign as it does."""

from typing import Any

import pytest

from domain.errors import UnknownEvent
from processors.extracting import extract
from processors.readers import ANNOUNCING, read
from tests.growth import grows_evenly
from tests.processors.sent import (
    FORM,
    broken,
    deliver,
    foreign,
    payload,
    reading_of,
    refusal,
    rows,
    said,
    sensible,
    value,
)

TRANSCRIPT = value("github", "transcript.json")


@pytest.mark.parametrize("event", ["ping", "issues", "issue_comment", "push"])
def test_events_of_github_carry_nothing_to_keep(event: str) -> None:
    body = payload("github", f"{event}.json")
    assert read(deliver("github", body, event=event)) is None
    assert read(deliver("github", body, event=f"{event}.opened")) is None
    assert read(deliver("github", b"payload=%7B%7D", content_type=FORM, event=event)) is None
    assert "github" not in ANNOUNCING


def test_a_ping_is_known_without_its_header() -> None:
    assert read(deliver("github", payload("github", "ping.json"))) is None


@pytest.mark.parametrize("event", ["transcript", "issue", "brand_new.created", ""])
def test_an_event_that_nobody_knows_is_told_as_such(event: str) -> None:
    assert isinstance(refusal(deliver("github", payload("github", "issues.json"), event=event)), UnknownEvent)
    assert isinstance(refusal(deliver("github", b"a=b", content_type=FORM, event=event)), UnknownEvent)


def test_a_transcript_in_our_own_form_is_read() -> None:
    reading = reading_of(deliver("github", payload("github", "transcript.json")))
    assert (reading.session.id, reading.session.title, len(reading.turns)) == ("walk-0303", "Dog walk", 22)
    assert rows(reading)[:2] == [
        ("Mara", "user", "Good morning. I am on the dog walk, take notes.", 0.4, 3.4),
        ("Assistant", "assistant", "Listening.", 6.0, 6.3),
    ]
    assert {"decision", "action_item"} <= {m.type for m in extract(reading.turns)}
    assert said(reading_of(deliver("github", {"text": "User: Hi."}, event="push"))) == [("User", "Hi.")]


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({"turns": []}, "no_turns", ""),
        ({"turns": 7}, "wrong_type", "`turns`"),
        ({"turns": [{"text": 7}]}, "wrong_type", "`turns[0].text`"),
        ([], "wrong_type", ""),
        (b"{", "invalid_json", ""),
    ],
)
def test_what_is_wrong_is_named_by_its_path(body: Any, code: str, path: str) -> None:
    error = refusal(deliver("github", body))
    assert error.code == code
    assert path in error.message


def test_every_way_to_break_a_body_and_those_of_others_end_well() -> None:
    for body in (*broken(TRANSCRIPT), *broken(value("github", "issues.json"))):
        for event in ("transcript", "issues"):
            sensible(deliver("github", body, event=event), ends_follow=False)
    for other in foreign("github"):
        sensible(deliver("github", other), ends_follow=False)


def test_time_grows_with_the_turns_in_any_script() -> None:
    def read(count: int) -> None:
        turns = [{"speaker": "דנה", "text": f"שלום 👋🏽 {i}"} for i in range(count)]
        assert len(reading_of(deliver("github", {"turns": turns})).turns) == count

    grows_evenly(read)
