"""Turns to utterances: what the model judges. An utterance is a sentence, with the short words that lead into it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domain.session import Turn
from processors.extracting.sentences import sentences

_SHORT_CHARS = 12  # "Okay." and "Right, so." are no utterances of their own when more follows in the turn


@dataclass(frozen=True, slots=True)
class Utterance:
    """A span of a turn's text; `turn` is the position of the turn."""

    turn: int
    start: int
    end: int
    text: str
    speaker: str


def utterances(turns: Sequence[Turn]) -> list[Utterance]:
    """Those of people and assistants, in order; a summary is nobody's speech."""
    return [
        Utterance(position, start, end, turn.text[start:end], f"{turn.role} {turn.speaker}")
        for position, turn in enumerate(turns)
        if turn.role != "summary"
        for start, end in _joined(turn.text)
    ]


def _joined(text: str) -> Iterator[tuple[int, int]]:
    begin = None
    end = 0
    for start, end in sentences(text):
        begin = start if begin is None else begin
        if end - begin > _SHORT_CHARS:
            yield begin, end
            begin = None
    if begin is not None:
        yield begin, end
