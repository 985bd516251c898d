"""Text to sentences, each a span of it.

Linear in the length of the text: whatever was sent, patterns see at most LONGEST_SENTENCE characters at a time.
"""

import re
from collections.abc import Iterator

from processors.extracting.phrases import compiled, word_set

LONGEST_SENTENCE = 600
Span = tuple[int, int]
_MARKS = re.compile(r"[.!?…\n][.!?…]*+[\"'”’)\]]*+\s*+")
_ABBREVIATIONS = word_set("e.g i.e mr mrs ms dr vs approx")
_ELLIPSIS = ("..", "…")
_JOINT = compiled(r"([,;—]|\n|\s(?=(and|but|then|plus|also)\s))\s*+(<and>){0,4}(?=<command>)")
_JOINT_WORDS = (
    *("item", "task", "todo", "to do", "to-do", "ticket", "remind", "follow", "note"),
    *("claude", "codex", "gemini", "research"),
)
_RUN_ON_JOINT = compiled(r"\s(<and>){1,4}(?=<statement>)")
_RUN_ON_CHARS = 60
_ONE_MORE = compiled(r"\b(and|also|plus|but)\b")
_SUBORDINATE = compiled(r"\s*((so|and|but) )?(if|since|when|because|after|before|as|once|while|until|for|in|on|at)\b")


def sentences(text: str) -> Iterator[Span]:
    """The spans of the sentences of a text, without the white space around them.

    A line break ends a sentence unless the next line goes on in lower case. Two commands in one breath ("use
    SQLite and add a task to …") are two sentences. Long text without marks is cut where a statement begins anew.
    """
    lower = text.lower()
    joint = _JOINT if any(word in lower for word in _JOINT_WORDS) else None
    start = 0
    for end in _sentence_ends(text):
        for first, last in _parts(text, start, end, joint):
            said = text[first:last]
            bare = said.strip()
            if bare:
                first += len(said) - len(said.lstrip())
                yield first, first + len(bare)
        start = end


def _sentence_ends(text: str) -> Iterator[int]:
    for match in _MARKS.finditer(text):
        marks, follows = match.group().rstrip(), text[match.end() : match.end() + 1]
        space_follows = not follows or len(marks) < match.end() - match.start()
        goes_on = (not marks or marks.endswith(_ELLIPSIS)) and follows.islower()
        shortened = marks == "." and _last_word(text, match.start()) in _ABBREVIATIONS
        if space_follows and not goes_on and not shortened:
            yield match.start() + len(marks)
    yield len(text)


def _last_word(text: str, end: int) -> str:
    return text[max(0, end - 8) : end].rpartition(" ")[2].lower()


def _parts(text: str, start: int, end: int, joint: re.Pattern[str] | None) -> Iterator[Span]:
    if joint is None and end - start <= _RUN_ON_CHARS:
        yield start, end
        return
    while end - start > LONGEST_SENTENCE:
        space = text.rfind(" ", start + 1, start + LONGEST_SENTENCE)
        cut = space if space > start else start + LONGEST_SENTENCE
        yield from _unjoined(text, start, cut, joint)
        start = cut
    yield from _unjoined(text, start, end, joint)


def _unjoined(text: str, start: int, end: int, joint: re.Pattern[str] | None) -> Iterator[Span]:
    joints = list(joint.finditer(text, start, end)) if joint else []
    if end - start > _RUN_ON_CHARS and not text[start:end].rstrip().endswith((".", "!", "?")):
        joints = sorted([*joints, *_RUN_ON_JOINT.finditer(text, start, end)], key=re.Match.start)
    for found in joints:
        if found.start() >= start and not _is_condition(text, start, found):
            yield start, found.start()
            start = found.end()
    yield start, end


def _is_condition(text: str, start: int, joint: re.Match[str]) -> bool:
    """Whether what stands before a joint only leads to what follows: "If it rains, remind me to …"."""
    one_more = joint.re is _JOINT and _ONE_MORE.search(joint.group())
    return not one_more and bool(_SUBORDINATE.match(text, start, joint.start()))
