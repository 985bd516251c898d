"""Twilio: segments of a call as forms, messages, and transcripts of Conversational Intelligence."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from domain.delivery import Delivery, Fetch
from domain.errors import UnknownEvent
from processors.extracting import extract
from processors.joining import join
from processors.readers import ANNOUNCING, read
from tests.growth import grows_evenly
from tests.processors.sent import (
    FORM,
    WRONG,
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

CALL = "twilio-CA00000000000000000000000000000007"
SID = "GT00000000000000000000000000000001"
NOTICE = value("twilio", "transcript_available.json")
ABOUT = value("twilio", "fetched/transcript.json")
PAGES = (value("twilio", "fetched/sentences_1.json"), value("twilio", "fetched/sentences_2.json"))


def form(fields: dict[str, Any] | bytes) -> Delivery:
    body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
    return deliver("twilio", body, content_type=FORM)


def recorded(name: str) -> Delivery:
    return form(payload("twilio", name))


def content(text: Any, **fields: Any) -> dict[str, Any]:
    return {
        "CallSid": "CA1",
        "TranscriptionEvent": "transcription-content",
        "Track": "inbound_track",
        "Final": "true",
        "TranscriptionData": json.dumps({"transcript": text}),
        **fields,
    }


def sentences(*parts: dict[str, Any], about: Any = ABOUT) -> Delivery:
    return deliver("twilio", NOTICE, (about, {"sentences": list(parts), "meta": {"next_page_url": None}}))


def test_a_segment_is_one_turn_at_its_instant() -> None:
    reading = reading_of(recorded("transcription-content.form"))
    assert reading.session.id == CALL
    assert reading.session.metadata == {"language_code": "en-US"}
    assert rows(reading) == [("Inbound", "user", "I've decided to have both done at once.", None, None)]
    assert reading.turns[0].start_time == datetime(2026, 3, 2, 9, 58, 41, 454203, tzinfo=UTC)
    assert (reading.extent, reading.session.status) == ("live", None)
    other = reading_of(recorded("transcription-content-outbound.form"))
    assert rows(other) == [("Outbound", "other", "That saves you the second trip.", None, None)]
    assert other.session.id == CALL


def test_segments_out_of_order_join_in_order_and_a_repeat_changes_nothing() -> None:
    later = reading_of(recorded("transcription-content-outbound.form"))
    earlier = reading_of(recorded("transcription-content.form"))
    both = join([later, earlier]).turns
    assert [turn.speaker for turn in both] == ["Inbound", "Outbound"]
    assert join([later, earlier, later]).turns == both


@pytest.mark.parametrize(
    "name",
    ["transcription-content-partial.form", "transcription-started.form", "transcription-stopped.form"],
)
def test_callbacks_without_final_words_carry_nothing(name: str) -> None:
    assert read(recorded(name)) is None
    assert read(form(content("  "))) is None
    assert read(form({"CallSid": "CA1", "CallStatus": "completed"})) is None


def test_a_form_is_known_by_its_content_type_with_a_charset_and_by_its_look() -> None:
    body = payload("twilio", "transcription-content.form")
    for content_type in (f"{FORM}; charset=UTF-8", "application/json"):
        assert reading_of(deliver("twilio", body, content_type=content_type)).session.id == CALL


def test_a_message_left_is_said_by_the_caller() -> None:
    reading = reading_of(recorded("voicemail.form"))
    assert rows(reading) == [("Caller", "user", "Hello, please call me back about the van. Thank you.", None, None)]
    assert (reading.session.id, reading.extent) == ("twilio-CA00000000000000000000000000000008", "part")
    assert read(form({"CallSid": "CA1", "TranscriptionStatus": "failed"})) is None


def test_a_transcript_is_fetched_page_by_page_with_basic_credentials() -> None:
    assert "twilio" in ANNOUNCING
    first = read(deliver("twilio", payload("twilio", "transcript_available.json")))
    assert first == Fetch(f"/v2/Transcripts/{SID}", token_prefix="Basic ")
    second = read(deliver("twilio", NOTICE, (ABOUT,)))
    assert isinstance(second, Fetch) and second.url == f"/v2/Transcripts/{SID}/Sentences?PageSize=1000"
    third = read(deliver("twilio", NOTICE, (ABOUT, PAGES[0])))
    assert isinstance(third, Fetch)
    assert third.url == f"/v2/Transcripts/{SID}/Sentences?PageSize=1000&Page=1&PageToken=PAGX16"


def test_a_transcript_is_read_into_the_session_of_its_call() -> None:
    reading = reading_of(deliver("twilio", NOTICE, (ABOUT, *PAGES)))
    assert reading.session.id == CALL
    assert reading.session.participants == ("Otto Berg", "Agent")
    assert reading.session.metadata == {
        "transcript_sid": SID,
        "language_code": "en-US",
        "duration": 130,
        "media_start_time": "2026-03-02T09:58:00Z",
    }
    assert (len(reading.turns), reading.extent, reading.session.status) == (24, "whole", "completed")
    assert rows(reading)[:2] == [
        ("Agent", "other", "Garage Holm, Dana speaking.", 0.84, 2.04),
        ("Otto Berg", "user", "Hello, this is Otto Berg, I brought in the green van yesterday.", 4.64, 8.24),
    ]
    assert rows(reading)[-1][2] == "Until Thursday."
    assert {"decision", "action_item"} <= {m.type for m in extract(reading.turns)}


def test_the_envelope_of_event_streams_is_opened() -> None:
    event = value("twilio", "event_stream.json")
    assert reading_of(deliver("twilio", event, (ABOUT, *PAGES))).session.id == CALL
    assert reading_of(deliver("twilio", event[0], (ABOUT, *PAGES))).session.id == CALL
    assert refusal(deliver("twilio", [*event, *event])).code == "mixed_sessions"
    results = {**event[0], "type": "com.twilio.engagement-intelligence.transcript.operators.results-available"}
    assert read(deliver("twilio", [results])) is None


def test_sentences_of_one_speaker_are_one_turn_and_unknown_channels_are_numbered() -> None:
    reading = reading_of(
        sentences(
            {"media_channel": 1, "start_time": "0.5", "end_time": 1, "transcript": "One."},
            {"media_channel": 1, "start_time": 1.5, "end_time": "2", "transcript": "Two."},
            {"mediaChannel": 3, "startTime": 3, "endTime": 2, "transcript": "Three."},
            {"transcript": " "},
            {"transcript": "Four."},
        )
    )
    assert rows(reading) == [
        ("Otto Berg", "user", "One. Two.", 0.5, 2.0),
        ("Channel 3", "other", "Three.", 3.0, None),
        ("", "other", "Four.", None, None),
    ]


def test_a_transcript_without_its_call_is_a_session_of_its_own() -> None:
    reading = reading_of(sentences({"media_channel": 1, "transcript": "Hi."}, about={}))
    assert (reading.session.id, said(reading)) == (f"twilio-{SID}", [("Channel 1", "Hi.")])


@pytest.mark.parametrize("address", ["https://evil.test/steal", "//evil.test/v2/x", "http://[", "/v1/Calls"])
def test_a_next_page_elsewhere_is_not_followed(address: str) -> None:
    page = {"sentences": [], "meta": {"next_page_url": address}}
    assert refusal(deliver("twilio", NOTICE, (ABOUT, page))).code == "wrong_type"
    there = {"sentences": [], "meta": {"next_page_url": "https://evil.test/v2/Transcripts/x"}}
    wanted = read(deliver("twilio", NOTICE, (ABOUT, there)))
    assert isinstance(wanted, Fetch) and wanted.url == "/v2/Transcripts/x"


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({}, "missing_field", "`transcript_sid`"),
        ([], "wrong_type", "`event`"),
        ({"transcript_sid": 7}, "wrong_type", "`transcript_sid`"),
        ({"data": {}}, "missing_field", "`data.transcript_sid`"),
    ],
)
def test_what_is_wrong_in_a_notice_is_named_by_its_path(body: Any, code: str, path: str) -> None:
    error = refusal(deliver("twilio", body))
    assert error.code == code
    assert path in error.message


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"x": "y"}, "missing_field", "`TranscriptionEvent`"),
        (content("Hi.", CallSid=""), "missing_field", "`CallSid`"),
        (content(None, TranscriptionData=""), "missing_field", "`TranscriptionData`"),
        (content(7), "wrong_type", "`TranscriptionData.transcript`"),
        (content("", TranscriptionData="[1]"), "wrong_type", "`TranscriptionData`"),
        (content("", TranscriptionData="{"), "invalid_json", ""),
        ({"TranscriptionStatus": "completed"}, "no_turns", ""),
        (b"CallSid=%FF&TranscriptionEvent=%FE", "invalid_utf8", ""),
        (b"\xff=1", "invalid_utf8", ""),
        (b"&".join([b"a=b"] * 1001), "wrong_type", ""),
        (content("Hi.", CallSid="C" * 201), "invalid_id", "`CallSid`"),
    ],
)
def test_what_is_wrong_in_a_form_is_named_by_its_field(fields: Any, code: str, path: str) -> None:
    error = refusal(form(fields))
    assert error.code == code
    assert path in error.message


def test_what_nobody_knows_is_told_as_such() -> None:
    assert isinstance(refusal(form({"CallSid": "CA1", "TranscriptionEvent": "transcription-moved"})), UnknownEvent)
    assert isinstance(refusal(deliver("twilio", {"event_type": "other", "transcript_sid": "GT1"})), UnknownEvent)


def test_a_segment_in_any_script_with_an_odd_time_is_kept() -> None:
    reading = reading_of(form(content("שלום\0 👋🏽", Timestamp="soon", Track="third_track")))
    assert rows(reading) == [("", "other", "שלום 👋🏽", None, None)]
    assert reading.turns[0].start_time is None


def test_every_way_to_break_a_body_a_form_or_an_answer_ends_well() -> None:
    for body in (*broken(NOTICE), *broken(value("twilio", "event_stream.json"))):
        sensible(deliver("twilio", body, (ABOUT, *PAGES)))
        sensible(deliver("twilio", body))
    for answer in broken(ABOUT):
        sensible(deliver("twilio", NOTICE, (answer, PAGES[1])))
    for answer in broken(PAGES[1]):
        sensible(deliver("twilio", NOTICE, (ABOUT, answer)))
    whole = content("Hi.", Timestamp="2026-03-02T09:58:41Z")
    for name in whole:
        for wrong in (*WRONG, "{", '{"transcript": null}', "9" * 5000):
            sensible(form({**whole, name: wrong}))
    for other in foreign("twilio"):
        sensible(deliver("twilio", other))
        sensible(form(other))


@pytest.mark.parametrize("offset", ["nan", "inf", "-1", "1e999", "0:12", "9" * 60])
def test_an_offset_that_is_no_number_of_seconds_is_refused(offset: str) -> None:
    error = refusal(sentences({"transcript": "Hi.", "start_time": offset}))
    assert (error.code, "`sentences[0].start_time`" in error.message) == ("wrong_type", True)


def test_time_grows_with_the_sentences() -> None:
    def read(count: int) -> None:
        parts = [{"media_channel": i % 2, "start_time": f"{i}", "transcript": f"سلام {i}"} for i in range(count)]
        assert len(reading_of(sentences(*parts)).turns) == count
        long = reading_of(form(content("word " * count)))
        assert all(len(turn.text) <= 100_000 for turn in long.turns)

    grows_evenly(read)
    assert len(reading_of(form(content("word " * 50_000))).turns) == 3
