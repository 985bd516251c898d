"""Servers that go away for a while, or have no room, under sustained load: accepted means processed, once."""

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from store.database import Connection, connect
from tests.journeys.load import check_all_is_there_once, check_redis_is_empty, load
from tests.journeys.stack import Up, running_up

OUTAGE_SECONDS = 8  # longer than a worker may say nothing, and than the pools wait for a connection


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with running_up(AI_WEBHOOK_SWEEP_SECONDS="1") as running:
        yield running


@pytest.fixture
def database(up: Up) -> Iterator[Connection]:
    with connect(up.database_url(), "test") as conn:
        yield conn


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
