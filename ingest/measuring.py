"""/metrics, in Prometheus' text format: what this process counts, and what Redis answers when it is asked.

Sources are labels only where the settings or our table know them, so nobody makes new series by calling addresses.
"""

import asyncio
import hmac
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    GC_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.job import Job
from rq.queue import Queue
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.worker_registration import REDIS_WORKER_KEYS
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.clients import open_client
from domain import envelope, measures
from domain.delivery import QUEUE_NAME
from domain.errors import AIWebhookError, Forbidden
from domain.settings import Settings

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the number of series

KEPT_SECONDS = 1.0  # for as long one answer serves all who ask

REQUESTS = Counter(
    "ai_webhook_requests",
    "Deliveries that came to the endpoint, by what was answered: accepted, duplicate, refused (4xx) or unavailable.",
    ["source", "outcome"],
    registry=None,
)
REQUEST_SECONDS = Histogram(
    "ai_webhook_request_seconds",
    "From the first byte of a delivery until Redis has it on disk, of those that were accepted.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=None,
)


def count_refused(source: str, error: AIWebhookError) -> None:
    REQUESTS.labels(source, "refused" if error.status < 500 else "unavailable").inc()


class RedisCollector(Collector):
    """Asks Redis at each scrape; `ai_webhook_redis_up 0` and nothing else when it does not answer."""

    def __init__(self, redis_url: str) -> None:
        self.client = open_client(
            redis_url, socket_connect_timeout=0.5, socket_timeout=1.2, retry=Retry(NoBackoff(), 0)
        )

    def collect(self) -> Iterator[Metric]:
        try:
            found = list(self.ask())
        except (RedisError, OSError):
            found = []
        yield GaugeMetricFamily("ai_webhook_redis_up", "1 when Redis answers.", bool(found))
        yield from found

    def ask(self) -> Iterator[Metric]:
        waiting = Queue.redis_queue_namespace_prefix + QUEUE_NAME
        failed = FailedJobRegistry(QUEUE_NAME, connection=self.client, serializer="json").key
        started = StartedJobRegistry(QUEUE_NAME, connection=self.client, serializer="json").key
        with self.client.pipeline(transaction=False) as pipe:
            pipe.smembers(envelope.BATCHES)
            pipe.llen(waiting)
            pipe.zcard(failed)
            pipe.zcard(started)
            pipe.smembers(REDIS_WORKER_KEYS)
            pipe.hgetall(envelope.MEASURES)
            pipe.hlen(envelope.ASIDE)
            pipe.info("memory")
            batches, jobs, failures, under_way, workers, counted, aside, memory = pipe.execute()
        yield from self.queue([batch.decode() for batch in batches])
        yield from self.workers([worker.decode().rpartition(":")[2] for worker in workers])
        yield GaugeMetricFamily("ai_webhook_jobs_waiting", "Jobs that no worker has taken yet.", jobs)
        yield GaugeMetricFamily("ai_webhook_jobs_started", "Jobs that a worker is at, or was when it died.", under_way)
        yield GaugeMetricFamily("ai_webhook_jobs_failed", "Jobs that RQ lists as failed, for seven days.", failures)
        yield GaugeMetricFamily(
            "ai_webhook_queue_set_aside", "Deliveries in Redis that no key of ours vouches for.", aside
        )
        yield GaugeMetricFamily("ai_webhook_redis_memory_bytes", "Memory that Redis uses.", memory["used_memory"])
        yield GaugeMetricFamily(
            "ai_webhook_redis_memory_limit_bytes", "Memory that Redis may use; 0: no limit.", memory["maxmemory"]
        )
        yield from counted_by_workers({field.decode(): float(number) for field, number in counted.items()})

    def queue(self, batches: Sequence[str]) -> Iterator[Metric]:
        """How many deliveries Redis holds unfinished, and how long the first of them has."""
        with self.client.pipeline(transaction=False) as pipe:
            for batch in batches:
                pipe.llen(envelope.batch_name(batch))
                pipe.hget(Job.redis_job_namespace_prefix + batch, "created_at")
            answers: list[Any] = pipe.execute() if batches else []
        since = [datetime.fromisoformat(at.decode()).timestamp() for at in answers[1::2] if at]
        oldest = max(0.0, time.time() - min(since)) if since else 0
        yield GaugeMetricFamily("ai_webhook_queue_batches", "Batches in Redis that are not finished.", len(batches))
        yield GaugeMetricFamily(
            "ai_webhook_queue_deliveries", "Deliveries in Redis that are not finished.", sum(answers[::2])
        )
        yield GaugeMetricFamily("ai_webhook_queue_oldest_seconds", "Age of the oldest job in Redis.", oldest)

    def workers(self, names: Sequence[str]) -> Iterator[Metric]:
        alive = self.client.exists(*(envelope.alive_name(name) for name in names)) if names else 0
        yield GaugeMetricFamily("ai_webhook_workers", "Workers that are alive.", alive)


def counted_by_workers(fields: dict[str, float]) -> Iterator[Metric]:
    took = HistogramMetricFamily(
        "ai_webhook_job_seconds", "How long jobs took, over all workers that ever were.", labels=["outcome"]
    )
    for outcome in measures.JOB_OUTCOMES:
        buckets, total = measures.job_histogram(fields, outcome)
        took.add_metric([outcome], buckets, total)
    yield took
    tried = CounterMetricFamily(
        "ai_webhook_deliveries",
        "Deliveries that workers brought to a state; received: they are tried again.",
        labels=["source", "state"],
    )
    for source, state, count in measures.deliveries(fields):
        tried.add_metric([source, state], count)
    yield tried


class Metrics:
    """The route /metrics. However many ask at a time, everything is asked once in KEPT_SECONDS."""

    def __init__(self, settings: Settings, *more: Collector) -> None:
        assert settings.redis_url is not None
        self.tokens = [t.get_secret_value() for t in (settings.metrics_token, settings.token) if t is not None]
        self.registry = CollectorRegistry()
        redis_collector = RedisCollector(settings.redis_url.get_secret_value())
        for collector in (REQUESTS, REQUEST_SECONDS, PROCESS_COLLECTOR, GC_COLLECTOR, redis_collector, *more):
            self.registry.register(collector)
        self.text, self.until = b"", 0.0
        self.asking: asyncio.Task[None] | None = None
        self.route = Route("/metrics", self.answer)

    async def answer(self, request: Request) -> Response:
        self.check(request.headers.get("authorization", ""))
        if time.monotonic() >= self.until:
            if self.asking is None or self.asking.done():
                self.asking = asyncio.create_task(self.ask())
            await asyncio.shield(self.asking)  # who hangs up ends it for nobody
        return Response(self.text, headers={"content-type": CONTENT_TYPE_LATEST, "cache-control": "no-store"})

    def check(self, authorization: str) -> None:
        scheme, _, given = authorization.partition(" ")
        allowed = [hmac.compare_digest(given.encode(), token.encode()) for token in self.tokens]
        if scheme.lower() != "bearer" or not any(allowed):
            raise Forbidden("The metrics need a bearer token.", hint="That is AI_WEBHOOK_METRICS_TOKEN.")

    async def ask(self) -> None:
        self.text = await run_in_threadpool(generate_latest, self.registry)
        self.until = time.monotonic() + KEPT_SECONDS
