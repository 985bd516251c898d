"""Conversations with a voice assistant or among people, labelled by hand: tests/data/voice.

# what it is; who; punctuated | unpunctuated
user Mara: It's going to be Carbon Interface. Climatiq wants a sales call.
  = decision: it's going to be Carbon Interface -- settled, with a reason
  ! idea: a sales call -- looks like one and is none
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from domain.session import Role, Turn

FOLDER = Path(__file__).parent / "data" / "voice"
TYPES = ("decision", "action_item", "idea", "question", "risk", "fact", "preference")
_TURN = re.compile(r"(?P<role>user|assistant|other) (?P<speaker>[^:]+): (?P<text>\S.*)")
_LABEL = re.compile(rf"  (?P<mark>[=!]) (?P<type>{'|'.join(TYPES)}): (?P<words>\S.*?) -- (?P<why>\S.*)")


@dataclass(frozen=True)
class Label:
    """Words of a turn that carry an item, or that only look like one."""

    turn: int
    type: str
    start: int
    end: int
    words: str
    why: str


@dataclass(frozen=True)
class Talk:
    name: str
    about: str
    form: str
    turns: tuple[Turn, ...]
    labels: tuple[Label, ...]
    traps: tuple[Label, ...]


def read_talks() -> list[Talk]:
    return [read_talk(file) for file in sorted(FOLDER.glob("*.txt"))]


def read_talk(file: Path) -> Talk:
    head, *lines = file.read_text("utf-8").splitlines()
    about, _, form = head.removeprefix("# ").rpartition("; ")
    turns: list[Turn] = []
    found: dict[str, list[Label]] = {"=": [], "!": []}
    for number, line in enumerate(lines, 2):
        if turn := _TURN.fullmatch(line):
            turns.append(Turn(turn["speaker"], turn["text"], cast(Role, turn["role"])))
        elif label := _LABEL.fullmatch(line):
            start = turns[-1].text.find(label["words"])
            assert start >= 0, f"{file.name}, line {number}: these words are not in the turn above"
            end = start + len(label["words"])
            kept = Label(len(turns) - 1, label["type"], start, end, label["words"], label["why"])
            found[label["mark"]].append(kept)
        else:
            raise AssertionError(f"{file.name}, line {number} is neither a turn nor a label: {line}")
    return Talk(file.stem, about, form, tuple(turns), tuple(found["="]), tuple(found["!"]))


def matches(label: Label, draft: Any) -> bool:
    """Whether an extracted memory is this item: of its type, with words of the same turn that overlap."""
    return bool(
        draft.type == label.type
        and draft.turn == label.turn
        and draft.char_start < label.end
        and label.start < draft.char_end
    )
