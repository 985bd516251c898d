"""Redis that forgets everything, senders who repeat themselves, and what failed until somebody mended its cause."""

import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from store.database import Connection, connect
from tests.conftest import ROOT, reachable_folder
from tests.journeys.load import Load, check_all_is_there_once, check_redis_is_empty, query
from tests.journeys.stack import Up, environment, running_up
from tests.processors.sender_api import TOKEN, Api, answering
from tests.processors.test_telling import stored

DELIVERIES, TIMES = 60, 3
PAYLOADS = ROOT / "tests" / "payloads" / "assemblyai"


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with running_up(AI_WEBHOOK_SWEEP_SECONDS="1") as running:
        yield running


@pytest.fixture
def database(up: Up) -> Iterator[Connection]:
    with connect(up.database_url(), "test") as conn:
        yield conn


# Redis is wiped


@pytest.mark.parametrize("workers_die", [False, True])
def test_what_postgresql_has_recorded_needs_no_redis(up: Up, database: Connection, workers_die: bool) -> None:
    sent = Load(up, f"wiped-{workers_die}")
    workers = [psutil.Process(pid) for pid in up.pids("ops.child", "worker")]
    with up.redis() as redis_client, connect(up.database_url(), "test") as other:
        with other.transaction():
            other.execute("LOCK TABLE turns IN SHARE ROW EXCLUSIVE MODE")  # recording goes on, and nothing after it
            send_as_one_batch(sent, workers)
            wait_until_recorded(database, sent)
            if workers_die:
                for worker in workers:
                    worker.kill()
            redis_client.flushall()
            assert not list(redis_client.scan_iter("aiw:batch*"))
        assert {row["state"] for row in query(database, STATES, sent)} <= {"received", "processed"}
        # Waits for those who hold the rows; then they are due, as they would be a minute after they were recorded.
        database.execute("UPDATE deliveries SET next_attempt_at = now() WHERE state = 'received'")
    check_all_is_there_once(up, database, sent)
    check_redis_is_empty(up)


STATES = "SELECT state FROM deliveries WHERE delivery_id LIKE %s"


def send_as_one_batch(sent: Load, workers: list[psutil.Process]) -> None:
    """While no worker takes anything, deliveries wait together."""
    for worker in workers:
        worker.suspend()
    with sent.up.client() as client:
        for number in range(20):
            sent.accepted.append(sent.deliver(client, f"{sent.name}-{number}", number))
    for worker in workers:
        worker.resume()


def wait_until_recorded(database: Connection, sent: Load) -> None:
    deadline = time.monotonic() + 30
    while (found := len(query(database, STATES, sent))) < len(sent.accepted):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    assert {row["state"] for row in query(database, STATES, sent)} == {"received"}


# Repeats


def test_repeats_from_two_processes_have_one_effect_also_when_redis_has_forgotten(up: Up, database: Connection) -> None:
    sent = Load(up, "repeated")
    for _ in range(2):
        told = Counter(send_from_two_processes(up, sent.name))
        sent.accepted = sorted({key for key, _ in told})
        assert len(sent.accepted) == DELIVERIES
        for key in sent.accepted:
            assert (told[key, "accepted"], told[key, "duplicate"]) == (1, 2 * TIMES - 1)
        check_all_is_there_once(up, database, sent)
        check_redis_is_empty(up)
        with up.redis() as redis_client:
            redis_client.flushall()
    rows = query(database, "SELECT attempts FROM deliveries WHERE delivery_id LIKE %s", sent)
    assert {row["attempts"] for row in rows} == {1}


def send_from_two_processes(up: Up, name: str) -> list[tuple[str, str]]:
    """What both were told: delivery and status."""
    command = [sys.executable, "-m", "tests.journeys.sender", name, str(DELIVERIES), str(TIMES)]
    given = environment() | {"SENDER_URL": up.url, "SENDER_KEY": up.secrets["api_key"]}
    senders = [
        subprocess.Popen(command, cwd=ROOT, env=given, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for sender in senders:
        assert sender.stdout is not None
        assert sender.stdout.readline() == "ready\n"
    for sender in senders:
        assert sender.stdin is not None
        sender.stdin.write("\n")
        sender.stdin.flush()
    told: list[tuple[str, str]] = []
    for sender in senders:
        output, _ = sender.communicate(timeout=60)
        assert sender.returncode == 0
        told += [(key, status) for key, status in (line.split() for line in output.splitlines())]
    return told


# Failed, mended and replayed


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    server.routes["/v2/transcript/9ea68fd3-f953-42c1-9742-976c447fb463"] = answering(
        (PAYLOADS / "fetched" / "transcript.json").read_bytes()
    )
    yield server
    server.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    path = reachable_folder()
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_a_replay_after_the_cause_is_mended_makes_what_a_first_success_makes(api: Api, folder: Path) -> None:
    announced = (PAYLOADS / "completed.json").read_bytes()
    without_token = {"FETCH_URL_ASSEMBLYAI": api.url, "AI_WEBHOOK_SWEEP_SECONDS": "1"}
    mended = {**without_token, "FETCH_TOKEN_ASSEMBLYAI": TOKEN}
    up = Up(folder, **without_token)
    try:
        with up.client() as client:
            key = client.deliver("assemblyai", announced, up.headers())["delivery"]
            assert settled(up, key)["error_code"] == "fetch_no_token"
            assert [row["id"] for row in client.call("list_deliveries", state="failed")["items"]] == [key]
            assert client.call("get_delivery_body", key) == announced
        assert not api.asked
        assert up.stop() == 0
        up = Up(folder, **mended)
        with up.client() as client:
            assert client.call("replay_delivery", key)["state"] == "received"
        assert settled(up, key)["state"] == "processed"
        replayed = everything(up)
    finally:
        if up.process.poll() is None:
            up.process.send_signal(signal.SIGTERM)
            up.process.wait(30)
    with running_up(**mended) as fresh:
        with fresh.client() as client:
            assert client.deliver("assemblyai", announced, fresh.headers())["delivery"] == key
        assert settled(fresh, key)["state"] == "processed"
        assert everything(fresh) == replayed
    assert replayed["turns"]


def settled(up: Up, key: str) -> dict[str, Any]:
    """The delivery once it is finished, for good or bad."""
    deadline = time.monotonic() + 30
    with connect(up.database_url(), "test") as conn:
        while True:
            row = conn.execute("SELECT state, error_code FROM deliveries WHERE id = %s", [key]).fetchone()
            if row is not None and row["state"] != "received":
                return row
            assert time.monotonic() < deadline
            time.sleep(0.05)


def everything(up: Up) -> dict[str, Any]:
    with connect(up.database_url(), "test") as conn:
        return stored(conn)
