"""Memory: a statement worth keeping, with the words it came from."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

MemoryType = Literal["idea", "decision", "question", "action_item", "fact", "note", "preference", "context", "risk"]
MEMORY_TYPES: tuple[str, ...] = get_args(MemoryType)

REVIEWS = ("proposed", "accepted", "rejected", "edited")  # what people said of a memory; nothing yet, at first

Extractor = Literal["rules", "model", "llm", "sender", "person"]


@dataclass(frozen=True, slots=True)
class MemoryDraft:
    """A memory not yet stored.

    `turn` is the position, in the turns of the same reading, of the turn that `quote` was taken from, and
    `char_start`/`char_end` the span: `turns[turn].text[char_start:char_end] == quote`, always. A memory that
    the sender gave outright (`extractor="sender"`) may have no turn.
    `explicit` is true for what was said outright ("add a task: …"), false for what was inferred.
    `content` holds whatever else is known (rationale, due, owner, …); `key` names the memory in its session
    and is made from type and title when None.
    """

    type: MemoryType
    title: str
    content: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    key: str | None = None
    confidence: float = 1.0
    explicit: bool = False
    extractor: Extractor = "rules"
    speaker: str | None = None
    turn: int | None = None
    char_start: int | None = None
    char_end: int | None = None
    quote: str | None = None
