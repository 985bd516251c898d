"""Told to stop, once and twice: what is under way is ended or given back, who waits is told, and nothing is lost. And a
process that is replaced: no connection fails."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import psycopg
import pytest
import redis

from domain import envelope
from domain.settings import Settings
from processors.__main__ import open_workshop
from processors.jobs import sweep
from tests.conftest import API_KEY, ROOT, TOKEN, delivery
from tests.journeys.stack import running_up
from tests.processors.workshop import accept, talk, work

PATIENCE = 30.0
TALK = talk("walk", "Add a task: paint the shed green.")
# Starts a module with a socket as systemd hands it over: as descriptor 3, for the process of this id.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", sys.argv[2]])
"""


class Process:
    """A process of the service on the servers of this test."""

    def __init__(self, log: Path, arguments: list[str], environment: dict[str, str], descriptor: int | None) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=() if descriptor is None else (descriptor,),
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def until(self, what: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not what():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ends(self) -> int:
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Starting:
    def __init__(self, folder: Path, servers: dict[str, str]) -> None:
        self.folder = folder
        self.servers = servers
        self.started: list[Process] = []

    def worker(self, **environment: str) -> Process:
        return self.begin(["-m", "processors"], environment)

    def web(self, held: socket.socket, module: str = "ops.web", **environment: str) -> Process:
        """A web process on a socket that the test holds, ready."""
        web = self.begin(["-c", HAND_OVER, str(held.fileno()), module], environment, held.fileno())
        web.until(lambda: "web is ready" in web.output)
        return web

    def begin(self, arguments: list[str], environment: dict[str, str], descriptor: int | None = None) -> Process:
        log = self.folder / f"{len(self.started)}.log"
        self.started.append(Process(log, arguments, self.servers | environment, descriptor))
        return self.started[-1]


@pytest.fixture
def start(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Starting]:
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "WEBHOOK_API_KEY": API_KEY}
    starting = Starting(tmp_path, servers | {"AI_WEBHOOK_TOKEN": TOKEN, "AI_WEBHOOK_EXTRACTORS": "rules"})
    yield starting
    for one in starting.started:
        one.kill()


# ---- Workers ----


def found(database_url: str, question: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database_url) as conn:
        return conn.execute(question).fetchall()  # type: ignore[call-overload,no-any-return]


def states(database_url: str) -> list[tuple[object, ...]]:
    return found(database_url, "SELECT state, attempts FROM deliveries")


def titles(database_url: str) -> list[tuple[object, ...]]:
    return found(database_url, "SELECT title FROM tasks")


def held_up(
    start: Starting, settings: Settings, **environment: str
) -> tuple["psycopg.Connection[tuple[object]]", Process]:
    """A worker in the middle of a job, which cannot go on for the lock that the connection holds."""
    lock = psycopg.connect(settings.conninfo())
    lock.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
    accept(settings, delivery(TALK))
    worker = start.worker(**environment)
    waiting = (
        "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"
    )
    # What waits may also be the upkeep; once it is recorded, the delivery is in hand.
    worker.until(lambda: states(settings.conninfo()) == [("received", 0)] and bool(found(settings.conninfo(), waiting)))
    return lock, worker


def test_a_worker_ends_the_job_in_hand_and_takes_no_other(
    start: Starting, settings: Settings, redis_client: "redis.Redis"
) -> None:
    lock, worker = held_up(start, settings, AI_WEBHOOK_STOP_SECONDS="30")
    worker.stop()
    accept(settings, delivery(talk("office", "Add a task: call Ben.")))
    lock.close()
    assert worker.ends() == 0
    assert states(settings.conninfo()) == [("processed", 1)]
    assert titles(settings.conninfo()) == [("Paint the shed green",)]
    assert redis_client.scard(envelope.BATCHES) == 1  # the other, which is for another worker
    assert not list(redis_client.scan_iter(envelope.alive_name("*")))
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("stop_seconds", ["2", "600"], ids=["out of time", "told twice"])
def test_a_job_that_takes_too_long_is_given_back_and_done_once_by_another(
    start: Starting, settings: Settings, redis_client: "redis.Redis", stop_seconds: str
) -> None:
    lock, worker = held_up(start, settings, AI_WEBHOOK_STOP_SECONDS=stop_seconds)
    with closing(lock):
        worker.stop()
        if stop_seconds == "600":
            time.sleep(1.1)  # RQ takes two signals within a second for one
            worker.stop()
        assert worker.ends() == 0
    assert "given back" in worker.output
    assert "Traceback" not in worker.output
    (batch,) = redis_client.smembers(envelope.BATCHES)
    assert redis_client.hget(envelope.meta_name(batch.decode()), "excused") == b"1"  # it is not held against it
    assert states(settings.conninfo()) == [("received", 0)]
    shop = open_workshop(settings, "another")
    with closing(shop.pool):
        deadline = time.monotonic() + PATIENCE
        while states(settings.conninfo()) != [("processed", 1)]:
            assert time.monotonic() < deadline
            sweep(shop)
            work(shop)
            time.sleep(0.1)
    assert titles(settings.conninfo()) == [("Paint the shed green",)]
    assert redis_client.scard(envelope.BATCHES) == 0


def test_a_worker_without_redis_ends_when_told(start: Starting) -> None:
    worker = start.worker(REDIS_URL="redis://127.0.0.1:1/0")
    worker.until(lambda: "work put off" in worker.output)
    worker.stop()
    assert worker.ends() == 0
    assert "Traceback" not in worker.output


# ---- The web process ----


@pytest.fixture
def held() -> Iterator[socket.socket]:
    """The socket that senders connect to, held open by the test over restarts."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listening:
        yield listening


def url_of(held: socket.socket) -> str:
    return f"http://127.0.0.1:{held.getsockname()[1]}"


SENDER = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
AGENT = {"authorization": f"Bearer {TOKEN}"}


def test_who_waits_and_who_is_sending_when_it_stops_are_answered_before_it_ends(
    start: Starting, held: socket.socket
) -> None:
    web = start.web(held)
    answers: dict[str, httpx2.Response] = {}
    streaming, half_sent, rest = threading.Event(), threading.Event(), threading.Event()

    def listen() -> None:
        headers = AGENT | {"accept": "text/event-stream"}
        with (
            httpx2.Client(timeout=PATIENCE) as client,
            client.stream("GET", f"{url_of(held)}/api/events", headers=headers) as stream,
        ):
            streaming.set()
            stream.read()
            answers["stream"] = stream

    def claim() -> None:
        asked = {"agent_name": "claude_code", "control_agent": "me", "wait_seconds": 25}
        answers["claim"] = httpx2.post(f"{url_of(held)}/api/tasks/claim", json=asked, headers=AGENT, timeout=PATIENCE)

    def body() -> Iterator[bytes]:
        yield TALK[:10].encode()
        half_sent.set()
        rest.wait(PATIENCE)
        yield TALK[10:].encode()

    def send() -> None:
        answers["send"] = httpx2.post(
            f"{url_of(held)}/webhook/generic", content=body(), headers=SENDER, timeout=PATIENCE
        )

    threads = [threading.Thread(target=one) for one in (listen, claim, send)]
    for thread in threads:
        thread.start()
    assert streaming.wait(PATIENCE)
    assert half_sent.wait(PATIENCE)
    waiting = (
        "SELECT FROM pg_stat_activity WHERE application_name = 'ai-webhook waiting' AND datname = current_database()"
    )
    web.until(lambda: found(start.servers["DATABASE_URL"], waiting))
    web.stop()
    threads[1].join(PATIENCE)
    rest.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert web.ends() == 0
    assert "Traceback" not in web.output
    assert (answers["send"].status_code, answers["send"].json()["status"]) == (200, "accepted")
    assert (answers["claim"].status_code, answers["claim"].json()["items"]) == (200, [])
    assert [answers[name].headers["connection"] for name in ("send", "claim")] == ["close", "close"]
    assert ": stopping\r\nretry: 500" in answers["stream"].text


@pytest.mark.parametrize(("descriptors", "words"), [("2", "hands over 2 sockets"), ("1", "no socket that listens")])
def test_what_is_no_socket_to_listen_on_is_refused_in_a_sentence(start: Starting, descriptors: str, words: str) -> None:
    with open(os.devnull) as nothing:
        given = HAND_OVER.replace('"1"', f'"{descriptors}"')
        web = start.begin(["-c", given, str(nothing.fileno()), "ops.web"], {}, nothing.fileno())
        assert web.ends() == 2
    assert words in web.output
    assert "Traceback" not in web.output


class Senders:
    """Post all the time, half of them over one connection each; `failures` is what went wrong."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.url, self.headers = url, headers
        self.accepted, self.failures = 0, list[str]()
        self.stopping, self.counted = threading.Event(), threading.Condition()
        self.threads = [threading.Thread(target=self.send, args=(n, n % 2 == 0)) for n in range(4)]

    def send(self, number: int, keeps: bool) -> None:
        client = httpx2.Client(timeout=PATIENCE, limits=httpx2.Limits(max_keepalive_connections=1 if keeps else 0))
        with client:
            count = 0
            while not self.stopping.is_set():
                count += 1
                name = {"idempotency-key": f"{number}-{count}"}
                body = talk(f"walk {number}-{count}", "I went for a walk.")
                try:
                    answer = client.post(f"{self.url}/webhook/generic", content=body, headers=self.headers | name)
                    problem = None if answer.status_code == 200 else answer.text
                except httpx2.TransportError as error:
                    problem = repr(error)
                with self.counted:
                    self.accepted += problem is None
                    self.failures += [problem] if problem else []
                    self.counted.notify_all()
                self.stopping.wait(0.01)

    def more(self, number: int = 40) -> None:
        """Waits until so many more were accepted."""
        with self.counted:
            wanted = self.accepted + number
            assert self.counted.wait_for(lambda: self.accepted >= wanted or self.failures, PATIENCE)

    def __enter__(self) -> "Senders":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE)


def test_a_web_process_is_replaced_on_its_socket_and_no_sender_fails(
    start: Starting, held: socket.socket, redis_client: "redis.Redis"
) -> None:
    web = start.web(held)
    with Senders(url_of(held), SENDER) as senders:
        senders.more()
        for _ in range(2):  # the next one takes over before the last one ends
            after = start.web(held)
            web.stop()
            assert web.ends() == 0
            web = after
            senders.more()
        web.stop()  # and nobody is there for a while: senders wait in the socket's queue
        assert web.ends() == 0
        web = start.web(held)
        senders.more()
    assert senders.failures == []
    assert sum(1 for _ in redis_client.scan_iter(envelope.delivery_name("*"), 1000)) == senders.accepted


def test_up_replaces_its_processes_and_no_sender_fails() -> None:
    with running_up("--workers", "1") as up:
        before = [up.pids("ops.child", kind) for kind in ("web", "worker")]
        with Senders(up.url, up.headers()) as senders:
            senders.more()
            up.process.send_signal(signal.SIGUSR1)
            up.wait_for("worker 1 is replaced")
            senders.more()
        assert senders.failures == []
        after = [up.pids("ops.child", kind) for kind in ("web", "worker")]
        assert [len(pids) for pids in after] == [1, 1]
        assert not {*before[0], *before[1]} & {*after[0], *after[1]}
        with up.client() as client:
            deadline = time.monotonic() + PATIENCE
            while client.call("count_deliveries")["processed"] < senders.accepted:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert up.stop() == 0
