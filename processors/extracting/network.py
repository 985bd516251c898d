"""A small neural network beside the linear model: it sees words by what they mean rather than by their letters.

    words         one row of numbers each                                      NETWORK "words"
    three in a row, at every place of the utterance                            "three"
    the utterance: the strongest of each, their mean, and its length           "one"
    with the two utterances before and after it, and who speaks                "near"
    scores                                                                     "labels"

Plain matrix products, so numpy is all it needs. scripts/train_extractor learns the numbers.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from processors.extracting.features import tokens

BEGIN, END, FIRST = 0, 1, 2  # then come the words that training did not see, in BUCKETS, then those it did
BUCKETS = 1_000
MOST_WORDS = 60  # of an utterance
_BLOCK = 512  # utterances at a time, so that memory stays flat
STEPS = (-2, -1, 1, 2)
_DIGIT = re.compile(r"\d")

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """`places`: the row of each known word; `weights`: matrices (inputs by outputs) and offsets, by name."""

    places: Mapping[str, int]
    weights: Mapping[str, Matrix]

    @cached_property
    def tables(self) -> tuple[Matrix, Matrix, Matrix]:
        """What layer "three" makes of each word as the first, second and third, and of none (the last row)."""
        words = np.vstack([self.weights["words"], np.zeros_like(self.weights["words"][:1])])
        before, here, after = (words @ part for part in np.split(self.weights["three"], 3))
        return before, here + self.weights["three offset"], after

    def scores(self, texts: Sequence[str], speakers: Sequence[str]) -> Matrix:
        """One row an utterance, one column a label; the utterances are all of one talk, in order."""
        rows = [self.rows(text) for text in texts]
        one = np.concatenate([self._utterances(rows[at : at + _BLOCK]) for at in range(0, len(rows), _BLOCK)])
        same, there = neighbours(speakers)
        near = [one, *(_moved(one, step) * there[:, [place]] for place, step in enumerate(STEPS)), same, there]
        around = self._layer("near", np.concatenate(near, axis=1))
        scores: Matrix = np.concatenate([one, around], axis=1) @ self.weights["labels"] + self.weights["labels offset"]
        return scores

    def rows(self, text: str) -> list[int]:
        """The rows of an utterance's words, between those of its begin and end."""
        return [BEGIN, *(self.places.get(word) or unseen(word) for word in tokens(text)[:MOST_WORDS]), END]

    def _utterances(self, rows: Sequence[Sequence[int]]) -> Matrix:
        lengths = np.array([len(row) for row in rows])
        flat = np.array([place for row in rows for place in row])
        begins = np.cumsum(lengths) - lengths
        before, here, after = self.tables
        earlier, later = np.roll(flat, 1), np.roll(flat, -1)
        earlier[begins] = later[begins + lengths - 1] = len(before) - 1  # nothing stands there
        three = np.maximum(0, before[earlier] + here[flat] + after[later])
        strongest = np.maximum.reduceat(three, begins, axis=0)
        mean = np.add.reduceat(three, begins, axis=0) / lengths[:, None]
        length = np.log(lengths[:, None])
        return self._layer("one", np.concatenate([strongest, mean, length], axis=1).astype(np.float32))

    def _layer(self, name: str, x: Matrix) -> Matrix:
        layer: Matrix = np.maximum(0, x @ self.weights[name] + self.weights[f"{name} offset"])
        return layer


def unseen(word: str) -> int:
    """A row that the word shares with others; all numbers have one."""
    return FIRST + zlib.crc32(b"#" if _DIGIT.search(word) else word.encode()) % BUCKETS


def neighbours(speakers: Sequence[str]) -> tuple[Matrix, Matrix]:
    """For each utterance and step: whether who speaks there is the same, and whether there is one at all."""
    n = len(speakers)
    same, there = np.zeros((n, len(STEPS)), np.float32), np.zeros((n, len(STEPS)), np.float32)
    for place, step in enumerate(STEPS):
        for at in range(max(0, -step), min(n, n - step)):
            there[at, place] = 1
            same[at, place] = speakers[at] == speakers[at + step]
    return same, there


def _moved(rows: Matrix, step: int) -> Matrix:
    return np.roll(rows, -step, axis=0)
