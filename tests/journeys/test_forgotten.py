"""What Redis forgets, PostgreSQL has: a wiped queue, and the same delivery again from two processes."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator

import pytest

from access.client import Client
from store.database import connect
from tests.journeys.stack import Up, running_up
from tests.journeys.test_plugs_pulled import body, deliver_until_accepted, wait_until_processed

WORKERS = 2


@pytest.fixture
def up() -> Iterator[Up]:
    with running_up(AI_WEBHOOK_SWEEP_SECONDS="1") as running:
        yield running


def check_all_is_there_once(up: Up, count: int) -> None:
    wait_until_processed(up, count)
    with connect(up.database_url(), "test") as conn:
        states = conn.execute("SELECT state, count(*) AS n FROM deliveries GROUP BY state").fetchall()
        assert states == [{"state": "processed", "n": count}]
        for table, column, each in (("turns", "text", 2), ("tasks", "title", 1)):
            rows = conn.execute(
                f"SELECT count(*) AS n, count(DISTINCT {column}) AS different FROM {table}"  # type: ignore[arg-type]
            ).fetchone()
            assert rows == {"n": each * count, "different": each * count}, table


def test_a_wiped_redis_loses_nothing_that_postgresql_has(up: Up) -> None:
    with up.client() as client, connect(up.database_url(), "holder") as holder:
        with holder.transaction():
            # A job records the raw delivery, commits, and then needs this table.
            holder.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
            for number in range(WORKERS):  # each is recorded by one of them, who then waits
                deliver_until_accepted(up, client, number)
                wait_until_recorded(up, number + 1)
            with up.redis() as wiped:
                wiped.flushall()
            for pid in up.pids("ops.child", "worker"):
                os.kill(pid, signal.SIGKILL)
        # The sweep leaves what a worker has in hand for a minute, which is over now.
        holder.execute("UPDATE deliveries SET next_attempt_at = now() WHERE state = 'received'")
    check_all_is_there_once(up, WORKERS)


def wait_until_recorded(up: Up, count: int) -> None:
    deadline = time.monotonic() + 30
    with connect(up.database_url(), "test") as conn:
        while conn.execute("SELECT count(*) AS n FROM deliveries").fetchone() != {"n": count}:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def post_all(url: str, token: str, headers: dict[str, str], numbers: range) -> list[str]:
    statuses = []
    with Client(url, token) as client:
        for number in numbers:
            more = {**headers, "idempotency-key": f"send-{number}"}
            statuses.append(str(client.deliver("generic", body(number), more)["status"]))
    return statuses


def test_the_same_delivery_from_two_processes_has_one_effect(up: Up) -> None:
    arguments = (up.url, up.secrets["token"], up.headers(), range(60))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = (one.get(60) for one in [pool.apply_async(post_all, arguments) for _ in range(2)])
    assert sorted(first + second) == ["accepted"] * 60 + ["duplicate"] * 60
    check_all_is_there_once(up, 60)
    with up.redis() as wiped:
        wiped.flushall()
    assert set(post_all(*arguments)) == {"accepted"}  # Redis has forgotten, PostgreSQL has not
    assert set(post_all(*arguments)) == {"duplicate"}
    with up.client() as client:
        client.deliver("generic", body(60), {**up.headers(), "idempotency-key": "send-60"})
    check_all_is_there_once(up, 61)
