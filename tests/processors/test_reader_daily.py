"""Daily: a transcript that is ready, its link, its file."""

from typing import Any

import pytest

from domain.delivery import Fetch
from domain.errors import UnknownEvent
from processors.extracting import extract
from processors.readers import ANNOUNCING, read
from tests.growth import grows_evenly
from tests.processors.sent import broken, deliver, foreign, payload, reading_of, refusal, rows, said, sensible, value

READY = value("daily", "transcript.ready-to-download.json")
LINK = value("daily", "fetched/access_link.json")
VTT = payload("daily", "fetched/transcript.vtt")
ID = "0cb313e1-211f-4be0-833d-8c7305b19902"


def file(*cues: str) -> Any:
    return deliver("daily", READY, (LINK, "\n\n".join(["WEBVTT", *cues]).encode()))


def test_the_link_is_fetched_from_the_api_and_the_file_without_a_token() -> None:
    assert "daily" in ANNOUNCING
    first = read(deliver("daily", payload("daily", "transcript.ready-to-download.json")))
    assert first == Fetch(f"/transcript/{ID}/access-link")
    second = read(deliver("daily", READY, (LINK,)))
    assert second == Fetch(LINK["download_link"], token_header="", token_prefix="")
    assert read(deliver("daily", READY, ({"link": "https://example.test/a"},))) == Fetch(
        "https://example.test/a", token_header="", token_prefix=""
    )


def test_the_file_is_read_into_the_session_of_the_meeting() -> None:
    reading = reading_of(deliver("daily", READY, (LINK, VTT)))
    assert (reading.session.id, reading.session.title) == ("daily-ms-1", "design-review")
    assert reading.session.metadata == {
        "transcript_id": ID,
        "duration": 128,
        "room_id": "rm-1",
        "room_name": "design-review",
    }
    assert (len(reading.turns), reading.format, reading.extent) == (24, "dialogue", "part")
    assert rows(reading)[:2] == [
        ("Ines", "other", "Shall we start? The recording is on.", 0.6, 2.7),
        ("Karl", "other", "Yes. I have the two drafts of the start page open.", 5.3, 8.6),
    ]
    assert {"decision", "action_item"} <= {m.type for m in extract(reading.turns)}


@pytest.mark.parametrize("line", ["<v Ines>Blue it is.", "<v>Ines:</v>Blue it is.", "<v> Ines : </v> Blue it is."])
def test_speakers_are_known_however_the_file_names_them(line: str) -> None:
    reading = reading_of(file(f"00:01.000 --> 00:02.000\n{line}", "00:02.100 --> 00:03.000\n<v>Karl:</v>Yes."))
    assert rows(reading) == [
        ("Ines", "other", "Blue it is.", 1.0, 2.0),
        ("Karl", "other", "Yes.", 2.1, 3.0),
    ]


def test_labels_before_a_colon_are_speakers_too() -> None:
    reading = reading_of(file("00:01.000 --> 00:02.000\nInes: Blue?", "00:02.000 --> 00:03.000\nKarl: Blue."))
    assert said(reading) == [("Ines", "Blue?"), ("Karl", "Blue.")]


def test_a_meeting_without_an_id_is_named_after_its_transcript() -> None:
    body = {**READY, "payload": {"id": "tr-1", "out_params": {}}}
    assert reading_of(deliver("daily", body, (LINK, VTT))).session.id == "daily-tr-1"


@pytest.mark.parametrize("name", ["transcript.started.json", "transcript.error.json", "test.json"])
def test_events_without_a_file_carry_nothing(name: str) -> None:
    assert read(deliver("daily", payload("daily", name))) is None


def test_an_event_that_nobody_knows_is_told_as_such() -> None:
    assert isinstance(refusal(deliver("daily", {"type": "room.painted", "payload": {}})), UnknownEvent)


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({}, "missing_field", "`type`"),
        ({"type": "transcript.ready-to-download"}, "missing_field", "`payload.id`"),
        ({"type": "transcript.ready-to-download", "payload": []}, "wrong_type", "`payload`"),
        ({"type": "transcript.ready-to-download", "payload": {"id": 7}}, "wrong_type", "`payload.id`"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(body: Any, code: str, path: str) -> None:
    error = refusal(deliver("daily", body))
    assert error.code == code
    assert path in error.message


def test_an_answer_without_a_link_is_refused() -> None:
    assert refusal(deliver("daily", READY, ({"transcriptId": "x"},))).code == "missing_field"
    assert refusal(deliver("daily", READY, (b"not json",))).code == "invalid_json"


@pytest.mark.parametrize("content", [b"", b"WEBVTT\n\n", b"<Error><Code>AccessDenied</Code></Error>", b"\xff"])
def test_a_file_without_words_or_of_another_kind_is_refused(content: bytes) -> None:
    assert refusal(deliver("daily", READY, (LINK, content))).code in ("no_turns", "invalid_utf8")


def test_times_that_run_backwards_lose_no_words() -> None:
    reading = reading_of(file("00:09.000 --> 00:01.000\n<v A>late", "00:02.000 -->\n<v A>early", "text alone"))
    assert rows(reading)[:2] == [("A", "other", "late", 9.0, None), ("A", "other", "early", 2.0, None)]
    assert " ".join(turn.text for turn in reading.turns) == "late early text alone"


def test_every_way_to_break_a_body_or_an_answer_ends_well() -> None:
    for body in broken(READY):
        for fetched in ((), (LINK,), (LINK, VTT)):
            sensible(deliver("daily", body, fetched))
    for answer in broken(LINK):
        sensible(deliver("daily", READY, (answer,)))
    for other in foreign("daily"):
        sensible(deliver("daily", other))
        sensible(deliver("daily", READY, (other,)))
        sensible(deliver("daily", READY, (LINK, other)))


def test_time_grows_with_the_turns_in_any_script() -> None:
    def read(count: int) -> None:
        names = ("יונתן", "דנה")
        cues = [f"transcript:{i}\n00:01.000 --> 00:02.000\n<v>{names[i % 2]}:</v>שלום 👋🏽 {i}" for i in range(count)]
        reading = reading_of(file(*cues))
        assert (len(reading.turns), said(reading)[1]) == (count, ("דנה", "שלום 👋🏽 1"))

    grows_evenly(read)
