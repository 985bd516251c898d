"""Who is to do it: "I" and "you" become names where the talk tells whose they are."""

import re
from collections.abc import Sequence
from dataclasses import replace

from domain.memory import MemoryDraft
from domain.session import Turn

# Speakers that a recogniser or a voice agent numbers or names by their role are nobody's name.
_NO_NAME = re.compile(
    r"^(speaker|user|agent|assistant|human|bot|unknown|caller|participant|spk|[a-z])?[ _-]?\d*$", re.I
)
_DOES = r"(?: and (?:i|\w+))?,? (?:will|'ll|is going to|needs to|has to|should|can you|could you|would you|you)\b"


def with_owners(drafts: Sequence[MemoryDraft], turns: Sequence[Turn]) -> list[MemoryDraft]:
    """Action items with `owner` a name where it is known, and `owner_words` what was said instead of it."""
    people = _people(turns)
    return [_owned(draft, turns, people) if draft.type == "action_item" else draft for draft in drafts]


def _people(turns: Sequence[Turn]) -> tuple[str, ...]:
    speakers = (turn.speaker.strip() for turn in turns if turn.role in ("user", "other"))
    return tuple(dict.fromkeys(name for name in speakers if not _NO_NAME.match(name)))


def _owned(draft: MemoryDraft, turns: Sequence[Turn], people: Sequence[str]) -> MemoryDraft:
    said = draft.content.get("owner")
    named = _named(said, draft, people)
    if named:
        return replace(draft, content=draft.content | {"owner": named} | ({"owner_words": said} if said else {}))
    speaker = turns[draft.turn] if draft.turn is not None else None
    whose = None
    if said == "I" and speaker is not None and speaker.speaker in people:
        whose = speaker.speaker
    elif said == "you" and speaker is not None:
        whose = _other(speaker, turns, people)
    return replace(draft, content=draft.content | {"owner": whose, "owner_words": said}) if whose else draft


def _named(said: object, draft: MemoryDraft, people: Sequence[str]) -> str | None:
    """The participant whom the words name, by first or whole name, also in lower case."""
    words = (draft.quote or "").lower().replace("’", "'")
    for person in people:
        first = person.split()[0].lower()
        if said not in ("I", "you") and isinstance(said, str) and said.lower() in (first, person.lower()):
            return person
        if person != draft.speaker and re.search(rf"(?:^|\W){re.escape(first)}{_DOES}", words):
            return person
        if person != draft.speaker and re.search(rf"\byou\b.*, {re.escape(first)}\W*$", words):
            return person
    return None


def _other(speaker: Turn, turns: Sequence[Turn], people: Sequence[str]) -> str | None:
    """Who "you" is: the assistant who is spoken to, or the other one of two."""
    assistants = {turn.speaker for turn in turns if turn.role == "assistant"}
    if len(assistants) == 1 and len(people) <= 1:
        return next(iter(assistants))
    others = [person for person in people if person != speaker.speaker]
    return others[0] if len(others) == 1 and not assistants else None
