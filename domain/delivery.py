"""Delivery: one verified request of a source, its form in the queue, and what a reader makes of it."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from domain.memory import MemoryDraft
from domain.session import ChunkFormat, SessionDraft, Turn
from domain.task import ArtifactDraft, TaskAnswer, TaskDraft

SOURCE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")
NATIVE = "native"  # the source of POST /webhook without a name
TASK_COMMAND = "task_command"  # the native kind that wants something run

# The names that endpoint and worker must agree on. They are a contract between versions that run side by side.
QUEUE_NAME = "deliveries"
BATCH_JOB = "process_batch"


def delivery_key(source: str, delivery_id: str) -> str:
    """The id by which we know a delivery everywhere: 32 hex digits of (source, delivery id).

    RQ allows letters, digits, `_` and `-` in a job id, and senders' ids can be any text, so they are digested.
    """
    return hashlib.sha256(f"{source}\n{delivery_id}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verified request. `body` is the raw bytes as they came; `event` is the kind the source gave it.

    `fetched` holds, in order, the answers to what its reader asked to be fetched (`Fetch`). `readings` counts how
    often it was processed before. `sync` is true when the sender waits for what comes of it.
    """

    source: str
    delivery_id: str
    event: str
    received_at: datetime
    content_type: str
    body: bytes
    session_id: str | None = None  # from the URL, for bodies that cannot name their session (plain text, VTT)
    fetched: tuple[bytes, ...] = ()
    readings: int = 0
    sync: bool = False
    trace: str = field(default="", compare=False)  # the span that accepted it, in W3C's form; in Redis only
    key: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", delivery_key(self.source, self.delivery_id))  # asked for more than once


# How much of its conversation a delivery tells: `part` adds turns to what is there; `live` are segments of a talk
# that goes on, which may repeat or correct earlier ones; `whole` is the finished talk, which takes the place of them.
Extent = Literal["part", "live", "whole"]


@dataclass(frozen=True, slots=True)
class Fetch:
    """What a reader needs to have fetched before it can read a delivery that only announces its transcript.

    A URL without a host is of the source's API. Unless `headers` carry their own credentials, the token configured
    for the source is sent: `token_header: token_prefix + token`, both empty for a URL that is signed itself.
    """

    url: str
    method: Literal["GET", "POST"] = "GET"
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token_header: str = "Authorization"  # noqa: S105 - the name of a header
    token_prefix: str = "Bearer "  # noqa: S105


@dataclass(frozen=True, slots=True)
class Query:
    """A question to what is stored. It changes nothing; its answer goes to the sender who waits for it.

    command         parameters
    query_memories  type, tags, query, limit: memories of the session, or of all when it names none
    retrieve_memory key
    list_sessions   status, limit
    get_session_summary
    """

    command: str
    session_id: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A native client's wish that something be run: its `task_command`, not looked at yet. Most services grant none."""

    body: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader made of a delivery: all of it is written in one transaction, or none.

    `summary` is the sender's own summary of these turns; it is kept and searched as a turn of its own, but
    nothing is extracted from it while there are other turns. `memories` and `tasks` are the sender's own.
    """

    session: SessionDraft
    turns: tuple[Turn, ...] = ()
    format: ChunkFormat = "dialogue"
    summary: str | None = None
    memories: tuple[MemoryDraft, ...] = ()
    tasks: tuple[TaskDraft, ...] = ()
    artifacts: tuple[ArtifactDraft, ...] = ()
    answers: tuple[TaskAnswer, ...] = ()
    extent: Extent = "part"
