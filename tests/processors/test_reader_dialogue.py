"""Lines of dialogue: who is a speaker, what is only a remark, and the forms that exports have."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.readers.dialogue import read_dialogue, role_of


def said(text: str, **others: Any) -> list[tuple[str, str]]:
    return [(turn.speaker, turn.text) for turn in read_dialogue(text, **others)]


def starts(text: str) -> list[float | None]:
    return [turn.start_seconds for turn in read_dialogue(text)]


def test_a_turn_goes_on_until_the_next_label() -> None:
    text = "User: The oven has to move.\nIt is too close.\n\nReally.\nAssistant: Then the gas line\r\nneeds a permit."
    assert said(text) == [
        ("User", "The oven has to move.\nIt is too close.\nReally."),
        ("Assistant", "Then the gas line\nneeds a permit."),
    ]


@pytest.mark.parametrize(
    "line",
    ["Note: x", "TODO: x", "http://x.org/a: b", "10:30 we go", "Action items: x", "Step 2: x", "e.g.: x"],
)
def test_a_remark_is_not_a_speaker(line: str) -> None:
    assert said(line) == [("", line)]
    assert said(f"{line}\n{line}") == [("", f"{line}\n{line}")]
    assert said(f"User: hi\n{line}\nAssistant: yo")[0] == ("User", f"hi\n{line}")


def test_a_remark_can_be_the_name_of_a_participant() -> None:
    assert said("Note: hello", participants=["Note"]) == [("Note", "hello")]


@pytest.mark.parametrize(
    "label",
    ["user", "USER", "Human", "You", "me", "AI", "Agent", "bot", "Speaker 1", "SPEAKER_00", "Speaker B", "Guest-2"],
)
def test_a_role_is_a_speaker_wherever_it_stands(label: str) -> None:
    assert said(f"before\n{label}: hello\nafter") == [("", "before"), (label, "hello\nafter")]


def test_a_participant_is_a_speaker_by_name_or_first_name() -> None:
    text = "Jon: hi\nthere\nMara: yes\nand: no"
    people = ["Jon Ek", {"name": "Mara"}, {"email": "x"}, 5]
    assert said(text, participants=people) == [("Jon", "hi\nthere"), ("Mara", "yes\nand: no")]
    assert said(text) == [("", text)]


def test_a_label_that_comes_back_is_a_speaker_in_one_spelling() -> None:
    assert said("Jon: a\nx\nMara: b\nJON: c") == [("Jon", "a\nx\nMara: b"), ("Jon", "c")]


def test_when_every_line_has_a_label_all_are_speakers() -> None:
    assert said("Jon Ek: a\nDr. O'Neill-Smith: b") == [("Jon Ek", "a"), ("Dr. O'Neill-Smith", "b")]
    assert said("Jon Ek: a") == [("Jon Ek", "a")]
    assert said("# Walk\nJon: a\n## Later\nMara: b") == [("", "# Walk"), ("Jon", "a\n## Later"), ("Mara", "b")]
    assert said("One thing: we go") == [("", "One thing: we go")]
    assert said("At 10: 30") == [("", "At 10: 30")]


def test_text_without_labels_is_one_speakers_paragraphs() -> None:
    text = "First line\nsecond line\n\n  \nNext: paragraph"
    assert said(text, speaker="Mara") == [("Mara", "First line\nsecond line"), ("Mara", "Next: paragraph")]
    assert {turn.role for turn in read_dialogue(text)} == {"other"}


def test_marks_of_markdown_around_labels_are_no_part_of_them() -> None:
    text = "**Mara:** hi *you*\n**Jon Ek**: yo\n- Mara: again\n> Jon Ek (1:05): quoted"
    assert said(text) == [("Mara", "hi *you*"), ("Jon Ek", "yo"), ("Mara", "again"), ("Jon Ek", "quoted")]
    assert starts(text)[-1] == 65


def test_otters_headings_begin_turns() -> None:
    text = "Jon Ek  0:07\nhello there\nsecond: line\n\nMara  1:02:03  \nyes\n\nmeet me at 10:30\nok\n"
    assert said(text) == [("Jon Ek", "hello there\nsecond: line"), ("Mara", "yes\nmeet me at 10:30\nok")]
    assert starts(text) == [7, 3723]


def test_a_heading_with_one_space_needs_to_come_back() -> None:
    text = "Jon Ek 0:07\nhello\n\nlunch at 10:30\nok\n\nJon Ek 0:09\nbye"
    assert said(text) == [("Jon Ek", "hello\nlunch at 10:30\nok"), ("Jon Ek", "bye")]


def test_times_at_the_start_of_lines_begin_turns() -> None:
    text = "[00:01:02] User: a\n(02:12) b\n[02:15 --> 02:17.5] AI: c\n[03:20]\nd\n(2024) was good"
    assert said(text) == [("User", "a"), ("User", "b"), ("AI", "c"), ("AI", "d\n(2024) was good")]
    assert starts(text) == [62, 132, 135, 200]
    assert read_dialogue(text)[2].end_seconds == 137.5


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("משתמש: שלום\nעוזר: היי 👋", [("משתמש", "שלום"), ("עוזר", "היי 👋")]),
        ("\u200fدانا: مرحبا\n\u200fعمر: أهلا", [("دانا", "مرحبا"), ("عمر", "أهلا")]),
        ("小明：你好\n小红：好！", [("小明", "你好"), ("小红", "好！")]),
        ("प्रिया: नमस्ते\nराज: हाँ", [("प्रिया", "नमस्ते"), ("राज", "हाँ")]),
    ],
)
def test_labels_may_be_in_any_script(text: str, turns: list[tuple[str, str]]) -> None:
    assert said(text) == turns


@pytest.mark.parametrize(
    ("speaker", "role"),
    [
        ("User", "user"),
        ("human 2", "user"),
        ("ME", "user"),
        ("Caller", "user"),
        ("Assistant", "assistant"),
        ("AI agent", "assistant"),
        ("GPT-4o", "assistant"),
        ("Claude Code", "assistant"),
        ("gemini", "assistant"),
        ("bot", "assistant"),
        ("Mara", "other"),
        ("Agent Smith", "other"),
        ("Voice", "other"),
        ("", "other"),
    ],
)
def test_roles(speaker: str, role: str) -> None:
    assert role_of(speaker) == role


@settings(deadline=None)
@given(text=st.text() | st.lists(st.sampled_from(["User: a", "x", "", "[0:01]", "Jon  0:07", "N: b"])).map("\n".join))
def test_any_text_is_read_and_no_word_is_lost(text: str) -> None:
    turns = read_dialogue(text)
    assert all(turn.text.strip() for turn in turns)
    if re.fullmatch(r"[\w\s]*", text):
        kept = " ".join(f"{turn.speaker} {turn.text}" for turn in turns)
        assert "".join(kept.split()) == "".join(text.split())
