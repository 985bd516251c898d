"""How fast the endpoint accepts: one process, posts from another one on the same machine, Valkey with fsync always."""

import base64
import operator
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2
import orjson
import redis

from domain.errors import AIWebhookError, Unavailable
from domain.settings import Settings
from ops.bench import Row, is_installed, proportional_kilobytes, row
from ops.bench_sender import Load, Sent
from ops.demo import folder_for
from ops.embedded import EmbeddedServers, free_port

CONNECTIONS = 64
SHORT_TURNS, LONG_TURNS = 41, 9_100  # 4.5 kB and 1 MB
SHARE = 0.8  # of what the endpoint answers without a queue
RATE = 1_000
READY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is sent: in each of the rounds, at the fixed rate, of each length, and between two looks at memory."""

    rounds: int = 5
    posts: int = 8_000
    paced: int = 10_000
    long_ones: int = 60
    step: int = 10_000
    steps: int = 10


@dataclass(frozen=True, slots=True)
class Endpoint:
    port: int
    secret: str
    pid: int

    def take(
        self,
        posts: int,
        turns: int = SHORT_TURNS,
        *,
        connections: int = CONNECTIONS,
        per_second: float | None = None,
    ) -> Sent:
        """Has a sender of its own process post so much; every post has to be accepted."""
        load = Load(self.port, self.secret, posts, turns, connections, per_second)
        command = [sys.executable, "-m", "ops.bench_sender"]
        done = subprocess.run(command, input=orjson.dumps(asdict(load)), stdout=subprocess.PIPE, check=True)
        sent = Sent(**orjson.loads(done.stdout))
        if sent.refused:
            raise AIWebhookError(f"The endpoint refused {sent.refused} of {posts} posts.")
        return sent


def ingest(settings: Settings, sizes: Sizes | None = None) -> list[Row]:
    """Deliveries accepted, beside the same endpoint without its queue, and beside FastAPI with Celery; how late at a
    fixed rate; size; memory."""
    sizes = sizes or Sizes()
    with folder_for(None) as folder, valkey(settings, folder) as servers:
        url = servers.redis_url or ""
        with redis.Redis.from_url(url) as client:
            with ExitStack() as running:
                ours = running.enter_context(endpoint("ingest", url))
                beside = {"verifying": running.enter_context(endpoint("ops.bench_answering", url))}
                if is_installed("fastapi", "celery"):
                    beside["FastAPI and Celery"] = running.enter_context(endpoint("ops.bench_peers", url))
                rows = accepted(ours, beside, client, sizes)
                rows += paced(ours, client, sizes.paced)
                rows.append(long_ones(ours, client, sizes.long_ones))
            if sys.platform == "linux":
                with endpoint("ingest", url) as ours:
                    rows.append(growth(ours, client, sizes))
    return rows


def accepted(ours: Endpoint, beside: Mapping[str, Endpoint], client: "redis.Redis", sizes: Sizes) -> list[Row]:
    """In turn, so that a machine that is slower for a while is so for all; the first round only warms up."""
    rates: dict[Endpoint, list[float]] = {which: [] for which in (ours, *beside.values())}
    for _ in range(sizes.rounds + 1):
        for which, measured in rates.items():
            measured.append(sizes.posts / which.take(sizes.posts).seconds)
            client.flushall()
    medians = {which: statistics.median(measured[1:]) for which, measured in rates.items()}
    rate, name = medians[ours], f"4.5 kB posts accepted, {CONNECTIONS} connections"
    rows = [
        row(f"{name}, beside {peer}", rate, "/s", reference=round(medians[which])) for peer, which in beside.items()
    ]
    rows[0] |= {"goal": f"{SHARE} of verifying alone", "ok": rate >= SHARE * medians[beside["verifying"]]}
    return rows


def paced(ours: Endpoint, client: "redis.Redis", posts: int) -> list[Row]:
    cuts = statistics.quantiles(ours.take(posts, per_second=RATE).milliseconds, n=100)
    client.flushall()
    name = f"{RATE:,} posts/s, from when each was due"
    return [row(f"{name}, p50", cuts[49], "ms"), row(f"{name}, p99", cuts[98], "ms", goal=15, meets=operator.lt)]


def long_ones(ours: Endpoint, client: "redis.Redis", posts: int) -> Row:
    short, long = (
        statistics.median(ours.take(posts, turns, connections=1).milliseconds) for turns in (SHORT_TURNS, LONG_TURNS)
    )
    client.flushall()
    made = row("a transcript of 1 MB, p50", long, "ms", reference=round(short, 3))
    return made | {"goal": "20 ms more than 4.5 kB", "ok": long < short + 20}


def growth(ours: Endpoint, client: "redis.Redis", sizes: Sizes) -> Row:
    """Memory after all the posts beside memory after the first tenth. Redis is emptied in between, so it grows not."""
    megabytes = []
    for _ in range(sizes.steps):
        ours.take(sizes.step)
        client.flushall()
        megabytes.append(proportional_kilobytes(ours.pid) / 1024)
    name = f"endpoint after {sizes.step * sizes.steps:,} posts (reference: after {sizes.step:,})"
    made = row(name, megabytes[-1], "MB", reference=round(megabytes[0], 1))
    return made | {"goal": "5 MB more", "ok": megabytes[-1] <= megabytes[0] + 5}


def valkey(settings: Settings, folder: Path) -> EmbeddedServers:
    return EmbeddedServers(folder, server_user=settings.server_user, postgres=False)


@contextmanager
def endpoint(module: str, redis_url: str) -> Iterator[Endpoint]:
    """`python -m module` as a process that answers."""
    port, secret = free_port(), "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    environment = {"REDIS_URL": redis_url, "WEBHOOK_SECRET_GENERIC": secret, "AI_WEBHOOK_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", module], env=environment)
    try:
        wait_until_ready(process, f"http://127.0.0.1:{port}/healthz")
        yield Endpoint(port, secret, process.pid)
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx2.get(url).raise_for_status()
        except httpx2.TransportError:
            time.sleep(0.02)
        else:
            return
    raise Unavailable("The endpoint does not start.")
