"""A talk in pieces of whole turns, each known by a digest of what was said in it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from domain.session import Turn

PIECE_WORDS = 1_000


@dataclass(frozen=True, slots=True)
class Piece:
    """Turns from position `first` up to `last`, and their digest together with `kind`: who reads them, and how."""

    first: int
    last: int
    digest: str
    turns: list[dict[str, Any]]


def pieces(turns: Sequence[Turn], kind: str) -> Iterator[Piece]:
    """Pieces of about PIECE_WORDS; a longer turn is one by itself. What is added later changes the last."""
    first = words = 0
    for position, turn in enumerate(turns):
        count = len(turn.text.split())
        if words and words + count > PIECE_WORDS:
            yield _piece(turns, first, position - 1, kind)
            first, words = position, 0
        words += count
    if turns:
        yield _piece(turns, first, len(turns) - 1, kind)


def _piece(turns: Sequence[Turn], first: int, last: int, kind: str) -> Piece:
    said = [
        {"turn": number, "speaker": turn.speaker, "role": turn.role, "text": turn.text}
        for number, turn in enumerate(turns[first : last + 1])
    ]
    digest = hashlib.sha256(kind.encode() + b"\0" + orjson.dumps(said)).hexdigest()
    return Piece(first, last, digest, said)
