"""Single processes of the service, as they run on hosts of their own, and how deliveries reach them."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx2
import orjson

from store.database import Connection
from tests.conftest import API_KEY, ROOT
from tests.journeys.sending import Sending
from tests.journeys.stack import environment

SENDERS = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*command: str, before: tuple[str, ...] = (), **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A program of ours with nothing set but `settings`; `before` goes in front, as `ip netns exec NAME`."""
    started = subprocess.Popen([*before, sys.executable, "-m", *command], cwd=ROOT, env=environment() | settings)
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def endpoint_settings(redis_url: str, port: int) -> dict[str, str]:
    """All that an endpoint needs, which has no credentials of the database."""
    return {
        "REDIS_URL": redis_url,
        "WEBHOOK_API_KEY": API_KEY,
        "AI_WEBHOOK_PORT": str(port),
        "AI_WEBHOOK_RATE_LIMIT": "100000/minute",
    }


def wait_until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=3).status_code == 200
    except httpx2.HTTPError:
        return False


class Senders(Sending):
    """To an endpoint; `accepted` are their ids, `refusals` by status, 0 where no answer came."""

    more, more_seconds, refused_seconds = 15, 90.0, 60.0

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, sender: int) -> None:
        with httpx2.Client(timeout=10) as client:
            number = 0
            while not self.stopping.is_set():
                self.deliver(client, f"{sender}-{number}")
                number += 1
                self.stopping.wait(0.05)

    def deliver(self, client: httpx2.Client, name: str) -> None:
        said = [{"speaker": "Alice", "text": f"Add a task: write up {name}."}]
        body = orjson.dumps({"session": f"talk-{name}", "turns": said})
        headers = {
            "authorization": f"Bearer {API_KEY}",
            "content-type": "application/json",
            "idempotency-key": name,
        }
        deadline = time.monotonic() + 90
        while True:
            try:
                status = client.post(f"{self.url}/webhook/generic", content=body, headers=headers).status_code
            except httpx2.HTTPError:
                status = 0
            if status == 200:
                self.accept(name)
                return
            self.refuse(status)
            assert status == 0 or status >= 500, status  # never a 4xx for a fault of ours
            assert time.monotonic() < deadline, self.refusals
            time.sleep(0.1)


def sending(url: str) -> AbstractContextManager[Senders]:
    """Senders while the block runs; every delivery has been accepted when it ends."""
    return Senders(url).by(SENDERS)


def check_all_is_there_once(conn: Connection, accepted: list[str]) -> None:
    """What was accepted is processed, with one turn and one task of each."""

    def counts() -> tuple[int, int]:
        row = conn.execute("SELECT count(*) AS n, count(*) FILTER (WHERE state = 'processed') AS p FROM deliveries")
        found = row.fetchone()
        assert found is not None
        return found["n"], found["p"]

    wanted = (len(accepted), len(accepted))
    wait_until(lambda: counts() == wanted, f"{wanted} is not what came of them")
    assert len(set(accepted)) == len(accepted)
    for table in ("turns", "tasks"):
        found = conn.execute(f"SELECT session_id, count(*) AS n FROM {table} GROUP BY session_id").fetchall()
        assert {row["session_id"].removeprefix("talk-"): row["n"] for row in found} == dict.fromkeys(accepted, 1), table
