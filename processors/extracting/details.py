"""What else a sentence says of a memory: why, instead of what, until when, by whom and how soon. By rules."""

from typing import Any

from domain.memory import MemoryType
from processors.extracting.cleaning import EDGES, REASON, without_lead, without_tail
from processors.extracting.phrases import Clue, compiled

_DUE = compiled(
    r"\b(?<!since )(?<!last )((by|before|until|due|on|at|no later than) (<day>|<clock>)"
    r"|(before|by|in time for) (the|our|my) (?!way\b)[\w-]+"
    r"|in (an?|\d+|two|three|four|five|ten) (minutes?|hours?|days?|weeks?|months?)|<day>)( at <clock>)?(?!['\w])"
)
WHEN = compiled(r"\b((by|before|until|on|at) )?(<day>|<clock>)(?!\w)")
_INSTEAD = Clue(
    r"(\b@(instead of|rather than)|, (and )?@not"
    r"|(?<=\w)(?<!than) @over(?! (the (weekend|phone|next|air|network|past)|time|there|here|to|and|\d)\b))"
    r" (?!(sure|yet|only|just|that|really|because)\b)"
    r"(?P<what>[^,;.?!]+?)(?=$|[,;.?!]| (because|since|so that|for|when|by)\b)"
)
_INSTEAD_TYPES = frozenset({"decision", "preference", "action_item", "idea"})
_OR = compiled(r",? (or|and|nor) |, ")
_PRIORITY = Clue(r"\b<urgency>\b")
_NAME = (
    r"(?-i:(?!(The|This|That|These|Those|There|Then|They|It|We|You|He|She|What|Who|Nobody|Claude|Codex|Gemini)\b"
    r"|Every|Some|Any)[A-Z][a-z]+)"
)
_OWNER = compiled(
    rf"^(?P<does>{_NAME}) (will|is going to|needs to|has to|should)\b|\b(item|task|to-?do) for (?P<given>{_NAME})\b"
    r"|\b((can|could|would|will) (?P<asked>you)|(?P<you>you) to)\b(?!( please| also)* <jotting>\b)"
    r"|\b(?P<me>i)('ll|'m going to|'m gonna|'ve got to| will| have to| need to| must| gotta)\b"
)
_NAMES_AGENT = Clue(
    r"\b((task|item|to-?do|to do|job|ticket|reminder|one) for|have|ask|tell|get|let|want|need|by|hey"
    r"|(give|assign|send|hand) \w+ to) (?P<given><agent>)\b"
    r"|(^|, )(?P<called><agent>)(?= (should|can|could|needs|has to|will|please)\b|[,:])"
)
_AGENTS = {"claude": "claude_code", "codex": "codex", "gemini": "gemini_cli", "research": "researcher"}


def details(type: MemoryType, said: str) -> dict[str, Any]:
    """What else the sentence says of a memory of this type, in its words: only the keys that were found."""
    found: dict[str, Any] = {}
    if reason := REASON.search(without_lead(said)):
        why = reason["why"] if reason.start() else reason["why"].partition(",")[0]
        found["rationale"] = without_tail(why).strip(EDGES)
    if type in _INSTEAD_TYPES and (other := _INSTEAD.search(said)):
        found["instead_of"] = without_tail(other["what"]).strip(EDGES)
        several = [one.strip(EDGES) for one in _OR.split(found["instead_of"]) if one.strip(EDGES)]
        found["alternatives"] = several if len(several) > 1 else []
    if type in ("action_item", "decision") and (due := _DUE.search(said)):
        found["due"] = due.group()
    if type == "action_item":
        found |= _assignment(said)
    return {key: value for key, value in found.items() if value}


def _assignment(said: str) -> dict[str, str]:
    found = {}
    if owner := _OWNER.search(said):
        name = next(filter(None, owner.groups()))
        found["owner"] = {"i": "I"}.get(name, "you" if name.lower() == "you" else name)
    if priority := _PRIORITY.search(said):
        found["priority"] = priority.group().lower()
    if agent := _NAMES_AGENT.search(said):
        named = (agent["given"] or agent["called"]).lower()
        found["agent"] = next(name for word, name in _AGENTS.items() if word in named)
    return found
