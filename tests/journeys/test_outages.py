"""Servers that go away for a while, or have no room, under sustained load: accepted means processed, once."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import orjson
import psutil
import pytest

from access.client import Client
from domain.errors import AIWebhookError
from store.database import Connection, connect
from tests.journeys.stack import Up, running_up

SENDERS = 4
OUTAGE_SECONDS = 18
ROUND = 12  # deliveries before, between and after what happens to the servers
LARGE = 300 * 1024  # the endpoint reads a body of this size in a thread


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with running_up(AI_WEBHOOK_SWEEP_SECONDS="1") as running:
        yield running


@pytest.fixture
def database(up: Up) -> Iterator[Connection]:
    with connect(up.database_url(), "test") as conn:
        yield conn


class Load:
    """Senders who post until they are told to stop, each delivery again and again until it is accepted."""

    def __init__(self, up: Up, name: str) -> None:
        self.up = up
        self.name = name
        self.accepted: list[str] = []  # delivery keys
        self.refusals: Counter[tuple[int, str]] = Counter()  # status and code
        self.counted = threading.Condition()
        self.stopping = threading.Event()

    def send(self, sender: int) -> None:
        with self.up.client() as client:
            number = 0
            while not self.stopping.is_set():
                key = self.deliver(client, f"{self.name}-{sender}-{number}", number)
                with self.counted:
                    self.accepted.append(key)
                    self.counted.notify_all()
                number += 1
                self.stopping.wait(0.1)

    def deliver(self, client: Client, delivery_id: str, number: int) -> str:
        headers = {**self.up.headers(), "idempotency-key": delivery_id}
        body = talk(f"{self.name}-{number % 10}", delivery_id, LARGE if number % 20 == 7 else 0)
        deadline = time.monotonic() + 60
        while True:
            try:
                told = client.deliver("generic", body, headers)
                assert told["status"] in ("accepted", "duplicate")
                return str(told["delivery"])
            except AIWebhookError as error:
                with self.counted:
                    self.refusals[error.status, error.code] += 1
                    self.counted.notify_all()
                assert error.status >= 500, error.message  # never a 4xx for a fault of ours
                assert time.monotonic() < deadline, error.message
                time.sleep(0.05)  # as a sender who is in a hurry

    def wait_for_more(self, count: int = ROUND, seconds: float = 60) -> None:
        """Until so many more deliveries are accepted."""
        with self.counted:
            wanted = len(self.accepted) + count
            assert self.counted.wait_for(lambda: len(self.accepted) >= wanted, seconds), self.refusals

    def wait_for_refusals(self, count: int) -> None:
        with self.counted:
            wanted = self.refusals.total() + count
            assert self.counted.wait_for(lambda: self.refusals.total() >= wanted, 30), self.refusals


def talk(session: str, name: str, padding: int = 0) -> bytes:
    said = [
        {"speaker": "Alice", "text": f"I've decided that {name} is the one."},
        {"speaker": "Alice", "text": f"Add a task: write up {name}."},
    ]
    return orjson.dumps({"session": session, "turns": said, "unread": "x" * padding})


@contextmanager
def load(up: Up, name: str) -> Iterator[Load]:
    """Load while the block runs; every delivery has been accepted when it ends."""
    running = Load(up, name)
    with ThreadPoolExecutor(SENDERS) as threads:
        senders: list[Future[None]] = [threads.submit(running.send, sender) for sender in range(SENDERS)]
        try:
            running.wait_for_more()
            yield running
            running.wait_for_more()
        finally:
            running.stopping.set()
    for sender in senders:
        sender.result()


def check_all_is_there_once(up: Up, database: Connection, sent: Load) -> None:
    """Every accepted delivery is processed, with what comes of it, once; no other one is there and none failed."""
    assert len(set(sent.accepted)) == len(sent.accepted)
    deadline = time.monotonic() + 60
    while (states := count_states(database, sent)) != {"processed": len(sent.accepted)}:
        assert set(states) <= {"received", "processed"}, failures(database)
        assert time.monotonic() < deadline, (states, len(sent.accepted), "\n".join(up.lines[-20:]))
        time.sleep(0.1)
    rows = query(database, "SELECT id, readings FROM deliveries WHERE delivery_id LIKE %s", sent)
    assert {row["id"] for row in rows} == set(sent.accepted)
    assert {row["readings"] for row in rows} == {1}
    turns = query(database, "SELECT text, count(*) AS n FROM turns WHERE session_id LIKE %s GROUP BY text", sent)
    assert len(turns) == 2 * len(sent.accepted)
    assert {row["n"] for row in turns} == {1}
    tasks = query(database, "SELECT title, count(*) AS n FROM tasks WHERE session_id LIKE %s GROUP BY title", sent)
    assert len(tasks) == len(sent.accepted)
    assert {row["n"] for row in tasks} == {1}


def query(database: Connection, statement: Any, sent: Load) -> list[dict[str, Any]]:
    return database.execute(statement, [f"{sent.name}-%"]).fetchall()


def count_states(database: Connection, sent: Load) -> dict[str, int]:
    statement = "SELECT state, count(*) AS n FROM deliveries WHERE delivery_id LIKE %s GROUP BY state"
    return {row["state"]: row["n"] for row in query(database, statement, sent)}


def failures(database: Connection) -> Any:
    statement = "SELECT error_code, error, count(*) AS n FROM deliveries WHERE state = 'failed' GROUP BY 1, 2"
    return database.execute(statement).fetchall()


def check_redis_is_empty(up: Up) -> None:
    """Nothing that was finished is left in the queue: no batch and no words."""
    deadline = time.monotonic() + 30
    with up.redis() as client:
        while left := [*client.scan_iter("aiw:batch*"), *client.scan_iter("aiw:delivery:*")]:
            assert time.monotonic() < deadline, left
            time.sleep(0.1)


def test_valkey_is_killed_and_stays_away_for_a_while(up: Up, database: Connection) -> None:
    with load(up, "valkey") as sent:
        with up.nothing_is_restarted():
            (valkey,) = up.pids("valkey-server")
            os.kill(valkey, signal.SIGKILL)
            sent.wait_for_refusals(100)
        sent.wait_for_more()
    assert {code for _, code in sent.refusals} <= {"queue_unavailable"}
    check_all_is_there_once(up, database, sent)
    check_redis_is_empty(up)


def test_a_worker_is_killed(up: Up, database: Connection) -> None:
    with load(up, "worker") as sent:
        os.kill(up.pids("ops.child", "worker")[0], signal.SIGKILL)
        sent.wait_for_more()
    assert not sent.refusals
    check_all_is_there_once(up, database, sent)
    check_redis_is_empty(up)


def test_a_worker_is_frozen_until_it_is_taken_for_dead_and_then_goes_on(up: Up, database: Connection) -> None:
    with load(up, "zombie") as sent:
        worker = psutil.Process(up.pids("ops.child", "worker")[0])
        worker.suspend()
        try:
            sent.wait_for_more(300)  # longer than a worker may say nothing
        finally:
            worker.resume()
    assert not sent.refusals
    check_all_is_there_once(up, database, sent)
    check_redis_is_empty(up)


def test_postgresql_is_stopped_for_a_while(up: Up) -> None:
    with load(up, "stopped") as sent:
        with up.nothing_is_restarted():
            (postmaster,) = up.pids("postgres", "-D")
            os.kill(postmaster, signal.SIGQUIT)  # at once, as a crash
            time.sleep(OUTAGE_SECONDS)
            assert not up.pids("postgres", "-D")
        sent.wait_for_more()
    assert not sent.refusals
    up.wait_for("postgresql ended, started it again")
    with connect(up.database_url(), "test") as database:
        check_all_is_there_once(up, database, sent)
    check_redis_is_empty(up)


def test_postgresql_is_frozen_for_a_while(up: Up, database: Connection) -> None:
    with load(up, "frozen") as sent:
        frozen = [psutil.Process(pid) for pid in up.pids("postgres") if pid != up.process.pid]
        for process in frozen:
            process.suspend()
        try:
            time.sleep(OUTAGE_SECONDS)
        finally:
            for process in frozen:
                process.resume()
        sent.wait_for_more()
    assert not sent.refusals
    check_all_is_there_once(up, database, sent)
    check_redis_is_empty(up)


def test_valkey_has_no_memory_left_for_a_while(up: Up, database: Connection) -> None:
    workers = up.pids("ops.child", "worker")
    with load(up, "full") as sent, up.redis() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        try:
            sent.wait_for_refusals(200)
        finally:
            client.config_set("maxmemory", 0)
        sent.wait_for_more()
    assert set(sent.refusals) == {(503, "queue_unavailable")}
    check_all_is_there_once(up, database, sent)
    check_redis_is_empty(up)
    assert up.pids("ops.child", "worker") == workers
