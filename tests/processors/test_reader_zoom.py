"""Zoom: WebVTT files of meetings, transcripts of calls, summaries."""

from typing import Any

import pytest

from domain.delivery import Fetch
from domain.errors import UnknownEvent
from processors.extracting import extract
from processors.readers import ANNOUNCING, read
from tests.growth import grows_evenly
from tests.processors.sent import broken, deliver, foreign, payload, reading_of, refusal, rows, said, sensible, value

MEETING = value("zoom", "recording.transcript_completed.json")
TWO_FILES = value("zoom", "two_files.json")
CALL = value("zoom", "phone.recording_transcript_completed.json")
ENGAGEMENT = value("zoom", "contact_center.recording_transcript_completed.json")
VTT = payload("zoom", "fetched/meeting.vtt")
LATER = payload("zoom", "fetched/meeting_later.vtt")
TIMELINE = value("zoom", "fetched/phone.json")


def vtt(*lines: str) -> bytes:
    cues = [f"{i}\n00:00:{3 * i:02}.000 --> 00:00:{3 * i + 1:02}.000\n{line}\n" for i, line in enumerate(lines)]
    return "\n".join(["WEBVTT\n", *cues]).encode()


def test_the_file_of_a_meeting_is_fetched_with_the_token_of_the_event() -> None:
    assert "zoom" in ANNOUNCING
    wanted = read(deliver("zoom", payload("zoom", "recording.transcript_completed.json")))
    assert wanted == Fetch(
        "https://example.test/rec/webhook_download/f1", headers={"Authorization": "Bearer eyJ.example"}
    )
    inside = {**MEETING, "download_token": None, "payload": {**MEETING["payload"], "download_token": "inner"}}
    there = read(deliver("zoom", inside))
    assert isinstance(there, Fetch) and there.headers == {"Authorization": "Bearer inner"}


def test_a_meeting_is_read_with_its_speakers_and_seconds() -> None:
    reading = reading_of(deliver("zoom", MEETING, (VTT,)))
    session = reading.session
    assert (session.id, session.title, session.status) == ("zoom-u1==", "Tiles for the lobby", "completed")
    assert session.participants == ("Mara Lind", "Jon Ek", "Priya Nair")
    assert session.metadata == {
        "start_time": "2026-03-02T09:00:00Z",
        "duration": 30,
        "timezone": "Europe/Berlin",
        "host_email": "mara@example.test",
    }
    assert (len(reading.turns), reading.extent, reading.format) == (24, "whole", "dialogue")
    assert rows(reading)[:2] == [
        ("Mara Lind", "other", "Morning, can everybody hear me?", 2.0, 3.5),
        ("Jon Ek", "other", "Loud and clear.", 6.1, 7.0),
    ]
    assert rows(reading)[18][:3] == ("Mara Lind", "other", "Action item: Jon orders the blue tiles by Wednesday.")
    found = {m.type for m in extract(reading.turns)}
    assert {"decision", "action_item"} <= found


def test_a_paused_recording_is_read_in_the_order_and_by_the_clock_of_its_files() -> None:
    first = read(deliver("zoom", TWO_FILES))
    second = read(deliver("zoom", TWO_FILES, (VTT,)))
    assert isinstance(first, Fetch) and first.url.endswith("/f1")
    assert isinstance(second, Fetch) and second.url.endswith("/f2")
    reading = reading_of(deliver("zoom", TWO_FILES, (VTT, LATER)))
    assert reading.session.id == "zoom-/u2//=="
    assert rows(reading)[24] == (
        "Jon Ek",
        "other",
        "The shop called, they have the blue ones after all.",
        2401.0,
        2404.0,
    )


def test_names_are_known_whatever_signs_they_have() -> None:
    lines = ["Lind, Mara (she/her): Blue.", "Jon | Tiles & Co.: Note: grey is in stock.", "So it is.", "דנה 🚲: כחול."]
    assert said(reading_of(deliver("zoom", MEETING, (vtt(*lines, *lines[:2]),)))) == [
        ("Lind, Mara (she/her)", "Blue."),
        ("Jon | Tiles & Co.", "Note: grey is in stock."),
        ("Jon | Tiles & Co.", "So it is."),
        ("דנה 🚲", "כחול."),
        ("Lind, Mara (she/her)", "Blue."),
        ("Jon | Tiles & Co.", "Note: grey is in stock."),
    ]


def test_a_colon_in_a_file_without_names_is_no_speaker() -> None:
    reading = reading_of(deliver("zoom", MEETING, (vtt("Three things: blue.", "Grey.", "And red."),)))
    assert said(reading) == [("", "Three things: blue."), ("", "Grey."), ("", "And red.")]
    assert reading.format == "transcript"
    tagged = vtt("<v Mara>Three things: blue.", "<v Jon>Grey.")
    assert said(reading_of(deliver("zoom", MEETING, (tagged,)))) == [("Mara", "Three things: blue."), ("Jon", "Grey.")]


def test_files_without_a_known_begin_lose_their_times_but_the_first() -> None:
    files = [{**file, "recording_start": "soon"} for file in TWO_FILES["payload"]["object"]["recording_files"]]
    body = {**TWO_FILES, "payload": {"object": {"uuid": "u", "recording_files": files}}}
    reading = reading_of(deliver("zoom", body, (vtt("Mara: Hi.", "Jon: Hi."), vtt("Mara: Bye.", "Jon: Bye."))))
    assert [row[3:] for row in rows(reading)] == [(0.0, 1.0), (3.0, 4.0), (None, None), (None, None)]


def test_a_summary_is_kept_without_turns_in_the_session_of_its_meeting() -> None:
    reading = reading_of(deliver("zoom", payload("zoom", "meeting.summary_completed.json")))
    assert (reading.session.id, reading.session.title) == ("zoom-u1==", "Tiles for the lobby")
    assert (reading.turns, reading.extent) == ((), "whole")
    assert reading.summary and reading.summary.startswith("## Decision\nBlue tiles for the lobby.")


def test_a_summary_in_parts_is_put_together() -> None:
    reading = reading_of(deliver("zoom", payload("zoom", "summary_in_parts.json")))
    assert reading.summary == (
        "The painters come later.\n\nDates: They start on the ninth.\n\n"
        "Next steps:\n- Mara calls them.\n- Jon moves the shelves."
    )


def test_a_phone_call_is_read_from_its_timeline_or_its_captions() -> None:
    wanted = read(deliver("zoom", CALL))
    assert isinstance(wanted, Fetch) and wanted.headers == {"Authorization": "Bearer eyJ.phone"}
    reading = reading_of(deliver("zoom", CALL, (TIMELINE,)))
    assert reading.session.id == "zoom-7011"
    assert reading.session.participants == ("Sam Ito", "Lea Brandt")
    assert rows(reading) == [
        ("Lea Brandt", "other", "Brandt, good morning.", 1.12, 2.9),
        ("Sam Ito", "other", "Sam Ito here, I need to move my appointment to Friday.", 3.5, 7.0),
        ("Lea Brandt", "other", "Friday at two is free.", 8.0, 10.0),
    ]
    assert (reading.extent, reading.session.status) == ("part", None)
    assert said(reading_of(deliver("zoom", CALL, (vtt("Sam Ito: Hello."),)))) == [("Sam Ito", "Hello.")]


def test_an_engagement_of_the_contact_center_is_read() -> None:
    reading = reading_of(deliver("zoom", ENGAGEMENT, (payload("zoom", "fetched/contact_center.vtt"),)))
    assert (reading.session.id, reading.session.participants) == ("zoom-E77", ("Lea Brandt", "Sam Ito"))
    assert rows(reading) == [
        ("Lea Brandt", "other", "How can I help?", 1.0, 2.2),
        ("Sam Ito", "other", "The parcel has not come.", 4.8, 6.3),
    ]


def test_recordings_of_several_calls_are_not_mixed() -> None:
    one = CALL["payload"]["object"]["recordings"][0]
    body = {**CALL, "payload": {"object": {"recordings": [one, {**one, "call_id": "7012"}]}}}
    assert refusal(deliver("zoom", body)).code == "mixed_sessions"
    body["payload"]["object"]["recordings"][1]["call_id"] = "7011"
    assert len(reading_of(deliver("zoom", body, (TIMELINE, vtt("Sam Ito: Bye.")))).turns) == 4


@pytest.mark.parametrize("name", ["endpoint.url_validation.json", "meeting.aic_transcript_completed.json"])
def test_events_without_words_carry_nothing(name: str) -> None:
    assert read(deliver("zoom", payload("zoom", name))) is None


def test_an_event_that_nobody_knows_is_told_as_such() -> None:
    assert isinstance(refusal(deliver("zoom", {"event": "whiteboard.created", "payload": {}})), UnknownEvent)


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({}, "missing_field", "`event`"),
        ({"event": 7}, "wrong_type", "`event`"),
        ({"event": "recording.transcript_completed"}, "missing_field", "`payload.object.recording_files`"),
        ({"event": "meeting.summary_completed", "payload": {"object": {}}}, "no_turns", ""),
        (
            {"event": "meeting.summary_completed", "payload": {"object": {"summary_content": "x"}}},
            "missing_field",
            "`payload.object.meeting_uuid`",
        ),
        ({"event": "phone.recording_transcript_completed"}, "missing_field", "`payload.object.recordings`"),
        (
            {"event": "contact_center.recording_transcript_completed"},
            "missing_field",
            "`payload.object.transcript_url`",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_path(body: Any, code: str, path: str) -> None:
    error = refusal(deliver("zoom", body))
    assert error.code == code
    assert path in error.message


@pytest.mark.parametrize(
    "content", [b"", b"WEBVTT\n\n", b"<!DOCTYPE html><p>Sign in</p>", b"{}", b"WEBVTT\n\nNOTE x", b"\xff\xfe"]
)
def test_a_file_without_words_or_of_another_kind_is_refused(content: bytes) -> None:
    assert refusal(deliver("zoom", MEETING, (content,))).code in ("no_turns", "invalid_utf8")


def test_every_way_to_break_a_body_or_a_file_ends_well() -> None:
    bodies = [MEETING, TWO_FILES, CALL, ENGAGEMENT, value("zoom", "summary_in_parts.json")]
    for body in (damaged for whole in bodies for damaged in broken(whole)):
        for fetched in ((), (VTT,), (VTT, LATER)):
            sensible(deliver("zoom", body, fetched))
    for answer in broken(TIMELINE):
        sensible(deliver("zoom", CALL, (answer,)))
    for other in foreign("zoom"):
        sensible(deliver("zoom", other))
        sensible(deliver("zoom", MEETING, (other,)))


def test_time_grows_with_the_turns_in_any_script() -> None:
    def read(count: int) -> None:
        names = ("יונתן", "דנה")
        cues = [f"{i}\n00:{i % 60:02}.000 --> 00:59.000\n{names[i % 2]}: שלום 👋🏽 {i}\n" for i in range(count)]
        reading = reading_of(deliver("zoom", MEETING, ("\n".join(["WEBVTT\n", *cues]).encode(),)))
        assert (len(reading.turns), said(reading)[1]) == (count, ("דנה", "שלום 👋🏽 1"))
        part = TIMELINE["timeline"][0]
        timeline = [{**part, "users": [{"username": f"P{i % 2}"}]} for i in range(count)]
        assert len(reading_of(deliver("zoom", CALL, ({"timeline": timeline},))).turns) == count

    grows_evenly(read)
