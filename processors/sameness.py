"""Whether two titles say the same: equal words, or nearly all of them, and nothing that makes them differ. Pure.

What is taken for the same is done once, so in doubt two statements are two. Numbers, days, names, negations and
opposites have to be the same in both; where each has a word that the other has not ("blue tiles", "green tiles") they
differ; one alone may say a little more ("Carbon Interface prices", "Carbon Interface API prices").
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from processors.extracting.phrases import word_set

# The share of the longer title that both have, in letters. pg_trgm's similarity of the stems is the same number where
# one title has all the words of the other. At 0.75 a word more is tolerated beside four of its length, and the word
# that makes "write integration tests for the parser" another task than "write tests for the parser" (0.72) is not.
ALIKE = 0.75

_WORD = re.compile(r"[^\W_]+(?:\.\d+)*")
_SHORT = ((re.compile(r"\bcan't\b"), "can not"), (re.compile(r"\bwon't\b"), "will not"), (re.compile(r"n't\b"), " not"))
_ENDING = re.compile(r"'(s|re|ve|ll|d|m)\b")


_NUMBERS = {
    "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12",
}  # fmt: skip
_DAYS = word_set(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august"
    " september october november december today tomorrow tonight yesterday morning afternoon evening noon midnight day"
    " week weekend month quarter sprint year next last"
)
# What turns a statement round, or takes something out of it.
_TURNING = word_set(
    "not no never none nothing neither nor without against stop avoid cancel delete disable drop ditch except instead"
    " only quit remove revert scrap skip undo unless until longer anymore"
    " off out down under before after below less least since"
)
_WAYS = word_set("from to into over than before after against instead not with")
_EMPTY = word_set(
    "a an the um uh er hm mm please just really actually basically okay ok like well yeah so also then maybe i we you"
    " us let our let's will would shall should can could must be is are was were am been do does did have has had going"
    " go gonna use uses using of for in on at by to from with into and or that over than some any up it's"
)
_GENERIC = word_set("api app db ui")
_POINTING = word_set(
    "it its that this these those them they their there here he she him her his hers one ones same such above"
)
_FOLLOWING = word_set(
    "i we you they he she there the a an is are was were can could will would should may might has have had do"
)
_MINE = word_set("i me my mine myself")
_ENDINGS = word_set("s es ed d ing ings e ment ments ly ion ions ation ations ies y") | {""}


@dataclass(frozen=True, slots=True)
class Meaning:
    """The words of a title in order, without empty ones; those that have to be the same; and those that are names."""

    words: tuple[str, ...]
    fixed: Counter[str]
    names: frozenset[str]
    said: tuple[str, ...]

    @property
    def points(self) -> bool:
        """Whether it says "its prices" or "do that": the same words mean something else elsewhere."""
        pointing = (word for word, after in zip(self.said, (*self.said[1:], ""), strict=True) if points(word, after))
        return not self.words or any(pointing)

    @property
    def is_personal(self) -> bool:
        """Whether it says "my mother": the same words mean something else when somebody else says them."""
        return not _MINE.isdisjoint(self.said)


@lru_cache(4096)
def meaning(title: str) -> Meaning:
    text = title.replace("’", "'")
    written = _WORD.findall(_ENDING.sub("", text))
    lower = text.lower()
    for short, long in _SHORT:
        lower = short.sub(long, lower)
    said = tuple(_NUMBERS.get(word, word) for word in _WORD.findall(_ENDING.sub("", lower)))
    return Meaning(
        words=tuple(word for word in said if word not in _EMPTY),
        fixed=Counter(word for word in said if is_fixed(word)),
        names=frozenset(word.lower() for place, word in enumerate(written) if is_name(word, first=place == 0)),
        said=said,
    )


def points(word: str, after: str) -> bool:
    """Whether a word points at something else: not the "that" of "a bar that gets longer"."""
    if word in ("that", "which") and (after in _FOLLOWING or after.endswith(("s", "ed"))):
        return False
    return word in _POINTING


def is_name(word: str, *, first: bool) -> bool:
    """Whether it has capitals beside the one that begins a title."""
    return not (word[1:] if first else word).islower() and any(letter.isupper() for letter in word[first:])


def is_fixed(word: str) -> bool:
    return word in _DAYS or word in _TURNING or any(letter.isdigit() for letter in word)


def same(one: Meaning, other: Meaning) -> bool:
    """Whether both say the same, each read where it was said."""
    if one.said == other.said:
        return True
    if one.fixed != other.fixed or numbers(one) != numbers(other) or not one.words or not other.words:
        return False
    pairs = paired(one.words, other.words)
    rest_one = without(one.words, [a for a, _ in pairs])
    rest_other = without(other.words, [b for _, b in pairs])
    more = rest_one or rest_other
    names = one.names if rest_one else other.names
    if (rest_one and rest_other) or any(word in names and word not in _GENERIC for word in more):
        return False
    longer = max(letters(one.words), letters(other.words))
    return letters([a for a, _ in pairs]) >= ALIKE * longer and in_one_order(one, other, pairs)


def numbers(meaning: Meaning) -> list[str]:
    """In their order: "rack 0, slot 1" is not "rack 1, slot 0"."""
    return [word for word in meaning.said if any(letter.isdigit() for letter in word)]


def letters(words: Sequence[str]) -> int:
    return sum(len(word) + 1 for word in words)


def paired(one: Sequence[str], other: Sequence[str]) -> list[tuple[str, str]]:
    """Words of both that are the same but for their endings, in the order of the first."""
    left = list(other)
    pairs = []
    for word in one:
        match = next((w for w in left if w == word), None) or next((w for w in left if is_form(word, w)), None)
        if match is not None:
            left.remove(match)
            pairs.append((word, match))
    return pairs


def without(words: Sequence[str], taken: Sequence[str]) -> list[str]:
    left = list(taken)
    rest = []
    for word in words:
        if word in left:
            left.remove(word)
        else:
            rest.append(word)
    return rest


def is_form(word: str, other: str) -> bool:
    """Whether two words differ by an ending only: "price", "prices", "pricing"; not "Mario", "Maria"."""
    common = next((i for i, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    return common >= 3 and word[common:] in _ENDINGS and other[common:] in _ENDINGS and not is_fixed(word)


def in_one_order(one: Meaning, other: Meaning, pairs: Sequence[tuple[str, str]]) -> bool:
    """Where words show a way ("from A to B", "A over B") both have to go it in the same direction."""
    if _WAYS.isdisjoint(one.said) and _WAYS.isdisjoint(other.said):
        return True
    matches = [match for _, match in pairs]
    return matches == without(other.words, without(other.words, matches))
