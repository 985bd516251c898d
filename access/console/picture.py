"""A picture of what came of what: columns of boxes with lines between them, as numbers that a template draws."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from access.console.rendering import plain, short

WIDTH, HEIGHT = 200, 56  # of a box
ACROSS, DOWN = 90, 12  # between boxes
HEAD, EDGE = 30, 2
CHARS, LINES = 26, 2  # of a box


@dataclass(frozen=True, slots=True)
class Box:
    """`key` is its name among all boxes, `column` counts from 0; `kind` is a class of the style sheet."""

    key: str
    column: int
    kind: str
    text: str
    link: str


@dataclass(frozen=True, slots=True)
class Line:
    start: str
    end: str
    kind: str = "leads"


@dataclass(frozen=True, slots=True)
class PlacedBox:
    box: Box
    x: int
    y: int

    @property
    def lines(self) -> list[str]:
        return wrapped(self.box.text)

    @property
    def title(self) -> str:
        return plain(short(self.box.text, 200))


@dataclass(frozen=True, slots=True)
class Picture:
    boxes: list[PlacedBox]
    paths: list[tuple[str, str]]  # the d of each path and its kind
    heads: list[tuple[int, str]]
    width: int
    height: int


def wrapped(text: str) -> list[str]:
    """The text in lines that a box holds; one long word is cut."""
    lines = textwrap.wrap(plain(short(text, 4 * CHARS)), CHARS) or ["…"]
    return lines if len(lines) <= LINES else [*lines[: LINES - 1], short(" ".join(lines[LINES - 1 :]), CHARS)]


def drawn(heads: Sequence[str], boxes: Sequence[Box], lines: Sequence[Line]) -> Picture:
    """Each column holds its boxes in the order given, each once; lines to what is not there are left out."""
    placed: dict[str, PlacedBox] = {}
    filled = [0] * len(heads)
    for box in boxes:
        if box.key not in placed:
            placed[box.key] = PlacedBox(
                box, EDGE + box.column * (WIDTH + ACROSS), HEAD + filled[box.column] * (HEIGHT + DOWN)
            )
            filled[box.column] += 1
    there = [line for line in dict.fromkeys(lines) if line.start in placed and line.end in placed]
    return Picture(
        list(placed.values()),
        [(path(placed[line.start], placed[line.end]), line.kind) for line in there],
        [(EDGE + column * (WIDTH + ACROSS), head) for column, head in enumerate(heads)],
        2 * EDGE + len(heads) * WIDTH + (len(heads) - 1) * ACROSS,
        HEAD + max(filled, default=0) * (HEIGHT + DOWN),
    )


def path(start: PlacedBox, end: PlacedBox) -> str:
    """From the right side of a box to the left side of one in a later column, or round to the right side of one in the
    same."""
    x, y, to_y = start.x + WIDTH, start.y + HEIGHT // 2, end.y + HEIGHT // 2
    if start.box.column == end.box.column:
        out = x + ACROSS // 2
        return f"M{x} {y}C{out} {y} {out} {to_y} {x + 3} {to_y}"
    middle = (x + end.x) // 2
    return f"M{x} {y}C{middle} {y} {middle} {to_y} {end.x} {to_y}"
