"""Tasks: created from what was said, claimed by one agent at a time, moved only by the functions of the database."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from threading import Event
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from domain.errors import InvalidRequest
from domain.task import TaskDraft
from store.database import Connection, Row, all_rows, is_pooled, one_row, our_errors, run
from store.statements import statements

SQL = statements("tasks")


def create(
    conn: Connection,
    session_id: str,
    delivery: str,
    drafts: Sequence[TaskDraft],
    memory_ids: Sequence[int],
    decisions: Sequence[int | None] = (),
) -> list[str]:
    """Stores drafts whose `memory` counts in `memory_ids`; returns the task's id for each.

    Without an id of the sender's the id comes from the memory (or from the delivery and the place in it), so that
    the same item said twice is one task. What is said again makes none while the first one's is not at its end, and
    what a person rejected makes none at all. `decisions` has the memory that each is about, as far as one is known.
    """
    if not drafts:
        return []
    rows = []
    for position, (draft, decision) in enumerate(zip(drafts, decisions or [None] * len(drafts), strict=True)):
        memory = None if draft.memory is None else memory_ids[draft.memory]
        row = {
            "id": draft.id or made_id(f"memory {memory}" if memory is not None else f"{delivery} {position}"),
            "agent_name": draft.agent_name,
            "task_type": draft.task_type,
            "title": draft.title,
            "status": draft.status,
            "priority": draft.priority,
            "input_data": draft.input_data,
            "memory": memory,
            "decision": decision,
            "own": draft.id is None and memory is not None,
        }
        rows.append(row)
    run(conn, SQL["create"], {"session_id": session_id, "delivery": delivery, "tasks": Jsonb(rows)})
    return [str(row["id"]) for row in rows]


def made_id(origin: str) -> str:
    return "task_" + hashlib.sha256(origin.encode()).hexdigest()[:12]


def claim(
    conn: Connection,
    agent_name: str,
    control_agent: str,
    *,
    lease_seconds: int = 300,
    max_tasks: int = 1,
    fair: bool = False,
) -> list[Row]:
    """The claims given, most urgent first; an empty list when there is nothing to do.

    `fair` puts tasks of sessions first of which fewer are held.
    Raises UnknownAgent, AgentAtCapacity, or InvalidRequest for a lease or number out of range.
    """
    parameters = {
        "agent_name": agent_name,
        "control_agent": control_agent,
        "lease_seconds": lease_seconds,
        "max_tasks": max_tasks,
        "fair": fair,
    }
    return all_rows(conn, SQL["claim_task"], parameters)


def claim_many(conn: Connection, claims: Sequence[dict[str, Any]]) -> list[list[Row]]:
    """What `claim` answers to each, in one commit; `claims` have its arguments by their names. When one of them would
    raise, all of it does and nothing is claimed."""
    given: list[list[Row]] = [[] for _ in claims]
    for row in all_rows(conn, SQL["claim_many"], {"claims": Jsonb(list(claims))}):
        given[row.pop("position") - 1].append(row)
    return given


def add(
    conn: Connection,
    task_id: str | None,
    *,
    title: str,
    agent_name: str | None = None,
    capabilities: Sequence[str] = (),
    task_type: str = "general",
    status: str = "pending",
    priority: int = 50,
    input_data: Mapping[str, Any] | None = None,
    session_id: str | None = None,
    memory: int | None = None,
    not_before: datetime | None = None,
    depends_on: Sequence[str] = (),
    max_attempts: int = 3,
    acceptance: Mapping[str, Any] | None = None,
) -> str:
    """Makes one task and returns its id, which is made up when None. Raises InvalidRequest where the id is taken, or
    something that it names is not there."""
    parameters = {
        "id": task_id,
        "title": title,
        "agent_name": agent_name,
        "capabilities": Jsonb(list(capabilities)),
        "task_type": task_type,
        "status": status,
        "priority": priority,
        "input_data": Jsonb(dict(input_data or {})),
        "session_id": session_id,
        "memory": memory,
        "not_before": not_before,
        "depends_on": list(depends_on),
        "max_attempts": max_attempts,
        "acceptance": None if acceptance is None else Jsonb(dict(acceptance)),
    }
    row = one_row(conn, SQL["add"], parameters)
    if row is None:
        raise InvalidRequest("There is a task of this id.", hint="Choose another, or let one be made.")
    return str(row["id"])


def order_command(
    conn: Connection,
    delivery: str,
    task_id: str,
    *,
    title: str,
    agent_name: str,
    task_type: str,
    input_data: Mapping[str, Any],
    command: Mapping[str, Any] | None,
    max_attempts: int,
) -> bool:
    """Makes the task of what a native client wants done: the one place where a task gets a `command`, which a runner
    may run. False for the same again, which changes nothing; raises InvalidRequest where the id is another task's."""
    parameters = {
        "id": task_id,
        "title": title,
        "agent_name": agent_name,
        "task_type": task_type,
        "input_data": Jsonb(dict(input_data)),
        "command": None if command is None else Jsonb(dict(command)),
        "delivery": delivery,
        "max_attempts": max_attempts,
    }
    if one_row(conn, SQL["order_command"], parameters) is not None:
        return True
    row = one_row(conn, SQL["is_command"], parameters)
    if not (row and row["is_it"]):
        raise InvalidRequest("There is another task of this id.", hint="Send a `task_id` that was not used before.")
    return False


def endings(conn: Connection, task_ids: Sequence[str]) -> list[Row]:
    """Those of these tasks that have ended, with what they left; one that is not there has no status."""
    return all_rows(conn, SQL["endings"], {"ids": list(task_ids)})


def update(
    conn: Connection,
    task_id: str,
    *,
    input_data: Mapping[str, Any] | None = None,
    depends_on: Sequence[str] | None = None,
    **changes: Any,
) -> None:
    """Changes a task that nobody holds and that has not ended; what is None stays. Raises UnknownTask, InvalidMove."""
    names = ("title", "agent_name", "task_type", "priority", "not_before", "max_attempts")
    parameters = {name: changes.pop(name, None) for name in names}
    assert not changes, "what a task has besides does not change"
    parameters |= {
        "id": task_id,
        "input_data": None if input_data is None else Jsonb(dict(input_data)),
        "depends_on": None if depends_on is None else list(depends_on),
    }
    if not run(conn, SQL["update"], parameters):
        run(conn, SQL["refuse_update"], {"id": task_id})


def version(conn: Connection, task_id: str, *, lock: bool = False) -> str | None:
    """A text that changes with every change of the task; None where there is none. `lock` keeps it as it is until the
    transaction ends."""
    row = one_row(conn, SQL["lock_version" if lock else "version"], {"id": task_id})
    return None if row is None else str(row["version"])


def agents_of(conn: Connection, task_ids: Sequence[str]) -> list[str]:
    """The agents that these tasks are of."""
    return [row["agent_name"] for row in all_rows(conn, SQL["agents_of"], {"ids": list(task_ids)})]


def wait_for_work(conn: Connection, agent_name: str, *, timeout_seconds: float, poll_seconds: float = 2.0) -> bool:
    """Waits until there may be a task for the agent, and answers whether there was one within the time.

    Woken by NOTIFY, and looks by itself every `poll_seconds` all the same: behind a pooler nothing is heard. The
    connection has to be in autocommit.
    """
    deadline = time.monotonic() + timeout_seconds
    with our_errors():
        listen(conn)
        try:
            while not is_claimable(conn, agent_name):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return False
                for _ in conn.notifies(timeout=min(poll_seconds, remaining), stop_after=1):
                    break
            return True
        finally:
            if not is_pooled(conn):
                conn.execute(SQL["unlisten"])


def new_work(conn: Connection, stopping: Event) -> Iterator[str]:
    """The agent of each task that becomes claimable, as it does, until `stopping`; `*` is any agent, which is said
    first, for what came before."""
    with our_errors():
        listen(conn)
        yield "*"
        while not stopping.is_set():
            for notification in conn.notifies(timeout=0.5):
                yield notification.payload


def listen(conn: Connection) -> None:
    """Behind a pooler it would go on for whoever has that server's connection next, and tell us nothing."""
    if not is_pooled(conn):
        conn.execute(SQL["listen"])


def is_claimable(conn: Connection, agent_name: str) -> bool:
    row = one_row(conn, SQL["is_claimable"], {"agent_name": agent_name})
    return bool(row and row["claimable"])


def moved(conn: Connection, move: str, **parameters: Any) -> Row:
    row = one_row(conn, SQL[move], parameters)
    assert row is not None, "a move answers the task or raises"
    return row


def start(conn: Connection, task_id: str, claim_token: UUID, *, process_id: int | None = None) -> Row:
    return moved(conn, "start_task", task_id=task_id, claim_token=claim_token, process_id=process_id)


def renew(
    conn: Connection,
    task_id: str,
    claim_token: UUID,
    *,
    lease_seconds: int = 300,
    progress: float | None = None,
    note: str | None = None,
) -> Row:
    return moved(
        conn,
        "renew_task",
        task_id=task_id,
        claim_token=claim_token,
        lease_seconds=lease_seconds,
        progress=progress,
        note=note,
    )


def complete(
    conn: Connection,
    task_id: str,
    claim_token: UUID,
    *,
    output_data: Any = None,
    artifacts: Sequence[str] = (),
) -> Row:
    """Completes the task; the same call with the same token again answers the same and changes nothing."""
    return moved(
        conn,
        "complete_task",
        task_id=task_id,
        claim_token=claim_token,
        output_data=None if output_data is None else Jsonb(output_data),
        artifacts=list(artifacts),
    )


def complete_many(conn: Connection, completions: Sequence[dict[str, Any]]) -> list[Row]:
    """What `complete` answers to each, in one commit; `completions` have its arguments by their names. When one of them
    would raise, all of it does and nothing is completed."""
    return all_rows(conn, SQL["complete_many"], {"completions": Jsonb(list(completions))})


def fail(conn: Connection, task_id: str, claim_token: UUID, *, error: str, retry: bool = True) -> Row:
    return moved(conn, "fail_task", task_id=task_id, claim_token=claim_token, error=error, retry=retry)


def release(conn: Connection, task_id: str, claim_token: UUID) -> Row:
    return moved(conn, "release_task", task_id=task_id, claim_token=claim_token)


def ask(conn: Connection, task_id: str, claim_token: UUID, *, question: str) -> Row:
    return moved(conn, "ask_task", task_id=task_id, claim_token=claim_token, question=question)


def answer(conn: Connection, task_id: str, *, answer: str, person: str) -> Row:
    return moved(conn, "answer_task", task_id=task_id, answer=answer, person=person)


def has_answer(conn: Connection, task_id: str, answer: str, *, person: str) -> bool:
    """Whether this person has answered so, and the task has gone on since."""
    row = one_row(conn, SQL["has_answer"], {"task_id": task_id, "answer": answer, "person": person})
    return bool(row and row["known"])


def approve(conn: Connection, task_id: str, *, person: str) -> Row:
    return moved(conn, "approve_task", task_id=task_id, person=person)


def cancel(conn: Connection, task_id: str, *, reason: str | None = None, person: str | None = None) -> Row:
    return moved(conn, "cancel_task", task_id=task_id, reason=reason, person=person)


def finish(
    conn: Connection, task_id: str, *, person: str, output_data: Any = None, artifacts: Sequence[str] = ()
) -> Row:
    """Completes a task that nobody holds, as done by hand."""
    return moved(
        conn,
        "finish_task",
        task_id=task_id,
        person=person,
        output_data=None if output_data is None else Jsonb(output_data),
        artifacts=list(artifacts),
    )


def retry(conn: Connection, task_id: str, *, person: str) -> Row:
    """Gives a task that failed or was cancelled all its tries again."""
    return moved(conn, "retry_task", task_id=task_id, person=person)


def restore(conn: Connection, task_id: str, *, person: str) -> Row:
    """Takes back an approval, an answer or a cancellation, as long as nothing has happened since."""
    return moved(conn, "restore_task", task_id=task_id, person=person)


def expire_claims(conn: Connection) -> int:
    """Returns lapsed tasks to the queue, or fails those without a try left; answers how many."""
    row = one_row(conn, SQL["expire_claims"])
    return int(row["expired"]) if row else 0


def get(conn: Connection, task_id: str) -> Row | None:
    return one_row(conn, SQL["get"], {"id": task_id})


def count_active(conn: Connection, session_ids: Sequence[str]) -> dict[str, int]:
    """How many tasks of each session are not at their end; a session without any is left out."""
    return {
        row["session_id"]: row["n"] for row in all_rows(conn, SQL["count_active"], {"session_ids": list(session_ids)})
    }


def events(conn: Connection, task_id: str) -> list[Row]:
    """Every move of the task, first to last: at, actor, from_status, to_status, attempts, reason."""
    return all_rows(conn, SQL["events"], {"id": task_id})


def listing(
    conn: Connection,
    *,
    status: str | None,
    agent_name: str | None,
    session_id: str | None,
    before: str | None,
    limit: int,
) -> list[Row]:
    """Newest first; `before` is the id of the last row of the page before."""
    parameters = {
        "status": status,
        "agent_name": agent_name,
        "session_id": session_id,
        "before": before,
        "limit": limit,
    }
    return all_rows(conn, SQL["listing"], parameters)
