"""A text in pieces, each with the items whose words it is part of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class Piece:
    text: str
    items: tuple[Any, ...]  # by their order in the talk; none for plain text
    starts: tuple[Any, ...]  # those among them whose first piece it is


def pieces(text: str, items: Sequence[Any]) -> list[Piece]:
    """Cuts the text where an item's span begins or ends, so that spans may overlap and hold one another. Joined, the
    pieces are the text. A span outside the text is cut off or left out."""
    spans = [(span, item) for item in items if (span := span_within(item, len(text))) is not None]
    edges = sorted({0, len(text), *(edge for span, _ in spans for edge in span)})
    return [
        Piece(
            text[start:end],
            tuple(item for (first, last), item in spans if first <= start and end <= last),
            tuple(item for (first, _), item in spans if first == start),
        )
        for start, end in pairwise(edges)
    ]


def span_within(item: Any, chars: int) -> tuple[int, int] | None:
    start, end = item["char_start"], item["char_end"]
    if start is None or end is None:
        return None
    start, end = max(0, start), min(chars, end)
    return (start, end) if start < end else None


def by_turn(items: Iterable[Any]) -> dict[int, list[Any]]:
    """Items by the number of their turn; those of none are left out."""
    found: dict[int, list[Any]] = {}
    for item in items:
        if item["turn_seq"] is not None:
            found.setdefault(item["turn_seq"], []).append(item)
    return found
