"""What runs from the queue, from a batch of delivery keys to memories and tasks in PostgreSQL.

    begin    take the batch's keys                                              Redis
    open     what a key of ours vouches for; the rest is set aside              Redis
    redact   card numbers and keys out of what was sent                         pure
    record   the raw deliveries, before anything else can go wrong              PostgreSQL, committed
    fetch    transcripts that a delivery only announces                         the sender's API
    ask      a language model, if one is set, about pieces that wait for it     its API
    take     lock those that are not finished                                   PostgreSQL ┐
    read     payload → session, turns, own items; a query; a change elsewhere   pure       │
    join     with what other deliveries told of the same talk                   pure       │
    chunk    turns → spans for search                                           pure       │ one transaction
    extract  turns → memories with the words they came from                     pure       │
    plan     action items → tasks                                               pure       │
    keep     all of it, with the delivery marked `processed`                    PostgreSQL ┘
    reply    to senders who wait for what comes of it                           Redis
    finish   forget the batch                                                   Redis

From `join` to `keep` the code is in telling.py. A repeat finds nothing to take and changes nothing. A delivery that
fails takes only itself out of the transaction; a batch that breaks as a whole is run again, split into single
deliveries.
"""

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from domain.delivery import CommandRequest, Delivery, Fetch, Query, Reading
from domain.errors import (
    AIWebhookError,
    DatabaseConflict,
    DatabaseUnavailable,
    InvalidMove,
    SealedElsewhere,
    SessionForgotten,
    UnknownEvent,
    UnknownTask,
    Unreadable,
)
from domain.log_lines import about
from domain.measures import JobOutcome
from domain.outgoing import ExternalChange
from domain.sealing import Sealing
from domain.settings import Settings
from domain.task import TaskAnswer
from domain.tracing import span
from processors.answering import Reply, answer, encoded, refused, success
from processors.commanding import Ordered, order
from processors.extracting import llm
from processors.fetching import FetchFailed, FetchSettings, fetch
from processors.forgetting import look_for_forgotten, outlive
from processors.queueing import Batch, DeliveryQueue, RedisFailure
from processors.readers import ANNOUNCING, READERS, Outcome
from processors.redacting import redact_body
from processors.remembering import look_again
from processors.returning import take_over
from processors.rq_worker import JobTimeout, OutOfTime
from processors.telling import Understanding, attempt_to_read, take_back, tell, where_it_broke
from store import agents, deliveries, embedding, extraction, forgetting, search, sessions, tasks
from store.database import Connection, Pool, borrowed
from store.deliveries import Finished
from store.embedding import Embedder, EmbeddingFailed

log = logging.getLogger("ai_webhook.processors")

EMPTY: Mapping[str, str] = {}
MOST_FETCHES = 50  # pages of one transcript
FETCH_ATTEMPTS = 12  # in about fifty minutes: a transcript may be announced before it is there
GIVEN_BACK_SECONDS = 1.0  # for RQ to end the job of a batch that is given back, before it gets another
IN_HAND_SECONDS = 60.0  # how long the sweep leaves a delivery to the worker it was given to


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a job works with."""

    pool: Pool
    queue: DeliveryQueue
    settings: Settings
    embedder: Embedder | None = None

    @property
    def sealing(self) -> Sealing:
        return self.settings.keys().sealing

    def measure(self, source: str, state: str) -> None:
        """Counts what became of a delivery; under `other` what somebody with an API key calls as they like."""
        settings = self.settings
        is_known = source in READERS or source in settings.listed_sources() or settings.secrets_of(source)
        self.queue.measures.delivery(source if is_known else "other", state)


def process_batch(shop: Workshop, batch_id: str) -> None:
    """The job: processes every delivery of a batch exactly once, however often it is run."""
    started = time.perf_counter()
    outcome: JobOutcome = "put_off"
    try:
        batch = shop.queue.begin(batch_id)
        with about(batch=batch_id) if len(batch.keys) != 1 else about(batch=batch_id, delivery_id=batch.keys[0]):
            work_on(shop, batch)
        outcome = "done"
    finally:
        shop.queue.measures.job(outcome, time.perf_counter() - started)
        shop.queue.let_go()


def work_on(shop: Workshop, batch: Batch) -> None:
    if not batch.keys:
        return
    if batch.runs > 1 and len(batch.keys) > 1:
        shop.queue.split(batch)
        return
    connected = False
    try:
        with borrowed(shop.pool) as conn:
            connected = True
            batch, arrived = shop.queue.payloads(batch)
            safe = [without_secrets(delivery, shop.settings) for delivery in arrived]
            traces = {delivery.key: delivery.trace for delivery in arrived if delivery.trace}
            with span("record", next(iter(traces.values()), ""), deliveries=len(arrived)):
                deliveries.record(conn, safe, shop.sealing)
            if batch.broken_runs >= shop.settings.max_attempts:
                give_up(conn, shop, batch)
            waited_for = {delivery.key for delivery in arrived if delivery.sync}
            if len(batch.keys) == 1:
                ask_llm(conn, shop, batch.keys[0], traces)
            replies = process_what_opens(conn, shop, batch.keys, waited_for, traces)
        shop.queue.await_tasks({key: reply.task_id for key, reply in replies.items() if isinstance(reply, Ordered)})
        shop.queue.reply({key: encoded(reply) for key, reply in replies.items() if not isinstance(reply, Ordered)})
    except (AIWebhookError, RedisFailure, JobTimeout) as error:
        # A batch is not to blame for a database that is not there, however long, but for one that breaks over it.
        excused = not connected or isinstance(error, DatabaseConflict)
        shop.queue.postpone(batch, min(30.0, 2.0 ** min(batch.runs - 1, 5)), excused=excused)
        log.warning("batch=%s run=%d put off: %s", batch.id, batch.runs, type(error).__name__)
        raise
    except OutOfTime:
        shop.queue.postpone(batch, GIVEN_BACK_SECONDS, excused=True)
        log.warning("batch=%s run=%d given back: this worker stops", batch.id, batch.runs)
        raise
    shop.queue.finish(batch)


def without_secrets(delivery: Delivery, settings: Settings) -> Delivery:
    return replace(delivery, body=redact_body(delivery.body, settings.redacted_kinds()))


def fetch_announced(conn: Connection, shop: Workshop, keys: Sequence[str], traces: Mapping[str, str]) -> list[str]:
    """Fetches what a delivery only announces, and returns the keys that are ready to be read.

    In a batch with others it gets a job of its own instead, since an API may be slow.
    """
    waiting = set()
    for delivery in deliveries.announcing(conn, keys, ANNOUNCING, shop.sealing):
        if len(keys) == 1:
            if not fetched(conn, shop, delivery, traces.get(delivery.key, "")):
                waiting.add(delivery.key)
        elif isinstance(attempt_to_read(delivery), Fetch):
            shop.queue.put([delivery.key])
            waiting.add(delivery.key)
    return [key for key in keys if key not in waiting]


def fetched(conn: Connection, shop: Workshop, delivery: Delivery, trace: str) -> bool:
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
            with span("fetch", trace, source=delivery.source, delivery_id=delivery.key):
                answer = fetch(wanted, delivery.source, fetch_settings(shop.settings))
            answer = redact_body(answer, shop.settings.redacted_kinds())
            delivery = replace(delivery, fetched=(*delivery.fetched, answer))
            deliveries.keep_fetched(conn, delivery, shop.sealing)
            wanted = attempt_to_read(delivery)
    except (DatabaseUnavailable, JobTimeout):
        raise
    except Exception as error:  # noqa: BLE001 - a bug in fetching is this delivery's failure, and is counted
        fail(conn, shop, delivery, error)
        return False
    return True


def ask_llm(conn: Connection, shop: Workshop, key: str, traces: Mapping[str, str]) -> None:
    """Asks a language model about the pieces of a delivery that wait for one, if one is set; keeps each answer."""
    settings = shop.settings
    if "llm" not in settings.extractor_names():
        return
    last_moment = time.monotonic() + settings.job_timeout_seconds / 2
    for gap in extraction.waiting(conn, key):
        if time.monotonic() > last_moment:
            break  # the rest is still due, and gets a job of its own
        expected = llm.expected_tokens(gap["turns"])
        try:
            if not extraction.reserve(
                conn,
                gap["piece"],
                settings.llm_model or "",
                expected,
                cost_of(settings, expected),
                delivery=key,
                daily_tokens=settings.llm_daily_tokens,
                daily_cost=settings.llm_daily_cost,
            ):
                raise llm.LLMFailed("llm_limit", "The day's budget for the language model is used up.", expected)
            with span("ask_llm", traces.get(key, ""), delivery_id=key):
                answer = llm.ask(settings, gap["turns"])
        except llm.LLMFailed as error:
            if error.code != "llm_limit":
                settle(conn, settings, gap["piece"], expected, error.tokens, None)
            extraction.put_off(conn, key, gap["piece"], error.code, settings.max_attempts)
            log.warning("delivery=%s code=%s", key, error.code)
        else:
            settle(conn, settings, gap["piece"], expected, answer.tokens, answer.items)


def settle(
    conn: Connection,
    settings: Settings,
    piece: str,
    expected: tuple[int, int],
    taken: tuple[int, int],
    items: list[dict[str, Any]] | None,
) -> None:
    more = (taken[0] - expected[0], taken[1] - expected[1])
    extraction.settle(conn, piece, more, cost_of(settings, more), items)


def cost_of(settings: Settings, tokens: tuple[int, int]) -> float:
    return (tokens[0] * settings.llm_price_in + tokens[1] * settings.llm_price_out) / 1e6


def fetch_settings(settings: Settings) -> FetchSettings:
    return FetchSettings(
        base_urls=settings.fetch_urls, tokens=settings.fetch_tokens, max_bytes=settings.max_fetch_bytes
    )


def process_what_opens(
    conn: Connection, shop: Workshop, keys: Sequence[str], waited_for: Collection[str], traces: Mapping[str, str]
) -> dict[str, Reply | Ordered]:
    """A delivery that is sealed with a key which is not set here fails alone; among others, all are run again alone."""
    try:
        return process_deliveries(conn, shop, fetch_announced(conn, shop, keys, traces), waited_for, traces)
    except SealedElsewhere as error:
        if len(keys) != 1:
            raise
        failed = deliveries.record_failure(
            conn, keys[0], code=error.code, message=error.message, retry=True, max_attempts=shop.settings.max_attempts
        )
        if failed:
            shop.measure(failed["source"], failed["state"])
            log.warning("%s delivery=%s code=%s: %s", failed["state"], keys[0], error.code, error.message)
        return {}


def process_deliveries(
    conn: Connection,
    shop: Workshop,
    keys: Sequence[str],
    waited_for: Collection[str] = (),
    traces: Mapping[str, str] = EMPTY,
) -> dict[str, Reply | Ordered]:
    """Processes recorded deliveries in one transaction, each behind a savepoint of its own.

    Returns what came of queries and of those that are waited for, by delivery; of a command, the task that it became.
    Sessions are written in the order of their ids, and within one in the order of arrival, so that two workers never
    wait for each other in a ring. Queries come last: they see what the batch brought.
    """
    replies: dict[str, Reply | Ordered] = {}
    with conn.transaction():
        read_ones = [(delivery, attempt_to_read(delivery)) for delivery in deliveries.take(conn, keys, shop.sealing)]
        if len(written := sessions_of(read_ones)) > 1:
            sessions.lock_all(conn, written)
        for delivery, read_one in sorted(read_ones, key=lambda pair: order_of(pair[1])):
            waiting = replace(delivery, sync=delivery.key in waited_for)  # which PostgreSQL does not record
            deliveries.name_connection(conn, delivery.key)
            parent = traces.get(delivery.key, "")
            with about(delivery_id=delivery.key), span("process", parent, delivery_id=delivery.key):
                reply = process_delivery(conn, shop, waiting, read_one)
            if delivery.key in waited_for or isinstance(read_one, Query):
                replies[delivery.key] = reply
    return replies


def process_delivery(
    conn: Connection, shop: Workshop, delivery: Delivery, read_one: Outcome | AIWebhookError
) -> Reply | Ordered:
    """Brings one delivery to its end; answers what its sender is told when it waits."""
    started = time.perf_counter()
    try:
        if isinstance(read_one, AIWebhookError):
            raise read_one
        with conn.transaction():
            state, session_id, reply = conclude(conn, shop, delivery, read_one)
            extent = read_one.extent if isinstance(read_one, Reading) else "part"
            deliveries.finish(conn, delivery.key, state, session_id, extent=extent)
        shop.measure(delivery.source, state)
    except UnknownEvent as error:
        deliveries.finish(conn, delivery.key, "unknown", error=error)
        shop.measure(delivery.source, "unknown")
        log.warning("unknown delivery=%s source=%s event=%r", delivery.key, delivery.source, delivery.event)
        return refused(delivery.event, None, error)
    except SessionForgotten as error:
        forgetting.drop(conn, [delivery.key])
        log.info("forgotten delivery=%s source=%s", delivery.key, delivery.source)
        return refused(delivery.event, None, error)
    except (DatabaseUnavailable, JobTimeout):
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one delivery must not hold up the others
        named_session = read_one.session.id if isinstance(read_one, Reading) else None
        return refused(delivery.event, named_session, fail(conn, shop, delivery, error))
    counts = reply["data"] if session_id is not None and not isinstance(reply, Ordered) else {}
    log.info("%s", outcome_line(delivery, state, session_id, counts, 1e3 * (time.perf_counter() - started)))
    return reply


def conclude(
    conn: Connection, shop: Workshop, delivery: Delivery, read_one: Outcome
) -> tuple[Finished, str | None, Reply | Ordered]:
    """What becomes of a delivery that could be read: its state, its session and what its sender is told."""
    match read_one:
        case Reading():
            understood = tell(conn, shop.settings, delivery, read_one)
            take_answers(conn, read_one.answers)
            session_id = understood.reading.session.id
            return "processed", session_id, success(delivery.event, session_id, "Kept.", counts_of(understood))
        case Query():
            return "ignored", None, answer(conn, read_one)
        case CommandRequest():
            return "processed", None, order(conn, shop.settings, delivery, read_one)
        case ExternalChange():
            moved = take_over(conn, read_one)
            return "ignored", None, success(delivery.event, None, "Taken over.", {"tasks": moved})
        case Fetch():
            raise Unreadable("The transcript was not fetched yet.", code="fetch_pending", retry=True)
        case None:
            if delivery.readings:
                take_back(conn, shop.settings, delivery)
            return "ignored", None, success(delivery.event, None, "There is nothing to keep in it.", {})


def take_answers(conn: Connection, answers: Sequence[TaskAnswer]) -> None:
    """Answers the questions of tasks; an answer that its task has already changes nothing."""
    for given in answers:
        if tasks.has_answer(conn, given.task_id, given.answer, person=given.person):
            continue
        try:
            with conn.transaction():
                tasks.answer(conn, given.task_id, answer=given.answer, person=given.person)
        except InvalidMove:
            raise Unreadable("The task asks nothing, so there is nothing to answer.", code="not_asking") from None
        except UnknownTask:
            raise Unreadable("There is no task of this id.", code="unknown_task") from None


def counts_of(understood: Understanding) -> dict[str, int]:
    parts = {"turns": understood.turns, "memories": understood.memories, "tasks": understood.tasks}
    return {name: len(part) for name, part in parts.items()}


def order_of(read_one: Outcome | AIWebhookError) -> tuple[bool, str]:
    return isinstance(read_one, Query), read_one.session.id if isinstance(read_one, Reading) else ""


def sessions_of(read_ones: Iterable[tuple[Delivery, Outcome | AIWebhookError]]) -> set[str]:
    """The sessions that these deliveries are written to, or were before they are read again."""
    now = {read_one.session.id for _, read_one in read_ones if isinstance(read_one, Reading)}
    return now | {delivery.session_id for delivery, _ in read_ones if delivery.readings and delivery.session_id}


def fail(conn: Connection, shop: Workshop, delivery: Delivery, error: Exception) -> AIWebhookError:
    """Records why a delivery failed. What the sender got wrong is not tried again; a bug or a race may pass."""
    if not isinstance(error, AIWebhookError):
        error = AIWebhookError(where_it_broke(error))
    patient = delivery.fetched or isinstance(error, FetchFailed)
    failed = deliveries.record_failure(
        conn,
        delivery.key,
        code=error.code,
        message=error.message,
        retry=getattr(error, "retry", error.status >= 500),
        max_attempts=FETCH_ATTEMPTS if patient else shop.settings.max_attempts,
    )
    state = failed["state"] if failed else "gone"
    shop.measure(delivery.source, state)
    log.warning("%s delivery=%s source=%s code=%s", state, delivery.key, delivery.source, error.code)
    return error


def give_up(conn: Connection, shop: Workshop, batch: Batch) -> None:
    """Fails a delivery that took its worker down with it on every try."""
    for key in batch.keys:
        message = f"Processing ended {batch.broken_runs} times without an answer: the worker died or ran out of time."
        if failed := deliveries.record_failure(
            conn, key, code="worker_lost", message=message, retry=False, max_attempts=1
        ):
            shop.measure(failed["source"], failed["state"])
            log.warning("failed delivery=%s code=worker_lost", key)


def outcome_line(
    delivery: Delivery, state: str, session_id: str | None, counts: Mapping[str, int], milliseconds: float
) -> str:
    parts: dict[str, Any] = {"delivery": delivery.key, "source": delivery.source, "event": repr(delivery.event)}
    if session_id is not None:
        parts |= {"session": repr(session_id), **counts, "ms": f"{milliseconds:.0f}"}
    return " ".join([state, *(f"{name}={value}" for name, value in parts.items())])


def sweep(shop: Workshop) -> None:
    """Puts back into the queue what died, got lost or has a gap, returns the tasks of lapsed leases, and does what
    workers had to leave."""
    for batch in shop.queue.rescue():
        log.warning("batch=%s taken over", batch)
    if taken := shop.queue.take_up():
        log.warning("%d deliveries that were set aside are taken up", len(taken))
    with borrowed(shop.pool) as conn:
        for key in deliveries.replay(conn, extraction.due(conn), states=["processed"]):
            deliveries.postpone(conn, [key], IN_HAND_SECONDS)
            shop.queue.put([key])
        if ids := deliveries.due(conn):
            deliveries.postpone(conn, ids, IN_HAND_SECONDS)
            for start in range(0, len(ids), shop.settings.batch_deliveries):
                shop.queue.put(ids[start : start + shop.settings.batch_deliveries])
        if expired := tasks.expire_claims(conn):
            log.warning("%d leases lapsed", expired)
        agents.refresh(conn)
        search.fold(conn)
        deliveries.count_quarters(conn)
        if looked_at := look_again(conn):
            log.info("%d memories looked at again", looked_at)
        look_for_forgotten(conn, shop.queue)
        outlive(conn, shop.queue, shop.settings)
        if shop.embedder is not None:
            fill_vectors(conn, shop.embedder)
        if closed := sessions.complete_idle(conn, shop.settings.live_idle_seconds):
            log.info("%d live sessions fell silent and are completed", closed)


def fill_vectors(conn: Connection, embedder: Embedder) -> None:
    """A server that is away costs no more than the vectors, which the next sweep makes."""
    try:
        if made := embedding.fill(conn, embedder):
            log.info("%d vectors made", made)
    except EmbeddingFailed as error:
        log.warning("vectors put off: %s", error.message)
