"""What a memory is about, in a few words: names and phrases of the talk first, then words that fall often."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from domain.memory import MemoryDraft
from domain.session import Turn
from processors.extracting.cleaning import MOST_TAGS, telling_words

_NAME = re.compile(r"(?<![.!?…]\s)(?<!^)\b[A-Z][\w'-]*[a-z0-9A-Z](?: [A-Z][\w'-]*[a-z0-9A-Z]){1,3}\b")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_OFTEN = 2  # times that a phrase in lower case has to be said
_LONGEST_TURN = 5_000  # characters of a turn in which phrases are looked for


def with_tags(drafts: Sequence[MemoryDraft], turns: Sequence[Turn]) -> list[MemoryDraft]:
    """The drafts with tags that are spelt alike throughout the talk, in lower case."""
    if not drafts:
        return []
    words, phrases = _said(turns)
    return [replace(draft, tags=_tags(draft, words, phrases)) for draft in drafts]


def _said(turns: Sequence[Turn]) -> tuple[Counter[str], list[str]]:
    """How often each word that means something was said; and the phrases, the longest first."""
    words, pairs, names = Counter[str](), Counter[str](), set[str]()
    for turn in turns:
        text = turn.text[:_LONGEST_TURN]
        said = [word.lower() for word in _WORD.findall(text)]
        telling = set(telling_words(text))
        words.update(word for word in said if word in telling)
        pairs.update(f"{one} {other}" for one, other in _pairs(said, telling))
        names.update(name.group().lower() for name in _NAME.finditer(text))
    often = {pair for pair, count in pairs.items() if count >= _OFTEN}
    return words, sorted(names | often, key=lambda phrase: (-len(phrase.split()), phrase))


def _pairs(said: Sequence[str], telling: set[str]) -> Iterator[tuple[str, str]]:
    for one, other in pairwise(said):
        if one in telling and other in telling and one != other:
            yield one, other


def _tags(draft: MemoryDraft, words: Counter[str], phrases: Sequence[str]) -> tuple[str, ...]:
    left = f" {' '.join(_WORD.findall(draft.title.lower()))} "
    found = []
    for phrase in phrases:
        if f" {phrase} " in left:
            found.append(phrase)
            left = left.replace(f" {phrase} ", " | ")
    single = sorted(telling_words(left), key=lambda word: -words[word])  # stable: as in the title
    return tuple([*found, *single][:MOST_TAGS])
