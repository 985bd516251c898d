"""How fast workers drain what has piled up, beside stock RQ workers and Celery's on the same backlog.

The workers, PostgreSQL and Valkey share the machine. The clock runs from the first deliveries that are seen processed
to the last: starting a process is not counted for either.
"""

import asyncio
import operator
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import redis

from domain.delivery import Delivery
from domain.errors import Unavailable
from domain.settings import Settings
from ingest.enqueueing import open_enqueuer
from ops import bench_peers
from ops.bench import Row, is_installed, row, transcript
from ops.demo import folder_for
from ops.embedded import EmbeddedServers
from store import deliveries
from store.database import Connection, connect
from store.migrate import migrate

TRANSCRIPTS, TURNS, ROUNDS, WORKERS = 600, 30, 3, 2
AT_LEAST = 150  # transcripts/s
TIMES_STOCK = 3
TIMES_ONE = 1.8  # what two workers do of what one does
PEERS_SHARE = 4  # of the transcripts peers get so many times fewer, since they take ten times as long for each
PATIENCE_SECONDS = 120.0

OURS = ["-m", "processors"]
STOCK = ["-c", "from ops.bench_peers import work_stock as work; work()"]  # by its name, as RQ will for the job
CELERY = ["-c", "from ops.bench_peers import work_celery as work; work()"]


def drain(settings: Settings, *, transcripts: int = TRANSCRIPTS, rounds: int = ROUNDS) -> list[Row]:
    """In turn, so that a machine that is slower for a while is so for all."""
    peers = {"stock RQ": (STOCK, bench_peers.enqueue_stock), "Celery": (CELERY, bench_peers.enqueue_celery)}
    if not is_installed("celery", "fastapi"):
        del peers["Celery"]
    measured: dict[str, list[float]] = {who: [] for who in ("ours", "one", *peers)}
    with folder_for(None) as folder, servers(settings, folder) as embedded:
        ours = Settings.from_env(addresses(embedded), env_file=None)
        migrate(ours.conninfo())
        redis_url = embedded.redis_url or ""
        with redis.Redis.from_url(redis_url) as client, connect(ours.conninfo(), "bench") as conn:
            for _ in range(rounds):
                for who, count in (("ours", WORKERS), ("one", 1)):
                    enqueue(ours, backlog(transcripts))
                    measured[who].append(drained(conn, embedded, OURS, transcripts, count))
                for peer, (worker, put) in peers.items():
                    fewer = transcripts // PEERS_SHARE
                    put(redis_url, backlog(fewer))
                    measured[peer].append(drained(conn, embedded, worker, fewer))
                client.flushall()
    rate = statistics.median(measured.pop("ours"))
    name = f"transcripts of {TURNS} turns drained by {WORKERS} workers"
    one = statistics.median(measured.pop("one"))
    rows = [
        row(name, rate, "/s", goal=AT_LEAST, meets=operator.ge),
        row(f"{name}, beside 1 worker", rate, "/s", reference=round(one, 1))
        | {"goal": f"{TIMES_ONE} times on idle cores", "ok": rate >= TIMES_ONE * one},
    ]
    for peer, rates in measured.items():
        beside = statistics.median(rates)
        compared = row(f"{name}, beside {peer} workers", rate, "/s", reference=round(beside, 1))
        if peer == "stock RQ":
            compared |= {"goal": f"{TIMES_STOCK} times stock", "ok": rate >= TIMES_STOCK * beside}
        rows.append(compared)
    return rows


def servers(settings: Settings, folder: Path) -> EmbeddedServers:
    return EmbeddedServers(folder, server_user=settings.server_user, postgres_bin=settings.postgres_bin)


def addresses(embedded: EmbeddedServers) -> dict[str, str]:
    return {"DATABASE_URL": embedded.database_url or "", "REDIS_URL": embedded.redis_url or ""}


def backlog(transcripts: int) -> list[Delivery]:
    now, run = datetime.now(UTC), uuid.uuid4().hex
    return [
        Delivery("generic", f"{run}-{number}", "transcript", now, "application/json", transcript(number, TURNS))
        for number in range(transcripts)
    ]


def enqueue(settings: Settings, arrived: Sequence[Delivery]) -> None:
    async def accept() -> None:
        enqueuer = open_enqueuer(settings)
        await asyncio.gather(*map(enqueuer.enqueue, arrived))
        await enqueuer.close()

    asyncio.run(accept())


def drained(
    conn: Connection, embedded: EmbeddedServers, worker: list[str], transcripts: int, count: int = WORKERS
) -> float:
    """Starts so many workers on what lies in Redis; answers how many deliveries a second they processed."""
    before = processed(conn)
    with workers(embedded, worker, count) as running:
        first, began = wait_for(conn, before + 1, running)
        last, ended = wait_for(conn, before + transcripts, running)
    return (last - first) / (ended - began)


def processed(conn: Connection) -> int:
    return deliveries.count_states(conn).get("processed", 0)


def wait_for(conn: Connection, wanted: int, running: Sequence["subprocess.Popen[bytes]"]) -> tuple[int, float]:
    """When so many deliveries are first seen to be processed, and how many there are."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and all(process.poll() is None for process in running):
        if (count := processed(conn)) >= wanted:
            return count, time.perf_counter()
        time.sleep(0.02)  # looking costs, and is not what is measured
    raise Unavailable("The workers do not finish.")


@contextmanager
def workers(embedded: EmbeddedServers, arguments: list[str], count: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
    environment = addresses(embedded) | {"AI_WEBHOOK_LOG_LEVEL": "WARNING"}
    started = [
        subprocess.Popen(
            [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(count)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
