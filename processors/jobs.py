"""What runs from the queue, from a batch of delivery keys to memories and tasks in PostgreSQL.

    begin    take the batch's keys                                              Redis
    record   the raw deliveries, before anything else can go wrong              PostgreSQL, committed
    fetch    transcripts that a delivery only announces                         the sender's API
    take     lock those that are not finished                                   PostgreSQL ┐
    read     payload → session, turns, the sender's own items; or a query       pure       │
    join     with what other deliveries told of the same talk                   pure       │
    chunk    turns → spans for search                                           pure       │ one transaction
    extract  turns → memories with the words they came from                     pure       │
    plan     action items → tasks                                               pure       │
    keep     all of it, with the delivery marked `processed`                    PostgreSQL ┘
    reply    to senders who wait for what comes of it                           Redis
    finish   forget the batch                                                   Redis

A repeat finds nothing to take and changes nothing. A delivery that fails takes only itself out of the transaction;
a batch that breaks as a whole is run again, split into single deliveries.
"""

import logging
import time
import traceback
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from domain.delivery import Delivery, Fetch, Query, Reading
from domain.errors import AIWebhookError, DatabaseUnavailable, UnknownEvent, Unreadable
from domain.memory import MemoryDraft
from domain.session import Chunk, SessionDraft, Turn
from domain.settings import Settings
from domain.task import TaskDraft
from processors.answering import Reply, answer, encoded, refused, success
from processors.chunking import chunk
from processors.extracting import extract
from processors.fetching import FetchFailed, FetchSettings, fetch
from processors.joining import join
from processors.matching import known_again, told_once
from processors.queueing import Batch, DeliveryQueue, JobTimeout, RedisFailure
from processors.readers import ANNOUNCING, Outcome, read
from processors.tasking import plan
from store import agents, artifacts, chunks, deliveries, memories, sessions, tasks
from store.database import Connection, Pool, borrowed
from store.deliveries import Finished

log = logging.getLogger("ai_webhook.processors")

MOST_FETCHES = 50  # pages of one transcript
FETCH_ATTEMPTS = 12  # in about fifty minutes: a transcript may be announced before it is there
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
            arrived = shop.queue.payloads(batch.keys)
            deliveries.record(conn, arrived)
            if batch.runs > shop.settings.max_attempts:
                give_up(conn, batch)
            waited_for = {delivery.key for delivery in arrived if delivery.sync}
            replies = process_deliveries(conn, shop, fetch_announced(conn, shop, batch.keys), waited_for)
        shop.queue.reply({key: encoded(reply) for key, reply in replies.items()})
    except (AIWebhookError, RedisFailure, JobTimeout) as error:
        shop.queue.postpone(batch, min(30.0, 2.0 ** min(batch.runs - 1, 5)))
        log.warning("batch=%s run=%d put off: %s", batch.id, batch.runs, type(error).__name__)
        raise
    shop.queue.finish(batch)


def fetch_announced(conn: Connection, shop: Workshop, keys: Sequence[str]) -> list[str]:
    """Fetches what a delivery only announces, and returns the keys that are ready to be read.

    In a batch with others it gets a job of its own instead, since an API may be slow.
    """
    waiting = set()
    for delivery in deliveries.announcing(conn, keys, ANNOUNCING):
        if len(keys) == 1:
            if not fetched(conn, shop, delivery):
                waiting.add(delivery.key)
        elif isinstance(attempt_to_read(delivery), Fetch):
            shop.queue.put([delivery.key])
            waiting.add(delivery.key)
    return [key for key in keys if key not in waiting]


def fetched(conn: Connection, shop: Workshop, delivery: Delivery) -> bool:
    """Fetches one thing after another until the reader asks for no more. False when the delivery has to wait.

    What was fetched before and cannot be read is fetched again: a transcript may have been unfinished then.
    """
    wanted = attempt_to_read(delivery)
    if delivery.fetched and isinstance(wanted, Unreadable):
        delivery = replace(delivery, fetched=())
        wanted = attempt_to_read(delivery)
    try:
        while isinstance(wanted, Fetch):
            if len(delivery.fetched) == MOST_FETCHES:
                raise Unreadable(f"The transcript is in more than {MOST_FETCHES} pieces.", code="too_many_fetches")
            answer = fetch(wanted, delivery.source, fetch_settings(shop.settings))
            delivery = replace(delivery, fetched=(*delivery.fetched, answer))
            deliveries.keep_fetched(conn, delivery)
            wanted = attempt_to_read(delivery)
    except (DatabaseUnavailable, JobTimeout):
        raise
    except Exception as error:  # noqa: BLE001 - a bug in fetching is this delivery's failure, and is counted
        fail(conn, shop, delivery, error)
        return False
    return True


def fetch_settings(settings: Settings) -> FetchSettings:
    return FetchSettings(
        base_urls=settings.fetch_urls, tokens=settings.fetch_tokens, max_bytes=settings.max_fetch_bytes
    )


def process_deliveries(
    conn: Connection, shop: Workshop, keys: Sequence[str], waited_for: Collection[str] = ()
) -> dict[str, Reply]:
    """Processes recorded deliveries in one transaction, each behind a savepoint of its own.

    Returns what came of queries and of those that are waited for, by delivery. Sessions are written in the order of
    their ids, and within one in the order of arrival, so that two workers never wait for each other in a ring.
    Queries come last: they see what the batch brought.
    """
    replies: dict[str, Reply] = {}
    with conn.transaction():
        read_ones = [(delivery, attempt_to_read(delivery)) for delivery in deliveries.take(conn, keys)]
        for delivery, read_one in sorted(read_ones, key=lambda pair: order_of(pair[1])):
            reply = process_delivery(conn, shop, delivery, read_one)
            if delivery.key in waited_for or isinstance(read_one, Query):
                replies[delivery.key] = reply
    return replies


def process_delivery(conn: Connection, shop: Workshop, delivery: Delivery, read_one: Outcome | AIWebhookError) -> Reply:
    """Brings one delivery to its end; answers what its sender is told when it waits."""
    started = time.perf_counter()
    try:
        if isinstance(read_one, AIWebhookError):
            raise read_one
        with conn.transaction():
            state, session_id, reply = conclude(conn, shop, delivery, read_one)
            extent = read_one.extent if isinstance(read_one, Reading) else "part"
            deliveries.finish(conn, delivery.key, state, session_id, extent=extent)
    except UnknownEvent as error:
        deliveries.finish(conn, delivery.key, "unknown", error=error)
        log.warning("unknown delivery=%s source=%s event=%r", delivery.key, delivery.source, delivery.event)
        return refused(delivery.event, None, error)
    except (DatabaseUnavailable, JobTimeout):
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one delivery must not hold up the others
        named_session = read_one.session.id if isinstance(read_one, Reading) else None
        return refused(delivery.event, named_session, fail(conn, shop, delivery, error))
    counts = reply["data"] if state == "processed" else {}
    log.info("%s", outcome_line(delivery, state, session_id, counts, 1e3 * (time.perf_counter() - started)))
    return reply


def conclude(
    conn: Connection, shop: Workshop, delivery: Delivery, read_one: Outcome
) -> tuple[Finished, str | None, Reply]:
    """What becomes of a delivery that could be read: its state, its session and what its sender is told."""
    match read_one:
        case Reading():
            understood = tell(conn, shop, delivery, read_one)
            session_id = understood.reading.session.id
            return "processed", session_id, success(delivery.event, session_id, "Kept.", counts_of(understood))
        case Query():
            return "ignored", None, answer(conn, read_one)
        case Fetch():
            raise Unreadable("The transcript was not fetched yet.", code="fetch_pending", retry=True)
        case None:
            if delivery.readings:
                take_back(conn, shop, delivery)
            return "ignored", None, success(delivery.event, None, "There is nothing to keep in it.", {})


def counts_of(understood: Understanding) -> dict[str, int]:
    parts = {"turns": understood.turns, "memories": understood.memories, "tasks": understood.tasks}
    return {name: len(part) for name, part in parts.items()}


def attempt_to_read(delivery: Delivery) -> Outcome | AIWebhookError:
    try:
        return read(delivery)
    except JobTimeout:
        raise
    except AIWebhookError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a reader's bug is this delivery's failure, kept and replayable
        return AIWebhookError(where_it_broke(error))


def order_of(read_one: Outcome | AIWebhookError) -> tuple[bool, str]:
    return isinstance(read_one, Query), read_one.session.id if isinstance(read_one, Reading) else ""


def understand(reading: Reading, settings: Settings) -> Understanding:
    """Chunks, extracts and plans. Pure: the same reading gives the same understanding."""
    turns = reading.turns
    if reading.summary:
        turns = (*turns, Turn(speaker="", role="summary", text=reading.summary))
    drafts = told_once(reading.memories, extract(turns))
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


def tell(conn: Connection, shop: Workshop, delivery: Delivery, reading: Reading) -> Understanding:
    """Adds a reading to its session: beside what is there, in the place of an earlier reading of the same delivery, or
    joined with what other deliveries told of the same talk."""
    reading = named(delivery, reading)
    begin_session(conn, delivery, reading)
    if delivery.readings and delivery.session_id not in (None, reading.session.id):
        take_back(conn, shop, delivery)
    if reading.extent != "part":
        return tell_together(conn, shop, delivery, reading)
    understood = understand(reading, shop.settings)
    keep(conn, delivery, understood, replaced=[delivery.key] if delivery.readings else [])
    return understood


def tell_together(conn: Connection, shop: Workshop, delivery: Delivery, reading: Reading) -> Understanding:
    """Reads all that was told of a talk again, with one more delivery, and keeps what comes of them together."""
    before = tellings(conn, delivery, reading.session.id)
    told = sorted([*before, (delivery, reading)], key=lambda pair: (pair[0].received_at, pair[0].key))
    joined = join([read_one for _, read_one in told])
    if before and not delivery.readings and says_the_same(joined, join([read_one for _, read_one in before])):
        return understand(Reading(reading.session), shop.settings)
    understood = understand(joined, shop.settings)
    replaced = [other.key for other, _ in before]
    if delivery.readings:
        replaced.append(delivery.key)
    keep(conn, told[0][0], understood, replaced)
    return understood


def tellings(conn: Connection, delivery: Delivery, session_id: str) -> list[tuple[Delivery, Reading]]:
    """What the other deliveries of a talk tell of it, in the order of arrival."""
    found = []
    for told in deliveries.telling(conn, session_id, delivery.source):
        if told.key == delivery.key:
            continue
        read_one = attempt_to_read(told)
        if isinstance(read_one, Reading) and read_one.extent != "part" and read_one.session.id == session_id:
            found.append((told, named(told, read_one)))
        else:
            log.warning("delivery=%s tells its talk no more; reprocess it", told.key)
    return found


def says_the_same(one: Reading, other: Reading) -> bool:
    return replace(one, session=other.session, format=other.format, extent=other.extent) == other


def take_back(conn: Connection, shop: Workshop, delivery: Delivery) -> None:
    """Takes what an earlier reading gave out of its session; the others of a talk tell it without this one."""
    session = SessionDraft(delivery.session_id or "")
    sessions.lock(conn, session.id)
    rest = tellings(conn, delivery, session.id)
    reading = join([read_one for _, read_one in rest]) if rest else Reading(session)
    replaced = [delivery.key, *(told.key for told, _ in rest)]
    keep(conn, rest[0][0] if rest else delivery, understand(reading, shop.settings), replaced)


def named(delivery: Delivery, reading: Reading) -> Reading:
    """The reading with ids for what its sender named not, so that it is known when it is read again."""
    return replace(
        reading,
        tasks=tuple(
            task if task.id or task.memory is not None else replace(task, id=tasks.made_id(f"{delivery.key} {place}"))
            for place, task in enumerate(reading.tasks)
        ),
        artifacts=tuple(
            artifact if artifact.id else replace(artifact, id=f"artifact_{delivery.key[:12]}_{place}")
            for place, artifact in enumerate(reading.artifacts)
        ),
    )


def begin_session(conn: Connection, delivery: Delivery, reading: Reading) -> None:
    """Makes the session, or adds what the delivery says of it, and locks it."""
    session = reading.session
    if delivery.readings and sessions.lock(conn, session.id):
        return  # what it said of the session when it came may be out of date
    if session.must_exist and not sessions.exists(conn, session.id):
        # The delivery that begins the session may be on its way in another batch.
        raise Unreadable("The session that this command is for does not exist.", code="unknown_session", retry=True)
    sessions.ensure(conn, session, live=reading.extent == "live")


def keep(conn: Connection, delivery: Delivery, understood: Understanding, replaced: Sequence[str]) -> None:
    """Writes an understanding in the place of what the `replaced` deliveries gave. Needs a transaction."""
    reading = understood.reading
    session_id = reading.session.id
    drafts, freed = understood.memories, list[str]()
    if replaced:
        drafts = known_again(drafts, memories.in_use(conn, session_id, replaced))
        freed = sessions.withdraw(conn, session_id, replaced)
    turn_ids = sessions.add_turns(conn, session_id, delivery.key, delivery.received_at, understood.turns)
    chunks.add(
        conn,
        session_id,
        delivery.key,
        understood.chunks,
        turn_ids=turn_ids,
        extracted=[items_of(c, understood.memories) for c in understood.chunks],
        freed=freed,
    )
    memory_ids = memories.remember(conn, session_id, delivery.key, drafts, turn_ids, replaced=replaced)
    if replaced:
        memories.withdraw(conn, session_id, replaced, kept=memory_ids, turn_ids=turn_ids)
    tasks.create(conn, session_id, delivery.key, understood.tasks, memory_ids)
    for artifact in reading.artifacts:
        if not (replaced and artifact.id and artifacts.get(conn, artifact.id)):
            artifacts.attach(conn, session_id, artifact, delivery=delivery.key)


def items_of(piece: Chunk, drafts: Sequence[MemoryDraft]) -> dict[str, list[str]]:
    """Titles of what was extracted from a chunk, by type."""
    items: dict[str, list[str]] = defaultdict(list)
    for draft in drafts:
        if draft.turn is not None and piece.first_turn <= draft.turn <= piece.last_turn:
            items[draft.type].append(draft.title)
    return items


def fail(conn: Connection, shop: Workshop, delivery: Delivery, error: Exception) -> AIWebhookError:
    """Records why a delivery failed. What the sender got wrong is not tried again; a bug or a race may pass."""
    if not isinstance(error, AIWebhookError):
        error = AIWebhookError(where_it_broke(error))
    patient = delivery.fetched or isinstance(error, FetchFailed)
    state = deliveries.record_failure(
        conn,
        delivery.key,
        code=error.code,
        message=error.message,
        retry=getattr(error, "retry", error.status >= 500),
        max_attempts=FETCH_ATTEMPTS if patient else shop.settings.max_attempts,
    )
    log.warning("%s delivery=%s source=%s code=%s", state, delivery.key, delivery.source, error.code)
    return error


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


def outcome_line(
    delivery: Delivery, state: str, session_id: str | None, counts: Mapping[str, int], milliseconds: float
) -> str:
    parts: dict[str, Any] = {"delivery": delivery.key, "source": delivery.source, "event": repr(delivery.event)}
    if session_id is not None:
        parts |= {"session": repr(session_id), **counts, "ms": f"{milliseconds:.0f}"}
    return " ".join([state, *(f"{name}={value}" for name, value in parts.items())])


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
        if closed := sessions.complete_idle(conn, shop.settings.live_idle_seconds):
            log.info("%d live sessions fell silent and are completed", closed)
