"""What is said again: which drafts say what is stored already, or what an earlier draft says. Pure.

What is said later is kept as evidence, merged into what stands. The same words a second time in a session get a key of
their own, made of the delivery and their place in it, so that they are known again when the delivery is read again.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from domain.memory import MemoryDraft
from processors.sameness import meaning, same
from store.database import Row
from store.memories import memory_key

MOST_COMPARED = 20  # earlier drafts that share words with one


@dataclass(frozen=True, slots=True)
class Place:
    """A draft under its key, and what it says again: a stored memory (`root`), or the draft at a position (`like`).

    `uncertain`: there may be something that it says again, and it has to be looked at once more.
    """

    draft: MemoryDraft
    root: int | None = None
    like: int | None = None
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Saying:
    """A memory as far as it matters whether another says the same: its words, who said them, and who is to do it."""

    type: str
    title: str
    speaker: str | None
    owner: str | None = None

    @classmethod
    def of(cls, draft: MemoryDraft) -> "Saying":
        owner = draft.content.get("owner")
        return cls(draft.type, draft.title, draft.speaker, owner if isinstance(owner, str) else None)


def says_again(one: Saying, other: Saying, *, here: bool) -> bool:
    """Whether two memories say the same. `here`: in one session, where "its prices" are of one thing."""
    ours, theirs = meaning(one.title), meaning(other.title)
    if one.type != other.type or (not here and (ours.points or theirs.points)):
        return False
    if one.speaker != other.speaker and (one.type == "preference" or ours.is_personal or theirs.is_personal):
        return False
    owners = {one.owner, other.owner} - {None, "", "I", "you"}
    return len(owners) < 2 and same(ours, theirs)


def said_again(
    drafts: Sequence[MemoryDraft], before: Mapping[str, Sequence[Row]], session_id: str, delivery: str
) -> list[Place]:
    """A place for each draft. `before` has the rows of store.memories.said_before by key."""
    places: list[Place] = []
    heard = Heard()
    repeats = Counter[str]()
    for position, draft in enumerate(drafts):
        key, rows = memory_key(draft), before[memory_key(draft)]
        known, first = rows[0], heard.keys.setdefault(key, position)
        is_named = draft.key == key or (
            draft.extractor == "sender" and (first < position or known["known"] is not None)
        )
        is_repeat = not is_named and (first < position or known["known_of_others"])
        if is_repeat:
            repeats[key] += 1
            draft = replace(draft, key=key_of_repeat(key, delivery, repeats[key]))
        if is_named:  # the sender's own, or one that people work with: it is known by its key
            place = Place(draft)
        elif first < position:
            place = same_as(draft, places, first)
        elif is_repeat and known["known_stands"]:
            place = Place(draft, root=known["known_standing"])
        elif not is_repeat and known["known"] and known["known_title"] == draft.title:
            place = Place(draft, root=known["known_merged_into"])
        else:
            place = found_again(draft, rows, session_id)
            if place.root is None and (like := heard.find(draft)) is not None:
                place = same_as(draft, places, like)
        heard.add(position, draft)
        places.append(place)
    return places


def same_as(draft: MemoryDraft, places: Sequence[Place], position: int) -> Place:
    other = places[position]
    if other.root is not None or other.like is not None:
        return Place(draft, root=other.root, like=other.like)
    return Place(draft, like=position)


def found_again(draft: MemoryDraft, rows: Sequence[Row], session_id: str) -> Place:
    known, saying = rows[0], Saying.of(draft)
    for row in rows:
        here = row["session_id"] == session_id
        if row["id"] and says_again(saying, Saying(draft.type, row["title"], row["speaker"], row["owner"]), here=here):
            stands = known["known"] and not known["known_of_others"] and not known["known_merged_into"]
            return Place(draft, uncertain=True) if stands else Place(draft, root=row["id"])
    return Place(draft, uncertain=not known["free"])


def key_of_repeat(key: str, delivery: str, number: int) -> str:
    return f"{key}-{hashlib.sha256(f'{delivery} {number}'.encode()).hexdigest()[:8]}"


@dataclass(slots=True)
class Heard:
    """What was said earlier in a reading, by key and by the words in it."""

    keys: dict[str, int] = field(default_factory=dict)
    drafts: dict[int, MemoryDraft] = field(default_factory=dict)
    by_word: defaultdict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, position: int, draft: MemoryDraft) -> None:
        self.drafts[position] = draft
        for word in set(meaning(draft.title).words):
            self.by_word[draft.type, word].append(position)

    def find(self, draft: MemoryDraft) -> int | None:
        """The earlier draft that says the same."""
        shared = Counter(
            p for word in set(meaning(draft.title).words) for p in self.by_word.get((draft.type, word), ())
        )
        for position, _ in shared.most_common(MOST_COMPARED):
            if says_again(Saying.of(draft), Saying.of(self.drafts[position]), here=True):
                return position
        return None
