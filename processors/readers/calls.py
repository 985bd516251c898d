"""What voice agents have in common: a call told by roles instead of names, and what is kept of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.delivery import Delivery, Extent, Reading
from domain.session import Role, SessionDraft, SessionStatus, Turn
from processors.readers.dialogue import bounded, clean_speaker
from processors.readers.items import TITLE_CHARS
from processors.readers.meetings import end_of, number_of
from processors.readers.payload import Fields, session_of_source, shorten, wrong_type

# What the senders call who speaks, and what is no speech. Somebody of another role is heard as one more speaker.
PARTIES: Mapping[str, tuple[str, Role]] = {
    "agent": ("Agent", "assistant"),
    "assistant": ("Assistant", "assistant"),
    "bot": ("Assistant", "assistant"),
    "robot": ("Assistant", "assistant"),
    "user": ("User", "user"),
    "human": ("User", "user"),
    "transfer_target": ("Transfer target", "other"),
}
NO_SPEECH = frozenset(
    (
        "system",
        "developer",
        "function",
        "function_call",
        "function_call_result",
        "tool",
        "tools",
        "tool_call",
        "tool_calls",
        "tool_call_invocation",
        "tool_call_result",
        "tool_calls_result",
        "agent-action",
        "dtmf",
        "node_transition",
        "state_change",
        "log",
        "event",
        "unspecified",
    )
)
UNKNOWN_PARTY: tuple[str, Role] = ("Speaker", "other")


def spoken(
    text: str | None,
    role: str | None,
    *,
    names: Mapping[str, str] | None = None,
    seconds: tuple[float | None, float | None] = (None, None),
    start_time: datetime | None = None,
) -> Turn | None:
    """A turn of whoever speaks; None when nothing was said or it is no speech. `names` are their names by role."""
    called = (role or "").strip().lower()
    if text is None or called in NO_SPEECH:
        return None
    name, kind = PARTIES.get(called) or (clean_speaker(called).capitalize() or UNKNOWN_PARTY[0], UNKNOWN_PARTY[1])
    return Turn(
        clean_speaker((names or {}).get(kind, "")) or name,
        text,
        kind,
        start_seconds=seconds[0],
        end_seconds=end_of(*seconds),
        start_time=start_time,
    )


def turns_of(fields: Iterable[Fields], read: Callable[[Fields], Turn | None]) -> tuple[Turn, ...]:
    return bounded(turn for turn in map(read, fields) if turn is not None)


def call_of(
    delivery: Delivery,
    own_id: str | None,
    turns: Sequence[Turn],
    *,
    title: str | None = None,
    summary: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    extent: Extent = "whole",
    status: SessionStatus | None = "completed",
) -> Reading | None:
    """What a call said, or None: one that nobody answered carries nothing, and that is no failure."""
    if not (turns or summary):
        return None
    session = SessionDraft(
        session_of_source(delivery, own_id),
        title=shorten(title, TITLE_CHARS) if title else None,
        participants=tuple(dict.fromkeys(turn.speaker for turn in turns)),
        status=status,
        # An empty one would take the place of what an earlier delivery of the call brought.
        metadata={name: value for name, value in (metadata or {}).items() if value not in ({}, [], "", None)},
    )
    return Reading(session, turns=tuple(turns), summary=summary, extent=extent)


def milliseconds(fields: Fields, name: str) -> datetime | None:
    """The instant in a number of milliseconds since 1970, which some senders give with a fraction or as a text."""
    value = fields.get(name)
    number = number_of(value) if isinstance(value, str) else fields.number(name)
    return instant(fields, name, number, 1000)


def unix_seconds(fields: Fields, name: str) -> datetime | None:
    return instant(fields, name, fields.number(name), 1)


def instant(fields: Fields, name: str, number: float | None, per_second: int) -> datetime | None:
    if number is None:
        return None
    try:
        return datetime.fromtimestamp(number / per_second, UTC)
    except (ValueError, OverflowError, OSError):
        raise wrong_type(fields.at(name), number, "a time of the calendar") from None


def after(begin: datetime | None, seconds: float | None) -> datetime | None:
    """The instant so many seconds after the beginning of a call; None when it lies beyond the calendar."""
    if begin is None or seconds is None:
        return None
    try:
        return begin + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None


def since(begin: datetime | None, at: datetime | None) -> float | None:
    """Seconds from the beginning of a call to an instant; None when one is not known, or it lies before."""
    seconds = None if begin is None or at is None else (at - begin).total_seconds()
    return seconds if seconds is not None and seconds >= 0 else None


def plain_values(fields: Fields) -> dict[str, Any]:
    """The fields of an object that hold one plain value, or `{"value"}`: what a sender extracted by its own rules."""
    found = {name: value.get("value") if isinstance(value, dict) else value for name, value in fields.values.items()}
    return {name: value for name, value in found.items() if isinstance(value, str | int | float) and value != ""}
