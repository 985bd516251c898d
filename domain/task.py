"""Task and artifact: work that an agent claims, and what it leaves behind."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

TaskState = Literal["proposed", "pending", "claimed", "running", "needs_input", "completed", "failed", "cancelled"]
TASK_STATES: tuple[str, ...] = get_args(TaskState)


@dataclass(frozen=True, slots=True)
class TaskDraft:
    """A task not yet stored.

    `memory` is the position of the memory it came from among the memories of the same reading. `status` is
    `pending` for what was said outright and `proposed` for a guess. A higher `priority` is claimed first
    (0 to 100, 50 is ordinary). `id` is the sender's own, or made when None.
    """

    title: str
    agent_name: str
    task_type: str
    id: str | None = None
    priority: int = 50
    status: Literal["proposed", "pending"] = "pending"
    input_data: dict[str, Any] = field(default_factory=dict)
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """What a person answers to the question that a task is parked with."""

    task_id: str
    answer: str
    person: str


@dataclass(frozen=True, slots=True)
class ArtifactDraft:
    """What a sender or an agent leaves with a session or a task: text, or bytes that are none."""

    name: str
    content: str | bytes
    type: str = "document"
    format: str = "text"
    id: str | None = None
    task_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
