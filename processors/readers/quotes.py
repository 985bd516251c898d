"""Where a sender's item was said: the exact span in the turns.

Only verbatim words are found, whatever their case and line breaks; likeness is left to search.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from domain.session import Turn

# Looking up one item reads all turns once, so a delivery full of items could keep a worker busy for long.
# Past this many characters read, items are kept without their place.
SEARCHED_CHARS = 2_000_000_000
TRIES = 100  # hits within longer words that are passed over before an item is given up


WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Quote:
    turn: int
    start: int
    end: int
    text: str
    speaker: str


class Quotes:
    """Finds texts in turns: `turns[quote.turn].text[quote.start:quote.end] == quote.text`, always."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = turns
        said = [normalise(turn.text) for turn in turns]
        self._said = "\n".join(said)
        self._starts = [0, *accumulate(len(text) + 1 for text in said)]
        self._places: dict[int, tuple[list[int], list[int]]] = {}
        self._searched = 0

    def find(self, text: str) -> Quote | None:
        """The first place where the text stands as whole words in one turn, or None."""
        wanted = normalise(text)
        if not wanted or not self._turns or self._searched > SEARCHED_CHARS:
            return None
        self._searched += len(self._said)
        position = find_whole_words(self._said, wanted)
        if position is None:
            return None
        number = bisect_right(self._starts, position) - 1
        begin = position - self._starts[number]
        start, end = self._original(number, begin), self._original(number, begin + len(wanted) - 1) + 1
        turn = self._turns[number]
        return Quote(number, start, end, turn.text[start:end], turn.speaker)

    def _original(self, turn: int, position: int) -> int:
        """The position in a turn's text of a character in its normalised text."""
        if turn not in self._places:
            words = [(word.start(), len(word[0])) for word in WORD.finditer(self._turns[turn].text)]
            normalised = [0, *accumulate(length + 1 for _, length in words)]
            self._places[turn] = normalised, [start for start, _ in words]
        normalised, starts = self._places[turn]
        word = bisect_right(normalised, position) - 1
        return starts[word] + position - normalised[word]


def find_whole_words(said: str, wanted: str) -> int | None:
    position = said.find(wanted)
    for _ in range(TRIES):
        if position < 0:
            return None
        end = position + len(wanted)
        before, after = said[position - 1 : position], said[end : end + 1]
        if not (is_word(before) and is_word(wanted[0])) and not (is_word(after) and is_word(wanted[-1])):
            return position
        position = said.find(wanted, position + 1)
    return None


def is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def normalise(text: str) -> str:
    return " ".join(same_length_lower(text).split())


def same_length_lower(text: str) -> str:
    """Lower case, character for character, so that positions hold: only `İ` would become two."""
    return text.replace("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i").lower()
