"""Memories to tasks: every action item becomes work for an agent, or waits for a person. Decided by tables."""

import re
from collections.abc import Sequence
from typing import Any

from domain.memory import MemoryDraft
from domain.task import TaskDraft
from processors.sameness import meaning
from processors.superseding import about, shared

ERRAND = "errand"
RESEARCHER = "researcher"
ORDINARY_PRIORITY = 50

# The first row whose words are in the title decides what kind of work it is. An errand needs hands or a telephone.
_TYPES = [
    (task_type, re.compile(pattern, re.IGNORECASE))
    for task_type, pattern in (
        (ERRAND, r"^(?:buy|phone|ring|pick up|drop off|book)\b|^meet\b(?! (?:the|our) (?:deadline|spec))"),
        (ERRAND, r"^call\b(?! (?:[\w-]+ ){0,3}(?:api|endpoint|function|method|service|hook|script)s?\b)"),
        ("research", r"\b(?:look (?:up|into)|find out|research|compare|investigate|read (?:up|about)|prices?)\b"),
        ("review", r"^(?:review|proof-?read|audit|go (?:over|through))\b"),
        ("fix", r"\b(?:fix|debug|repair|mend|patch)\b|\bbugs?\b"),
        ("test", r"\b(?:tests?|testing|benchmark)\b"),
        ("docs", r"\b(?:document|docs?|documentation|readme|changelog|release notes|tutorial|write-?up)\b"),
        ("design", r"\b(?:design|sketch|mock-?ups?|wireframes?|prototype)\b"),
    )
]
_REMINDER = re.compile(r"\bremind (?:me|us)\b", re.IGNORECASE)
_PRIORITIES = (
    (80, re.compile(r"urgent|asap|as soon as possible|high|top", re.IGNORECASE)),
    (20, re.compile(r"low|when you (?:get|have)", re.IGNORECASE)),
)
_CARRIED = ("due", "due_at", "owner", "rationale")
_NEARBY_TURNS = 2  # "look up its prices" is about the decision that was just taken
_COMPARED = 50  # decisions before an action item, and after it
_NO_SUBJECT = frozenset({"api", "app", "page", "thing", "things", "version", "work"})


def plan(memories: Sequence[MemoryDraft], *, default_agent: str, approve_confidence: float) -> list[TaskDraft]:
    """One task for each action item, in the same order; `memory` is its position among the memories given.

    What was said outright, or is at least this certain, is pending; the rest is proposed and waits for a person,
    as do errands, which no coding agent can run.
    """
    return [
        _task(place, memory, default_agent, approve_confidence)
        for place, memory in enumerate(memories)
        if memory.type == "action_item"
    ]


def _task(place: int, memory: MemoryDraft, default_agent: str, approve_confidence: float) -> TaskDraft:
    task_type = _type(memory)
    sure = memory.explicit or memory.confidence >= approve_confidence
    return TaskDraft(
        title=memory.title,
        agent_name=memory.content.get("agent") or (RESEARCHER if task_type == "research" else default_agent),
        task_type=task_type,
        priority=_priority(memory),
        status="pending" if sure and task_type != ERRAND else "proposed",
        input_data=_input(memory),
        memory=place,
    )


def _type(memory: MemoryDraft) -> str:
    for task_type, pattern in _TYPES:
        if pattern.search(memory.title):
            return task_type
    return "reminder" if _REMINDER.search(memory.quote or "") else "code"


def _priority(memory: MemoryDraft) -> int:
    said = str(memory.content.get("priority", ""))
    return next((priority for priority, pattern in _PRIORITIES if pattern.search(said)), ORDINARY_PRIORITY)


def _input(memory: MemoryDraft) -> dict[str, Any]:
    known = {"title": memory.title, "quote": memory.quote, "speaker": memory.speaker}
    known |= {key: memory.content.get(key) for key in _CARRIED}
    return {key: value for key, value in known.items() if value is not None}


def about_decision(place: int, memories: Sequence[MemoryDraft]) -> int | None:
    """The position of the decision that an action item is about: the last one before it with a word in common, or any;
    or the one just taken, when the item says "it"."""
    item = memories[place]
    decisions = [p for p, memory in enumerate(memories) if memory.type == "decision"]
    before, after = [p for p in reversed(decisions) if p < place], [p for p in decisions if p > place]
    decisions = [*before[:_COMPARED], *after[:_COMPARED]]
    for decision in decisions:
        if on_one_subject(item.title, memories[decision].title):
            return decision
    if meaning(item.title).points:
        for decision in decisions:
            if decision < place and is_nearby(memories[decision], item):
                return decision
    return None


def on_one_subject(title: str, decision: str) -> bool:
    return bool(shared(about(title) - _NO_SUBJECT, about(decision)))


def is_nearby(decision: MemoryDraft, item: MemoryDraft) -> bool:
    if decision.turn is None or item.turn is None:
        return False
    return 0 <= item.turn - decision.turn <= _NEARBY_TURNS
