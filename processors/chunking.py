"""Turns to chunks: spans of whole turns, sized for search. Pure; where they are kept is left to the store."""

import re
from collections.abc import Iterator, Sequence

from domain.session import Chunk, ChunkFormat, Turn

# A run of letters without a space counts as one word for every so many: Chinese and Thai write no spaces.
WORD_CHARS = 40
SENTENCE_END = re.compile(r"(?<=[.!?…؟۔])[\"'”’)\]]{0,3}\s+|[。！？]+|\n")
WORD = re.compile(r"\S+")

Span = tuple[int, int]


def chunk(turns: Sequence[Turn], *, max_words: int, format: ChunkFormat) -> list[Chunk]:
    """Chunks of at most `max_words` words, in the order of the turns, with lines such as `Speaker: text`.

    Speakers count as words. A turn that is longer by itself is cut at the ends of sentences, else between words, into
    chunks of its own. A turn of role `summary` gets its own chunks, with the format `summary`. Linear in the text.
    """
    if max_words < 1:
        raise ValueError("max_words is 1 or more")
    chunks: list[Chunk] = []
    open_turns: list[int] = []
    words = 0
    for position, turn in enumerate(turns):
        if not turn.text.strip():
            continue
        count = count_words(line_of(turn))
        alone = count > max_words or turn.role == "summary"
        if open_turns and (alone or words + count > max_words):
            chunks.append(whole(turns, open_turns, format))
            open_turns, words = [], 0
        if alone:
            chunks += cut(turn, position, max_words, "summary" if turn.role == "summary" else format)
        else:
            open_turns.append(position)
            words += count
    return [*chunks, whole(turns, open_turns, format)] if open_turns else chunks


def count_words(text: str) -> int:
    return sum(1 + (len(word) - 1) // WORD_CHARS for word in text.split())


def line_of(turn: Turn, text: str | None = None) -> str:
    text = with_caption(turn) if text is None else text
    return f"{turn.speaker}: {text}" if turn.speaker else text


def with_caption(turn: Turn) -> str:
    return f"{turn.text.strip()} [{turn.caption}]" if turn.caption else turn.text.strip()


def whole(turns: Sequence[Turn], positions: Sequence[int], format: ChunkFormat) -> Chunk:
    spoken = [turns[position] for position in positions]
    starts = [turn.start_time for turn in spoken if turn.start_time is not None]
    ends = [turn.end_time for turn in spoken if turn.end_time is not None]
    return Chunk(
        content="\n".join(map(line_of, spoken)),
        format=format,
        first_turn=positions[0],
        last_turn=positions[-1],
        participants=tuple(dict.fromkeys(turn.speaker for turn in spoken if turn.speaker)),
        start_time=starts[0] if starts else None,
        end_time=ends[-1] if ends else None,
    )


def cut(turn: Turn, position: int, max_words: int, format: ChunkFormat) -> Iterator[Chunk]:
    speaker = (turn.speaker,) if turn.speaker else ()
    room = max(1, max_words - count_words(line_of(turn, "")))
    for begin, end in pieces(turn.text, room):
        content = line_of(turn, turn.text[begin:end])
        yield Chunk(content, format, position, position, speaker, turn.start_time, turn.end_time)


def pieces(text: str, max_words: int) -> Iterator[Span]:
    """Spans of the text, each of whole sentences as long as they fit in `max_words`."""
    begin = end = words = 0
    for start, stop in units(text, max_words):
        count = count_words(text[start:stop])
        if words and words + count > max_words:
            yield begin, end
            words = 0
        begin, end, words = start if not words else begin, stop, words + count
    if words:
        yield begin, end


def units(text: str, max_words: int) -> Iterator[Span]:
    """Sentences; of a sentence that is too long its words; of a word that is too long its parts. Trimmed."""
    for start, stop in sentences(text):
        if count_words(text[start:stop]) <= max_words:
            yield start, stop
            continue
        for word in WORD.finditer(text, start, stop):
            for part in range(word.start(), word.end(), max_words * WORD_CHARS):
                yield part, min(part + max_words * WORD_CHARS, word.end())


def sentences(text: str) -> Iterator[Span]:
    start = 0
    for stop in (*(end.end() for end in SENTENCE_END.finditer(text)), len(text)):
        span = trim(text, start, stop)
        if span[0] < span[1]:
            yield span
        start = stop


def trim(text: str, start: int, stop: int) -> Span:
    sentence = text[start:stop]
    return start + len(sentence) - len(sentence.lstrip()), stop - len(sentence) + len(sentence.rstrip())
