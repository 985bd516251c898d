"""Rules and model together: what was said outright stands; guesses of either have to convince."""

from collections.abc import Sequence
from dataclasses import replace

from domain.memory import MemoryDraft, MemoryType
from domain.session import Turn
from processors.extracting.items import MOST_CERTAIN, TYPES, drafts
from processors.extracting.judging import Judged, Setting, judge

_LABELS: dict[MemoryType, str] = {type: label for label, type in TYPES.items()}

# How likely the model must hold something that no rule found; and how likely a rule's guess must be with the model's
# opinion. Chosen on the hand-labelled conversations with odd numbers (docs/extraction.md).
_LEAST_ALONE: dict[Setting, dict[str, float]] = {
    "alone": {"decision": 0.2, "action_item": 0.4, "idea": 0.6, "question": 0.5, "problem": 0.4},
    "together": {"decision": 0.2, "action_item": 0.25, "idea": 0.5, "question": 0.5, "problem": 0.3},
}
_LEAST_TOGETHER: dict[Setting, float] = {"alone": 0.45, "together": 0.5}


def weighed(turns: Sequence[Turn], by_rules: Sequence[MemoryDraft]) -> list[MemoryDraft]:
    """Drafts of the rules with the model's opinion in their confidence, and what the model alone is sure of."""
    judged = judge(turns)
    kept = [draft for draft in (_with_opinion(draft, judged) for draft in by_rules) if draft]
    found = drafts(turns, judged, _LEAST_ALONE[judged.setting])
    kept += [draft for draft in found if not any(covers(other, draft) for other in kept)]
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


def covers(kept: MemoryDraft, found: MemoryDraft) -> bool:
    """Whether the words of one are the words of the other: one statement is one memory, of the type a rule gave it."""
    return (
        kept.turn == found.turn
        and (kept.char_start or 0) < (found.char_end or 0)
        and (found.char_start or 0) < (kept.char_end or 0)
    )
