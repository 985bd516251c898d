"""Our own transcript JSON and plain text bodies; how a reader is chosen; the examples."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.delivery import NATIVE, Delivery, Reading
from domain.errors import Unreadable
from processors.chunking import chunk
from processors.readers import READERS, TEXT_READERS, generic, read
from tests.growth import grows_evenly

ROOT = Path(__file__).parents[2]
PAYLOADS = ROOT / "tests" / "payloads" / "generic"
MEDIA_TYPES = {".json": "application/json", ".vtt": "text/vtt", ".srt": "application/x-subrip"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    *("session", "session_id", "title", "participants", "context", "status", "turns", "text", "transcript", "format"),
    *("summary", "extracted_items", "memories", "tasks", "artifacts", "metadata"),
]
TURN = st.dictionaries(st.sampled_from(["speaker", "role", "text", "start", "end"]), st.text() | st.floats() | JSON)


def deliver(
    body: Any, content_type: str = "application/json", session_id: str | None = None, source: str = "generic"
) -> Delivery:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(source, "d-1", "event", datetime(2026, 3, 2, tzinfo=UTC), content_type, raw, session_id)


def reading_of(body: Any, content_type: str = "application/json", **others: Any) -> Reading:
    reading = read(deliver(body, content_type, **others))
    assert reading is not None
    return reading


def recorded(name: str) -> Reading:
    return reading_of((PAYLOADS / f"{name}.json").read_bytes())


def refusal(body: Any, content_type: str = "application/json", **others: Any) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read(deliver(body, content_type, **others))
    return caught.value


def said(reading: Reading) -> list[tuple[str, str]]:
    return [(turn.speaker, turn.text) for turn in reading.turns]


def test_turns_keep_speakers_roles_and_times() -> None:
    reading = recorded("full")
    assert said(reading) == [
        ("Mara", "We take the train to Oslo."),
        ("Jon Ek", "I'll book the seats. 🚆"),
        ("Assistant", "Noted."),
        ("Mara", "And the cabin?"),
        ("agent", "It is free."),
    ]
    assert [turn.role for turn in reading.turns] == ["other", "other", "assistant", "other", "assistant"]
    assert [(t.start_seconds, t.end_seconds) for t in reading.turns[:3]] == [(0, 2.5), (3.25, 5), (None, None)]
    assert reading.turns[2].start_time == datetime(2026, 3, 2, 7, 40, 6, tzinfo=UTC)
    assert reading.turns[2].end_time == datetime(2026, 3, 2, 7, 40, 7, tzinfo=UTC)


def test_the_session_is_described_in_one_place_or_at_the_top() -> None:
    session = recorded("full").session
    assert (session.id, session.title, session.context, session.status) == (
        "trip-7",
        "Trip planner",
        "A walk",
        "completed",
    )
    assert session.participants == ("Mara", {"name": "Jon Ek", "email": "jon@example.org"})
    assert session.metadata == {"device": "phone", "language": "en"}
    flat = recorded("text").session
    assert (flat.id, flat.title, flat.participants, flat.status) == ("walk-2", "Notes", ("Mara",), None)


def test_items_memories_tasks_and_artifacts_are_kept_as_given() -> None:
    reading = recorded("full")
    assert [(m.type, m.title, m.turn, m.key) for m in reading.memories] == [
        ("decision", "we take the train to oslo", 0, None),
        ("action_item", "Book the seats", 1, None),
        ("preference", "Window seats", None, "seats"),
        ("note", "The cabin?", 3, None),
    ]
    assert reading.memories[0].quote == "We take the train to Oslo"
    assert (reading.memories[2].confidence, reading.memories[2].tags) == (0.7, ("train",))
    first, second = reading.tasks
    assert (first.title, first.agent_name, first.priority, first.memory) == ("Book the seats", "researcher", 90, 1)
    assert (second.id, second.task_type, second.priority, second.status) == ("trip-7-a", "research", 20, "pending")
    assert second.input_data == {"from": "Hamburg", "description": "Compare night trains"}
    (artifact,) = reading.artifacts
    assert (artifact.id, artifact.name, json.loads(artifact.content)) == ("list-1", "Packing list", {"items": ["tent"]})
    assert reading.summary == "They take the train to Oslo."


def test_text_is_read_as_lines_of_dialogue() -> None:
    assert said(recorded("text")) == [("Mara", "First thing.\nIt has two lines."), ("Assistant", "Second thing.")]
    assert said(recorded("no_session")) == [("User", "Hello."), ("Assistant", "Hi.")]


def test_captions_within_json_are_read_as_captions() -> None:
    reading = reading_of({"text": "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Mara>Hi</v>"})
    assert said(reading) == [("Mara", "Hi")]
    assert reading.turns[0].start_seconds == 1


def test_a_summary_is_enough() -> None:
    reading = recorded("summary_only")
    assert (reading.turns, reading.summary) == ((), "They agreed on blue.")
    text = reading_of({"session": "s", "format": "summary", "text": "Mara: They agreed."})
    assert (text.turns, text.summary, text.format) == ((), "Mara: They agreed.", "summary")


def test_a_session_without_a_name_is_named_after_the_delivery() -> None:
    delivery = deliver({"turns": ["Hello."]})
    assert generic.read(delivery).session.id == f"talk-{delivery.key[:12]}"
    assert reading_of({"turns": ["Hello."]}, session_id="walk-9").session.id == "walk-9"
    assert reading_of({"session": "own", "turns": ["Hello."]}, session_id="walk-9").session.id == "own"


def test_string_turns_are_labelled_or_plain() -> None:
    assert said(reading_of({"turns": ["Mara: Hi.", "Jon: Hello: you."]})) == [("Mara", "Hi."), ("Jon", "Hello: you.")]
    assert said(reading_of({"turns": ["Hi there.", "Note: rain."]})) == [("", "Hi there."), ("", "Note: rain.")]


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({"turns": [{"text": "a"}, {"text": 5}]}, "wrong_type", "turns[1].text"),
        ({"turns": [{"speaker": ["A"], "text": "a"}]}, "wrong_type", "turns[0].speaker"),
        ({"turns": [{"text": "a", "start": "soon"}]}, "wrong_type", "turns[0].start"),
        ({"turns": [{"text": "a", "end": "2026-02-30T10:00:00Z"}]}, "wrong_type", "turns[0].end"),
        ({"turns": [{"text": "a", "start": True}]}, "wrong_type", "turns[0].start"),
        ({"turns": [7]}, "wrong_type", "turns[0]"),
        ({"turns": {}}, "wrong_type", "turns"),
        ({"text": ["a"]}, "wrong_type", "text"),
        ({"session": 5, "text": "a"}, "wrong_type", "session"),
        ({"session": "a\tb", "text": "a"}, "invalid_session_id", "session"),
        ({"session": {"id": "x" * 201}, "text": "a"}, "invalid_session_id", "session.id"),
        ({"session_id": "a\u0085b", "text": "a"}, "invalid_session_id", "session_id"),
        ({"session": "s", "text": "a", "metadata": [1]}, "wrong_type", "metadata"),
        ({"text": "a", "memories": ["x"]}, "wrong_type", "memories[0]"),
        ({"text": "a", "tasks": [{"id": "t" * 201, "title": "x"}]}, "invalid_id", "tasks[0].id"),
        ({"text": "a", "artifacts": [{"name": "x"}]}, "missing_field", "artifacts[0].content"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(body: Any, code: str, path: str) -> None:
    error = refusal(body)
    assert error.code == code
    assert f"`{path}`" in error.message


def test_a_wrong_type_says_what_is_and_what_is_expected() -> None:
    error = refusal({"turns": [{"text": "a"}] * 3 + [{"text": 1}]})
    assert error.message == "`turns[3].text` is a number; a string is expected."


@pytest.mark.parametrize("body", [{}, {"session": "s", "turns": [{"text": " "}]}, {"text": "\n"}, {"memories": []}])
def test_nothing_to_keep_is_refused(body: Any) -> None:
    assert refusal(body).code == "no_turns"


def test_a_time_without_a_zone_is_utc_and_one_outside_the_calendar_is_refused() -> None:
    turn = reading_of({"turns": [{"text": "a", "start": "2026-03-02 07:40:00"}]}).turns[0]
    assert turn.start_time == datetime(2026, 3, 2, 7, 40, tzinfo=UTC)
    assert refusal({"turns": [{"text": "a", "start": "0001-01-01T00:00:00+14:00"}]}).code == "wrong_type"


def test_a_very_long_turn_becomes_several_that_the_index_can_hold() -> None:
    reading = reading_of({"turns": [{"speaker": "Mara", "text": "word " * 50_000, "start": 1, "end": 9}]})
    assert [len(turn.text) <= 100_000 for turn in reading.turns] == [True, True, True]
    assert sum(len(turn.text.split()) for turn in reading.turns) == 50_000
    assert [(t.start_seconds, t.end_seconds) for t in reading.turns] == [(1, None), (None, None), (None, 9)]


def test_every_kind_of_text_body_has_a_reader() -> None:
    vtt, srt = b"WEBVTT\n\n00:01.000 --> 00:02.000\nHi", b"1\n00:00:01,000 --> 00:00:02,000\nHi"
    bodies = {"text/vtt": vtt, "application/x-subrip": srt, "text/srt": srt, "text/plain": b"Hi"}
    bodies["text/markdown"] = b"# Walk\n\nHi"
    assert bodies.keys() == TEXT_READERS.keys()
    for media_type, body in bodies.items():
        reading = reading_of(body, f"{media_type.upper()}; charset=utf-8", session_id="walk")
        assert (said(reading), reading.session.id) == ([("", "Hi")], "walk")
    assert said(reading_of(vtt, "text/plain")) == said(reading_of(srt, "text/plain")) == [("", "Hi")]


def test_a_text_body_without_a_session_is_named_after_the_delivery() -> None:
    delivery = deliver(b"Hi", "text/plain")
    assert reading_of(b"Hi", "text/plain").session.id == f"talk-{delivery.key[:12]}"
    assert refusal(b"Hi", "text/plain", session_id="x" * 300).code == "invalid_session_id"


def test_markdown_takes_its_title_from_the_first_heading() -> None:
    reading = reading_of(b"\xef\xbb\xbf# A walk \r\n\r\n**Mara:** Hi\r\n**Jon:** Yo\r\n## Later", "text/markdown")
    assert reading.session.title == "A walk"
    assert said(reading) == [("Mara", "Hi"), ("Jon", "Yo\n## Later")]


@pytest.mark.parametrize("media_type", sorted(TEXT_READERS))
def test_text_that_is_not_utf_8_or_empty_is_refused(media_type: str) -> None:
    assert refusal(b"caf\xe9", media_type).code == "invalid_utf8"
    assert refusal(b" \n\0 ", media_type).code == "no_turns"


def test_the_source_chooses_the_reader_of_json_and_others_are_generic() -> None:
    assert {NATIVE, "generic"} <= set(READERS)
    assert reading_of({"text": "Hi"}, source="fireplace").turns[0].text == "Hi"
    command = {"type": "collaborative_session_command", "command": "pause_session", "session_id": "s"}
    assert reading_of(command, "text/plain;charset=UTF-8", source=NATIVE).session.status == "paused"
    assert refusal(command).code == "no_turns"


def test_nul_characters_are_removed() -> None:
    assert reading_of(rb'{"turns":[{"text":"a\u0000b \\u0000"}]}').turns[0].text == "ab \\u0000"
    assert reading_of(b"a\0b", "text/plain").turns[0].text == "ab"


@pytest.mark.parametrize("path", sorted(p for p in (ROOT / "examples").iterdir() if p.suffix in MEDIA_TYPES))
def test_every_example_is_read_and_cut_into_chunks(path: Path) -> None:
    reading = reading_of(path.read_bytes(), MEDIA_TYPES[path.suffix])
    chunks = chunk(reading.turns, max_words=150, format=reading.format)
    assert len(reading.turns) > 5
    assert (chunks[0].first_turn, chunks[-1].last_turn) == (0, len(reading.turns) - 1)
    assert all(turn.speaker and turn.start_seconds is not None for turn in reading.turns)
    assert path.name in (ROOT / "examples" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "body",
    [
        lambda n: json.dumps({"turns": [{"speaker": "דנה", "text": f"שלום 👋🏽 {i}"} for i in range(n)]}),
        lambda n: json.dumps({"turns": [f"Mara {i % 3}: hello {i}" for i in range(n)]}),
        lambda n: json.dumps({"text": "\n".join(f"דנה: שלום {i}\nand more: {i}" for i in range(n))}),
        lambda n: json.dumps({"text": "A: " + "[(" * n + "\n" + ">" * 2 * n + " " * 2 * n + "x\nA: b"}),
        lambda n: json.dumps(
            {"text": "A: x", "extracted_items": {"ideas": ["never said " + str(i) for i in range(n // 5)]}}
        ),
    ],
    ids=["objects", "strings", "text", "marks", "items"],
)
def test_reading_and_chunking_are_linear(body: Callable[[int], str]) -> None:
    def read(count: int) -> None:
        chunk(reading_of(body(count).encode()).turns, max_words=150, format="dialogue")

    grows_evenly(read)


@settings(deadline=None)
@given(body=JSON | st.dictionaries(st.sampled_from(FIELDS), JSON | st.lists(TURN | st.text(), max_size=4)))
def test_any_json_is_read_or_refused(body: Any) -> None:
    try:
        reading = generic.read(deliver(body))
    except Unreadable:
        return
    assert reading.session.id
    for memory in reading.memories:
        if memory.turn is not None:
            assert reading.turns[memory.turn].text[memory.char_start : memory.char_end] == memory.quote


@pytest.mark.parametrize("media_type", ["application/json", *sorted(TEXT_READERS)])
@settings(deadline=None)
@given(body=st.binary() | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused(media_type: str, body: bytes) -> None:
    try:
        reading = read(deliver(body, media_type))
    except Unreadable:
        return
    assert reading is not None
    assert all(turn.text.strip() and "\0" not in turn.text for turn in reading.turns)
