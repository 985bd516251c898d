"""How fast workers drain what has piled up, beside stock RQ workers on the same backlog.

Two workers, PostgreSQL and Valkey share the machine. The clock runs from the first deliveries that are seen processed
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
from ops import bench_stock
from ops.bench import Row, row, transcript
from ops.demo import folder_for
from ops.embedded import EmbeddedServers
from store import deliveries
from store.database import Connection, connect
from store.migrate import migrate

TRANSCRIPTS, TURNS, ROUNDS, WORKERS = 600, 30, 3, 2
AT_LEAST = 150  # transcripts/s
TIMES_STOCK = 3
PATIENCE_SECONDS = 120.0

OURS = ["-m", "processors"]
STOCK = ["-c", "from ops.bench_stock import work; work()"]  # imported by its name, as RQ will for the job


def drain(settings: Settings, *, transcripts: int = TRANSCRIPTS, rounds: int = ROUNDS) -> list[Row]:
    """In turn, so that a machine that is slower for a while is so for both."""
    with folder_for(None) as folder, servers(settings, folder) as embedded:
        ours = Settings.from_env(addresses(embedded), env_file=None)
        migrate(ours.conninfo())
        measured: list[tuple[float, float]] = []
        with redis.Redis.from_url(embedded.redis_url or "") as client, connect(ours.conninfo(), "bench") as conn:
            for _ in range(rounds):
                enqueue(ours, backlog(transcripts))
                our_rate = drained(conn, embedded, OURS, transcripts)
                bench_stock.enqueue(client, backlog(transcripts))
                measured.append((our_rate, drained(conn, embedded, STOCK, transcripts)))
                client.flushall()
    rate, stock = (statistics.median(rates) for rates in zip(*measured, strict=True))
    name = f"transcripts of {TURNS} turns drained by {WORKERS} workers"
    beside = row(f"{name}, beside stock RQ workers", rate, "/s", reference=round(stock, 1))
    return [
        row(name, rate, "/s", goal=AT_LEAST, meets=operator.ge),
        beside | {"goal": f"{TIMES_STOCK} times stock", "ok": rate >= TIMES_STOCK * stock},
    ]


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


def drained(conn: Connection, embedded: EmbeddedServers, worker: list[str], transcripts: int) -> float:
    """Starts workers on what lies in Redis; answers how many deliveries a second they processed."""
    before = processed(conn)
    with workers(embedded, worker) as running:
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
def workers(embedded: EmbeddedServers, arguments: list[str]) -> Iterator[list["subprocess.Popen[bytes]"]]:
    environment = addresses(embedded) | {"AI_WEBHOOK_LOG_LEVEL": "WARNING"}
    started = [subprocess.Popen([sys.executable, *arguments], env=environment) for _ in range(WORKERS)]
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
