"""The one file of the workers that knows RQ and Redis: what a batch is there, how it is begun, finished and rescued.

A batch is one RQ job that carries the keys of some deliveries (domain/envelope.py has the layout, ingest/enqueueing.py
makes it). RQ moves the job; whether a batch is finished is told by its place in aiw:batches, not by RQ's registries,
so a job that RQ loses, or that somebody deletes in rq-dashboard, is only late.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import redis
import rq.serializers
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.queue import Queue
from rq.timeouts import BaseTimeoutException
from rq.worker import SimpleWorker

from domain import envelope
from domain.delivery import BATCH_JOB, QUEUE_NAME, Delivery

# RQ's default would unpickle whatever lies in Redis; nothing here, and nothing RQ calls by default, may.
rq.serializers.PickleSerializer = rq.serializers.JSONSerializer

log = logging.getLogger("ai_webhook.processors")

JobTimeout = BaseTimeoutException
ALIVE_SECONDS = 6  # a worker that has not said so for this long is taken for dead
REPLY_SECONDS = 600  # how long an answer is kept for a sender who did not wait for it
LOST_SECONDS = 10  # a batch without an owner whose job is not in the queue for this long is taken for lost

# Closes a batch against further deliveries and takes it. KEYS: open, list, meta, alive. ARGV: batch, worker, seconds
# that the worker is alive. Answers the number of runs with this one, how many are excused, then the delivery keys.
BEGIN = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
local keys = redis.call('LRANGE', KEYS[2], 0, -1)
if #keys == 0 then return {0, 0} end
redis.call('SET', KEYS[4], ARGV[1], 'EX', ARGV[3])
redis.call('HDEL', KEYS[3], 'retry_at', 'missing_since')
redis.call('HSET', KEYS[3], 'owner', ARGV[2])
return {redis.call('HINCRBY', KEYS[3], 'runs', 1), redis.call('HGET', KEYS[3], 'excused') or 0, unpack(keys)}
"""


def connect(redis_url: str) -> "redis.Redis":
    """A client that rides out a short outage; RQ lengthens the socket timeout for its blocking pop by itself."""
    return redis.Redis.from_url(
        redis_url,
        socket_connect_timeout=2,
        socket_timeout=10,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1), 3),
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """What a job carries. `runs` counts this run; more than 1 means that an earlier one did not finish. `excused` are
    the runs that could not begin for want of a server."""

    id: str
    keys: list[str]
    runs: int
    excused: int = 0

    @property
    def broken_runs(self) -> int:
        """How many runs the batch itself may have broken."""
        return self.runs - 1 - self.excused


class DeliveryQueue:
    """Deliveries in Redis, as a worker sees them."""

    def __init__(self, client: "redis.Redis", *, worker: str, job_timeout_seconds: int, seen_seconds: int) -> None:
        self.client = client
        self.worker = worker
        self.job_timeout_seconds = job_timeout_seconds
        self.seen_seconds = seen_seconds
        self.queue = Queue(QUEUE_NAME, connection=client, serializer="json")
        self.begin_script = client.register_script(BEGIN)
        self.in_hand = ""  # the batch that this worker is at
        self.telling = threading.Lock()  # so that what is told last of `in_hand` is what is true

    def begin(self, batch: str) -> Batch:
        """Takes a batch, until `let_go`; one that was finished before comes back without keys."""
        alive = envelope.alive_name(self.worker)
        names = [envelope.OPEN, envelope.batch_name(batch), envelope.meta_name(batch), alive]
        with self.telling:
            self.in_hand = batch
            found = cast("list[Any]", self.begin_script(keys=names, args=[batch, self.worker, ALIVE_SECONDS]))
        runs, excused, *keys = found
        return Batch(batch, [key.decode() for key in keys], int(runs), int(excused))

    def let_go(self) -> None:
        """Whatever became of the batch: this worker is at it no more, which it tells when it next says it is alive."""
        self.in_hand = ""

    def payloads(self, keys: Sequence[str]) -> list[Delivery]:
        """The deliveries that Redis still holds; the others are in PostgreSQL already."""
        packed = cast("list[bytes | None]", self.client.mget([envelope.delivery_name(key) for key in keys]))
        return [envelope.unpack(value) for value in packed if value is not None]

    def finish(self, batch: Batch) -> None:
        """Forgets a batch that PostgreSQL has recorded, but for the mark that answers repeats."""
        with self.client.pipeline(transaction=True) as pipe:
            for key in batch.keys:
                pipe.set(envelope.seen_name(key), b"", ex=self.seen_seconds)
                pipe.delete(envelope.delivery_name(key))
            self.remove(pipe, batch.id)
            pipe.execute()

    def put(self, keys: Sequence[str]) -> None:
        """Enqueues deliveries that PostgreSQL holds, as one batch."""
        with self.client.pipeline(transaction=True) as pipe:
            self.add(pipe, f"batch-{uuid.uuid4().hex}", keys)
            pipe.execute()

    def split(self, batch: Batch) -> None:
        """Replaces a batch by one for each of its deliveries, so that the one that broke it holds up no other."""
        with self.client.pipeline(transaction=True) as pipe:
            for key in batch.keys:
                self.add(pipe, f"batch-{uuid.uuid4().hex}", [key])
            self.remove(pipe, batch.id)
            pipe.execute()

    def postpone(self, batch: Batch, seconds: float, *, excused: bool = False) -> None:
        """Lets the sweep run an unfinished batch again after a while. A run that is excused is not held against it."""
        name = envelope.meta_name(batch.id)
        with self.client.pipeline(transaction=True) as pipe:
            pipe.hset(name, "retry_at", str(time.time() + seconds))
            if excused:
                pipe.hincrby(name, "excused", 1)
            pipe.execute()
        self.forget_finished(batch.id)

    def forget_finished(self, batch: str) -> None:
        """Takes back what was written about a batch that somebody else has finished meanwhile."""
        if not self.client.exists(envelope.batch_name(batch)):
            self.client.delete(envelope.meta_name(batch))

    def reply(self, replies: Mapping[str, bytes]) -> None:
        """Hands what came of deliveries to those who wait for it, and keeps it for who asks later."""
        if not replies:
            return
        with self.client.pipeline(transaction=False) as pipe:
            for key, reply in replies.items():
                pipe.set(envelope.reply_name(key), reply, ex=REPLY_SECONDS)
                pipe.rpush(envelope.replied_name(key), b"")
                pipe.expire(envelope.replied_name(key), REPLY_SECONDS)
            pipe.execute()

    def add(self, pipe: Any, batch: str, keys: Sequence[str]) -> None:
        pipe.rpush(envelope.batch_name(batch), *keys)
        pipe.sadd(envelope.BATCHES, batch)
        self.enqueue(pipe, batch)

    def enqueue(self, pipe: Any, batch: str) -> None:
        job = Queue.prepare_data(
            BATCH_JOB,
            args=(batch,),
            job_id=batch,
            description=f"{BATCH_JOB}({batch})",
            timeout=self.job_timeout_seconds,
            result_ttl=0,
            failure_ttl=7 * 24 * 3600,
        )
        self.queue.enqueue_many([job], pipeline=pipe)

    def remove(self, pipe: Any, batch: str) -> None:
        pipe.delete(envelope.batch_name(batch), envelope.meta_name(batch))
        pipe.srem(envelope.BATCHES, batch)

    def say_alive(self) -> None:
        with self.telling:
            self.client.set(envelope.alive_name(self.worker), self.in_hand, ex=ALIVE_SECONDS)

    def say_gone(self) -> None:
        self.client.delete(envelope.alive_name(self.worker))

    def may_sweep(self, seconds: float) -> bool:
        """True for one worker at a time."""
        return bool(self.client.set(envelope.SWEEP, self.worker, nx=True, px=max(1, int(seconds * 1000))))

    def rescue(self) -> list[str]:
        """Enqueues again the batches that nobody will finish: their worker died or let go of them, their run failed
        and its pause is over, or RQ lost their job. Returns their ids."""
        waiting = {job.decode() for job in cast("list[bytes]", self.client.lrange(self.queue.key, 0, -1))}
        members = cast("set[bytes]", self.client.smembers(envelope.BATCHES))
        rescued = [batch for batch in (m.decode() for m in members) if self.is_stranded(batch, waiting)]
        for batch in rescued:
            self.forget_job(batch)
            with self.client.pipeline(transaction=True) as pipe:
                pipe.hdel(envelope.meta_name(batch), "owner", "retry_at", "missing_since")
                self.enqueue(pipe, batch)
                pipe.execute()
        return rescued

    def is_stranded(self, batch: str, waiting: set[str]) -> bool:
        if batch in waiting:
            return False
        name = envelope.meta_name(batch)
        meta = {k.decode(): v.decode() for k, v in cast("dict[bytes, bytes]", self.client.hgetall(name)).items()}
        if "retry_at" in meta:
            return time.time() >= float(meta["retry_at"])
        if "owner" in meta:
            at = cast("bytes | None", self.client.get(envelope.alive_name(meta["owner"])))
            return at is None or at.decode() != batch  # without Redis a worker cannot put off what it lets go of
        # Between the pop from the queue and `begin` a batch has neither a place nor an owner for a moment.
        self.client.hsetnx(name, "missing_since", str(time.time()))
        self.forget_finished(batch)
        return time.time() - float(meta.get("missing_since", time.time())) >= LOST_SECONDS

    def forget_job(self, batch: str) -> None:
        try:
            Job.fetch(batch, connection=self.client, serializer="json").delete()
        except NoSuchJobError:
            log.debug("batch=%s had lost its job", batch)


class ListedJob(Job):  # type: ignore[misc]
    """A job that runs nothing but the functions on the list. JSON is no sandbox: RQ would import and call any name."""

    functions: ClassVar[Mapping[str, Callable[..., Any]]] = {}

    @property
    def func(self) -> Callable[..., Any]:
        name = self.func_name
        if name not in self.functions:
            raise PermissionError("This job names a function that is not on the list of jobs.")
        return self.functions[name]


class QueueWorker(SimpleWorker):  # type: ignore[misc]
    """A worker that may end and begin again, under the same name, while Redis is away or full."""

    def register_birth(self) -> None:
        # RQ refuses a name that is in use, but this one is ours alone: whoever had it could not say that it ended.
        self.connection.delete(self.key)
        super().register_birth()

    def teardown(self) -> None:
        with suppress(RedisError):
            self.register_death()
        with suppress(RedisError):
            self.unsubscribe()


def run_worker(
    client: "redis.Redis", name: str, functions: Mapping[str, Callable[..., Any]], *, burst: bool = False
) -> bool:
    """Works on the one queue until told to stop (SIGTERM or SIGINT), and answers whether it was told to. Ends, perhaps
    with RedisFailure, also when Redis does not take what RQ writes; then it may be called again.

    One queue per process: only then does RQ move a job instead of popping it, and a kill loses nothing.
    """
    ListedJob.functions = functions
    worker = QueueWorker(
        [QUEUE_NAME],
        name=name,
        connection=client,
        job_class=ListedJob,
        serializer="json",
        worker_ttl=30,
        job_monitoring_interval=5,
        maintenance_interval=15,
        log_job_description=False,
    )
    worker.work(burst=burst, logging_level="WARNING")
    return bool(worker._stop_requested) or worker._shutdown_requested_date is not None


RedisFailure = RedisError
