"""Chunks: whole turns, in order, of a bounded size, with no word lost."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.session import Chunk, Turn
from processors.chunking import chunk, count_words

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def turn(speaker: str, words: int, word: str = "word") -> Turn:
    return Turn(speaker, " ".join([word] * words))


def spans(chunks: list[Chunk]) -> list[tuple[int, int]]:
    return [(one.first_turn, one.last_turn) for one in chunks]


def test_no_turns_give_no_chunks() -> None:
    assert chunk([], max_words=10, format="dialogue") == []
    assert chunk([Turn("A", "  ")], max_words=10, format="dialogue") == []


def test_turns_are_kept_whole_and_filled_up_to_the_limit() -> None:
    chunks = chunk([turn("A", 4), turn("B", 4), turn("A", 4), turn("A", 1)], max_words=10, format="dialogue")
    assert spans(chunks) == [(0, 1), (2, 3)]
    assert chunks[0].content == "A: word word word word\nB: word word word word"


def test_a_chunk_names_its_speakers_in_order_and_its_times() -> None:
    turns = [
        Turn("B", "x"),
        Turn("A", "y", start_time=NOON, end_time=NOON + timedelta(seconds=1)),
        Turn("", "z"),
        Turn("B", "w", start_time=NOON + timedelta(seconds=2)),
    ]
    (only,) = chunk(turns, max_words=50, format="transcript")
    assert (only.participants, only.format) == (("B", "A"), "transcript")
    assert only.content == "B: x\nA: y\nz\nB: w"
    assert (only.start_time, only.end_time) == (NOON, NOON + timedelta(seconds=1))


def test_a_long_turn_is_cut_at_sentences_into_chunks_of_its_own() -> None:
    long = Turn("A", "One two three. Four five six! Seven eight?\nNine ten eleven twelve.", start_time=NOON)
    chunks = chunk([turn("B", 1), long, turn("B", 1)], max_words=8, format="dialogue")
    assert [one.content for one in chunks] == [
        "B: word",
        "A: One two three. Four five six!",
        "A: Seven eight?\nNine ten eleven twelve.",
        "B: word",
    ]
    assert spans(chunks) == [(0, 0), (1, 1), (1, 1), (2, 2)]
    assert chunks[1].start_time == chunks[2].start_time == NOON


def test_a_long_sentence_is_cut_between_words_and_a_long_word_within() -> None:
    chunks = chunk([turn("A", 25)], max_words=11, format="dialogue")
    assert [len(one.content.split()) for one in chunks] == [11, 11, 6]
    (first, second) = chunk([Turn("", "字" * 500)], max_words=10, format="dialogue")
    assert (len(first.content), len(second.content)) == (400, 100)


def test_sentences_of_scripts_without_spaces_are_found() -> None:
    chunks = chunk([Turn("", "你好。" * 30)], max_words=20, format="dialogue")
    assert all(one.content.endswith("。") for one in chunks)
    assert "".join(one.content for one in chunks) == "你好。" * 30


def test_a_summary_stands_alone() -> None:
    turns = [turn("A", 2), Turn("", "They agreed.", role="summary"), turn("B", 2)]
    chunks = chunk(turns, max_words=100, format="dialogue")
    assert [one.format for one in chunks] == ["dialogue", "summary", "dialogue"]
    assert chunks[1].content == "They agreed."
    long = chunk([Turn("", "word. " * 30, role="summary")], max_words=10, format="dialogue")
    assert [(one.format, len(one.content.split())) for one in long] == [("summary", 10)] * 3


def test_a_limit_below_one_word_is_wrong() -> None:
    with pytest.raises(ValueError, match="max_words"):
        chunk([], max_words=0, format="dialogue")


def test_a_turn_of_marks_only_is_no_trap() -> None:
    text = "." * 50_000 + "x" + "\"'" * 20_000 + " " * 50_000 + "end"
    assert len(chunk([Turn("", text)], max_words=150, format="dialogue")) > 1


TURNS = st.lists(
    st.builds(
        Turn,
        st.sampled_from(["", "A", "Jon Ek"]),
        st.text(max_size=400) | st.lists(st.sampled_from(["a", "bb.", "cc!", "字。", "\n", "x" * 90])).map(" ".join),
        st.sampled_from(["user", "summary"]),
    )
)


@settings(deadline=None)
@given(turns=TURNS, max_words=st.integers(min_value=3, max_value=30))
def test_no_word_is_lost_order_is_kept_and_sizes_hold(turns: list[Turn], max_words: int) -> None:
    chunks = chunk(turns, max_words=max_words, format="dialogue")
    said = "".join("".join(one.text.split()) for one in turns)
    assert "".join("".join(kept_words(one, turns)) for one in chunks) == said
    assert spans(chunks) == sorted(spans(chunks))
    assert all(count_words(one.content) <= max_words for one in chunks)
    for one in chunks:
        inside = [turns[i] for i in range(one.first_turn, one.last_turn + 1) if turns[i].text.strip()]
        assert one.participants == tuple(dict.fromkeys(t.speaker for t in inside if t.speaker))
        assert (one.format == "summary") == any(t.role == "summary" for t in inside)


def kept_words(one: Chunk, turns: list[Turn]) -> list[str]:
    """The words of a chunk without the labels that chunking put before them."""
    content = one.content
    inside = [turns[i] for i in range(one.first_turn, one.last_turn + 1) if turns[i].text.strip()]
    if len(inside) == 1:
        return content.removeprefix(f"{inside[0].speaker}: " if inside[0].speaker else "").split()
    words: list[str] = []
    for each in inside:
        line = f"{each.speaker}: {each.text.strip()}" if each.speaker else each.text.strip()
        assert content.startswith(line)
        content = content[len(line) :].removeprefix("\n")
        words += each.text.split()
    assert content == ""
    return words
