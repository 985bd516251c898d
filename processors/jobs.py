"""What runs from the queue, from a batch of delivery keys to memories and tasks in PostgreSQL.

    begin    take the batch's keys                                              Redis
    record   the raw deliveries, before anything else can go wrong              PostgreSQL, committed
    take     lock those that are not finished                                   PostgreSQL ┐
    read     payload → session, turns, the sender's own items                   pure       │
    chunk    turns → spans for search                                           pure       │ one transaction
    extract  turns → memories with the words they came from                     pure       │
    plan     action items → tasks                                               pure       │
    keep     all of it, with the delivery marked `processed`                    PostgreSQL ┘
    finish   forget the batch                                                   Redis

A repeat finds nothing to take and changes nothing. A delivery that fails takes only itself out of the transaction;
a batch that breaks as a whole is run again, split into single deliveries.
"""

import logging
import time
import traceback
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from domain.delivery import Delivery, Reading
from domain.errors import AIWebhookError, DatabaseUnavailable, Unreadable
from domain.memory import MemoryDraft
from domain.session import Chunk, Turn
from domain.settings import Settings
from domain.task import TaskDraft
from processors.chunking import chunk
from processors.extracting import extract
from processors.queueing import Batch, DeliveryQueue, JobTimeout, RedisFailure
from processors.readers import read
from processors.tasking import plan
from store import agents, artifacts, chunks, deliveries, memories, sessions, tasks
from store.database import Connection, Pool, borrowed

log = logging.getLogger("ai_webhook.processors")

IN_HAND_SECONDS = 60.0  # how long the sweep leaves a delivery to the worker it was given to


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a job works with."""

    pool: Pool
    queue: DeliveryQueue
    settings: Settings


@dataclass(frozen=True, slots=True)
class Understanding:
    """A delivery understood: everything that is to be kept of it, nothing of it stored yet."""

    reading: Reading
    turns: tuple[Turn, ...]
    chunks: list[Chunk]
    memories: list[MemoryDraft]
    tasks: list[TaskDraft]


def process_batch(shop: Workshop, batch_id: str) -> None:
    """The job: processes every delivery of a batch exactly once, however often it is run."""
    batch = shop.queue.begin(batch_id)
    if not batch.keys:
        return
    if batch.runs > 1 and len(batch.keys) > 1:
        shop.queue.split(batch)
        return
    try:
        with borrowed(shop.pool) as conn:
            deliveries.record(conn, shop.queue.payloads(batch.keys))
            if batch.runs > shop.settings.max_attempts:
                give_up(conn, batch)
            process_deliveries(conn, shop, batch.keys)
    except (AIWebhookError, RedisFailure, JobTimeout) as error:
        shop.queue.postpone(batch, min(30.0, 2.0 ** min(batch.runs - 1, 5)))
        log.warning("batch=%s run=%d put off: %s", batch.id, batch.runs, type(error).__name__)
        raise
    shop.queue.finish(batch)


def process_deliveries(conn: Connection, shop: Workshop, keys: Sequence[str]) -> None:
    """Processes recorded deliveries in one transaction, each behind a savepoint of its own.

    Sessions are written in the order of their ids, and within one in the order of arrival, so that two workers
    never wait for each other in a ring.
    """
    with conn.transaction():
        read_ones = [(delivery, attempt_to_read(delivery)) for delivery in deliveries.take(conn, keys)]
        for delivery, reading in sorted(read_ones, key=lambda pair: session_of(pair[1])):
            process_delivery(conn, shop, delivery, reading)


def process_delivery(
    conn: Connection, shop: Workshop, delivery: Delivery, reading: Reading | AIWebhookError | None
) -> None:
    started = time.perf_counter()
    try:
        if isinstance(reading, AIWebhookError):
            raise reading
        with conn.transaction():
            understood = understand(reading, shop.settings) if reading else None
            if understood:
                keep(conn, delivery, understood)
            deliveries.finish(
                conn,
                delivery.key,
                "processed" if understood else "ignored",
                understood.reading.session.id if understood else None,
            )
    except (DatabaseUnavailable, JobTimeout):
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one delivery must not hold up the others
        fail(conn, shop, delivery, error)
    else:
        log.info("%s", outcome_line(delivery, understood, 1e3 * (time.perf_counter() - started)))


def attempt_to_read(delivery: Delivery) -> Reading | AIWebhookError | None:
    try:
        return read(delivery)
    except JobTimeout:
        raise
    except AIWebhookError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a reader's bug is this delivery's failure, kept and replayable
        return AIWebhookError(where_it_broke(error))


def session_of(reading: Reading | AIWebhookError | None) -> str:
    return reading.session.id if isinstance(reading, Reading) else ""


def understand(reading: Reading, settings: Settings) -> Understanding:
    """Chunks, extracts and plans. Pure: the same reading gives the same understanding."""
    turns = reading.turns
    if reading.summary:
        turns = (*turns, Turn(speaker="", role="summary", text=reading.summary))
    drafts = [*reading.memories, *without_repeats(extract(turns), reading.memories)]
    planned = {task.memory for task in reading.tasks}
    tasks = [
        task
        for task in plan(drafts, default_agent=settings.default_agent, approve_confidence=settings.approve_confidence)
        if task.memory not in planned
    ]
    return Understanding(
        reading=reading,
        turns=turns,
        chunks=chunk(turns, max_words=settings.chunk_words, format=reading.format),
        memories=drafts,
        tasks=[*reading.tasks, *tasks],
    )


def without_repeats(found: Sequence[MemoryDraft], given: Sequence[MemoryDraft]) -> list[MemoryDraft]:
    """What was extracted, less what the sender gave for the same words."""
    spans = {(g.type, g.turn, g.quote) for g in given if g.quote}
    return [
        draft
        for draft in found
        if not any(
            draft.type == type_ and draft.turn == turn and quote in (draft.quote or "") for type_, turn, quote in spans
        )
    ]


def keep(conn: Connection, delivery: Delivery, understood: Understanding) -> None:
    """Writes an understanding. Needs a transaction: all of it or nothing."""
    reading = understood.reading
    session = reading.session
    if session.must_exist and not sessions.exists(conn, session.id):
        # The delivery that begins the session may be on its way in another batch.
        raise Unreadable("The session that this command is for does not exist.", code="unknown_session", retry=True)
    sessions.ensure(conn, session)
    turn_ids = sessions.add_turns(conn, session.id, delivery.key, delivery.received_at, understood.turns)
    chunks.add(
        conn,
        session.id,
        delivery.key,
        understood.chunks,
        turn_ids=turn_ids,
        extracted=[items_of(c, understood.memories) for c in understood.chunks],
    )
    memory_ids = memories.remember(conn, session.id, delivery.key, understood.memories, turn_ids)
    tasks.create(conn, session.id, delivery.key, understood.tasks, memory_ids)
    for artifact in reading.artifacts:
        artifacts.attach(conn, session.id, artifact, delivery=delivery.key)


def items_of(piece: Chunk, drafts: Sequence[MemoryDraft]) -> dict[str, list[str]]:
    """Titles of what was extracted from a chunk, by type."""
    items: dict[str, list[str]] = defaultdict(list)
    for draft in drafts:
        if draft.turn is not None and piece.first_turn <= draft.turn <= piece.last_turn:
            items[draft.type].append(draft.title)
    return items


def fail(conn: Connection, shop: Workshop, delivery: Delivery, error: Exception) -> None:
    """Records why a delivery failed. What the sender got wrong is not tried again; a bug or a race may pass."""
    if isinstance(error, AIWebhookError):
        code, message, retry = error.code, error.message, getattr(error, "retry", error.status >= 500)
    else:
        code, message, retry = AIWebhookError.code, where_it_broke(error), True
    state = deliveries.record_failure(
        conn, delivery.key, code=code, message=message, retry=retry, max_attempts=shop.settings.max_attempts
    )
    log.warning("%s delivery=%s source=%s code=%s", state, delivery.key, delivery.source, code)


def give_up(conn: Connection, batch: Batch) -> None:
    """Fails a delivery that took its worker down with it on every try."""
    for key in batch.keys:
        message = f"Processing ended {batch.runs - 1} times without an answer: the worker died or ran out of time."
        deliveries.record_failure(conn, key, code="worker_lost", message=message, retry=False, max_attempts=1)
        log.warning("failed delivery=%s code=worker_lost", key)


def where_it_broke(error: Exception) -> str:
    """The kind of an error and its place in our code; never its message, which may quote what was said."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}."


def outcome_line(delivery: Delivery, understood: Understanding | None, milliseconds: float) -> str:
    head = f"{'processed' if understood else 'ignored'} delivery={delivery.key} source={delivery.source}"
    head += f" event={delivery.event!r}"
    if not understood:
        return head
    return (
        f"{head} session={understood.reading.session.id!r} turns={len(understood.turns)}"
        f" memories={len(understood.memories)} tasks={len(understood.tasks)} ms={milliseconds:.0f}"
    )


def sweep(shop: Workshop) -> None:
    """Puts back into the queue what died or got lost on its way, and returns the tasks of lapsed leases."""
    for batch in shop.queue.rescue():
        log.warning("batch=%s taken over", batch)
    with borrowed(shop.pool) as conn:
        if ids := deliveries.due(conn):
            deliveries.postpone(conn, ids, IN_HAND_SECONDS)
            for start in range(0, len(ids), shop.settings.batch_deliveries):
                shop.queue.put(ids[start : start + shop.settings.batch_deliveries])
        if expired := tasks.expire_claims(conn):
            log.warning("%d leases lapsed", expired)
        agents.refresh(conn)
