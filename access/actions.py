"""Everything that a person or an agent may do, whichever way they come in.

Each action names the scope that it needs and is refused without it. It checks what it is asked, calls the store, and
answers rows ready to be written as JSON.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID, uuid4

from access import forgetting as forgetting_all
from access.context import context
from access.inputs import PAGE, PAGE_MOST
from access.links import link_to
from access.timing import SEARCH_SECONDS
from domain.caller import ADMIN, CLAIM, READ, REVIEW, WRITE, Caller, missing
from domain.errors import ChangedMeanwhile, InvalidRequest, NotFound
from domain.memory import MEMORY_TYPES, REVIEWS, MemoryDraft, MemoryType
from domain.person import ROLES, Role
from domain.sealing import Sealing
from domain.session import SessionDraft
from domain.task import TASK_STATES, ArtifactDraft
from store import (
    agents,
    artifacts,
    audit,
    chunks,
    deliveries,
    events,
    extraction,
    forgetting,
    memories,
    outgoing,
    people,
    sessions,
    tasks,
    tokens,
)
from store import search as text_search
from store.database import Connection, Row

DELIVERY_STATES = ("received", "processed", "ignored", "unknown", "failed")
SESSION_STATES = ("active", "paused", "completed")

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Action:
    scope: str
    act: Callable[..., Any]  # (caller, conn, **what is asked)


ACTIONS: dict[str, Action] = {}


def by_caller(
    scope: str,
) -> Callable[[Callable[Concatenate[Caller, Connection, P], R]], Callable[Concatenate[Caller, Connection, P], R]]:
    """Marks an action that needs this scope and looks at who asks."""

    def mark(act: Callable[Concatenate[Caller, Connection, P], R]) -> Callable[Concatenate[Caller, Connection, P], R]:
        @wraps(act)
        def checked(caller: Caller, conn: Connection, /, *args: P.args, **asked: P.kwargs) -> R:
            caller.require(scope)
            return act(caller, conn, *args, **asked)

        ACTIONS[act.__name__] = Action(scope, checked)
        return checked

    return mark


def needs(
    scope: str,
) -> Callable[[Callable[Concatenate[Connection, P], R]], Callable[Concatenate[Caller, Connection, P], R]]:
    """Marks an action that needs this scope and is the same whoever asks."""

    def mark(act: Callable[Concatenate[Connection, P], R]) -> Callable[Concatenate[Caller, Connection, P], R]:
        @by_caller(scope)
        @wraps(act)
        def checked(caller: Caller, conn: Connection, /, *args: P.args, **asked: P.kwargs) -> R:
            return act(conn, *args, **asked)

        return checked

    return mark


def page(rows: list[Row], limit: int, cursor: str = "id") -> dict[str, Any]:
    """A page of a list; `next` is what the next request gives to go on, or None at the end."""
    return {"items": rows, "next": str(rows[-1][cursor]) if len(rows) == limit else None}


def checked_limit(limit: int) -> int:
    if not 1 <= limit <= PAGE_MOST:
        raise InvalidRequest(f"The limit is 1 to {PAGE_MOST}.")
    return limit


def one_of(name: str, value: str | None, choices: Sequence[str]) -> str | None:
    if value is not None and value not in choices:
        raise InvalidRequest(f"`{name}` is one of {', '.join(choices)}.")
    return value


def found(row: Row | None, what: str) -> Row:
    if row is None:
        raise NotFound(f"There is no such {what}.")
    return row


def check_version(now: str | None, version: str | None, what: str) -> None:
    """That what is to be changed is as it was read. Call it with the row locked."""
    if now is None:
        raise NotFound(f"There is no such {what}.")
    if version is not None and version != now:
        raise ChangedMeanwhile(f"This {what} was changed since it was read.")


# Sessions


@needs(READ)
def list_sessions(
    conn: Connection, *, status: str | None = None, before: str | None = None, limit: int = PAGE
) -> dict[str, Any]:
    one_of("status", status, SESSION_STATES)
    return page(sessions.listing(conn, status=status, before=before, limit=checked_limit(limit)), limit)


@needs(READ)
def get_session(conn: Connection, session_id: str) -> Row:
    """The session with its first thousand turns and its memories and tasks, newest first."""
    return session_told(conn, session_id)


def session_told(conn: Connection, session_id: str) -> Row:
    session = found(sessions.get(conn, session_id), "session")
    return {
        **session,
        "version": sessions.version(conn, session_id),
        "turns": sessions.turns(conn, session_id),
        "memories": memories.listing(conn, type=None, session_id=session_id, tag=None, before=None, limit=PAGE_MOST),
        "tasks": tasks.listing(conn, status=None, agent_name=None, session_id=session_id, before=None, limit=PAGE_MOST),
    }


@needs(WRITE)
def create_session(
    conn: Connection,
    *,
    session_id: str | None = None,
    title: str | None = None,
    participants: Sequence[str] = (),
    context: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> Row:
    draft = SessionDraft(
        session_id or f"session_{uuid4().hex[:12]}",
        title=title,
        participants=tuple(participants),
        context=context,
        metadata=metadata or {},
    )
    if sessions.exists(conn, draft.id):
        raise InvalidRequest("There is a session of this id.", hint="Choose another, or let one be made.")
    with conn.transaction():
        sessions.ensure(conn, draft)
        forgetting.allow_again(conn, draft.id)
    return session_told(conn, draft.id)


@needs(WRITE)
def update_session(
    conn: Connection,
    session_id: str,
    *,
    title: str | None = None,
    status: str | None = None,
    context: str | None = None,
    version: str | None = None,
) -> Row:
    """Changes a session; what is None stays."""
    one_of("status", status, SESSION_STATES)
    something(title=title, status=status, context=context)
    with conn.transaction():
        check_version(sessions.version(conn, session_id, lock=True), version, "session")
        sessions.update(conn, session_id, title=title, status=status, context=context)
    return session_told(conn, session_id)


@needs(ADMIN)
def forget_session(conn: Connection, session_id: str, *, dry_run: bool = False, unseen: bool = False) -> dict[str, Any]:
    """Takes a session away with everything that came of it, and answers how many there were of each."""
    return forgetting_all.forget_session(conn, session_id, dry_run=dry_run, unseen=unseen)


@needs(ADMIN)
def forget_person(conn: Connection, *, person: str, dry_run: bool = False, after: str | None = None) -> dict[str, Any]:
    """Takes away what somebody said, in some sessions; `next` goes on with others."""
    return forgetting_all.forget_person(conn, person, dry_run=dry_run, after=after)


@needs(ADMIN)
def forget_source(
    conn: Connection,
    *,
    source: str,
    older_than_days: int | None = None,
    dry_run: bool = False,
    after: str | None = None,
) -> dict[str, Any]:
    """Takes away what a source told, some sessions of it; `next` goes on with others."""
    return forgetting_all.forget_source(conn, source, older_than_days=older_than_days, dry_run=dry_run, after=after)


def something(**changes: Any) -> None:
    if all(value is None for value in changes.values()):
        names = ", ".join(f"`{name}`" for name in changes)
        raise InvalidRequest(f"There is nothing to change: give one of {names}.")


@needs(READ)
def list_turns(conn: Connection, session_id: str, *, after: int = 0, limit: int = PAGE) -> dict[str, Any]:
    found(sessions.get(conn, session_id), "session")
    rows = sessions.turns(conn, session_id, after=after, limit=checked_limit(limit))
    return page(rows, limit, "seq")


@needs(READ)
def list_chunks(conn: Connection, session_id: str) -> dict[str, Any]:
    found(sessions.get(conn, session_id), "session")
    return {"items": chunks.listing(conn, session_id), "next": None}


# Memories


@needs(READ)
def list_memories(
    conn: Connection,
    *,
    type: str | None = None,
    session_id: str | None = None,
    tag: str | None = None,
    review: str | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> dict[str, Any]:
    """Memories, what was said again once; `times_said` counts it."""
    one_of("type", type, MEMORY_TYPES)
    one_of("review", review, REVIEWS)
    rows = memories.listing(
        conn, type=type, session_id=session_id, tag=tag, review=review, before=before, limit=checked_limit(limit)
    )
    return page(rows, limit)


@needs(READ)
def get_memory(conn: Connection, memory: int) -> Row:
    """The memory with its evidence: every time that it was said, first to last."""
    return memory_told(conn, memory)


def memory_told(conn: Connection, memory: int) -> Row:
    row = found(memories.get(conn, memory), "memory")
    return row | {
        "version": memories.version(conn, memory),
        "evidence": memories.evidence(conn, row["merged_into"] or row["id"]),
    }


@by_caller(WRITE)
def store_memory(
    caller: Caller,
    conn: Connection,
    *,
    session_id: str,
    type: MemoryType,
    title: str,
    content: dict[str, Any] | None = None,
    tags: Sequence[str] = (),
    key: str | None = None,
) -> Row:
    """Stores a memory; one that its session has under the same key, or type and title, is answered as it is. Whether it
    was said before, and what it replaces, is looked at within the next sweep."""
    one_of("type", type, MEMORY_TYPES)
    draft = MemoryDraft(type, title, content=content or {}, tags=tuple(tags), key=key, extractor="person")
    with events.put_down_to(conn, caller.name):
        if not sessions.lock(conn, session_id):
            raise NotFound("There is no such session.")
        [memory] = memories.remember(conn, session_id, None, [draft], [])
        memories.look_at_later(conn, [memory])
    return memory_told(conn, memory)


@contextmanager
def memory_as_read(conn: Connection, memory: int, version: str | None) -> Iterator[None]:
    """A transaction in which the memory is as somebody read it, so that nobody overrules what they have not seen."""
    with conn.transaction():
        if version is not None:
            memories.lock(conn, [memory])
            check_version(memories.version(conn, memory), version, "memory")
        yield


@by_caller(REVIEW)
def accept_memory(
    caller: Caller, conn: Connection, memory: int, *, person: str | None = None, version: str | None = None
) -> Row:
    with memory_as_read(conn, memory, version):
        accepted = memories.accept(conn, memory, person=person or caller.name)
    return memory_told(conn, accepted)


@by_caller(REVIEW)
def reject_memory(
    caller: Caller,
    conn: Connection,
    memory: int,
    *,
    person: str | None = None,
    reason: str | None = None,
    version: str | None = None,
) -> Row:
    with memory_as_read(conn, memory, version):
        rejected = memories.reject(conn, memory, person=person or caller.name, reason=reason)
    return memory_told(conn, rejected)


@by_caller(REVIEW)
def restore_memory(
    caller: Caller, conn: Connection, memory: int, *, person: str | None = None, version: str | None = None
) -> Row:
    with memory_as_read(conn, memory, version):
        restored = memories.restore(conn, memory, person=person or caller.name)
    return memory_told(conn, restored)


@by_caller(REVIEW)
def merge_memory(
    caller: Caller, conn: Connection, memory: int, *, into: int, person: str | None = None, version: str | None = None
) -> Row:
    """Says that a memory says the same as another, and answers the one that stands for both."""
    with conn.transaction():
        if version is not None:
            memories.lock(conn, [memory, into])  # both at once, in the order that everybody keeps to
            check_version(memories.version(conn, memory), version, "memory")
        merged = memories.merge(conn, memory, into=into, person=person or caller.name)
    return memory_told(conn, merged)


@by_caller(REVIEW)
def split_memory(caller: Caller, conn: Connection, memory: int, *, person: str | None = None) -> Row:
    return memory_told(conn, memories.split(conn, memory, person=person or caller.name))


@by_caller(REVIEW)
def supersede_memory(caller: Caller, conn: Connection, memory: int, *, by: int, person: str | None = None) -> Row:
    return memory_told(conn, memories.supersede_one(conn, memory, by=by, person=person or caller.name))


@by_caller(REVIEW)
def reinstate_memory(caller: Caller, conn: Connection, memory: int, *, person: str | None = None) -> Row:
    return memory_told(conn, memories.reinstate(conn, memory, person=person or caller.name))


@by_caller(REVIEW)
def edit_memory(
    caller: Caller,
    conn: Connection,
    memory: int,
    *,
    person: str | None = None,
    type: str | None = None,
    title: str | None = None,
    content: dict[str, Any] | None = None,
    tags: Sequence[str] | None = None,
    version: str | None = None,
) -> Row:
    """Says anew what a memory says; what is None stays."""
    one_of("type", type, MEMORY_TYPES)
    something(type=type, title=title, content=content, tags=tags)
    changes: dict[str, Any] = {"type": type, "title": title, "content": content, "tags": tags}
    with memory_as_read(conn, memory, version):
        edited = memories.edit(conn, memory, person=person or caller.name, **changes)
    return memory_told(conn, edited)


# Tasks


@needs(READ)
def list_tasks(
    conn: Connection,
    *,
    status: str | None = None,
    agent_name: str | None = None,
    session_id: str | None = None,
    before: str | None = None,
    limit: int = PAGE,
) -> dict[str, Any]:
    one_of("status", status, TASK_STATES)
    rows = tasks.listing(
        conn, status=status, agent_name=agent_name, session_id=session_id, before=before, limit=checked_limit(limit)
    )
    return page(rows, limit)


@needs(READ)
def get_task(conn: Connection, task_id: str) -> Row:
    """The task with its history, without its token, which only its holder may know."""
    return task_told(conn, task_id)


def task_told(conn: Connection, task_id: str) -> Row:
    task = found(tasks.get(conn, task_id), "task")
    return without_token(task) | {
        "version": tasks.version(conn, task_id),
        "events": tasks.events(conn, task_id),
        "exports": outgoing.exports_of(conn, task_id),
    }


def without_token(task: Row) -> Row:
    return {name: value for name, value in task.items() if name not in ("claim_token", "last_token")}


@by_caller(WRITE)
def create_task(caller: Caller, conn: Connection, /, *, title: str, task_id: str | None = None, **more: Any) -> Row:
    """Makes a task; `more` is what store.tasks.add takes. Nothing is made under an id that there is."""
    with events.put_down_to(conn, caller.name):
        made = tasks.add(conn, task_id, title=title, **more)
    return task_told(conn, made)


@by_caller(WRITE)
def update_task(
    caller: Caller, conn: Connection, /, task_id: str, *, version: str | None = None, **changes: Any
) -> Row:
    """Changes a task that nobody holds and that has not ended; what is None stays."""
    something(**changes)
    with events.put_down_to(conn, caller.name):
        check_version(tasks.version(conn, task_id, lock=True), version, "task")
        tasks.update(conn, task_id, **changes)
    return task_told(conn, task_id)


@by_caller(CLAIM)
def claim_task(
    caller: Caller,
    conn: Connection,
    *,
    agent_name: str,
    control_agent: str,
    lease_seconds: int = 300,
    max_tasks: int = 1,
    fair: bool = False,
) -> dict[str, Any]:
    caller.require_agent(agent_name)
    claims = tasks.claim(conn, agent_name, control_agent, lease_seconds=lease_seconds, max_tasks=max_tasks, fair=fair)
    return {"items": claims, "next": None}


def check_holder(caller: Caller, conn: Connection, task_ids: Sequence[str]) -> None:
    """That these tasks are of agents as which the caller may act. One that there is not is left to the move itself."""
    if not caller.may(CLAIM):
        for agent in tasks.agents_of(conn, task_ids):
            caller.require_agent(agent)


@by_caller(CLAIM)
def start_task(
    caller: Caller, conn: Connection, task_id: str, *, claim_token: UUID, process_id: int | None = None
) -> Row:
    check_holder(caller, conn, [task_id])
    return without_token(tasks.start(conn, task_id, claim_token, process_id=process_id))


@by_caller(CLAIM)
def renew_task(
    caller: Caller,
    conn: Connection,
    task_id: str,
    *,
    claim_token: UUID,
    lease_seconds: int = 300,
    progress: float | None = None,
    note: str | None = None,
) -> Row:
    check_holder(caller, conn, [task_id])
    return without_token(
        tasks.renew(conn, task_id, claim_token, lease_seconds=lease_seconds, progress=progress, note=note)
    )


@by_caller(CLAIM)
def complete_task(
    caller: Caller,
    conn: Connection,
    task_id: str,
    *,
    claim_token: UUID,
    output_data: Any = None,
    artifacts: Sequence[str] = (),
) -> Row:
    check_holder(caller, conn, [task_id])
    return without_token(tasks.complete(conn, task_id, claim_token, output_data=output_data, artifacts=artifacts))


@by_caller(CLAIM)
def fail_task(
    caller: Caller, conn: Connection, task_id: str, *, claim_token: UUID, error: str, retry: bool = True
) -> Row:
    check_holder(caller, conn, [task_id])
    return without_token(tasks.fail(conn, task_id, claim_token, error=error, retry=retry))


@by_caller(CLAIM)
def release_task(caller: Caller, conn: Connection, task_id: str, *, claim_token: UUID) -> Row:
    check_holder(caller, conn, [task_id])
    return without_token(tasks.release(conn, task_id, claim_token))


@by_caller(CLAIM)
def ask_task(caller: Caller, conn: Connection, task_id: str, *, claim_token: UUID, question: str) -> Row:
    check_holder(caller, conn, [task_id])
    return without_token(tasks.ask(conn, task_id, claim_token, question=question))


@contextmanager
def task_as_read(conn: Connection, task_id: str, version: str | None) -> Iterator[None]:
    with conn.transaction():
        if version is not None:
            check_version(tasks.version(conn, task_id, lock=True), version, "task")
        yield


@by_caller(REVIEW)
def answer_task(
    caller: Caller,
    conn: Connection,
    task_id: str,
    *,
    answer: str,
    person: str | None = None,
    version: str | None = None,
) -> Row:
    with task_as_read(conn, task_id, version):
        return without_token(tasks.answer(conn, task_id, answer=answer, person=person or caller.name))


@by_caller(REVIEW)
def approve_task(
    caller: Caller, conn: Connection, task_id: str, *, person: str | None = None, version: str | None = None
) -> Row:
    with task_as_read(conn, task_id, version):
        return without_token(tasks.approve(conn, task_id, person=person or caller.name))


@by_caller(REVIEW)
def cancel_task(
    caller: Caller,
    conn: Connection,
    task_id: str,
    *,
    person: str | None = None,
    reason: str | None = None,
    version: str | None = None,
) -> Row:
    with task_as_read(conn, task_id, version):
        return without_token(tasks.cancel(conn, task_id, reason=reason, person=person or caller.name))


@by_caller(REVIEW)
def restore_task(caller: Caller, conn: Connection, task_id: str, *, person: str | None = None) -> Row:
    """Takes back what a person did with a task last: it was approved, answered or cancelled."""
    return without_token(tasks.restore(conn, task_id, person=person or caller.name))


@by_caller(REVIEW)
def retry_task(
    caller: Caller, conn: Connection, task_id: str, *, person: str | None = None, version: str | None = None
) -> Row:
    with task_as_read(conn, task_id, version):
        return without_token(tasks.retry(conn, task_id, person=person or caller.name))


@by_caller(REVIEW)
def finish_task(
    caller: Caller,
    conn: Connection,
    task_id: str,
    *,
    person: str | None = None,
    output_data: Any = None,
    artifacts: Sequence[str] = (),
    version: str | None = None,
) -> Row:
    """Says that a task that nobody holds is done."""
    who = person or caller.name
    with task_as_read(conn, task_id, version):
        return without_token(tasks.finish(conn, task_id, person=who, output_data=output_data, artifacts=artifacts))


# Artifacts


@by_caller(CLAIM)
def create_artifact(
    caller: Caller,
    conn: Connection,
    *,
    name: str,
    content: str | bytes,
    type: str = "document",
    format: str | None = None,
    session_id: str | None = None,
    task_id: str | None = None,
    artifact: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> Row:
    """Stores an artifact; one that names a task belongs to the task's session.

    Who may only act as an agent leaves artifacts with that agent's tasks, and replaces only those.
    """
    task = None if task_id is None else found(tasks.get(conn, task_id), "task")
    session_id = session_id if task is None else task["session_id"]
    if not caller.may(WRITE):
        if task_id is None or task is None:
            raise missing(f"{WRITE}, which an artifact without a task takes")
        if task["agent_name"] is None and not caller.may(CLAIM):
            raise missing(f"{WRITE}, which an artifact for a task of no agent takes")
        check_holder(caller, conn, [task_id])
        there = artifacts.get(conn, artifact) if artifact else None
        if there is not None and there["task_id"] != task_id:
            raise missing(f"{WRITE}, which replacing this artifact takes")
    draft = ArtifactDraft(
        checked_name(name),
        content,
        type=type,
        format=format or ("text" if isinstance(content, str) else "binary"),
        id=artifact,
        task_id=task_id,
        metadata=metadata or {},
    )
    if session_id is not None and not sessions.exists(conn, session_id):
        raise NotFound("There is no such session.")
    return artifact_told(conn, artifacts.attach(conn, session_id, draft))


def checked_name(name: str) -> str:
    """A file name, perhaps in folders, that leads nowhere else wherever somebody saves it."""
    parts = re.split(r"[/\\]", name)
    if not name.isprintable() or "\\" in name or ":" in parts[0] or any(part.strip(" .") == "" for part in parts):
        raise InvalidRequest(
            "This is no name for an artifact.", hint="A file name such as report.md or docs/report.md."
        )
    return name


@by_caller(CLAIM)
def upload_artifact(caller: Caller, conn: Connection, /, *, content: bytes, **place: Any) -> Row:
    """A file as it is: text, which is searched, if it is UTF-8 without NUL, else bytes. `place` is what create_artifact
    takes besides."""
    return create_artifact(caller, conn, content=text_of(content), **place)


def text_of(content: bytes) -> str | bytes:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    return content if "\x00" in text else text


@needs(READ)
def list_artifacts(
    conn: Connection,
    *,
    session_id: str | None = None,
    task_id: str | None = None,
    before: str | None = None,
    limit: int = PAGE,
) -> dict[str, Any]:
    rows = artifacts.listing(conn, session_id=session_id, task_id=task_id, before=before, limit=checked_limit(limit))
    return page(rows, limit)


@needs(READ)
def get_artifact(conn: Connection, artifact: str) -> Row:
    return artifact_told(conn, artifact)


def artifact_told(conn: Connection, artifact: str) -> Row:
    return found(artifacts.get(conn, artifact), "artifact")


@needs(READ)
def download_artifact(conn: Connection, artifact: str) -> Row:
    """{name, format, content} with the content as bytes."""
    return found(artifacts.content(conn, artifact), "artifact")


# Agents


@needs(READ)
def list_agents(conn: Connection) -> dict[str, Any]:
    return {"items": agents.listing(conn), "next": None}


@needs(READ)
def get_agent(conn: Connection, agent_name: str) -> Row:
    return agent_told(conn, agent_name)


def agent_told(conn: Connection, agent_name: str) -> Row:
    return found(agents.get(conn, agent_name), "agent")


@by_caller(CLAIM)
def register_agent(
    caller: Caller,
    conn: Connection,
    agent_name: str,
    *,
    type: str = "cli",
    command: str | None = None,
    max_concurrent: int | None = 4,
    capabilities: Sequence[str] = (),
    metadata: dict[str, Any] | None = None,
) -> Row:
    """Makes an agent known, or says anew what it is; counts as a heartbeat.

    What the runner starts for an agent is only for an `admin` to say: `command`, and `runner` in metadata.
    """
    caller.require_agent(agent_name)
    if command is not None or "runner" in (metadata or {}):
        caller.require(ADMIN)
    agents.register(
        conn,
        agent_name,
        type=type,
        command=command,
        max_concurrent=max_concurrent,
        capabilities=capabilities,
        metadata=metadata,
    )
    return agent_told(conn, agent_name)


@by_caller(CLAIM)
def heartbeat_agent(caller: Caller, conn: Connection, agent_name: str) -> Row:
    caller.require_agent(agent_name)
    agents.heartbeat(conn, agent_name)
    return agent_told(conn, agent_name)


@by_caller(CLAIM)
def deregister_agent(caller: Caller, conn: Connection, agent_name: str) -> dict[str, Any]:
    """Takes an agent offline; `returned` is how many tasks went back to the queue."""
    caller.require_agent(agent_name)
    return {"name": agent_name, "returned": agents.deregister(conn, agent_name)}


# Deliveries


@needs(READ)
def list_deliveries(
    conn: Connection,
    *,
    state: str | None = None,
    source: str | None = None,
    code: str | None = None,
    before: str | None = None,
    limit: int = PAGE,
) -> dict[str, Any]:
    one_of("state", state, DELIVERY_STATES)
    size = checked_limit(limit)
    return page(deliveries.listing(conn, state=state, source=source, error_code=code, before=before, limit=size), limit)


@needs(READ)
def count_deliveries(conn: Connection) -> dict[str, int]:
    """How many deliveries are in each state."""
    return dict.fromkeys(DELIVERY_STATES, 0) | deliveries.count_states(conn)


@needs(READ)
def get_delivery(conn: Connection, delivery: str) -> Row:
    """With its gaps: the parts from which nothing could be extracted yet."""
    return delivery_told(conn, delivery)


def delivery_told(conn: Connection, delivery: str) -> Row:
    return found(deliveries.get(conn, delivery), "delivery") | {"gaps": extraction.listing(conn, delivery)}


@needs(READ)
def get_delivery_body(conn: Connection, delivery: str, sealing: Sealing) -> Row:
    """{content_type, body}: the bytes as they came."""
    return found(deliveries.body(conn, delivery, sealing), "delivery")


@needs(ADMIN)
def replay_delivery(conn: Connection, delivery: str) -> Row:
    """Puts a failed, unknown or ignored delivery back; a worker takes it within the next sweep."""
    before = delivery_told(conn, delivery)
    if not deliveries.replay(conn, [delivery], states=("failed", "unknown", "ignored")):
        raise InvalidRequest(
            f"A delivery that failed, was unknown or ignored can be replayed; this one is {before['state']}.",
            hint="`ai-webhook reprocess` processes deliveries again that were processed.",
        )
    return delivery_told(conn, delivery)


@needs(ADMIN)
def replay_deliveries(
    conn: Connection,
    *,
    states: Sequence[str] = ("failed",),
    source: str | None = None,
    code: str | None = None,
    session_id: str | None = None,
    since: datetime | None = None,
) -> dict[str, Any]:
    """Puts all deliveries back that fit; `states` may name every state but `received`. Answers how many."""
    for state in states:
        one_of("states", state, DELIVERY_STATES[1:])
    ids = deliveries.replay(
        conn, None, states=states, source=source, error_code=code, session_id=session_id, since=since
    )
    return {"replayed": len(ids)}


# Search


@needs(READ)
def search(
    conn: Connection,
    /,
    query: str,
    *,
    cursor: int = 0,
    limit: int = 10,
    kinds: Sequence[str] | None = None,
    **how: Any,
) -> dict[str, Any]:
    """A page of hits, best first, each with a `link` to its place; `next` is what `cursor` takes to go on.

    `how` is what else store.search.search takes.
    """
    wanted = kinds or text_search.DEFAULT_KINDS
    with SEARCH_SECONDS.time():
        rows = text_search.search(conn, query, limit=limit, skip=cursor, kinds=wanted, **how)
    more = len(rows) == limit and cursor + 2 * limit <= text_search.MOST_RESULTS
    return {"items": linked(rows), "next": str(cursor + limit) if more else None}


@needs(READ)
def search_facets(
    conn: Connection, /, query: str, *, kinds: Sequence[str] | None = None, **filters: Any
) -> dict[str, Any]:
    """How the best hits spread over kinds, types, sessions, speakers and months."""
    counted = text_search.facets(conn, query, kinds=kinds or text_search.DEFAULT_KINDS, **filters)
    return {"items": counted, "next": None}


@needs(READ)
def get_context(conn: Connection, /, question: str, **how: Any) -> dict[str, Any]:
    """What is in force and what was said about a question; `how` is what access.context.context takes."""
    return context(conn, question, **how)


def linked(hits: Sequence[Row]) -> list[Row]:
    return [hit | {"link": link_to(hit)} for hit in hits]


@needs(READ)
def related_to_memory(conn: Connection, memory: int, *, limit: int = 10) -> dict[str, Any]:
    """What else was said about what a memory says, in other sessions, too."""
    row = found(memories.get(conn, memory), "memory")
    hits = text_search.related(conn, f"{row['title']} {row['quote'] or ''}", memory=memory, limit=checked_limit(limit))
    return {"items": linked(hits), "next": None}


@needs(READ)
def related_to_task(conn: Connection, task_id: str, *, limit: int = 10) -> dict[str, Any]:
    row = found(tasks.get(conn, task_id), "task")
    hits = text_search.related(conn, row["title"], task=task_id, limit=checked_limit(limit))
    return {"items": linked(hits), "next": None}


# What goes out


@needs(READ)
def list_subscriptions(conn: Connection) -> dict[str, Any]:
    return {"items": outgoing.listing(conn), "next": None}


@needs(ADMIN)
def add_subscription(conn: Connection, /, *, name: str, **more: Any) -> Row:
    """Makes a subscription to what happens from now on; `more` is what store.outgoing.add takes."""
    return outgoing.add(conn, name, **more)


@needs(ADMIN)
def remove_subscription(conn: Connection, name: str) -> Row:
    outgoing.remove(conn, name)
    return {"name": name}


@needs(ADMIN)
def enable_subscription(conn: Connection, name: str, *, from_now: bool = False) -> Row:
    return outgoing.enable(conn, name, from_now=from_now)


@needs(ADMIN)
def disable_subscription(conn: Connection, name: str) -> Row:
    return outgoing.disable(conn, name)


@needs(READ)
def list_outgoing(
    conn: Connection, name: str, *, state: str | None = None, before: str | None = None, limit: int = PAGE
) -> dict[str, Any]:
    return page(outgoing.log(conn, name, state=state, before=before, limit=checked_limit(limit)), limit)


@needs(ADMIN)
def replay_outgoing(conn: Connection, outgoing_id: str) -> Row:
    return outgoing.replay(conn, outgoing_id)


@needs(WRITE)
def export_task(conn: Connection, task_id: str, *, subscription: str) -> Row:
    """Has a task exported by a subscription; a worker makes it there within seconds."""
    return outgoing.export(conn, task_id, subscription)


# Events and tokens


@needs(READ)
def list_events(conn: Connection, *, after: str | None = None, limit: int = PAGE) -> dict[str, Any]:
    """What happened to tasks and memories after a place in the stream, or from its beginning; `next` always says where
    to go on, since there is more to come."""
    rows = [event_told(row) for row in events.after(conn, after or events.BEGINNING, limit=checked_limit(limit))]
    return {"items": rows, "next": rows[-1]["id"] if rows else after}


def event_told(row: Row) -> Row:
    told = {name: value for name, value in row.items() if name not in ("position", "kind")}
    return {"id": row["position"]} | told


@needs(ADMIN)
def list_tokens(conn: Connection) -> dict[str, Any]:
    return {"items": tokens.listing(conn), "next": None}


@needs(ADMIN)
def create_token(conn: Connection, *, name: str, scopes: Sequence[str], seconds: float | None = None) -> Row:
    """The token is in the answer as `token`, this once."""
    return tokens.create(conn, name, scopes, seconds=seconds)


@needs(ADMIN)
def revoke_token(conn: Connection, name: str) -> Row:
    return tokens.revoke(conn, name)


@needs(ADMIN)
def list_audit(
    conn: Connection,
    *,
    since: datetime | None = None,
    actor: str | None = None,
    action: str | None = None,
    object: str | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> dict[str, Any]:
    """Who did what, latest first."""
    how: dict[str, Any] = {"since": since, "actor": actor, "action": action, "object": object, "before": before}
    return page(audit.listing(conn, limit=checked_limit(limit), **how), limit)


# People, who log in to the console


@needs(ADMIN)
def list_people(conn: Connection) -> dict[str, Any]:
    return {"items": people.listing(conn), "next": None}


@needs(ADMIN)
def update_person(
    conn: Connection, name: str, *, role: Role | None = None, disabled: bool | None = None
) -> dict[str, Any]:
    """Changes what a person may; who is disabled is logged out at once. Answers everybody."""
    one_of("role", role, ROLES)
    something(role=role, disabled=disabled)
    people.update(conn, name, role=role, disabled=disabled)
    return {"items": people.listing(conn), "next": None}


@needs(ADMIN)
def create_login_link(conn: Connection, *, role: Role = "viewer", person: str | None = None) -> Row:
    """Who opens `path` within an hour chooses a password, this once: somebody new a name, too."""
    one_of("role", role, ROLES)
    made = people.add_link(conn, role=role, person=person)
    return {"path": f"/welcome/{made.pop('token')}"} | made
