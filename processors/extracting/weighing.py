"""Rules and model together: what was said outright stands; guesses of either have to convince."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from domain.memory import MemoryDraft, MemoryType
from domain.session import Turn
from processors.extracting.covered import Covered
from processors.extracting.items import MOST_CERTAIN, TYPES, drafts
from processors.extracting.judging import Judged, Setting, judge
from processors.extracting.phrases import compiled

_LABELS: dict[MemoryType, str] = {type: label for label, type in TYPES.items()}

# Words of who does not know.
_OPEN = compiled(
    r"\b((don't|doesn't|didn't|not|can't|couldn't) (really |yet )?(know|sure|see|say|tell|remember|decided)|no idea"
    r"|no clue|have to (look|find out|ask|check|think|see)|good question|let's see|we'll see|who knows|it depends"
    r"|i'll (ask|check|look|find)|(somebody|someone) (should|has to|needs to)|haven't|i'd have to|i can ask"
    r"|we should (ask|check|find))\b"
)

# How likely the model must hold something that no rule found; and how likely a rule's guess must be with the model's
# opinion. Chosen on the hand-labelled conversations with odd numbers (docs/extraction.md).
_LEAST_ALONE: dict[Setting, dict[str, float]] = {
    "alone": {"decision": 0.3, "action_item": 0.4, "idea": 0.6, "question": 0.5, "problem": 0.4},
    "together": {"decision": 0.3, "action_item": 0.25, "idea": 0.5, "question": 0.5, "problem": 0.3},
}
_LEAST_TOGETHER: dict[Setting, float] = {"alone": 0.45, "together": 0.5}


def weighed(turns: Sequence[Turn], by_rules: Sequence[MemoryDraft]) -> list[MemoryDraft]:
    """Drafts of the rules with the model's opinion in their confidence, and what the model alone is sure of."""
    judged = judge(turns)
    kept = _with_opinions(by_rules, judged)
    found = drafts(turns, judged, _LEAST_ALONE[judged.setting])
    if judged.setting == "together":
        kept, found = ([draft for draft in some if not _is_answered(draft, turns)] for some in (kept, found))
    covered = Covered(kept)
    for draft in sorted(
        found, key=lambda draft: -draft.confidence
    ):  # one statement is one memory, of the likeliest type
        if next(covered.overlapping(draft), None) is None:
            covered.add(draft)
    return sorted(covered.drafts, key=lambda draft: (draft.turn or 0, draft.char_start or 0))


def _with_opinions(by_rules: Sequence[MemoryDraft], judged: Judged) -> list[MemoryDraft]:
    places = {(said.turn, said.start): place for place, said in enumerate(judged.utterances)}
    starts = defaultdict[int, list[int]](list)
    for said in judged.utterances:
        starts[said.turn].append(said.start)
    kept = []
    for draft in by_rules:
        label = _LABELS.get(draft.type)
        if draft.explicit or label is None or draft.turn is None:
            kept.append(draft)
            continue
        here = starts[draft.turn]
        first = max(0, bisect_right(here, draft.char_start or 0) - 1)
        last = max(first + 1, bisect_left(here, draft.char_end or 0))
        likely = judged.of(label)
        opinion = max((float(likely[places[draft.turn, start]]) for start in here[first:last]), default=0.0)
        confidence = 1 - (1 - draft.confidence) * (1 - opinion)
        if confidence >= _LEAST_TOGETHER[judged.setting]:
            kept.append(replace(draft, confidence=round(min(confidence, MOST_CERTAIN), 3)))
    return kept


def _is_answered(draft: MemoryDraft, turns: Sequence[Turn]) -> bool:
    """Whether a question among people is settled where it was asked: somebody answered, and knew."""
    if draft.type != "question" or draft.explicit or draft.turn is None:
        return False
    rest = turns[draft.turn].text[draft.char_end or 0 :]
    answer = turns[draft.turn + 1] if draft.turn + 1 < len(turns) else None
    if answer is None or answer.speaker == draft.speaker or _OPEN.search(rest):
        return False
    return not _OPEN.search(answer.text) and not answer.text.rstrip().endswith("?")
