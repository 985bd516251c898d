"""Workers and an endpoint as RQ, Celery and FastAPI come, to measure ours beside them.

What is done with a delivery is the same code, imported before a worker forks; a job is one delivery, and opens a
connection to PostgreSQL of its own, as forking workers have to. RQ's worker forks for each job, Celery's once.
`python -m ops.bench_peers` is the endpoint.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import redis
import uvicorn
from rq import Queue, Worker, get_current_job

from domain import envelope
from domain.delivery import Delivery
from domain.settings import Settings
from processors.extracting.model import load
from processors.jobs import Workshop, process_deliveries
from processors.queueing import Batch, DeliveryQueue
from store import deliveries
from store.database import Pool, connect

QUEUE = "stock"
JOB = "ops.bench_peers.process_job"
settings = Settings()


def enqueue_stock(redis_url: str, arrived: Sequence[Delivery]) -> None:
    with redis.Redis.from_url(redis_url) as client, client.pipeline(transaction=False) as pipe:
        for delivery in arrived:
            pipe.set(envelope.delivery_name(delivery.key), envelope.pack(delivery))
        jobs = [Queue.prepare_data(JOB, args=(delivery.key,), result_ttl=0) for delivery in arrived]
        Queue(QUEUE, connection=client, serializer="json").enqueue_many(jobs, pipeline=pipe)
        pipe.execute()


def process_job(key: str) -> None:
    job = get_current_job()
    assert job is not None
    queue = queue_on(job.connection)
    process(queue, queue.payloads(Batch("", [key], 1))[1])
    queue.client.delete(envelope.delivery_name(key))


def work_stock() -> None:
    read_settings()
    with redis.Redis.from_url(redis_url_of(settings)) as client:
        Worker([QUEUE], connection=client, serializer="json", log_job_description=False).work(logging_level="WARNING")


def enqueue_celery(redis_url: str, arrived: Sequence[Delivery]) -> None:
    from bench.peers.fastapi_celery import celery_app, hand_over

    with celery_app(redis_url) as celery:
        for delivery in arrived:
            hand_over(celery, delivery.delivery_id, delivery.body.decode())


def process_task(delivery_id: str, body: str) -> None:
    with redis.Redis.from_url(redis_url_of(settings)) as client:
        now = datetime.now(UTC)
        arrived = Delivery("generic", delivery_id, "transcript", now, "application/json", body.encode())
        process(queue_on(client), [arrived])


def work_celery() -> None:
    from bench.peers.fastapi_celery import celery_app

    read_settings()
    celery = celery_app(redis_url_of(settings), process_task)
    celery.worker_main(["worker", "--pool=prefork", "--concurrency=1", "--loglevel=WARNING"])


def queue_on(client: "redis.Redis") -> DeliveryQueue:
    return DeliveryQueue(client, worker=QUEUE, job_timeout_seconds=180, seen_seconds=settings.seen_seconds)


def process(queue: DeliveryQueue, arrived: Sequence[Delivery]) -> None:
    shop = Workshop(cast("Pool", None), queue, settings)  # nothing that is called here takes from the pool
    with connect(settings.conninfo(), "bench") as conn:
        deliveries.record(conn, arrived)
        process_deliveries(conn, shop, [delivery.key for delivery in arrived])


def read_settings() -> None:
    global settings
    settings = Settings.from_env()
    load()


def redis_url_of(settings: Settings) -> str:
    assert settings.redis_url is not None
    return settings.redis_url.get_secret_value()


def main() -> int:
    from bench.peers.fastapi_celery import fastapi_app

    given = Settings.from_env()
    app = fastapi_app(redis_url_of(given), given.secrets_of("generic")[0])
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
