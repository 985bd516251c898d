"""Subscription: who is told outside of what happens to tasks and memories, and what an exported task is there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from domain.errors import InvalidRequest
from domain.memory import MEMORY_TYPES
from domain.task import TASK_STATES

Kind = Literal["webhook", "github", "slack", "linear"]
KINDS: tuple[str, ...] = get_args(Kind)
EXPORTING = ("github", "linear")  # where a task becomes something that has a state of its own

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
MEMORY_EVENTS = ("created", "accepted", "rejected", "restored", "edited", "merged", "split", "superseded", "reinstated")
EVENTS = (*(f"task.{state}" for state in TASK_STATES), *(f"memory.{event}" for event in MEMORY_EVENTS))
PATTERNS = frozenset({"*", "task.*", "memory.*", *EVENTS})
# What an exported task may change there; which of its events a subscription asks for does not matter then.
STATE_EVENTS = frozenset({"task.pending", "task.completed", "task.failed", "task.cancelled"})
ENDED = frozenset({"completed", "failed", "cancelled"})

TARGETS = {
    # GitHub's own rules for names; a repository may not be called by dots alone.
    "github": re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,100}"),
    "slack": re.compile(r"[A-Z][A-Z0-9]{5,30}|#[^\s#]{1,80}"),
    "linear": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
}
WANTED = {
    "webhook": "https://host/path, without a user name or password",
    "github": "owner/repo",
    "slack": "the id or #name of a channel",
    "linear": "the id of a team, a UUID",
}


ExternalState = Literal["open", "failed", "completed", "not_planned"]


@dataclass(frozen=True, slots=True)
class External:
    """What an exported task is elsewhere: its id and address there, its state in our words, and when that changed."""

    id: str
    url: str
    state: ExternalState
    updated_at: datetime | None = None

    @property
    def closed(self) -> bool:
        return self.state in ("completed", "not_planned")


@dataclass(frozen=True, slots=True)
class ExternalChange:
    """What somebody did elsewhere to an exported task, as the webhook of that place tells."""

    kind: Kind
    id: str
    state: ExternalState
    updated_at: datetime | None
    person: str


def github_id(repository: str, number: int) -> str:
    """An issue's id in `External`; GitHub takes names in any case."""
    return f"{repository.lower()}#{number}"


def github_state(state: str, reason: object) -> ExternalState:
    """A closed issue without a reason was completed; a duplicate is not planned."""
    if state != "closed":
        return "open"
    return "completed" if reason in (None, "completed") else "not_planned"


@dataclass(frozen=True, slots=True)
class News:
    """What is to be told to one subscription: an event, and the task or memory as it is by now (None: it is gone).

    `attempt` counts from 1; a later one may follow one that got through unnoticed. `external` is what an exported task
    was elsewhere when last heard of. `quote` and what else people said is in it, for whom `details` says so.
    """

    id: str
    event: str
    subject: str
    attempt: int
    waiting_since: datetime
    at: datetime
    subscription: str
    kind: Kind
    target: str
    details: bool
    actor: str | None = None
    from_status: str | None = None
    reason: str | None = None
    task: dict[str, Any] | None = None
    memory: dict[str, Any] | None = None
    external: External | None = None


def is_wanted(patterns: Sequence[str], event: str) -> bool:
    """Whether an event (`task.completed`) is among these names, or in their groups (`task.*`, `*`)."""
    return not {"*", event, event.partition(".")[0] + ".*"}.isdisjoint(patterns)


def check_subscription(
    name: str, kind: str, target: str, events: Sequence[str], agent_name: str | None, memory_types: Sequence[str] | None
) -> None:
    """Raises InvalidRequest for what could never be sent."""
    if not NAME.fullmatch(name):
        raise wrong("A name is lower-case letters, digits, - and _, and begins with a letter.")
    if kind not in KINDS:
        raise wrong(f"A kind is one of {', '.join(KINDS)}.")
    if not fits(kind, target):
        raise wrong(f"The target of a {kind} subscription is {WANTED[kind]}.")
    if unknown := sorted(set(events) - PATTERNS):
        raise wrong(f"There is no event {unknown[0][:80]}.", "It is task.* or memory.*, or one of " + ", ".join(EVENTS))
    if not events and kind not in EXPORTING:
        raise wrong("A subscription needs an event.", "Name one or more, as task.completed or memory.*.")
    if kind in EXPORTING and any(not event.startswith("task.") for event in events):
        raise wrong(f"A {kind} subscription takes events of tasks only.", "Name them, as task.pending or task.*.")
    if unknown := sorted(set(memory_types or ()) - set(MEMORY_TYPES)):
        raise wrong(f"There is no type of memory {unknown[0][:80]}.", f"It is one of {', '.join(MEMORY_TYPES)}.")
    if agent_name == "":
        raise wrong("The name of the agent is empty.")


def fits(kind: str, target: str) -> bool:
    if kind in TARGETS:
        return TARGETS[kind].fullmatch(target) is not None
    try:
        parts = urlsplit(target)
        bare = parts.username is None and parts.password is None and parts.port != 0
    except ValueError:
        return False
    readable = target.isascii() and target.isprintable() and " " not in target and len(target) <= 2000
    return readable and bare and parts.scheme in ("https", "http") and bool(parts.hostname)


def wrong(message: str, hint: str = "`ai-webhook subscriptions add --help` shows what there is.") -> InvalidRequest:
    return InvalidRequest(message, hint=hint)
