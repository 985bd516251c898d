"""Puts deliveries into Redis together with the RQ job that will carry them, in one round trip.

Requests that arrive while a round trip is under way go together in the next one. In Redis, deliveries that wait
coalesce: as long as a batch's job has not been picked up, more deliveries join it, up to a limit; so a worker that
falls behind gets fuller batches, from however many endpoints.
"""

import asyncio
import logging
import math
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Literal

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from rq.job import Job, JobStatus
from rq.queue import Queue

from broker.clients import open_async_client
from domain import envelope
from domain.certificates import certificate_trouble
from domain.delivery import BATCH_JOB, QUEUE_NAME, Delivery
from domain.errors import QueueFull, QueueUnavailable
from domain.sealing import NO_KEYS, Keys
from domain.settings import Settings
from domain.tracing import span

log = logging.getLogger("ai_webhook.ingest")

Outcome = Literal["accepted", "duplicate"]
Enqueue = Callable[[Delivery], Awaitable[Outcome]]

# KEYS: open, batches, the queue's list, RQ's set of queues
# ARGV: deliveries a batch takes, deliveries that may wait, our prefix, RQ's prefix of jobs, how many jobs follow; each
#       job: id, number of fields, field, value, …; then each delivery: key, packed
# Answers 1 for each delivery accepted, 0 for each duplicate and 2 for each that has no room. Batches are taken for full
# until that says there may be no room; only then are they counted.
ACCEPT = """
local limit, room, prefix, jobs_prefix, at = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], 6
local jobs, answers = {}, {}
for i = 1, tonumber(ARGV[5]) do
    local id, fields = ARGV[at], tonumber(ARGV[at + 1])
    jobs[i] = {id, at + 2, at + 1 + fields}
    at = at + 2 + fields
end
local open, held, used = redis.call('GET', KEYS[1]), limit, 0
if open and redis.call('EXISTS', jobs_prefix .. open) == 1 then
    held = redis.call('LLEN', prefix .. 'batch:' .. open)
end
room = room - redis.call('HLEN', prefix .. 'aside')
local most = redis.call('SCARD', KEYS[2]) * limit
if room - most < (#ARGV - at + 1) / 2 then
    for _, batch in ipairs(redis.call('SMEMBERS', KEYS[2])) do
        room = room - redis.call('LLEN', prefix .. 'batch:' .. batch)
    end
else
    room = room - most
end
for i = at, #ARGV, 2 do
    local key = ARGV[i]
    if redis.call('EXISTS', prefix .. 'delivery:' .. key, prefix .. 'seen:' .. key) > 0 then
        answers[#answers + 1] = 0
    elseif room <= 0 then
        answers[#answers + 1] = 2
    else
        if held >= limit then
            used = used + 1
            local job = jobs[used]
            open, held = job[1], 0
            redis.call('HSET', jobs_prefix .. open, unpack(ARGV, job[2], job[3]))
            redis.call('SADD', KEYS[4], KEYS[3])
            redis.call('SADD', KEYS[2], open)
            redis.call('SET', KEYS[1], open)
            redis.call('RPUSH', KEYS[3], open)
        end
        redis.call('SET', prefix .. 'delivery:' .. key, ARGV[i + 1])
        redis.call('RPUSH', prefix .. 'batch:' .. open, key)
        held, room = held + 1, room - 1
        answers[#answers + 1] = 1
    end
end
return answers
"""
ANSWERS: tuple[Literal["duplicate"], Literal["accepted"], Literal["full"]] = ("duplicate", "accepted", "full")
UNLIMITED = 2**53
REPLICA_SECONDS = 0.8  # a replica has to confirm within; less than a sender waits
FLUSH_DELIVERIES = 200
FLUSH_BYTES = 8 * 1024 * 1024


def connect(redis_url: str) -> "redis.asyncio.Redis":
    """A client that gives up early: a sender is answered 503 within two seconds, and tries again."""
    return open_async_client(
        redis_url,
        socket_connect_timeout=0.5,
        socket_timeout=1.2,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


def open_enqueuer(settings: Settings) -> "Enqueuer":
    assert settings.redis_url is not None
    return Enqueuer(
        connect(settings.redis_url.get_secret_value()),
        batch_deliveries=settings.batch_deliveries,
        job_timeout_seconds=settings.job_timeout_seconds,
        queue_limit=settings.queue_limit,
        replicas=settings.redis_replicas,
        keys=settings.keys(),
    )


def told(error: Exception) -> QueueUnavailable:
    if isinstance(error, QueueUnavailable):
        return error
    return QueueUnavailable(f"Redis did not take the delivery ({type(error).__name__}).")


class Enqueuer:
    """Accepts deliveries for one process. `enqueue` returns when Redis has the delivery, on disk."""

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        *,
        batch_deliveries: int,
        job_timeout_seconds: int,
        queue_limit: int = UNLIMITED,
        replicas: int = 0,
        keys: Keys = NO_KEYS,
    ) -> None:
        """`replicas` have to have a delivery, too, before it is accepted."""
        self.client = client
        self.keys = keys
        self.queue_limit = queue_limit
        self.replicas = replicas
        self.batch_deliveries = batch_deliveries
        self.job_timeout_seconds = job_timeout_seconds
        self.script = client.register_script(ACCEPT)
        self.waiting: list[tuple[Delivery, asyncio.Future[Outcome]]] = []
        self.flushing: asyncio.Task[None] | None = None

    async def enqueue(self, delivery: Delivery) -> Outcome:
        """Raises QueueFull when too many wait already, and QueueUnavailable when Redis did not confirm; the delivery
        may be there all the same then, and a repeat is answered `duplicate`."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.waiting.append((delivery, done))
        if self.flushing is None or self.flushing.done():
            self.flushing = asyncio.create_task(self.flush())
        return await done

    async def flush(self) -> None:
        while self.waiting:
            group = self.next_group()
            try:
                with span("enqueue", group[0][0].trace, deliveries=len(group)):
                    outcomes = await self.send([delivery for delivery, _ in group])
            except Exception as error:  # noqa: BLE001 - whatever it is, every sender that waits has to get an answer
                failure = told(error)
                for _, done in group:
                    if not done.done():
                        done.set_exception(failure)
                continue
            for (_, done), outcome in zip(group, outcomes, strict=True):
                if done.done():  # the sender may have hung up meanwhile
                    continue
                if outcome == "full":
                    done.set_exception(QueueFull(f"{self.queue_limit} deliveries wait already."))
                else:
                    done.set_result(outcome)

    def next_group(self) -> list[tuple[Delivery, asyncio.Future[Outcome]]]:
        size, count = 0, 0
        for delivery, _ in self.waiting[:FLUSH_DELIVERIES]:
            size += len(delivery.body)
            if count and size > FLUSH_BYTES:
                break
            count += 1
        group, self.waiting = self.waiting[:count], self.waiting[count:]
        return group

    async def send(self, deliveries: list[Delivery]) -> list[Outcome | Literal["full"]]:
        jobs = [self.new_job() for _ in range(math.ceil(len(deliveries) / self.batch_deliveries))]
        arguments: list[Any] = [
            self.batch_deliveries,
            self.queue_limit,
            envelope.PREFIX,
            Job.redis_job_namespace_prefix,
            len(jobs),
        ]
        for job_id, fields in jobs:
            arguments += [job_id, len(fields), *fields]
        for delivery in deliveries:
            arguments += [delivery.key, envelope.pack(delivery, self.keys)]
        keys = [
            envelope.OPEN,
            envelope.BATCHES,
            Queue.redis_queue_namespace_prefix + QUEUE_NAME,
            Queue.redis_queues_keys,
        ]
        answers = await (self.run_copied(keys, arguments) if self.replicas else self.script(keys, arguments))
        return [ANSWERS[int(answer)] for answer in answers]

    async def run_copied(self, keys: list[str], arguments: list[Any]) -> list[int]:
        """Runs the script and waits for the replicas, still in one round trip. Raises QueueUnavailable when too few
        have it in time: the master may be lost, or be one that has been replaced and does not know."""
        async with self.client.pipeline(transaction=False) as pipe:
            pipe.evalsha(self.script.sha, len(keys), *keys, *arguments)
            # WAIT is for the last write of this connection, and a repeat writes nothing: what another connection wrote
            # a moment ago may not be copied yet. This write comes after it.
            pipe.set(envelope.COPIED, b"")
            pipe.wait(self.replicas, int(REPLICA_SECONDS * 1000))
            answers, _, copies = await pipe.execute(raise_on_error=False)
        if isinstance(answers, NoScriptError):  # a server that has just become master
            await self.client.script_load(ACCEPT)
            return await self.run_copied(keys, arguments)
        for answer in (answers, copies):
            if isinstance(answer, Exception):
                raise answer
        if copies < self.replicas:
            raise QueueUnavailable(f"{copies} of {self.replicas} replicas of Redis have the delivery.")
        return list(answers)

    def new_job(self) -> tuple[str, list[Any]]:
        """A job not yet in Redis: its id and the fields of its hash. Its only argument is the batch's id."""
        batch = f"batch-{uuid.uuid4().hex}"
        job = Job.create(
            BATCH_JOB,
            args=[batch],
            id=batch,
            connection=self.client,
            serializer="json",
            origin=QUEUE_NAME,
            description=f"{BATCH_JOB}({batch})",
            timeout=self.job_timeout_seconds,
            result_ttl=0,
            failure_ttl=7 * 24 * 3600,
            status=JobStatus.QUEUED,
        )
        job.enqueued_at = datetime.now(UTC)
        fields = [part for field, value in job.to_dict().items() for part in (field, value)]
        return batch, fields

    async def ready(self) -> bool:
        """Whether Redis takes what is written to it: one that is read-only or full answers pings all the same."""
        try:
            return bool(await self.client.set(envelope.READY, b"", ex=60))
        except (RedisError, OSError, TimeoutError) as error:
            if (trouble := certificate_trouble(error)) is not None:
                log.warning("Redis: %s", "; ".join(trouble))
            return False

    async def close(self) -> None:
        if self.flushing is not None:
            await self.flushing
        await self.client.aclose()
