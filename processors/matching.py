"""Which statements say the same: the sender's and what was extracted; what is found now and what is known. Pure."""

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from domain.memory import MemoryDraft
from store.database import Row
from store.memories import memory_key

ALIKE = 0.75  # two wordings of one statement heard twice: difflib's ratio of their titles
SHARED = 0.6  # a statement and the sender's words for it: the share of the shorter one's words that the other has too
WORD = re.compile(r"[^\W_]{3,}")
EMPTY_WORDS = frozenset(
    {"the", "and", "for", "with", "that", "this", "will", "would", "should", "have", "has", "are", "was", "were", "can"}
)


def told_once(given: Sequence[MemoryDraft], found: Sequence[MemoryDraft]) -> list[MemoryDraft]:
    """What the sender gave, in its order, and then what was extracted besides.

    Senders word their items anew ("Order the tiles"), and in the talk it is said otherwise ("Jon orders the tiles by
    Thursday"): that is one statement. It is kept in the sender's words, with those of the talk as its quote.
    """
    left = list(found)
    kept = []
    for memory in given:
        same = next((draft for draft in left if says_the_same(memory, draft)), None)
        if same is not None:
            left.remove(same)
            memory = with_place(memory, same)
        kept.append(memory)
    return kept + left


def says_the_same(given: MemoryDraft, found: MemoryDraft) -> bool:
    if given.type != found.type:
        return False
    if given.quote and given.turn is not None:
        return given.turn == found.turn and given.quote in (found.quote or "")
    ours, theirs = words_of(given.title), words_of(found.title) | words_of(found.quote or "")
    return len(ours & theirs) >= max(2, SHARED * len(ours))


def words_of(text: str) -> set[str]:
    """The words that carry meaning, without the endings of plurals and verbs."""
    words = (word for word in WORD.findall(text.lower()) if word not in EMPTY_WORDS)
    return {word[:-1] if word.endswith("s") and len(word) > 3 else word for word in words}


def with_place(memory: MemoryDraft, found: MemoryDraft) -> MemoryDraft:
    if memory.turn is not None:
        return memory
    return replace(
        memory,
        turn=found.turn,
        char_start=found.char_start,
        char_end=found.char_end,
        quote=found.quote,
        speaker=memory.speaker or found.speaker,
    )


def known_again(drafts: Sequence[MemoryDraft], in_use: Sequence[Row]) -> list[MemoryDraft]:
    """Drafts under the keys by which the session knows them already.

    A talk heard twice is worded twice. What says the same as a memory that people or agents work with is that memory,
    or its task would be done again.
    """
    free = list(in_use)
    found = []
    keys = {memory_key(draft) for draft in drafts}
    for draft in drafts:
        like = next((row for row in free if draft.extractor != "sender" and is_like(draft, row, keys)), None)
        if like is not None:
            free.remove(like)
            draft = replace(draft, key=like["key"])
        found.append(draft)
    return found


def is_like(draft: MemoryDraft, known: Row, keys: set[str]) -> bool:
    if known["key"] in keys or draft.type != known["type"]:
        return memory_key(draft) == str(known["key"])
    return SequenceMatcher(None, draft.title.lower(), known["title"].lower(), autojunk=False).ratio() >= ALIKE
