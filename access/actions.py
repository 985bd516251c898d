"""Everything that a person or an agent may do, whichever way they come in.

Actions check what they are asked, call the store, and answer rows ready to be written as JSON.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from domain.errors import InvalidRequest, NotFound
from domain.memory import MEMORY_TYPES, REVIEWS
from domain.task import TASK_STATES, ArtifactDraft
from store import agents, artifacts, chunks, deliveries, extraction, memories, sessions, tasks
from store import search as text_search
from store.database import Connection, Row

PAGE = 50
PAGE_MOST = 1000
DELIVERY_STATES = ("received", "processed", "ignored", "unknown", "failed")
SESSION_STATES = ("active", "paused", "completed")


def page(rows: list[Row], limit: int, cursor: str = "id") -> dict[str, Any]:
    """A page of a list; `next` is what `before` takes to go on, or None at the end."""
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


def list_sessions(
    conn: Connection, *, status: str | None = None, before: str | None = None, limit: int = PAGE
) -> dict[str, Any]:
    one_of("status", status, SESSION_STATES)
    return page(sessions.listing(conn, status=status, before=before, limit=checked_limit(limit)), limit)


def get_session(conn: Connection, session_id: str) -> Row:
    """The session with its first thousand turns and its memories and tasks, newest first."""
    session = found(sessions.get(conn, session_id), "session")
    return {
        **session,
        "turns": sessions.turns(conn, session_id),
        "memories": memories.listing(conn, type=None, session_id=session_id, tag=None, before=None, limit=PAGE_MOST),
        "tasks": tasks.listing(conn, status=None, agent_name=None, session_id=session_id, before=None, limit=PAGE_MOST),
    }


def list_turns(conn: Connection, session_id: str, *, after: int = 0, limit: int = PAGE) -> dict[str, Any]:
    found(sessions.get(conn, session_id), "session")
    rows = sessions.turns(conn, session_id, after=after, limit=checked_limit(limit))
    return page(rows, limit, "seq")


def list_chunks(conn: Connection, session_id: str) -> dict[str, Any]:
    found(sessions.get(conn, session_id), "session")
    return {"items": chunks.listing(conn, session_id), "next": None}


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


def get_memory(conn: Connection, memory: int) -> Row:
    """The memory with its evidence: every time that it was said, first to last."""
    row = found(memories.get(conn, memory), "memory")
    return row | {"evidence": memories.evidence(conn, row["merged_into"] or row["id"])}


def accept_memory(conn: Connection, memory: int, *, person: str) -> Row:
    return get_memory(conn, memories.accept(conn, memory, person=person))


def reject_memory(conn: Connection, memory: int, *, person: str, reason: str | None = None) -> Row:
    return get_memory(conn, memories.reject(conn, memory, person=person, reason=reason))


def restore_memory(conn: Connection, memory: int, *, person: str) -> Row:
    return get_memory(conn, memories.restore(conn, memory, person=person))


def merge_memory(conn: Connection, memory: int, *, into: int, person: str) -> Row:
    """Says that a memory says the same as another, and answers the one that stands for both."""
    return get_memory(conn, memories.merge(conn, memory, into=into, person=person))


def split_memory(conn: Connection, memory: int, *, person: str) -> Row:
    return get_memory(conn, memories.split(conn, memory, person=person))


def supersede_memory(conn: Connection, memory: int, *, by: int, person: str) -> Row:
    return get_memory(conn, memories.supersede_one(conn, memory, by=by, person=person))


def reinstate_memory(conn: Connection, memory: int, *, person: str) -> Row:
    return get_memory(conn, memories.reinstate(conn, memory, person=person))


REVIEW_VERBS: dict[str, Callable[..., Row]] = {
    "accept": accept_memory,
    "reject": reject_memory,
    "restore": restore_memory,
    "merge": merge_memory,
    "split": split_memory,
    "supersede": supersede_memory,
    "reinstate": reinstate_memory,
}


def edit_memory(
    conn: Connection,
    memory: int,
    *,
    person: str,
    type: str | None = None,
    title: str | None = None,
    content: dict[str, Any] | None = None,
    tags: Sequence[str] | None = None,
) -> Row:
    """Says anew what a memory says; what is None stays."""
    one_of("type", type, MEMORY_TYPES)
    if type is None and title is None and content is None and tags is None:
        raise InvalidRequest("There is nothing to change: give `type`, `title`, `content` or `tags`.")
    edited = memories.edit(conn, memory, person=person, type=type, title=title, content=content, tags=tags)
    return get_memory(conn, edited)


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


def get_task(conn: Connection, task_id: str) -> Row:
    """The task with its history, without its token, which only its holder may know."""
    task = found(tasks.get(conn, task_id), "task")
    return without_token(task) | {"events": tasks.events(conn, task_id)}


def without_token(task: Row) -> Row:
    return {name: value for name, value in task.items() if name not in ("claim_token", "last_token")}


def claim_task(
    conn: Connection,
    *,
    agent_name: str,
    control_agent: str,
    lease_seconds: int = 300,
    max_tasks: int = 1,
    fair: bool = False,
) -> dict[str, Any]:
    claims = tasks.claim(conn, agent_name, control_agent, lease_seconds=lease_seconds, max_tasks=max_tasks, fair=fair)
    return {"items": claims, "next": None}


def start_task(conn: Connection, task_id: str, *, claim_token: UUID, process_id: int | None = None) -> Row:
    return without_token(tasks.start(conn, task_id, claim_token, process_id=process_id))


def renew_task(
    conn: Connection,
    task_id: str,
    *,
    claim_token: UUID,
    lease_seconds: int = 300,
    progress: float | None = None,
    note: str | None = None,
) -> Row:
    return without_token(
        tasks.renew(conn, task_id, claim_token, lease_seconds=lease_seconds, progress=progress, note=note)
    )


def complete_task(
    conn: Connection, task_id: str, *, claim_token: UUID, output_data: Any = None, artifacts: Sequence[str] = ()
) -> Row:
    return without_token(tasks.complete(conn, task_id, claim_token, output_data=output_data, artifacts=artifacts))


def fail_task(conn: Connection, task_id: str, *, claim_token: UUID, error: str, retry: bool = True) -> Row:
    return without_token(tasks.fail(conn, task_id, claim_token, error=error, retry=retry))


def release_task(conn: Connection, task_id: str, *, claim_token: UUID) -> Row:
    return without_token(tasks.release(conn, task_id, claim_token))


def ask_task(conn: Connection, task_id: str, *, claim_token: UUID, question: str) -> Row:
    return without_token(tasks.ask(conn, task_id, claim_token, question=question))


def answer_task(conn: Connection, task_id: str, *, answer: str, person: str) -> Row:
    return without_token(tasks.answer(conn, task_id, answer=answer, person=person))


def approve_task(conn: Connection, task_id: str, *, person: str) -> Row:
    return without_token(tasks.approve(conn, task_id, person=person))


def cancel_task(conn: Connection, task_id: str, *, reason: str | None = None) -> Row:
    return without_token(tasks.cancel(conn, task_id, reason=reason))


def retry_task(conn: Connection, task_id: str, *, person: str) -> Row:
    return without_token(tasks.retry(conn, task_id, person=person))


TASK_MOVES: dict[str, Callable[..., Row]] = {
    "start": start_task,
    "renew": renew_task,
    "complete": complete_task,
    "fail": fail_task,
    "release": release_task,
    "ask": ask_task,
    "answer": answer_task,
    "approve": approve_task,
    "cancel": cancel_task,
    "retry": retry_task,
}


def create_artifact(conn: Connection, *, session_id: str | None, draft: ArtifactDraft) -> Row:
    """Stores an artifact; one that names a task belongs to the task's session."""
    if draft.task_id is not None:
        session_id = found(tasks.get(conn, draft.task_id), "task")["session_id"]
    return get_artifact(conn, artifacts.attach(conn, session_id, draft))


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


def get_artifact(conn: Connection, artifact: str) -> Row:
    return found(artifacts.get(conn, artifact), "artifact")


def list_agents(conn: Connection) -> dict[str, Any]:
    return {"items": agents.listing(conn), "next": None}


def register_agent(
    conn: Connection,
    name: str,
    *,
    type: str = "cli",
    command: str | None = None,
    max_concurrent: int | None = 4,
    capabilities: Sequence[str] = (),
    metadata: dict[str, Any] | None = None,
) -> Row:
    """Makes an agent known, or says anew what it is; counts as a heartbeat."""
    agents.register(
        conn,
        name,
        type=type,
        command=command,
        max_concurrent=max_concurrent,
        capabilities=capabilities,
        metadata=metadata,
    )
    return get_agent(conn, name)


def heartbeat_agent(conn: Connection, name: str) -> Row:
    agents.heartbeat(conn, name)
    return get_agent(conn, name)


def deregister_agent(conn: Connection, name: str) -> dict[str, Any]:
    """Takes an agent offline; `returned` is how many tasks went back to the queue."""
    return {"name": name, "returned": agents.deregister(conn, name)}


def get_agent(conn: Connection, name: str) -> Row:
    return found(agents.get(conn, name), "agent")


def list_deliveries(
    conn: Connection,
    *,
    state: str | None = None,
    source: str | None = None,
    before: str | None = None,
    limit: int = PAGE,
) -> dict[str, Any]:
    one_of("state", state, DELIVERY_STATES)
    rows = deliveries.listing(conn, state=state, source=source, before=before, limit=checked_limit(limit))
    return page(rows, limit)


def count_deliveries(conn: Connection) -> dict[str, int]:
    """How many deliveries are in each state."""
    return dict.fromkeys(DELIVERY_STATES, 0) | deliveries.count_states(conn)


def get_delivery(conn: Connection, delivery: str) -> Row:
    """With its gaps: the parts from which nothing could be extracted yet."""
    return found(deliveries.get(conn, delivery), "delivery") | {"gaps": extraction.listing(conn, delivery)}


def get_delivery_body(conn: Connection, delivery: str) -> Row:
    """{content_type, body}: the bytes as they came."""
    return found(deliveries.body(conn, delivery), "delivery")


def replay_delivery(conn: Connection, delivery: str) -> Row:
    """Puts a failed, unknown or ignored delivery back; a worker takes it within the next sweep."""
    before = get_delivery(conn, delivery)
    if not deliveries.replay(conn, [delivery], states=("failed", "unknown", "ignored")):
        raise InvalidRequest(
            f"A delivery that failed, was unknown or ignored can be replayed; this one is {before['state']}.",
            hint="`ai-webhook reprocess` processes deliveries again that were processed.",
        )
    return get_delivery(conn, delivery)


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


def search(
    conn: Connection,
    query: str,
    *,
    cursor: int = 0,
    limit: int = 10,
    **how: Any,
) -> dict[str, Any]:
    """A page of hits, best first, each with a `link` to its place; `next` is what `cursor` takes to go on.

    `how` is what else store.search.search takes.
    """
    rows = text_search.search(conn, query, limit=limit, skip=cursor, **how)
    more = len(rows) == limit and cursor + 2 * limit <= text_search.MOST_RESULTS
    return {"items": linked(rows), "next": str(cursor + limit) if more else None}


def search_facets(conn: Connection, query: str, **filters: Any) -> dict[str, Any]:
    """How the best hits spread over kinds, types, sessions, speakers and months."""
    return {"items": text_search.facets(conn, query, **filters), "next": None}


def linked(hits: Sequence[Row]) -> list[Row]:
    return [hit | {"link": link_to(hit)} for hit in hits]


def link_to(hit: Row) -> str:
    """The address of what was found: of a turn its place in the session."""
    session = f"/api/sessions/{quote(hit['session_id'] or '', safe='')}"
    if hit["kind"] == "turns":
        return f"{session}/turns?after={hit['turn_seq'] - 1}&limit=1"
    return f"{session}/chunks" if hit["kind"] == "chunks" else f"/api/{hit['kind']}/{quote(hit['id'], safe='')}"


def related_to_memory(conn: Connection, memory: int, *, limit: int = 10) -> dict[str, Any]:
    """What else was said about what a memory says, in other sessions, too."""
    row = found(memories.get(conn, memory), "memory")
    hits = text_search.related(conn, f"{row['title']} {row['quote'] or ''}", memory=memory, limit=checked_limit(limit))
    return {"items": linked(hits), "next": None}


def related_to_task(conn: Connection, task_id: str, *, limit: int = 10) -> dict[str, Any]:
    row = found(tasks.get(conn, task_id), "task")
    hits = text_search.related(conn, row["title"], task=task_id, limit=checked_limit(limit))
    return {"items": linked(hits), "next": None}
