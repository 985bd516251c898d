"""Session, turn and chunk: a conversation, one speaker's entry in it, and the spans cut from it for search."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Role = Literal["user", "assistant", "other", "summary"]
ChunkFormat = Literal["dialogue", "summary", "transcript"]
SessionStatus = Literal["active", "paused", "completed"]

SESSION_ID_CHARS = 200


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said without interruption.

    `start_seconds` and `end_seconds` count from the start of the conversation; `start_time` and `end_time` are
    instants. A sender that gives none of them leaves them empty; nothing is guessed.
    A summary is kept as a turn of role `summary`. `caption` describes a picture that came with the turn.
    """

    speaker: str
    text: str
    role: Role = "other"
    start_seconds: float | None = None
    end_seconds: float | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of whole turns, sized for search. `first_turn` and `last_turn` are positions in the turns given."""

    content: str
    format: ChunkFormat
    first_turn: int
    last_turn: int
    participants: tuple[str, ...]
    start_time: datetime | None = None
    end_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class SessionDraft:
    """What a delivery says about its session. Empty fields leave what is stored as it is.

    `must_exist` marks commands on a session that somebody else has to have begun (pause, resume, complete).
    """

    id: str
    title: str | None = None
    participants: tuple[Any, ...] = ()
    context: str | None = None
    status: SessionStatus | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    must_exist: bool = False
