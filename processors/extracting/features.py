"""Utterances to hashed features: what the model sees of them. The same code makes them for training and for use.

Of an utterance: its words, pairs and triples of words, letter groups, and its length. Of its neighbours: their words,
on which side, how far, and whether the speaker is the same. Where in the talk it stands is no feature, since a voice
chat has no such shape as a meeting has.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

BITS = 19
_NEAR = 2  # neighbours on either side that are seen with their order; up to _FAR only as a bag of words
_FAR = 5
_LONGEST_WORD = 24
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*-?|[?!.,]")
_DIGIT = re.compile(r"\d")
_KNOWN_WORDS = 50_000  # hashes of so many words are kept at most

Hashes = NDArray[np.uint32]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Group:
    """Features of one kind: `indices` of all utterances in a row, of which each has `counts` (at least one)."""

    indices: Hashes
    counts: Counts


def tokens(text: str) -> list[str]:
    """Words in lower case (a word that was cut off ends in "-"), and the marks of sentences where they are given."""
    return _TOKEN.findall(text.lower().replace("’", "'").replace("_", ""))


def groups(texts: Sequence[str], speakers: Sequence[str]) -> list[Group]:
    """The features of a talk's utterances, in the order in which they were said; one group of each kind, always."""
    words = [tokens(text) for text in texts]
    lengths = np.array([len(said) + 2 for said in words])
    flat = _hashes(words)
    ends = np.cumsum(lengths)
    same = np.array([one == other for one, other in pairwise(speakers)], bool)
    far = _far(flat, lengths, ends)
    return [
        Group(_salted(flat, 1), lengths),
        _chained(flat, lengths, ends, 2),
        _chained(flat, lengths, ends, 3),
        _letters(words),
        *(_neighbour(flat, lengths, ends, same, step) for near in range(1, _NEAR + 1) for step in (-near, near)),
        *far,
    ]


class _Vocabulary:
    """Hashes of words and of their letter groups, computed once."""

    def __init__(self) -> None:
        self.words: dict[str, int] = {}
        self.letters: dict[str, Hashes] = {}

    def word(self, word: str) -> int:
        known = self.words.get(word)
        if known is None:
            self._make_room()
            plain = "#" if _DIGIT.search(word) else word[:_LONGEST_WORD]
            known = self.words[word] = zlib.crc32(plain.encode())
        return known

    def letter_groups(self, word: str) -> Hashes:
        known = self.letters.get(word)
        if known is None:
            self._make_room()
            edged = f"<{_DIGIT.sub('0', word[:_LONGEST_WORD])}>"
            parts = [edged[i : i + n] for n in (3, 4, 5) for i in range(len(edged) - n + 1)]
            known = self.letters[word] = np.array([zlib.crc32(part.encode()) for part in parts], np.uint32)
        return known

    def _make_room(self) -> None:
        if len(self.words) + len(self.letters) > 2 * _KNOWN_WORDS:
            self.words.clear()
            self.letters.clear()


_VOCABULARY = _Vocabulary()
_BEGIN, _END = zlib.crc32(b"<"), zlib.crc32(b">")


def _hashes(words: Sequence[Sequence[str]]) -> Hashes:
    flat: list[int] = []
    for said in words:
        flat.append(_BEGIN)
        flat.extend(map(_VOCABULARY.word, said))
        flat.append(_END)
    return np.array(flat, np.uint32)


def _salted(hashes: Hashes, salt: int) -> Hashes:
    mixed = (hashes ^ np.uint32(salt * 0x85EBCA6B & 0xFFFFFFFF)) * np.uint32(0x9E3779B1)
    return (mixed ^ (mixed >> np.uint32(15))) & np.uint32((1 << BITS) - 1)


def _chained(flat: Hashes, lengths: Counts, ends: Counts, n: int) -> Group:
    """Runs of `n` words that stand together, the edges of the utterance among them."""
    chain = flat[: len(flat) - n + 1].copy()
    for step in range(1, n):
        chain = chain * np.uint32(0x01000193) ^ flat[step : len(flat) - n + 1 + step]
    inside = np.ones(len(flat), bool)
    for step in range(n - 1):
        inside[ends - 1 - step] = False
    runs, counts = _filled(chain[inside[: len(chain)]], np.maximum(lengths - n + 1, 0))
    return Group(_salted(runs, n), counts)


def _filled(hashes: Hashes, counts: Counts) -> tuple[Hashes, Counts]:
    """With one feature for each utterance that has none."""
    empty = counts == 0
    if not empty.any():
        return hashes, counts
    places = (np.cumsum(counts) - counts)[empty]
    return np.insert(hashes, places, np.uint32(_END)), np.where(empty, 1, counts)


def _letters(words: Sequence[Sequence[str]]) -> Group:
    """Letter groups of the words, and the length of the utterance."""
    parts: list[Hashes] = []
    counts = []
    for said in words:
        mine = [_VOCABULARY.letter_groups(word) for word in said]
        parts.append(_LENGTHS[min(len(_LENGTHS) - 1, len(said) // 3)])
        parts.extend(mine)
        counts.append(1 + sum(map(len, mine)))
    return Group(_salted(np.concatenate(parts), 4), np.array(counts))


_LENGTHS = [np.array([zlib.crc32(f"length {n}".encode())], np.uint32) for n in range(10)]


def _neighbour(flat: Hashes, lengths: Counts, ends: Counts, same: NDArray[np.bool_], step: int) -> Group:
    """The words and pairs of words of the neighbour `step` utterances on; an edge where the talk ends."""
    n = len(lengths)
    others = np.arange(n) + step
    there = (others >= 0) & (others < n)
    others = np.clip(others, 0, n - 1)
    relation = np.zeros(n, np.int64)
    if n > 1:
        # Who spoke in between counts too: the same speaker throughout, or not.
        run = np.concatenate([[0], np.cumsum(~same)])
        relation = np.where(run[others] == run, 1, 2)
    relation = np.where(there, relation, 0)
    counts = np.where(there, lengths[others], 1)
    begins = np.where(there, (ends - lengths)[others], 0)
    places = np.repeat(begins - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    said = np.where(np.repeat(there, counts), flat[places], np.uint32(_BEGIN))
    salt = np.repeat(relation, counts).astype(np.uint32) * np.uint32(0xC2B2AE35) + np.uint32(16 + step)
    first = _salted(said ^ salt * np.uint32(0x27D4EB2F), 5)
    if abs(step) > 1:
        return Group(first, counts)
    after = np.concatenate([said[1:], said[:1]])
    after[np.cumsum(counts) - 1] = np.uint32(_END)
    second = _salted((said * np.uint32(0x01000193) ^ after) ^ salt * np.uint32(0x27D4EB2F), 6)
    both = np.stack([first, second], 1).ravel()
    return Group(both, counts * 2)


def _far(flat: Hashes, lengths: Counts, ends: Counts) -> list[Group]:
    """The words of what was said a little before, and a little after."""
    n = len(lengths)
    found = []
    for side, first, last in ((7, -_FAR, -_NEAR - 1), (8, _NEAR + 1, _FAR)):
        one, other = np.clip(np.arange(n) + first, 0, n), np.clip(np.arange(n) + last + 1, 0, n)
        bounds = np.concatenate([[0], ends])
        begins, counts = bounds[one], bounds[other] - bounds[one]
        counts = np.maximum(counts, 0)
        places = np.repeat(begins - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        hashes, counts = _filled(flat[places], counts)
        found.append(Group(_salted(hashes, side), counts))
    return found
