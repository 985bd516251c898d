"""AssemblyAI: streaming sessions and recordings that are fetched."""

from typing import Any

import pytest

from domain.delivery import Fetch
from processors.extracting import extract
from processors.readers import ANNOUNCING, read
from tests.growth import grows_evenly
from tests.processors.sent import broken, deliver, foreign, payload, reading_of, refusal, rows, said, sensible, value

STREAM = value("assemblyai", "streaming.json")
DONE = value("assemblyai", "completed.json")
EAST = "I do. We decided to replace the whole east side, not just the three tiles."
ANSWER = value("assemblyai", "fetched/transcript.json")


def stream(*messages: dict[str, Any]) -> Any:
    return deliver("assemblyai", {"session_id": "s1", "messages": [{"type": "Turn", **m} for m in messages]})


def word(text: str, start: Any, end: Any) -> dict[str, Any]:
    return {"text": text, "start": start, "end": end, "word_is_final": True}


def test_a_streaming_session_is_read_turn_by_turn() -> None:
    reading = reading_of(deliver("assemblyai", payload("assemblyai", "streaming.json")))
    assert reading.session.id == "assemblyai-6c1f0c52-0000-4000-8000-000000000001"
    assert (len(reading.turns), reading.extent, reading.format) == (24, "whole", "dialogue")
    assert reading.session.status == "completed"
    assert rows(reading)[:3] == [
        ("Speaker A", "other", "Right, so the episode about rainwater has to go out on Friday.", 0.4, 3.95),
        ("Speaker B", "other", "Do we have enough tape for forty minutes?", 6.6, 8.95),
        ("Speaker A", "other", "We have about an hour and a half, and most of it is good.", 11.6, 15.75),
    ]
    assert rows(reading)[-1][:3] == ("Speaker B", "other", "I'll book the small room for Thursday at ten.")


def test_what_was_decided_and_asked_for_is_found_in_it() -> None:
    found = {(m.type, m.title) for m in extract(reading_of(deliver("assemblyai", STREAM)).turns)}
    assert any(kind == "decision" and "farmer" in title for kind, title in found)
    assert any(kind == "action_item" and "theme music" in title for kind, title in found)


def test_without_labels_nobody_is_named() -> None:
    reading = reading_of(stream({"turn_order": 0, "transcript": "Blue it is.", "words": [word("Blue", 480, 640)]}))
    assert (rows(reading), reading.format) == ([("", "other", "Blue it is.", 0.48, 0.64)], "transcript")
    unsure = reading_of(stream({"turn_order": 0, "transcript": "Hm.", "speaker_label": "UNKNOWN", "words": []}))
    assert rows(unsure) == [("", "other", "Hm.", None, None)]


def test_a_turn_told_twice_is_kept_once_in_its_formatted_form_and_in_order() -> None:
    reading = reading_of(
        stream(
            {"turn_order": 1, "transcript": "Then blue.", "turn_is_formatted": True},
            {"turn_order": 0, "transcript": "blue or grey", "turn_is_formatted": False},
            {"turn_order": 0, "transcript": "Blue or grey?", "turn_is_formatted": True},
            {"turn_order": 1, "transcript": "then blue", "turn_is_formatted": False},
            {"turn_order": 1, "transcript": "then", "turn_is_formatted": False, "end_of_turn": False},
        )
    )
    assert said(reading) == [("", "Blue or grey?"), ("", "Then blue.")]


def test_messages_that_are_no_turns_and_empty_turns_are_left_out() -> None:
    messages = [{"type": "Begin", "id": "x"}, {"type": "Turn", "transcript": None, "utterance": "Yes."}]
    messages += [{"type": "Turn", "transcript": "  "}]
    assert said(reading_of(deliver("assemblyai", {"session_id": "s1", "messages": messages}))) == [("", "Yes.")]


def test_a_recording_is_fetched_with_the_bare_token_and_then_read() -> None:
    assert "assemblyai" in ANNOUNCING
    wanted = read(deliver("assemblyai", DONE))
    assert wanted == Fetch("/v2/transcript/9ea68fd3-f953-42c1-9742-976c447fb463", token_prefix="")
    reading = reading_of(deliver("assemblyai", DONE, (ANSWER,)))
    assert reading.session.id == "assemblyai-9ea68fd3-f953-42c1-9742-976c447fb463"
    assert reading.session.metadata == {"audio_duration": 38, "language_code": "en", "speech_model": "universal"}
    assert rows(reading)[2:4] == [
        ("Speaker A", "other", EAST, 8.9, 13.4),
        ("Speaker B", "other", "That is the dearer way.", 16.0, 17.5),
    ]
    assert (len(reading.turns), reading.extent, reading.session.status) == (7, "whole", "completed")


def test_an_id_cannot_lead_the_fetch_elsewhere() -> None:
    wanted = read(deliver("assemblyai", {"transcript_id": "../x?y=/z", "status": "completed"}))
    assert isinstance(wanted, Fetch) and wanted.url == "/v2/transcript/..%2Fx%3Fy%3D%2Fz"


def test_without_utterances_words_become_sentences_and_turns() -> None:
    answer = value("assemblyai", "fetched/undiarised.json")
    reading = reading_of(deliver("assemblyai", DONE, (answer,)))
    assert rows(reading) == [("", "other", "It rains.", 0.2, 0.8), ("", "other", "We stay in.", 4.0, 4.6)]
    alone = reading_of(deliver("assemblyai", DONE, ({"status": "completed", "text": "It rains.\n\nWe stay."},)))
    assert said(alone) == [("", "It rains."), ("", "We stay.")]


def test_a_summary_and_names_of_people_are_kept() -> None:
    answer = {"status": "completed", "summary": "Roof.", "utterances": [{"speaker": "Ana Roy", "text": "Hi."}]}
    reading = reading_of(deliver("assemblyai", DONE, (answer,)))
    assert (rows(reading), reading.summary) == ([("Ana Roy", "other", "Hi.", None, None)], "Roof.")


def test_failed_transcriptions_carry_nothing_and_unfinished_ones_are_told() -> None:
    assert read(deliver("assemblyai", payload("assemblyai", "error.json"))) is None
    assert read(deliver("assemblyai", DONE, ({"status": "error", "error": "no audio"},))) is None
    assert refusal(deliver("assemblyai", DONE, ({"status": "processing"},))).code == "fetch_pending"


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({}, "missing_field", "`transcript_id`"),
        ({"session_id": "s", "messages": []}, "no_turns", ""),
        ({"session_id": "s", "messages": {}}, "wrong_type", "`messages`"),
        ({"session_id": 7, "messages": []}, "wrong_type", "`session_id`"),
        ({"messages": [{"transcript": 7}]}, "wrong_type", "`messages[0].transcript`"),
        ({"messages": [{"transcript": "x", "words": [{"start": "1"}]}]}, "wrong_type", "`messages[0].words[0].start`"),
        ({"transcript_id": "a\nb"}, "invalid_id", "`transcript_id`"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(body: Any, code: str, path: str) -> None:
    error = refusal(deliver("assemblyai", body))
    assert error.code == code
    assert path in error.message


def test_times_that_run_backwards_and_huge_ones_are_taken_as_they_are() -> None:
    reading = reading_of(
        stream(
            {"turn_order": 0, "transcript": "b", "words": [word("b", 9000, 1000)]},
            {"turn_order": 1, "transcript": "a", "words": [word("a", 10**30, 10**31)]},
        )
    )
    assert rows(reading) == [("", "other", "b", 9.0, None), ("", "other", "a", 1e27, 1e28)]


def test_every_way_to_break_a_body_or_an_answer_ends_well() -> None:
    for body in (*broken(STREAM), *broken(DONE)):
        sensible(deliver("assemblyai", body))
    for answer in broken(ANSWER):
        sensible(deliver("assemblyai", DONE, (answer,)))
    for body in foreign("assemblyai"):
        sensible(deliver("assemblyai", body))


def test_time_grows_with_the_turns_in_any_script() -> None:
    def read(count: int) -> None:
        many = [{"turn_order": i, "transcript": f"שלום 👋🏽 {i}", "speaker_label": "אב"[i % 2]} for i in range(count)]
        reading = reading_of(stream(*many))
        assert (len(reading.turns), said(reading)[1]) == (count, ("ב", "שלום 👋🏽 1"))
        utterances = [{"speaker": "AB"[i % 2], "text": f"שלום {i}", "start": i, "end": i + 1} for i in range(count)]
        answer = {"status": "completed", "utterances": utterances}
        assert len(reading_of(deliver("assemblyai", DONE, (answer,))).turns) == count

    grows_evenly(read)


def test_the_session_in_the_url_is_the_session() -> None:
    assert reading_of(deliver("assemblyai", STREAM, session_id="walk-1")).session.id == "walk-1"
