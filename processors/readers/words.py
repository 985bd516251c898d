"""What speech recognisers give, to turns: words or utterances with speaker labels and seconds; and their details.

Where a turn ends follows the rules of caption files (`captions.join`), but never within a sentence that is punctuated.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from domain.session import Turn
from processors.readers.captions import JOIN_SECONDS, JOIN_WORDS, Entry, join
from processors.readers.dialogue import bounded, clean_speaker
from processors.readers.payload import Fields, wrong_type

SENTENCE_END = re.compile(r"[.!?…。！？؟۔।][\"'”’»)\]]*\Z")
SHORT_LABEL = re.compile(r"[0-9]{0,4}[A-Za-z]?")  # "A", "0", "1B": a label of the recogniser, not a name


def turns_of(entries: Iterable[Entry]) -> tuple[Turn, ...]:
    """Consecutive entries of one speaker as turns: a silence of two seconds or some eighty words end one."""
    return bounded(join(entries))


def sentences_of(words: Iterable[Entry]) -> Iterator[Entry]:
    """Words as sentences: each ends with its punctuation, its speaker, a silence, or after eighty words."""
    parts: list[Entry] = []
    for word in words:
        if parts and (word.speaker != parts[-1].speaker or len(parts) >= JOIN_WORDS or is_silence(parts[-1], word)):
            yield joined(parts)
            parts = []
        parts.append(word)
        if SENTENCE_END.search(word.text):
            yield joined(parts)
            parts = []
    if parts:
        yield joined(parts)


def is_silence(last: Entry, word: Entry) -> bool:
    """Whether a word begins long after the last one, or before it."""
    if word.start is None or last.start is None:
        return False
    end = last.start if last.end is None else last.end
    return not last.start <= word.start < end + JOIN_SECONDS


def joined(parts: list[Entry]) -> Entry:
    ends = [part.end for part in parts if part.end is not None]
    text = " ".join(part.text for part in parts)
    return Entry(text, parts[0].speaker, parts[0].start, ends[-1] if ends else None)


def speaker_label(fields: Fields, *names: str) -> str | None:
    """A speaker, from a name, or from a recogniser's letter or number as `Speaker A`; None where it is not known."""
    for name in names:
        value = fields.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise wrong_type(fields.at(name), value, "a string or a number")
        label = clean_speaker(f"{value:.0f}" if isinstance(value, float) else str(value))
        if label and label.casefold() != "unknown":
            return f"Speaker {label}" if SHORT_LABEL.fullmatch(label) else label
    return None


def span(fields: Fields, start: str, end: str, *, per_second: float = 1.0) -> tuple[float | None, float | None]:
    """Start and end in seconds; an end before the start is left out."""
    begun, ended = seconds(fields, start, per_second), seconds(fields, end, per_second)
    backwards = begun is not None and ended is not None and ended < begun
    return begun, None if backwards else ended


def seconds(fields: Fields, name: str, per_second: float) -> float | None:
    number = fields.number(name)
    return None if number is None else number / per_second


def details(fields: Fields, *names: str) -> dict[str, Any]:
    """Those of these fields that hold one plain value: what is kept of a recording as metadata."""
    return {name: fields.get(name) for name in names if isinstance(fields.get(name), str | int | float)}
