"""Lines such as `User: …` to turns: labels, roles, Otter's headings, times in brackets.

Text in files with timed cues is left to `captions`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from domain.session import Role, Turn
from processors.readers.payload import seconds_of

LABEL_CHARS = 40
LABEL_WORDS = 5
SPEAKER_CHARS = 200
# A GIN index over to_tsvector() refuses a text of more than 1 MiB of words, so longer entries become several turns.
TURN_CHARS = 100_000


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


USER_WORDS = words("user human me caller you customer client")
ASSISTANT_WORDS = words("assistant agent ai bot gpt chatgpt claude gemini copilot model robot")
ASSISTANT_FILLER = words("voice code the my o pro mini flash live opus sonnet haiku")
PERSON_WORDS = words(
    "speaker participant person voice guest host moderator interviewer interviewee narrator unknown system"
)
NUMBERED_PERSON = re.compile(
    r"(?:speaker|participant|person|voice|guest|user|caller|agent)(?:[ _.-]*[0-9]+|[ _.-]+[a-z])"
    r"|(?:unknown|unidentified) (?:speaker|person|participant)"
)
# What people write before a colon without speaking. The first word decides for `Step 2:` and the like.
NOT_SPEAKERS = words(
    """note notes nb ps todo to-do fixme task tasks action actions decision decisions idea ideas question questions
    answer answers risk risks fact facts summary agenda attendees participants topic title subject date time location
    update warning important example tip hint remember reminder result conclusion reason problem solution context
    background goal goals next follow-up deadline due owner priority status http https re fwd e.g i.e"""
)
NOT_SPEAKER_STARTS = words("step option phase part chapter section item day week version point number")

MARKS = " \t*_>-\N{BULLET}"
DIRECTION_MARKS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
STAMP = re.compile(
    r"[\[(]\s{0,3}([0-9][0-9:.,]{2,15})\s{0,3}(?:(?:-->|[-–—])\s{0,3}([0-9][0-9:.,]{2,15})\s{0,3})?[\])]\s*"
)
LABELLED = re.compile(
    r"(?P<label>[^:：\[\]()*\n]{1,60}?)\s{0,3}"
    r"(?:[\[(](?P<time>[0-9][0-9:.,]{2,15})[\])]\s{0,3})?[*_]{0,3}(?P<colon>[:：])[*_]{0,3}"
)
HEADING = re.compile(rf"(?P<name>\S.{{0,{LABEL_CHARS - 1}}}?)(?P<gap>\s+)(?P<time>[0-9][0-9:]{{3,9}})")
PARAGRAPHS = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Line:
    """A line with what stands before its words: a time, and a label that may or may not be a speaker."""

    text: str  # without the time
    rest: str = ""  # the text without the label
    label: str | None = None
    start: float | None = None
    end: float | None = None
    heading: bool = False  # the line is a name and a time only, as Otter writes it


@dataclass(slots=True)
class OpenTurn:
    speaker: str
    named: bool = False
    start: float | None = None
    end: float | None = None
    lines: list[str] = field(default_factory=list)

    def close(self) -> Turn | None:
        text = "\n".join(self.lines).strip()
        if not text:
            return None
        return Turn(self.speaker, text, role_of(self.speaker), start_seconds=self.start, end_seconds=self.end)


class Labels:
    """Which of the words before a colon are speakers, judged over all entries of one text.

    A label is a speaker when it is a role (`User`), one of the participants, there at least twice, or when every
    entry has one. `Note:` and its like never are, unless a participant has that name.
    """

    def __init__(self, labels: Sequence[str | None], participants: Iterable[Any] = ()) -> None:
        counts = Counter(fold(label) for label in labels if label)
        known = names_of(participants)
        possible = [label for label in labels if label and not is_remark(label)]
        everywhere = len(possible) == len(labels) and (len(labels) > 1 or any(map(is_name, possible)))
        self._spelling: dict[str, str] = {}
        for label in filter(None, labels):
            folded = fold(label)
            repeated = everywhere or counts[folded] > 1
            if folded in known or is_role(folded) or (repeated and not is_remark(label)):
                self._spelling.setdefault(folded, label)

    def speaker(self, label: str | None) -> str | None:
        """The speaker that a label names, in the spelling seen first; None when it names none."""
        return self._spelling.get(fold(label)) if label else None


def read_dialogue(text: str, *, participants: Iterable[Any] = (), speaker: str = "") -> tuple[Turn, ...]:
    """The turns in lines such as `User: …`; linear in the text.

    A turn goes on until the next label. What stands before the first label, or all of a text without labels, is
    said by `speaker`: there every paragraph is a turn. A time in brackets at the start of a line begins a turn.
    """
    lines = parse_lines(text)
    labels = Labels([line.label for line in lines if line.text and not line.text.startswith("#")], participants)
    turns: list[Turn] = []
    current = OpenTurn(speaker)
    for line in lines:
        if opened := open_turn(line, labels, current):
            keep(turns, current)
            current = opened
        elif line.text:
            current.lines.append(line.text)
        elif not current.named and current.lines:
            keep(turns, current)
            current = OpenTurn(current.speaker)
    keep(turns, current)
    return bounded(turns)


def open_turn(line: Line, labels: Labels, current: OpenTurn) -> OpenTurn | None:
    """The turn that a line begins, or None when it goes on with the current one."""
    said_by = line.label if line.heading else labels.speaker(line.label)
    if said_by is not None:
        return OpenTurn(said_by, True, line.start, line.end, [line.rest])
    if line.start is not None:
        return OpenTurn(current.speaker, current.named, line.start, line.end, [line.text])
    return None


def keep(turns: list[Turn], current: OpenTurn) -> None:
    turn = current.close()
    if turn is not None:
        turns.append(turn)


def parse_lines(text: str) -> list[Line]:
    raw = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    lines = [parse_line(line) for line in raw]
    headings = {i: heading for i, line in enumerate(raw) if (heading := parse_heading(line))}
    counts = Counter(fold(heading.label) for heading in headings.values() if heading.label)
    for i, heading in headings.items():
        stands_alone = (i == 0 or not raw[i - 1]) and i + 1 < len(raw) and bool(raw[i + 1])
        name = fold(heading.label or "")
        # A single space is how "meet me at 10:30" looks too.
        if stands_alone and (heading.heading or counts[name] > 1 or is_role(name)):
            lines[i] = replace(heading, heading=True)
    return lines


def parse_line(line: str) -> Line:
    """One line, or one entry of several lines, as time, label and text."""
    start, end, text = split_stamp(line.strip())
    body = text.lstrip(MARKS + DIRECTION_MARKS)
    found = LABELLED.match(body[: LABEL_CHARS + 32])
    if found is None:
        return Line(text, text, None, start, end)
    label = found["label"].strip(MARKS + DIRECTION_MARKS)
    rest = body[found.end() :]
    spaced = not rest or rest[0].isspace() or found["colon"] == "："
    if not spaced or not is_label(label):
        return Line(text, text, None, start, end)
    if start is None and found["time"]:
        start = seconds_of(found["time"])
    return Line(text, rest.strip(), label, start, end)


def parse_heading(line: str) -> Line | None:
    """`Jon Ek  0:07`, a heading for certain (`heading`) when two spaces part name and time."""
    found = HEADING.fullmatch(line) if len(line) <= LABEL_CHARS + 16 and line[-1:].isdigit() else None
    if found is None or not is_label(found["name"]):
        return None
    start = seconds_of(found["time"])
    wide = len(found["gap"]) > 1 or found["gap"] == "\t"
    return None if start is None else Line(line, "", found["name"], start, heading=wide)


def split_stamp(line: str) -> tuple[float | None, float | None, str]:
    stamp = STAMP.match(line)
    start = seconds_of(stamp[1]) if stamp else None
    if stamp is None or start is None:
        return None, None, line
    return start, seconds_of(stamp[2] or ""), line[stamp.end() :]


def role_of(speaker: str) -> Role:
    """`user` for the person who talks to a voice assistant, `assistant` for the assistant, else `other`."""
    said = set(re.findall(r"[^\W\d_]+", speaker.casefold()))
    if said and said <= USER_WORDS:
        return "user"
    if said & ASSISTANT_WORDS and said <= ASSISTANT_WORDS | ASSISTANT_FILLER:
        return "assistant"
    return "other"


def is_role(folded: str) -> bool:
    return folded in PERSON_WORDS or role_of(folded) != "other" or NUMBERED_PERSON.fullmatch(folded) is not None


def is_remark(label: str) -> bool:
    first = fold(label).rstrip(".").split()[0]
    return first in NOT_SPEAKERS or first in NOT_SPEAKER_STARTS


def is_label(label: str) -> bool:
    """Whether it could be a name by its form: letters of any script, digits, space and . - ' _."""
    if not label or len(label) > LABEL_CHARS or len(label.split()) > LABEL_WORDS:
        return False
    return any(map(str.isalpha, label)) and all(c.isalnum() or c in " .-'’_&" or is_mark(c) for c in label)


def is_mark(char: str) -> bool:
    return char in DIRECTION_MARKS or unicodedata.category(char) in ("Mn", "Mc", "Cf")  # vowel signs are parts of names


def is_name(label: str) -> bool:
    parts = label.split()
    return len(parts) == 1 or (len(parts) <= 3 and not any(part[0].islower() or part.isdecimal() for part in parts))


def fold(label: str) -> str:
    return " ".join(label.casefold().split())


def names_of(participants: Iterable[Any]) -> frozenset[str]:
    """The participants' names and first names, folded; of an object its `name` or `id`."""
    names: set[str] = set()
    for person in participants:
        given = [person.get("name"), person.get("id")] if isinstance(person, dict) else [person]
        folded = [fold(name) for name in given if isinstance(name, str) and name.strip()]
        names.update(folded)
        names.update(name.split()[0] for name in folded)
    return frozenset(names)


def clean_speaker(speaker: str) -> str:
    """A speaker on one line and of bounded length: it is repeated in every chunk."""
    return " ".join(speaker.split())[:SPEAKER_CHARS].strip()


def bounded(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The same turns, where one of more than 100,000 characters is cut at spaces into several."""
    return tuple(part for turn in turns for part in ([turn] if len(turn.text) <= TURN_CHARS else cut(turn)))


def cut(turn: Turn) -> list[Turn]:
    texts: list[str] = []
    begin = 0
    while begin < len(turn.text):
        end = min(begin + TURN_CHARS, len(turn.text))
        if end < len(turn.text):
            space = max(turn.text.rfind(" ", begin, end), turn.text.rfind("\n", begin, end))
            end = space if space > begin else end
        texts.append(turn.text[begin:end].strip())
        begin = end
    parts = [replace(turn, text=text) for text in texts if text]
    last = len(parts) - 1
    return [
        replace(
            part,
            start_seconds=part.start_seconds if i == 0 else None,
            start_time=part.start_time if i == 0 else None,
            end_seconds=part.end_seconds if i == last else None,
            end_time=part.end_time if i == last else None,
        )
        for i, part in enumerate(parts)
    ]
