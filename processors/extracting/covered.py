"""Which words are quoted already, looked up in a time that does not grow with the talk."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator

from domain.memory import MemoryDraft
from processors.extracting.sentences import LONGEST_SENTENCE

LONGEST_QUOTE = 2 * LONGEST_SENTENCE  # of what rules and model quote; a quote of several turns there is not

Entry = tuple[int, int, int]  # start, end, number


class Covered:
    """Drafts by the turn and place of their quotes."""

    def __init__(self, drafts: Iterable[MemoryDraft] = ()) -> None:
        self.drafts: list[MemoryDraft] = []
        self.places: dict[int | None, list[Entry]] = defaultdict(list)
        for draft in drafts:
            self.add(draft)

    def add(self, draft: MemoryDraft) -> None:
        insort(self.places[draft.turn], (draft.char_start or 0, draft.char_end or 0, len(self.drafts)))
        self.drafts.append(draft)

    def overlapping(self, draft: MemoryDraft) -> Iterator[MemoryDraft]:
        """Those that quote some of the same words."""
        entries = self.places.get(draft.turn, [])
        start, end = draft.char_start or 0, draft.char_end or 0
        for place in range(bisect_left(entries, (end,)) - 1, -1, -1):
            begins, ends, number = entries[place]
            if begins < start - LONGEST_QUOTE:
                return
            if ends > start:
                yield self.drafts[number]
