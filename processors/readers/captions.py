"""WebVTT and SRT to turns with their seconds: one tolerant parser for both.

Broken cues lose their times, never their text. Which session the file belongs to is left to `texts`.
"""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from domain.session import Turn
from processors.readers.dialogue import Labels, bounded, clean_speaker, parse_line, role_of
from processors.readers.payload import BOM, seconds_of

JOIN_SECONDS = 2.0  # a longer silence ends a turn
JOIN_WORDS = 80  # so that a monologue still has places that a quote can point to

TIME_LIKE = re.compile(r"(?:[0-9]+:[^\s]{0,19})?")
# Only the tags that the two formats know: other words between angle brackets were said.
TAG = re.compile(
    r"</?(?:[cibus]|ruby|rt|em|strong)(?:\.[^\s<>]*)?\s*/?>"
    r"|</?(?:v|lang|font|span|p|br)(?:[.\s/][^<>]*)?>|<[0-9][0-9:.]*>|\{\\an?[0-9]\}",
    re.IGNORECASE,
)
VOICE = re.compile(r"<v(?:\.[^\s<>]*)?(?:\s([^<>]*))?>", re.IGNORECASE)
COMMENTS = ("NOTE", "STYLE", "REGION")


@dataclass(slots=True)
class Cue:
    lines: list[str]
    start: float | None = None
    end: float | None = None
    begun: bool = False  # by a line with an arrow


@dataclass(frozen=True, slots=True)
class Entry:
    """What one speaker says in one cue; `speaker` is None where the cue names nobody."""

    text: str
    speaker: str | None
    start: float | None
    end: float | None


def looks_like_captions(text: str) -> bool:
    """Whether a plain text is a caption file: many are sent as text/plain."""
    lines = [line for line in text[:500].lstrip(BOM).split("\n") if line.strip()][:2]
    return text.lstrip(BOM).startswith("WEBVTT") or any(timing(line) not in (None, (None, None)) for line in lines)


def read_captions(text: str, *, participants: Iterable[Any] = ()) -> tuple[Turn, ...]:
    """The turns of a caption file, consecutive cues of one speaker joined; linear in the text."""
    entries = list(entries_of(cues_of(text), participants))
    return bounded(join(entries))


def cues_of(text: str) -> Iterator[Cue]:
    lines = text.removeprefix(BOM).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    is_vtt = lines[0].startswith("WEBVTT")
    blocks = list(blocks_of(after_header(lines) if is_vtt else lines))
    for block, following in zip_longest(blocks, blocks[1:]):
        number_alone = len(block) == 1 and block[0].isdecimal()
        if not (number_alone and (following is None or timing(following[0]))):  # else the number of a cue, not its text
            yield from cues_of_block(block, is_vtt)


def after_header(lines: list[str]) -> list[str]:
    for i, line in enumerate(lines):
        if i and (not line.strip() or timing(line)):
            return lines[i:]
    return []


def blocks_of(lines: Iterable[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lines:
        if line.strip():
            block.append(line.strip())
        elif block:
            yield block
            block = []
    if block:
        yield block


def cues_of_block(block: list[str], is_vtt: bool) -> Iterator[Cue]:
    """The cues between two blank lines: one, or several where the blank lines are missing.

    Lines without a time before them are a cue without times: SRT writers leave blank lines within a text.
    """
    times = [timing(line) for line in block]
    if is_vtt and block[0].split()[0] in COMMENTS and not any(times):
        return
    cue = Cue([])
    for line, at in zip(block, times, strict=True):
        if at is None:
            cue.lines.append(line)
            continue
        drop_identifier(cue, is_vtt)
        yield cue
        cue = Cue([], *at, begun=True)
    yield cue


def drop_identifier(cue: Cue, is_vtt: bool) -> None:
    """Takes the last line off when it is the name of the cue that follows: a number, in WebVTT any line by itself."""
    alone = is_vtt and len(cue.lines) == 1 and not cue.begun
    if cue.lines and (cue.lines[-1].isdecimal() or alone):
        cue.lines.pop()


def timing(line: str) -> tuple[float | None, float | None] | None:
    """Start and end of a line with an arrow; None when it is text. Times that cannot be read are None."""
    left, arrow, right = line.partition("-->")
    left, right = left.strip(), (right.split() or [""])[0]
    if not arrow or not TIME_LIKE.fullmatch(left) or not TIME_LIKE.fullmatch(right):
        return None
    start, end = seconds_of(left), seconds_of(right)
    backwards = start is not None and end is not None and end < start
    return start, None if backwards else end


def entries_of(cues: Iterable[Cue], participants: Iterable[Any]) -> Iterator[Entry]:
    """The cues by speaker, from voice tags or, where a file has none, from labels such as `Jon: …`.

    A label holds until the next one. A cue without a voice tag in a file that has them names nobody.
    """
    spoken = [(cue, voices_of("\n".join(cue.lines))) for cue in cues]
    if any(voice is not None for _, voices in spoken for voice, _ in voices):
        for cue, voices in spoken:
            yield from (Entry(text, voice, cue.start, cue.end) for voice, text in voices)
        return
    lines = [(cue, parse_line(line), line) for cue, voices in spoken for _, text in voices for line in text.split("\n")]
    labels = Labels([line.label for _, line, _ in lines], participants)
    current: str | None = None
    for cue, line, text in lines:
        said_by = labels.speaker(line.label)
        current = said_by or current
        said = line.rest if said_by else text
        if said:
            yield Entry(said, current, cue.start, cue.end)


def voices_of(text: str) -> list[tuple[str | None, str]]:
    """The texts of a cue, without tags, each with the name in its voice tag; texts without words are left out."""
    before, *rest = VOICE.split(text)
    pairs = [(None, before), *zip(rest[::2], rest[1::2], strict=True)]
    clean = [(clean_speaker(html.unescape(name or "")) or None, plain(said)) for name, said in pairs]
    return [(name, said) for name, said in clean if said]


def plain(text: str) -> str:
    lines = html.unescape(TAG.sub(lambda tag: " " if tag[0].startswith("<br") else "", text)).split("\n")
    return "\n".join(line for line in (" ".join(line.split()) for line in lines) if line)


def join(entries: Iterable[Entry]) -> Iterator[Turn]:
    parts: list[Entry] = []
    words = 0
    for entry in entries:
        count = len(entry.text.split())
        if parts and (words + count > JOIN_WORDS or not follows(parts[-1], entry)):
            yield turn_of(parts)
            parts, words = [], 0
        parts.append(entry)
        words += count
    if parts:
        yield turn_of(parts)


def follows(last: Entry, entry: Entry) -> bool:
    """Whether the entry goes on with what the same speaker just said. Unknown times part nobody."""
    if entry.speaker != last.speaker:
        return False
    if entry.start is None or last.start is None:
        return True
    end = last.start if last.end is None else last.end
    return last.start <= entry.start < end + JOIN_SECONDS


def turn_of(parts: list[Entry]) -> Turn:
    speaker = parts[0].speaker or ""
    starts = [part.start for part in parts if part.start is not None]
    ends = [part.end for part in parts if part.end is not None]
    return Turn(
        speaker,
        " ".join(" ".join(part.text.split()) for part in parts),
        role_of(speaker),
        start_seconds=starts[0] if starts else None,
        end_seconds=ends[-1] if ends else None,
    )
