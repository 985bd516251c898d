"""kill -9 of every process, one after the other, while conversations come in: accepted means processed, once."""

import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import orjson
import psutil

from access.client import Client
from domain.errors import AIWebhookError
from store.database import connect
from tests.conftest import reachable_folder
from tests.journeys.stack import Up

SENDS = 200
KILLS = {30: "web", 60: "worker", 90: "valkey", 130: "postgres"}


def body(number: int) -> bytes:
    said = [
        {"speaker": "Alice", "text": f"I've decided that plan number {number} is the one."},
        {"speaker": "Alice", "text": f"Add a task: write up plan number {number}."},
    ]
    return orjson.dumps({"session": f"walk-{number % 20}", "turns": said})


def deliver_until_accepted(up: Up, client: Client, number: int) -> str:
    """As a sender does: anything but a 200 is tried again, with the same delivery id."""
    headers = {**up.headers(), "idempotency-key": f"send-{number}"}
    deadline = time.monotonic() + 60
    while True:
        try:
            return str(client.deliver("generic", body(number), headers)["delivery"])
        except AIWebhookError as error:
            assert error.status >= 500, error.message  # never a 4xx for a fault of ours
            assert time.monotonic() < deadline, error.message
            time.sleep(0.05)


def kill(up: Up, what: str) -> None:
    words = {"web": ("ops.child", "web"), "worker": ("ops.child", "worker"), "valkey": ("valkey-server",),
             "postgres": ("postgres", "-D")}[what]  # fmt: skip
    victims = up.pids(*words)
    assert victims, f"no {what} process found"
    os.kill(victims[0], signal.SIGKILL)


def test_every_accepted_delivery_is_processed_exactly_once() -> None:
    folder = reachable_folder()
    up = Up(folder)
    accepted: list[str] = []
    counted = threading.Condition()

    def send(number: int) -> None:
        with up.client() as client:
            key = deliver_until_accepted(up, client, number)
        with counted:
            accepted.append(key)
            counted.notify_all()

    try:
        with ThreadPoolExecutor(4) as senders:
            sends = [senders.submit(send, number) for number in range(SENDS)]
            for after, what in KILLS.items():
                with counted:
                    assert counted.wait_for(lambda after=after: len(accepted) >= after, 60)  # type: ignore[misc]
                kill(up, what)
            for one in sends:
                one.result(120)
        assert len(set(accepted)) == SENDS
        # And `up` itself, which leaves the servers to the next one.
        os.kill(up.process.pid, signal.SIGKILL)
        up.process.wait()
        up = Up(folder)
        wait_until_processed(up, SENDS)
        check_everything_is_there_once(up)
        assert up.stop() == 0
        assert not leftovers(str(folder))
    finally:
        if up.process.poll() is None:
            up.process.terminate()
            up.process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_processed(up: Up, count: int) -> None:
    deadline = time.monotonic() + 120
    with up.client() as client:
        while (counts := client.call("count_deliveries"))["processed"] < count:
            assert counts["failed"] == 0, client.call("list_deliveries", state="failed")
            assert time.monotonic() < deadline, counts
            time.sleep(0.1)


def check_everything_is_there_once(up: Up) -> None:
    with connect(up.database_url(), "test") as conn:
        turns = conn.execute("SELECT text, count(*) AS n FROM turns GROUP BY text").fetchall()
        assert len(turns) == 2 * SENDS
        assert {row["n"] for row in turns} == {1}
        tasks = conn.execute("SELECT title, count(*) AS n FROM tasks GROUP BY title").fetchall()
        assert len(tasks) == SENDS
        assert {row["n"] for row in tasks} == {1}
        counters = conn.execute(
            "SELECT count(*) AS n FROM sessions s"
            " WHERE task_count <> (SELECT count(*) FROM tasks WHERE session_id = s.id)"
            " OR memory_count <> (SELECT count(*) FROM memories WHERE session_id = s.id)"
        ).fetchone()
        assert counters == {"n": 0}


def leftovers(folder: str) -> list[str]:
    """Processes that still have to do with the folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = " ".join(process.info["cmdline"] or [])
        if folder in line or (process.info["cwd"] or "").startswith(folder):
            found.append(line)
    return found
