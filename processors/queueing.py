"""What the workers know of Redis: what a batch is there, how it is begun, finished and rescued.

A batch is one RQ job that carries the keys of some deliveries (domain/envelope.py has the layout, ingest/enqueueing.py
makes it). RQ moves the job; whether a batch is finished is told by its place in aiw:batches, not by RQ's registries,
so a job that RQ loses, or that somebody deletes in rq-dashboard, is only late.
"""

import logging
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.queue import Queue

from broker.clients import open_client
from domain import envelope
from domain.delivery import BATCH_JOB, QUEUE_NAME, Delivery
from domain.errors import SealedElsewhere, Unverified
from domain.measures import Measures
from domain.sealing import NO_KEYS, Keys

log = logging.getLogger("ai_webhook.processors")

RedisFailure = RedisError
ALIVE_SECONDS = 6  # a worker that has not said so for this long is taken for dead
REPLY_SECONDS = 600  # how long an answer is kept for a sender who did not wait for it
AWAIT_SECONDS = 3600  # how long it is looked whether a task has ended for which a sender waits
OUT_OF_REDIS = "queue"  # the source by which the console tells what was refused here
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
    return open_client(
        redis_url,
        socket_connect_timeout=2,
        socket_timeout=10,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1), 3),
    )


def packed_deliveries(client: "redis.Redis") -> Iterator[tuple[str, bytes]]:
    """(key, packed) of every delivery that Redis holds; those that PostgreSQL records meanwhile may be left out."""
    for name in client.scan_iter(match=envelope.delivery_name("*"), count=1000):
        packed = cast("bytes | None", client.get(name))
        if packed is not None:
            yield name.decode("ascii", "replace").rpartition(":")[2], packed


def forget_replies(client: "redis.Redis") -> None:
    """Removes what is kept for senders who ask later: whose words stand in an answer nobody can tell."""
    for name in client.scan_iter(match=envelope.reply_name("*"), count=1000):
        client.unlink(name)


def reseal(client: "redis.Redis", keys: Keys, wanted: Keys, *, unsigned: bool = False) -> tuple[int, int]:
    """Signs and seals every delivery that Redis holds anew, with the current keys of `wanted`; (how many, how many no
    key vouches for, which are left as they are). `unsigned` takes those without a signature for ours."""
    done = left = 0
    for key, packed in packed_deliveries(client):
        try:
            delivery = envelope.unpack(packed, keys, unsigned=unsigned and not packed.startswith(envelope.SIGNED))
        except (Unverified, SealedElsewhere):
            left += 1
            continue
        if delivery.key != key:
            left += 1
            continue
        # Unless a worker has recorded it meanwhile.
        client.set(envelope.delivery_name(key), envelope.pack(delivery, wanted), xx=True)
        if client.hexists(envelope.ASIDE, key):
            client.hset(envelope.ASIDE, key, f"{datetime.now(UTC).isoformat()} Signed anew.")  # to be looked at again
        done += 1
    return done, left


def forget_everything(client: "redis.Redis") -> None:
    """Removes all that is ours from Redis: deliveries, batches, their jobs and the queue."""
    Queue(QUEUE_NAME, connection=client, serializer="json").delete(delete_jobs=True)
    for pattern in (f"{envelope.PREFIX}*", f"{Job.redis_job_namespace_prefix}batch-*"):
        for name in client.scan_iter(match=pattern, count=1000):
            client.unlink(name)


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

    def __init__(
        self,
        client: "redis.Redis",
        *,
        worker: str,
        job_timeout_seconds: int,
        seen_seconds: int,
        keys: Keys = NO_KEYS,
    ) -> None:
        self.client = client
        self.keys = keys
        self.looked_at: dict[bytes, bytes] = {}  # what is set aside and was of no key of ours when we looked
        self.worker = worker
        self.job_timeout_seconds = job_timeout_seconds
        self.seen_seconds = seen_seconds
        self.queue = Queue(QUEUE_NAME, connection=client, serializer="json")
        self.begin_script = client.register_script(BEGIN)
        self.measures = Measures()
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

    def payloads(self, batch: Batch) -> tuple[Batch, list[Delivery]]:
        """The deliveries that Redis still holds; the others are in PostgreSQL already. Those that no key of ours
        vouches for are set aside, and the batch goes on without them."""
        names = [envelope.delivery_name(key) for key in batch.keys]
        packed = cast("list[bytes | None]", self.client.mget(names)) if names else []
        found = {key: envelope.opened(key, v, self.keys) for key, v in zip(batch.keys, packed, strict=True) if v}
        refused = {key: one for key, one in found.items() if not isinstance(one, Delivery)}
        if refused:
            self.set_aside(batch, refused)
            batch = replace(batch, keys=[key for key in batch.keys if key not in refused])
        return batch, [one for one in found.values() if isinstance(one, Delivery)]

    def set_aside(self, batch: Batch, refused: Mapping[str, Unverified | SealedElsewhere]) -> None:
        """Takes deliveries out of their batch, to lie in Redis as they are, and counts them for the console."""
        now = datetime.now(UTC)
        with self.client.pipeline(transaction=True) as pipe:
            for key, error in refused.items():
                pipe.hset(envelope.ASIDE, key, f"{now.isoformat()} {error.message}")
                pipe.lrem(envelope.batch_name(batch.id), 0, key)
                row, day = f"{OUT_OF_REDIS} {error.code}", envelope.refused_name(now.date())
                pipe.hincrby(day, f"{row} count", 1)
                pipe.hset(day, mapping={f"{row} at": now.isoformat(), f"{row} why": f"{error.message} {error.hint}"})
                pipe.expire(day, envelope.REFUSED_SECONDS)
            pipe.execute()
        for key, error in refused.items():
            log.error("delivery=%s set aside code=%s: %s %s", key, error.code, error.message, error.hint)

    def take_up(self) -> list[str]:
        """Enqueues what was set aside and is of a key that is ours now; each is looked at once. Returns their ids."""
        aside = cast("dict[bytes, bytes]", self.client.hgetall(envelope.ASIDE))
        taken = []
        for field in (field for field, since in aside.items() if self.looked_at.get(field) != since):
            key = field.decode("ascii", "replace")
            packed = cast("bytes | None", self.client.get(envelope.delivery_name(key)))
            is_ours = packed is not None and isinstance(envelope.opened(key, packed, self.keys), Delivery)
            if packed is not None and not is_ours:
                continue
            with self.client.pipeline(transaction=True) as pipe:
                pipe.hdel(envelope.ASIDE, field)
                if is_ours:
                    self.add(pipe, f"batch-{uuid.uuid4().hex}", [key])
                    taken.append(key)
                pipe.execute()
        self.looked_at = aside
        return taken

    def finish(self, batch: Batch) -> None:
        """Forgets a batch that PostgreSQL has recorded, but for the mark that answers repeats."""
        with self.client.pipeline(transaction=True) as pipe:
            for key in batch.keys:
                pipe.set(envelope.seen_name(key), b"", ex=self.seen_seconds)
                pipe.delete(envelope.delivery_name(key))
            self.remove(pipe, batch.id)
            pipe.execute()

    def drop(self, keys: Sequence[str]) -> None:
        """Takes deliveries away that no worker has recorded; their batches find nothing of them."""
        with self.client.pipeline(transaction=True) as pipe:
            for key in keys:
                pipe.set(envelope.seen_name(key), b"", ex=self.seen_seconds)
                pipe.unlink(envelope.delivery_name(key))
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
            pipe.hset(name, "retry_at", str(self.now() + seconds))
            if excused:
                pipe.hincrby(name, "excused", 1)
            pipe.execute()
        self.forget_finished(batch.id)

    def now(self) -> float:
        """Unix seconds by the clock of Redis, which all workers share: their own may differ by hours."""
        seconds, microseconds = self.client.time()
        return seconds + microseconds / 1e6

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

    def await_tasks(self, tasks: Mapping[str, str]) -> None:
        """Notes that the senders of these deliveries are to be told how a task ends."""
        if tasks:
            now = int(self.now())
            self.client.hset(envelope.AWAITED, mapping={key: f"{now} {task}" for key, task in tasks.items()})

    def awaited(self) -> dict[str, tuple[str, bool]]:
        """The deliveries whose senders wait for a task, with that task and whether they have waited for long."""
        found = cast("dict[bytes, bytes]", self.client.hgetall(envelope.AWAITED))
        parts = {key.decode(): value.decode().partition(" ") for key, value in found.items()}
        now = self.now() if parts else 0.0
        return {key: (task, now - int(since) > AWAIT_SECONDS) for key, (since, _, task) in parts.items()}

    def await_no_more(self, keys: Sequence[str]) -> None:
        if keys:
            self.client.hdel(envelope.AWAITED, *keys)

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
        self.tell_measures()

    def tell_measures(self) -> None:
        """Adds what was counted since the last time; kept for the next when Redis does not take it."""
        counts = self.measures.take()
        if not counts:
            return
        try:
            with self.client.pipeline(transaction=True) as pipe:
                for field, count in counts.items():
                    pipe.hincrbyfloat(envelope.MEASURES, field, count)
                pipe.execute()
        except RedisError:
            self.measures.add(counts)
            raise

    def say_gone(self) -> None:
        self.tell_measures()
        self.client.delete(envelope.alive_name(self.worker))

    def may_sweep(self, seconds: float) -> bool:
        """True for one worker at a time."""
        return self.may(envelope.SWEEP, seconds)

    def may(self, turn: str, seconds: float) -> bool:
        """True for one worker in so many seconds."""
        return bool(self.client.set(turn, self.worker, nx=True, px=max(1, int(seconds * 1000))))

    def go_on(self, turn: str, seconds: float) -> None:
        """Keeps a turn that takes long, and says meanwhile that this worker is alive."""
        self.client.set(turn, self.worker, px=max(1, int(seconds * 1000)))
        self.say_alive()

    def end(self, turn: str) -> None:
        self.client.delete(turn)

    def rescue(self) -> list[str]:
        """Enqueues again the batches that nobody will finish: their worker died or let go of them, their run failed
        and its pause is over, or RQ lost their job. Returns their ids."""
        waiting = cast("list[bytes]", self.client.lrange(self.queue.key, 0, -1))
        rescued = []
        for member in cast("set[bytes]", self.client.smembers(envelope.BATCHES)).difference(waiting):
            try:
                batch = member.decode()
                if self.is_stranded(batch):
                    self.enqueue_again(batch)
                    rescued.append(batch)
            except (redis.ConnectionError, redis.TimeoutError):
                raise
            except Exception as error:  # noqa: BLE001 - what somebody wrote over one batch holds up no other
                log.warning("a batch cannot be looked after: %s", type(error).__name__)
        return rescued

    def enqueue_again(self, batch: str) -> None:
        self.forget_job(batch)
        with self.client.pipeline(transaction=True) as pipe:
            pipe.hdel(envelope.meta_name(batch), "owner", "retry_at", "missing_since")
            self.enqueue(pipe, batch)
            pipe.execute()

    def is_stranded(self, batch: str) -> bool:
        """Whether nobody will finish a batch that is not in the queue."""
        name = envelope.meta_name(batch)
        meta = {k.decode(): v.decode() for k, v in cast("dict[bytes, bytes]", self.client.hgetall(name)).items()}
        if "retry_at" in meta:
            return self.now() >= float(meta["retry_at"])
        if "owner" in meta:
            at = cast("bytes | None", self.client.get(envelope.alive_name(meta["owner"])))
            return at is None or at.decode() != batch  # without Redis a worker cannot put off what it lets go of
        # Between the pop from the queue and `begin` a batch has neither a place nor an owner for a moment.
        now = self.now()
        self.client.hsetnx(name, "missing_since", str(now))
        self.forget_finished(batch)
        return now - float(meta.get("missing_since", now)) >= LOST_SECONDS

    def forget_job(self, batch: str) -> None:
        try:
            Job.fetch(batch, connection=self.client, serializer="json").delete()
        except NoSuchJobError:
            log.debug("batch=%s had lost its job", batch)
        except (redis.ConnectionError, redis.TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - what stands there is no job that RQ can read, nor anybody else
            log.warning("batch=%s had a job that cannot be read: %s", batch, type(error).__name__)
            self.client.delete(Job.key_for(batch))
