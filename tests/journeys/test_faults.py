"""Faults while conversations come in: Redis full, killed or wiped, PostgreSQL frozen. Accepted is processed, once."""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest
import redis

from access.client import Client
from store.database import connect
from tests.journeys.stack import Up, running_up
from tests.journeys.test_plugs_pulled import body, deliver_until_accepted, kill, wait_until_processed

FROZEN_SECONDS = 20
WORKERS = 2


@pytest.fixture
def up() -> Iterator[Up]:
    with running_up(AI_WEBHOOK_SWEEP_SECONDS="1") as running:
        yield running


@contextmanager
def redis_of(up: Up) -> Iterator["redis.Redis"]:
    state = json.loads((up.folder / "state.json").read_text())["valkey"]
    with redis.Redis(port=state["port"], password=state["password"]) as client:
        yield client


class Senders:
    """Four senders who never stop: each posts its next talk when the last one was accepted."""

    def __init__(self, up: Up) -> None:
        self.up = up
        self.accepted: list[int] = []
        self.refused: set[int] = set()
        self.stopping = threading.Event()
        self.changed = threading.Condition()
        self.pool = ThreadPoolExecutor(4)
        self.running = [self.pool.submit(self.send, start) for start in range(4)]

    def send(self, number: int) -> None:
        with self.up.client() as client:
            while not self.stopping.is_set():
                deliver_until_accepted(self.up, client, number)
                with self.changed:
                    self.accepted.append(number)
                    self.changed.notify_all()
                number += 4
                self.stopping.wait(0.02)  # a steady load, not the most that goes

    def wait_for_more(self, count: int) -> None:
        goal = len(self.accepted) + count
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.accepted) >= goal, 60), len(self.accepted)

    def stop(self) -> int:
        self.stopping.set()
        for one in self.running:
            one.result(60)
        self.pool.shutdown()
        assert len(set(self.accepted)) == len(self.accepted)
        return len(self.accepted)


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


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGCONT)


def test_no_fault_under_load_loses_or_doubles_a_delivery(up: Up) -> None:
    senders = Senders(up)
    senders.wait_for_more(40)

    with redis_of(up) as client:  # full: refused with 503, and taken again as soon as there is room
        client.config_set("maxmemory", "1mb")
        answer = refused_with(up)
        client.config_set("maxmemory", "0")
    assert answer == 503
    senders.wait_for_more(40)

    kill(up, "valkey")
    senders.wait_for_more(40)
    kill(up, "worker")
    senders.wait_for_more(40)

    with frozen(up.pids("postgres", "-D")[:1] + postgres_children(up)):
        until = time.monotonic() + FROZEN_SECONDS
        while time.monotonic() < until:
            senders.wait_for_more(20)  # the endpoint needs Redis alone
    senders.wait_for_more(40)

    count = senders.stop()
    assert count >= 240
    check_all_is_there_once(up, count)


def postgres_children(up: Up) -> list[int]:
    (postmaster, *_) = up.pids("postgres", "-D")
    return [child.pid for child in psutil.Process(postmaster).children()]


def refused_with(up: Up) -> int:
    """The status of the first answer that is not 200, to a delivery that is known already."""
    with up.client() as client:
        for _ in range(600):
            status = client.http.post(
                "/webhook/generic", content=body(0), headers={**up.headers(), "idempotency-key": "send-0"}
            ).status_code
            if status != 200:
                return int(status)
            time.sleep(0.01)
    raise AssertionError("Redis took everything")


def test_a_wiped_redis_loses_nothing_that_postgresql_has(up: Up) -> None:
    with up.client() as client, connect(up.database_url(), "holder") as holder:
        with holder.transaction():
            # A job records the raw delivery, commits, and then needs this table.
            holder.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
            for number in range(WORKERS):  # each is recorded by one of them, who then waits
                deliver_until_accepted(up, client, number)
                wait_until_recorded(up, number + 1)
            with redis_of(up) as wiped:
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
    with redis_of(up) as wiped:
        wiped.flushall()
    assert set(post_all(*arguments)) == {"accepted"}  # Redis has forgotten, PostgreSQL has not
    assert set(post_all(*arguments)) == {"duplicate"}
    with up.client() as client:
        client.deliver("generic", body(60), {**up.headers(), "idempotency-key": "send-60"})
    check_all_is_there_once(up, 61)
