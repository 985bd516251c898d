"""What is started twice: two `up` on one folder, two sweeps, and a worker beside the endpoint of an earlier version."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import redis

from domain import envelope
from domain.delivery import BATCH_JOB, QUEUE_NAME
from ops.data_folder import DataFolder, Secrets
from processors.jobs import Workshop, sweep
from store.database import Connection
from tests.conftest import reachable_folder
from tests.journeys.stack import Up
from tests.journeys.test_plugs_pulled import leftovers
from tests.processors.conftest import shop as shop  # a fixture
from tests.processors.workshop import talk, work

KEY = "091a43bd3ce3cb6c728889e6cb4ed7a8"  # of the delivery 1 of the source generic


def up_json(folder: Path) -> str:
    path = folder / "up.json"
    return path.read_text() if path.exists() else ""


def test_two_up_on_one_folder_share_its_servers_and_each_ends_alone() -> None:
    folder = reachable_folder()
    try:
        with ThreadPoolExecutor(2) as starting:
            first, second = starting.map(lambda _: Up(folder, "--workers", "1"), range(2))
        try:
            for up in (first, second):  # up.json says where one of them is
                up.url = up.wait_for("AI Webhook is up at ").rpartition(" ")[2]
            assert first.secrets == second.secrets
            with first.client() as client:
                client.deliver("generic", talk("walk", "Add a task: paint the shed.").encode(), first.headers())
            assert first.stop() == 0
            with second.client() as client:
                client.deliver("generic", talk("office", "Add a task: call Ben.").encode(), second.headers())
                waited = threading.Event()
                while len(client.call("list_tasks")["items"]) < 2:
                    assert second.process.poll() is None, "\n".join(second.lines)
                    waited.wait(0.1)
                assert client.call("count_deliveries")["processed"] == 2
            while (
                json.loads(up_json(folder) or '{"url": ""}')["url"] != second.url
            ):  # commands find the one that is left
                assert second.process.poll() is None, "\n".join(second.lines)
                waited.wait(0.1)
        finally:
            codes = [up.stop() if up.process.poll() is None else up.process.returncode for up in (first, second)]
        assert codes == [0, 0]
        assert not leftovers(str(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_two_that_make_the_secrets_at_once_have_the_same(tmp_path: Path) -> None:
    both = threading.Barrier(8)

    def make(_: int) -> tuple[Secrets, bool]:
        both.wait()
        return DataFolder(tmp_path).secrets()

    with ThreadPoolExecutor(8) as making:
        made = list(making.map(make, range(8)))
    assert len({secrets for secrets, _ in made}) == 1
    assert sum(new for _, new in made) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.json"]


def test_two_sweeps_at_once_put_lost_work_back_once(
    shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    conn.execute(
        "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body, next_attempt_at)"
        " VALUES (%s, 'generic', '1', 'transcript', now(), 'application/json', %s, now() - interval '1 hour')",
        [KEY, talk("walk", "Add a task: paint the shed.").encode()],
    )
    assert [shop.queue.may_sweep(60) for _ in range(2)] == [True, False]  # the workers take turns
    both = threading.Barrier(2)

    def sweep_together(_: int) -> None:
        both.wait()
        sweep(shop)

    with ThreadPoolExecutor(2) as sweeping:  # and if they did not
        list(sweeping.map(sweep_together, range(2)))
    work(shop)
    assert conn.execute("SELECT state FROM deliveries").fetchall() == [{"state": "processed"}]
    assert conn.execute("SELECT title FROM tasks").fetchall() == [{"title": "Paint the shed"}]
    assert redis_client.scard(envelope.BATCHES) == 0


def test_a_job_of_the_first_version_is_processed_by_todays_workers(
    shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    """Byte for byte what the endpoint of the first version left in Redis: so the two may be upgraded in any
    order. When this form has to change, workers have to read both for a release."""
    head = (
        b'{"source":"generic","delivery_id":"1","event":"transcript","received_at":"2026-03-01T10:00:00+00:00",'
        b'"content_type":"application/json","session_id":null}\n'
    )
    redis_client.set(f"aiw:delivery:{KEY}", head + talk("walk", "Add a task: paint the shed.").encode())
    redis_client.rpush("aiw:batch:batch-1", KEY)
    redis_client.sadd("aiw:batches", "batch-1")
    job = {
        "status": "queued",
        "origin": QUEUE_NAME,
        "created_at": "2026-03-01T10:00:00.000000Z",
        "enqueued_at": "2026-03-01T10:00:00.000000Z",
        "data": f'["{BATCH_JOB}", null, ["batch-1"], {{}}]',
        "description": f"{BATCH_JOB}(batch-1)",
        "timeout": "180",
        "result_ttl": "0",
        "failure_ttl": "604800",
    }
    redis_client.hset("rq:job:batch-1", mapping=job)
    redis_client.sadd("rq:queues", f"rq:queue:{QUEUE_NAME}")
    redis_client.rpush(f"rq:queue:{QUEUE_NAME}", "batch-1")
    work(shop)
    assert conn.execute("SELECT id, state FROM deliveries").fetchall() == [{"id": KEY, "state": "processed"}]
    assert conn.execute("SELECT title FROM tasks").fetchall() == [{"title": "Paint the shed"}]
    assert redis_client.keys("aiw:batch:*") == []
