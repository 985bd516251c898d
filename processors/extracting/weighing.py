"""Rules and model together: what was said outright stands; guesses of either have to convince."""

from collections.abc import Sequence
from dataclasses import replace

from domain.memory import MemoryDraft, MemoryType
from domain.session import Turn
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
    kept = [draft for draft in (_with_opinion(draft, judged) for draft in by_rules) if draft]
    found = drafts(turns, judged, _LEAST_ALONE[judged.setting])
    if judged.setting == "together":
        kept, found = ([draft for draft in some if not _is_answered(draft, turns)] for some in (kept, found))
    for draft in sorted(found, key=lambda draft: -draft.confidence):  # of several types the likeliest
        if not any(covers(other, draft) for other in kept):
            kept.append(draft)
    return sorted(kept, key=lambda draft: (draft.turn or 0, draft.char_start or 0))


def _with_opinion(draft: MemoryDraft, judged: Judged) -> MemoryDraft | None:
    if draft.explicit or draft.type not in _LABELS:
        return draft
    likely = judged.of(_LABELS[draft.type])
    opinions = [
        float(likely[place])
        for place, utterance in enumerate(judged.utterances)
        if utterance.turn == draft.turn
        and utterance.start < (draft.char_end or 0)
        and (draft.char_start or 0) < utterance.end
    ]
    confidence = 1 - (1 - draft.confidence) * (1 - max(opinions, default=0.0))
    if confidence < _LEAST_TOGETHER[judged.setting]:
        return None
    return replace(draft, confidence=round(min(confidence, MOST_CERTAIN), 3))


def _is_answered(draft: MemoryDraft, turns: Sequence[Turn]) -> bool:
    """Whether a question among people is settled where it was asked: somebody answered, and knew."""
    if draft.type != "question" or draft.explicit or draft.turn is None:
        return False
    rest = turns[draft.turn].text[draft.char_end or 0 :]
    answer = turns[draft.turn + 1] if draft.turn + 1 < len(turns) else None
    if answer is None or answer.speaker == draft.speaker or _OPEN.search(rest):
        return False
    return not _OPEN.search(answer.text) and not answer.text.rstrip().endswith("?")


def covers(kept: MemoryDraft, found: MemoryDraft) -> bool:
    """Whether the words of one are the words of the other: one statement is one memory, of the type a rule gave it."""
    return (
        kept.turn == found.turn
        and (kept.char_start or 0) < (found.char_end or 0)
        and (found.char_start or 0) < (kept.char_end or 0)
    )
