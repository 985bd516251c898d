"""rq-dashboard as operators meet it: pages, actions, and what it must not do. Who may see it: console/test_rq.py."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from rq.job import Job, JobStatus
from rq.queue import Queue
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from access.rq_dashboard import create_rq_dashboard
from domain.delivery import QUEUE_NAME
from processors.rq_worker import run_worker


@pytest.fixture
def dashboard(redis_url: str) -> TestClient:
    return TestClient(create_rq_dashboard(redis_url))


@pytest.fixture
def queue(redis_client: "redis.Redis") -> Queue:
    return Queue(QUEUE_NAME, connection=redis_client, serializer="json")


@pytest.fixture
def failed(queue: Queue, redis_client: "redis.Redis") -> Job:
    """A job that a worker has run and that failed."""

    def fail() -> None:
        raise ValueError("as it was told to")

    job = queue.enqueue("fail", description="fail()")
    run_worker(redis_client, "alice-1", {"fail": fail}, burst=True)
    assert job.get_status() is JobStatus.FAILED
    return job


def status_of(job: Job) -> JobStatus:
    return Job.fetch(job.id, connection=job.connection, serializer="json").get_status()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/0/view/queues",
        "/0/data/queues.json",
        "/0/view/jobs",
        f"/0/view/jobs/{QUEUE_NAME}/queued/8/asc/1",
        f"/0/data/jobs/{QUEUE_NAME}/queued/8/asc/1.json",
        "/0/view/workers",
        "/0/data/workers.json",
        "/static/css/main.css",
        "/favicon.ico",
    ],
)
def test_every_page_opens(dashboard: TestClient, queue: Queue, path: str) -> None:
    queue.enqueue("wait", description="wait()")
    assert dashboard.get(path).status_code == 200


def test_it_can_be_mounted_beneath_a_path(redis_url: str) -> None:
    client = TestClient(Starlette(routes=[Mount("/rq", app=create_rq_dashboard(redis_url))]))
    page = client.get("/rq/")
    assert page.status_code == 200
    assert 'href="/rq/static/css/main.css"' in page.text
    assert client.get("/rq/static/css/main.css").status_code == 200


def test_only_the_scripts_of_the_page_itself_run(dashboard: TestClient) -> None:
    nonces = set()
    for _ in range(2):
        page = dashboard.get("/0/view/jobs")
        nonce = page.headers["content-security-policy"].partition("'nonce-")[2].partition("'")[0]
        assert page.text.count(f'<script type="text/javascript" nonce="{nonce}">') == 1
        nonces.add(nonce)
    assert len(nonces) == 2
    assert "'unsafe-inline'" not in page.headers["content-security-policy"].partition("script-src")[2].partition(";")[0]


def test_the_workers_page_opens_while_a_job_runs(
    dashboard: TestClient, queue: Queue, redis_client: "redis.Redis"
) -> None:
    seen: list[Any] = []

    def look(batch: str) -> None:
        assert dashboard.get("/0/view/workers").status_code == 200
        seen.extend(dashboard.get("/0/data/workers.json").json()["workers"])

    job = queue.enqueue("look", "batch-1", description="look(batch-1)")
    run_worker(redis_client, "alice-1", {"look": look}, burst=True)
    assert [worker["name"] for worker in seen] == ["alice-1"]
    assert seen[0]["current_job"]["job_id"] == job.id


def test_a_failed_job_shows_where_it_failed_and_not_what_it_said(dashboard: TestClient, failed: Job) -> None:
    assert dashboard.get(f"/0/view/job/{failed.id}").status_code == 200
    shown = dashboard.get(f"/0/data/job/{failed.id}.json").json()
    assert shown["status"] == "failed"
    assert "ValueError" in shown["exc_info"]
    assert "test_rq_dashboard.py" in shown["exc_info"]
    assert "as it was told to" not in shown["exc_info"]  # an exception may quote what people say


def test_a_post_requeues_a_failed_job(dashboard: TestClient, failed: Job) -> None:
    assert dashboard.post(f"/job/{failed.id}/requeue").json() == {"status": "OK"}
    assert status_of(failed) is JobStatus.QUEUED
    again = Job.fetch(failed.id, connection=failed.connection, serializer="json")
    assert again.func_name == "fail"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize(
    "path",
    [
        f"/requeue/{QUEUE_NAME}",
        "/job/{id}/requeue",
        "/job/{id}/delete",
        f"/queue/{QUEUE_NAME}/failed/empty",
        f"/queue/{QUEUE_NAME}/compact",
    ],
)
def test_nothing_but_a_post_changes_anything(dashboard: TestClient, failed: Job, method: str, path: str) -> None:
    answer = dashboard.request(method, path.format(id=failed.id))
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert status_of(failed) is JobStatus.FAILED


def test_a_job_that_is_gone_is_not_found(dashboard: TestClient) -> None:
    assert dashboard.get("/0/view/job/gone").status_code == 404
    assert dashboard.get("/0/data/job/gone.json").status_code == 404
    assert dashboard.get("/0/view/nowhere").json()["error"]["code"] == "invalid_request"


class Trap:
    """Something that leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


def test_no_page_unpickles_what_lies_in_redis(
    dashboard: TestClient, failed: Job, redis_client: "redis.Redis", tmp_path: Path
) -> None:
    mark = tmp_path / "unpickled"
    trap = pickle.dumps(Trap(mark))
    pages = [
        f"/0/view/job/{failed.id}",
        f"/0/data/job/{failed.id}.json",
        f"/0/view/jobs/{QUEUE_NAME}/failed/8/asc/1",
        f"/0/data/jobs/{QUEUE_NAME}/failed/8/asc/1.json",
    ]
    redis_client.hset(Job.key_for(failed.id), "data", trap)
    assert [dashboard.get(page).status_code for page in pages] == [200] * 4
    redis_client.hset(Job.key_for(failed.id), "meta", trap)
    assert [dashboard.get(page).status_code for page in pages] == [200, 500, 200, 200]
    for action in ("requeue", "delete"):
        dashboard.post(f"/job/{failed.id}/{action}")
    assert not mark.exists()
    pickle.loads(trap)
    assert mark.exists()  # it would have gone off
