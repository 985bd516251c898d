"""A worker as RQ comes, to measure ours beside it: it forks for each job, and each job is one delivery.

What is done with the delivery is the same code; everything is imported before the fork, and a job opens a connection to
PostgreSQL of its own, as forking workers have to.
"""

from collections.abc import Sequence
from typing import cast

import redis
from rq import Queue, Worker, get_current_job

from domain import envelope
from domain.delivery import Delivery
from domain.settings import Settings
from processors.extracting.model import load
from processors.jobs import Workshop, process_deliveries
from processors.queueing import DeliveryQueue
from store import deliveries
from store.database import Pool, connect

QUEUE = "stock"
JOB = "ops.bench_stock.process_one"
settings = Settings()


def enqueue(client: "redis.Redis", arrived: Sequence[Delivery]) -> None:
    with client.pipeline(transaction=False) as pipe:
        for delivery in arrived:
            pipe.set(envelope.delivery_name(delivery.key), envelope.pack(delivery))
        jobs = [Queue.prepare_data(JOB, args=(delivery.key,), result_ttl=0) for delivery in arrived]
        Queue(QUEUE, connection=client, serializer="json").enqueue_many(jobs, pipeline=pipe)
        pipe.execute()


def process_one(key: str) -> None:
    job = get_current_job()
    assert job is not None
    queue = DeliveryQueue(job.connection, worker=QUEUE, job_timeout_seconds=180, seen_seconds=settings.seen_seconds)
    shop = Workshop(cast("Pool", None), queue, settings)  # nothing that is called here takes from the pool
    with connect(settings.conninfo(), "bench") as conn:
        deliveries.record(conn, queue.payloads([key]))
        process_deliveries(conn, shop, [key])
    queue.client.delete(envelope.delivery_name(key))


def work() -> None:
    global settings
    settings = Settings.from_env()
    assert settings.redis_url is not None
    load()
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        Worker([QUEUE], connection=client, serializer="json", log_job_description=False).work(logging_level="WARNING")
