"""WebVTT and SRT: times, speakers, and no text lost in broken files."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.readers.captions import looks_like_captions, read_captions

VTT = """\ufeffWEBVTT - A walk
Kind: captions

NOTE this is a comment
on two lines

STYLE
::cue(b) { color: red }

REGION
id:fred

intro
00:01.000 --> 00:02.500 align:start position:10%
<v.loud Jon Ek>Salt &amp; <i>pepper</i>, <00:02.000><c.hot>please</c></v>

00:00:03.000 --> 00:00:04.000
<v Jon Ek>and bread.

01:00:04.100 --> 01:00:05.000
<v Mara>5 &lt; 6.</v>
<v Jon Ek>Yes.</v>
"""


def said(text: str) -> list[tuple[str, str]]:
    return [(turn.speaker, turn.text) for turn in read_captions(text)]


def times(text: str) -> list[tuple[float | None, float | None]]:
    return [(turn.start_seconds, turn.end_seconds) for turn in read_captions(text)]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_webvtt_gives_speakers_text_and_times(newline: str) -> None:
    text = VTT.replace("\n", newline)
    assert said(text) == [
        ("Jon Ek", "Salt & pepper, please and bread."),
        ("Mara", "5 < 6."),
        ("Jon Ek", "Yes."),
    ]
    assert times(text) == [(1.0, 4.0), (3604.1, 3605.0), (3604.1, 3605.0)]


def test_a_cue_without_a_voice_names_nobody_in_a_file_with_voices() -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Mara>Hi</v>\n\n00:02.000 --> 00:03.000\n(A door.)"
    assert said(text) == [("Mara", "Hi"), ("", "(A door.)")]


def test_srt_labels_hold_until_the_next_one() -> None:
    text = """1
00:00:01,000 --> 00:00:02,000
Jon: hello

2
00:00:02,500 --> 00:00:04,000
world

3
00:00:05,000 --> 00:00:06,000
MARA: <b>yes</b>
Jon: {\\an8}no

4
00:00:07,000 --> 00:00:08,000
Mara: end
"""
    assert said(text) == [("Jon", "hello world"), ("MARA", "yes"), ("Jon", "no"), ("MARA", "end")]
    assert times(text)[0] == (1.0, 4.0)


def test_roles_follow_from_speakers() -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\nUser: Hi\n\n00:02.000 --> 00:03.000\nAssistant: Hello"
    assert [turn.role for turn in read_captions(text)] == ["user", "assistant"]


def test_participants_make_a_label_a_speaker() -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\nMara: Hi\nthere"
    assert said(text) == [("", "Mara: Hi there")]
    assert read_captions(text, participants=["Mara"])[0].speaker == "Mara"


def test_a_long_silence_and_many_words_end_a_turn() -> None:
    cue = "00:00:0{}.000 --> 00:00:0{}.500\n{}\n\n"
    silent = "WEBVTT\n\n" + cue.format(1, 1, "one") + cue.format(3, 3, "two") + cue.format(6, 6, "three")
    assert said(silent) == [("", "one two"), ("", "three")]
    wordy = "WEBVTT\n\n" + "".join(cue.format(i, i, "word " * 30) for i in range(1, 5))
    assert [len(text.split()) for _, text in said(wordy)] == [60, 60]


@pytest.mark.parametrize(
    "timing",
    [
        "00:xx --> 00:02.000",
        "-->",
        "--> 00:02.000",
        "00:01.000 -->",
        "99999:00:00:01 --> 00:00",
        "00:05.000 --> 00:02.000",
    ],
)
def test_a_broken_cue_keeps_its_text(timing: str) -> None:
    assert said(f"WEBVTT\n\n{timing}\nkept\n\n00:08.000 --> 00:09.000\nlast") in (
        [("", "kept last")],
        [("", "kept"), ("", "last")],
    )


def test_an_end_before_the_start_is_left_out() -> None:
    assert times("WEBVTT\n\n00:05.000 --> 00:02.000\nkept") == [(5.0, None)]


def test_blank_lines_and_numbers_within_a_text_are_text() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nThe answer is\n\n42\n\nof course\n\n"
    text += "2\n00:00:02,000 --> 00:00:03,000\nyes\n\n3\n"
    assert said(text) == [("", "The answer is 42 of course yes")]


def test_missing_blank_lines_are_forgiven() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nhello\n2\n00:00:02,000 --> 00:00:03,000\nworld"
    assert said(text) == [("", "hello world")]
    assert said("WEBVTT\n00:01.000 --> 00:02.000\nhello") == [("", "hello")]


def test_arrows_and_angle_brackets_that_were_said_stay() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nfrom A --> B if 3 < 4 and 5 > 2 <really>"
    assert said(text) == [("", "from A --> B if 3 < 4 and 5 > 2 <really>")]


def test_a_file_without_text_has_no_turns() -> None:
    assert read_captions("WEBVTT\n\n1\n00:01.000 --> 00:02.000\n\nNOTE nothing here") == ()
    assert read_captions("") == ()


def test_captions_are_recognised_under_a_plain_name() -> None:
    assert looks_like_captions(VTT)
    assert looks_like_captions("1\n00:00:01,000 --> 00:00:02,000\nhello")
    assert not looks_like_captions("Mara: the arrow --> means next\n00:01 is early")
    assert not looks_like_captions("")


LINES = st.text(alphabet="ab<>&/-: \n\r01:.,v", max_size=30) | st.sampled_from(
    ["00:01.000 --> 00:02.000", "NOTE", "WEBVTT", "1", "", "<v Mara>", "Mara: hi", "STYLE", "-->"]
)


@settings(deadline=None)
@given(text=st.lists(LINES).map("\n".join) | st.text())
def test_any_text_is_read(text: str) -> None:
    for turn in read_captions(text):
        assert turn.text.strip()


@settings(deadline=None)
@given(words=st.lists(st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1), min_size=1))
def test_no_word_of_a_cue_is_lost(words: list[list[str]]) -> None:
    cues = [f"{i}\n00:{i % 60:02}:00,000 --> 00:{i % 60:02}:01,000\n{' '.join(said)}" for i, said in enumerate(words)]
    turns = read_captions("\n\n".join(cues))
    assert re.findall(r"\w+", " ".join(turn.text for turn in turns)) == [word for line in words for word in line]
