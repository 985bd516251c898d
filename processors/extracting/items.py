"""Evidence to items: neighbouring utterances of one label become one memory, with a title in the person's words."""

from collections.abc import Iterator, Sequence
from typing import Any

from domain.memory import MemoryDraft, MemoryType
from domain.session import Turn
from processors.extracting.cleaning import headline, tags_of, without_fillers, without_lead
from processors.extracting.details import details
from processors.extracting.guards import CHATTER
from processors.extracting.judging import Judged
from processors.extracting.phrases import WORD, compiled
from processors.extracting.utterances import Utterance

# Labels of the model that become memories.
TYPES: dict[str, MemoryType] = {
    "decision": "decision",
    "action_item": "action_item",
    "idea": "idea",
    "question": "question",
    "problem": "risk",
}
MOST_CERTAIN = 0.84  # of a guess, which waits for a person, however sure the model is
_GAP = 2  # utterances without evidence that may lie within an item
_ASKING = compiled(
    r"^((can|could|would|will) you (please |also |just |maybe )*|please (also |just )?|let me (just )?"
    r"|(i|we)('ll| will|'m going to|'re going to|'m gonna|'re gonna)(?! be\b) (just |also |then |probably |try to )*"
    r"|(i|we|you)('ve got to| have to| need to| must| should| ought to) (just |also |then |probably |really )*"
    r"|(it would be|it'd be) (great|good|nice) if you (could|would) )"
)


# How a statement about something begins. What is to be done begins with what one does.
_STATES = compiled(
    r"(i|it|that|this|these|those|we|you|he|she|they|there|the|an?|my|our|your|his|her|their|its|some|any|all|no|not"
    r"|if|when|because|since|but|so|or|how|what|who|why|where|which|whether|yes|is|are|was|were|do|does|did|don't"
    r"|probably|maybe|then)\b|(it|that|there|what|who|how|i|we|you|they|he|she)'"
)


def drafts(turns: Sequence[Turn], judged: Judged, least: dict[str, float]) -> list[MemoryDraft]:
    """The memories that the model finds, in the order in which they were said; `least`: the probability to count."""
    found = []
    for label, type in TYPES.items():
        likely = judged.of(label)
        for item in _items(judged, label, least[label]):
            best = max(item, key=lambda place: float(likely[place]))
            draft = _draft(turns, judged.utterances[best], type, float(likely[best]))
            if draft:
                found.append(draft)
    return sorted(found, key=lambda draft: (draft.turn or 0, draft.char_start or 0))


def _items(judged: Judged, label: str, least: float) -> Iterator[list[int]]:
    """Places of the utterances of each item. Only what people say is evidence."""
    likely = judged.of(label)
    item: list[int] = []
    for place, utterance in enumerate(judged.utterances):
        if likely[place] < least or utterance.speaker.startswith("assistant "):
            continue
        if item and place - item[-1] > 1 + _GAP:
            yield item
            item = []
        item.append(place)
    if item:
        yield item


def _draft(turns: Sequence[Turn], utterance: Utterance, type: MemoryType, confidence: float) -> MemoryDraft | None:
    turn = turns[utterance.turn]
    said = without_lead(without_fillers(utterance.text, WORD.findall(utterance.text.lower().replace("’", "'"))))
    title = headline(_ASKING.sub("", said) if type == "action_item" else said)
    if not tags_of(title) or CHATTER.fullmatch(title.lower()) or (type == "action_item" and _STATES.match(title)):
        return None
    content: dict[str, Any] = details(type, said)
    return MemoryDraft(
        type=type,
        title=title,
        content=content,
        tags=tags_of(title),
        confidence=round(min(confidence, MOST_CERTAIN), 3),
        extractor="model",
        speaker=turn.speaker,
        turn=utterance.turn,
        char_start=utterance.start,
        char_end=utterance.end,
        quote=utterance.text,
    )
