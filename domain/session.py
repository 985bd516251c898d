"""Session, turn and chunk: a conversation, one speaker's entry in it, and the spans cut from it for search."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Role = Literal["user", "assistant", "other", "summary"]
ChunkFormat = Literal["dialogue", "summary", "transcript"]
SessionStatus = Literal["active", "paused", "completed"]

SESSION_ID_CHARS = 200

# Languages whose words PostgreSQL 15 and later can bring to their stems, by ISO 639 code.
LANGUAGES = {
    "ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "da": "danish", "nl": "dutch", "en": "english",
    "fi": "finnish", "fr": "french", "de": "german", "el": "greek", "hi": "hindi", "hu": "hungarian",
    "id": "indonesian", "ga": "irish", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nb": "norwegian",
    "nn": "norwegian", "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "es": "spanish", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
SIMPLE = "simple"  # words as they are: for languages without stems


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

    `language` is a name as language_of() gives it. `must_exist` marks commands on a session that somebody else has to
    have begun (pause, resume, complete).
    """

    id: str
    title: str | None = None
    participants: tuple[Any, ...] = ()
    context: str | None = None
    status: SessionStatus | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    must_exist: bool = False
    language: str | None = None


def language_of(text: str | None) -> str | None:
    """The language that a name or code means ("German", "de", "de-DE"): one of LANGUAGES, or `simple` for another.

    None when nothing is told, as by codes for many languages at once.
    """
    name = (text or "").strip().lower()
    if name in ("", "auto", "multi", "mul", "und", "unknown"):
        return None
    code = name.replace("_", "-").partition("-")[0]
    return name if name in LANGUAGES.values() else LANGUAGES.get(code, SIMPLE)
