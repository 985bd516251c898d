"""Which decisions take the place of earlier ones: by what they say, never because they are alike. Pure.

A decision replaces another when it names what it is instead of ("Postgres instead of SQLite"), or when the words around
it tell of a change ("actually let's …", "switch back to …", "after all") and both are about one thing. It revokes
another when it says that something is not to be ("let's not use Redis after all", "scrap the Redis idea").
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from processors.extracting.cleaning import telling_words
from processors.extracting.phrases import compiled, word_set
from processors.sameness import is_fixed, is_form, meaning, same

MOST_WORDS = 6  # of a title, to look for in pairs

_CHANGE = compiled(
    r"(\b(changed (my|our) minds?|on second thoughts?"
    r"|(switch|switching|switched|go|going|went|move|moving|change|changing) back to"
    r"|(switch|switching|switched|revert|reverting|reverted) (from [\w-]+ )?(back )?to"
    r"|(?<!not )actually,? (let's|lets|we('ll| will|'re going)|i('ve| have) decided)"
    r"|after all|(let's|lets|we('ll| will)) [^,.;]{2,60} instead(?! of\b)(?=[.!,;]|$)))"
)
_REVOKE = compiled(
    r"(\b(not|never|no longer|scrap|(drop|ditch|abandon)(ping|ing)?|against"
    r"|(undo|reverse|revert|cancel|withdraw) (the|that|our|my)"
    r"|forget (about )?(the|using)|rid of)\b|n't\b)"
)
# Words by which a decision is changed or revoked, which say nothing of what it is about.
_ABOUT_CHANGE = word_set(
    "abandon abandoning again against all anymore any after cancel change changed changing decide decided decision"
    " ditch drop dropping don't forget idea longer mind minds more move moving never not plan revert reverse reverting"
    " rid scrap switch switched switching thought thoughts undo withdraw won't"
)
_PLACE = compiled(r"\b(for|in|on|at|as|when|during) (?P<where>[\w' -]{2,60})$")


@dataclass(frozen=True, slots=True)
class Statement:
    """A memory as far as it matters here. `instead_of` is what it says that it is instead of."""

    type: str
    title: str
    quote: str = ""
    instead_of: str = ""
    extractor: str = "rules"

    @classmethod
    def of(
        cls, type: str, title: str, quote: str | None, content: Mapping[str, Any], extractor: str = "rules"
    ) -> "Statement":
        other = content.get("instead_of")
        return cls(type, title, quote or "", other if isinstance(other, str) else "", extractor)


def may_replace(new: Statement) -> bool:
    """Whether it says that it takes the place of something. A language model's words for it are nobody's decision."""
    if new.extractor == "llm":
        return False
    return new.type == "decision" and bool(new.instead_of or revokes(new) or _CHANGE.search(new.quote))


def revokes(statement: Statement) -> bool:
    """Whether it says what is not to be, and not what is to be instead."""
    return not statement.instead_of and bool(_REVOKE.search(statement.title))


def looks_for(new: Statement) -> list[str]:
    """Words to look for in other sessions: what it may replace there has all the words of one of these.

    There, a change has to name more of its subject than one word of several.
    """
    if new.instead_of:
        return [" ".join(sorted(about(new.instead_of)))]
    ours = sorted(about(new.title))
    if revokes(new) or len(ours) < 2:
        return [" ".join(ours)]
    return [" ".join(pair) for pair in combinations(ours[:MOST_WORDS], 2)]


def replaces(new: Statement, old: Statement) -> bool:
    """Whether `new`, said later, takes the place of `old`, which stands."""
    if old.type != "decision" and not (old.type == "idea" and revokes(new)):
        return False
    if elsewhere(new.title, old.title) or same(meaning(new.title), meaning(old.title)):
        return False
    ours, theirs = about(new.title), chosen(old)
    if revokes(new) or revokes(old):
        changing = revokes(new) or bool(_CHANGE.search(new.quote))
        named = holds(theirs, ours) or (holds(ours, theirs) and len(ours) <= 2 * len(theirs))
        return changing and named and revokes(new) != revokes(old)
    if new.instead_of:
        return holds(theirs, about(new.instead_of))
    if not _CHANGE.search(new.quote) or holds(theirs, ours):  # what it says is what stands already
        return False
    theirs = about(old.title)
    return 0 < min(len(ours), len(theirs)) <= 2 * len(shared(ours, theirs))


def chosen(old: Statement) -> frozenset[str]:
    """What a decision is for: not what it is instead of."""
    return frozenset(about(old.title) - about(old.instead_of))


def about(text: str) -> frozenset[str]:
    """The words of a text that say what it is about."""
    return frozenset(word for word in telling_words(text) if word not in _ABOUT_CHANGE)


def holds(words: Iterable[str], thing: Iterable[str]) -> bool:
    """Whether a thing is named, with all its words."""
    words, thing = list(words), list(thing)
    return bool(thing) and all(any(word == other or is_form(word, other) for other in words) for word in thing)


def shared(ours: Iterable[str], theirs: Iterable[str]) -> list[str]:
    theirs = list(theirs)
    return [word for word in ours if holds(theirs, [word])]


def elsewhere(one: str, other: str) -> bool:
    """Whether both name a place or purpose, and not the same: "for tests", "for production"; a day is neither."""
    places = [_PLACE.search(title) for title in (one, other)]
    named = [about(place["where"]) if place else frozenset() for place in places]
    ours, theirs = ([word for word in words if not is_fixed(word)] for words in named)
    return bool(ours and theirs) and not shared(ours, theirs)
