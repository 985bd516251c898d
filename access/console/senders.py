"""What the pages ask of the endpoint, which this package does not know: handed in by who wires the process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Sender:
    """A source as it can be set up here."""

    name: str
    path: str
    signs: str  # how, in a sentence
    setting: str  # which holds its secret
    has_secret: bool
    secret_in_path: bool  # its sender can bring the secret nowhere but at the end of the address


@dataclass(frozen=True, slots=True)
class Refusal:
    """How often requests of a source were refused with this code in the last days."""

    source: str
    code: str
    count: int
    last_at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Senders:
    """The functions are called in a thread, and may raise any of our errors."""

    public_url: str | None
    known: Sequence[Sender]
    has_key: bool  # there is an API key, which opens every source
    refused: Callable[[], Sequence[Refusal]]
    waiting: Callable[[], int]  # deliveries that no worker has recorded yet
    waits: Callable[[str], bool]  # whether this one is among them
    send_sample: Callable[[str, str], str]  # (source, this service's address): the delivery that comes of it
