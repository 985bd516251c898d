"""How fast the console shows its pages where much is kept, and what many open pages cost the endpoint beside them."""

import gzip
import operator
import re
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial

import httpx2
import orjson

from access.console import passwords
from access.console.login import cookie_name
from domain.errors import Unavailable
from domain.settings import Settings
from ops.bench import Row, row, running
from ops.bench_api import milliseconds_of, percentile, until
from ops.bench_consoles import Load as OpenPages
from ops.bench_search import TURN_WORDS, TURNS_A_CHUNK, Talk, write_chunks
from ops.bench_sender import Load, Sent
from ops.demo import folder_for
from ops.up import Stack
from store import agents, bench, people
from store.database import Connection, connect

GOAL_MS, GOAL_KB, SHARE = 50, 120, 0.9
LONG_TURNS = 20_000
CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Sizes:
    chunks: int = 100_000
    deep_chunks: int = 1_000_000
    visits: int = 60
    told: int = 40
    open_pages: int = 200
    posts: int = 3_000
    rounds: int = 4


def console(settings: Settings, *, deep: bool = False, sizes: Sizes | None = None) -> list[Row]:
    sizes = sizes or Sizes()
    with folder_for(None) as folder, running(settings, folder) as stack, connect(stack.database_url(), "bench") as conn:
        cookie = logged_in(conn)
        words = fill(conn, sizes.deep_chunks if deep else sizes.chunks)
        with visitor(stack, cookie) as client:
            made = [*pages(client, words, sizes.visits), first_load(client), told(client, conn, sizes.told)]
        return [*made, beside(stack, cookie, sizes)]


def logged_in(conn: Connection) -> str:
    link = people.add_link(conn, role="admin")
    person = people.use_link(conn, link["token"], name="bench", password=passwords.hashed(secrets.token_hex()))
    return people.begin_login(conn, person.name, "bench")


@contextmanager
def visitor(stack: Stack, cookie: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=stack.url, cookies={cookie_name(False): cookie}, timeout=120) as client:
        yield client


def fill(conn: Connection, chunks: int) -> list[str]:
    """Chunks, a fifth as many memories, a tenth as many tasks, as many deliveries; and one very long session. Answers
    words that memories have."""
    talk = Talk()
    bench.take_time(conn)
    write_chunks(conn, talk, chunks)
    bench.fill_talks(conn, talk.texts(LONG_TURNS, TURN_WORDS), LONG_TURNS, TURNS_A_CHUNK)
    for name in ("codex", "claude_code"):
        agents.register(conn, name, max_concurrent=None)
    words: list[str] = talk.words[60:400].tolist()
    bench.fill_records(conn, memories=chunks // 5, tasks=chunks // 10, deliveries=chunks, words=words)
    return words


def pages(client: httpx2.Client, words: list[str], visits: int) -> list[Row]:
    addresses = {
        "Today": ["/"],
        "Inbox": ["/inbox"],
        "Inbox, least certain first": ["/inbox?order=least_certain"],
        "Sessions": ["/sessions"],
        f"a session of {LONG_TURNS:,} turns": [f"/sessions/talk-0?turn={turn}" for turn in (1, 5_000, 10_000, 19_990)],
        "Search, a word": [f"/search?q={word}" for word in words[::10]],
        "Tasks, board": ["/tasks"],
        "Tasks, list": ["/tasks?list=all", "/tasks?list=all&status=failed"],
        "a task": ["/tasks/made-1", "/tasks/made-10"],
        "Decisions": ["/decisions"],
        "Agents": ["/agents"],
        "Deliveries": ["/deliveries", "/deliveries?state=failed"],
        "Deliveries of a rare source": ["/deliveries?source=grain"],
        "Sources": ["/sources"],
        "Pictures, a day": ["/pictures"],
        "Pictures, a month": ["/pictures?span=month"],
    }
    return [shown(client, name, paths, visits) for name, paths in addresses.items()]


def shown(client: httpx2.Client, name: str, paths: list[str], visits: int) -> Row:
    for path in paths:
        client.get(path).raise_for_status()
    taken = [milliseconds_of(partial(client.get, paths[number % len(paths)])) for number in range(visits)]
    return row(f"{name}, p95", percentile(taken, 95), "ms", goal=GOAL_MS, reference=round(statistics.median(taken), 1))


def first_load(client: httpx2.Client) -> Row:
    """Today with every style, script and picture it names, as they come over the wire."""
    page = client.get("/", headers={"accept-encoding": "gzip"})
    size = len(gzip.compress(page.content))
    for path in sorted(set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text))):
        with client.stream("GET", path, headers={"accept-encoding": "gzip"}) as file:
            size += sum(len(piece) for piece in file.iter_raw())
    return row("first load, compressed", size / 1000, "kB", goal=GOAL_KB)


def told(client: httpx2.Client, conn: Connection, changes: int) -> Row:
    """From the insert of a task until the page with it is there again: told by the stream, asked for, shown."""
    taken = []
    with client.stream("GET", "/events") as stream:
        lines = stream.iter_lines()
        until(lambda: any(line.startswith(":") or line == "" for line in [next(lines)]))
        for _ in range(changes):
            started = time.perf_counter()
            bench.fill_queue(conn, "codex", 1)
            for line in lines:
                if line.startswith("data:"):
                    break
            client.get("/")
            taken.append(1e3 * (time.perf_counter() - started))
    return row("a change is on an open page, p95", percentile(taken, 95), "ms", goal=300)


def beside(stack: Stack, cookie: str, sizes: Sizes) -> Row:
    """Posts accepted by the web process, in turn without and with many open pages that keep up with what is posted."""
    port, secret = int(stack.url.rpartition(":")[2]), stack.secrets.generic_secret
    alone, with_them = list[float](), list[float]()
    for _ in range(sizes.rounds + 1):
        alone.append(sizes.posts / take(port, secret, sizes.posts).seconds)
        with opened(OpenPages(port, f"{cookie_name(False)}={cookie}", sizes.open_pages)):
            with_them.append(sizes.posts / take(port, secret, sizes.posts).seconds)
    rate, reference = (statistics.median(rates[1:]) for rates in (with_them, alone))  # the first round warms up
    made = row(f"posts accepted beside {sizes.open_pages} open pages", rate, "/s", reference=round(reference))
    return made | {"goal": f"{SHARE} of those without", "ok": operator.ge(rate, SHARE * reference)}


def take(port: int, secret: str, posts: int) -> Sent:
    load = orjson.dumps(asdict(Load(port, secret, posts, 41, CONNECTIONS)))
    done = subprocess.run([sys.executable, "-m", "ops.bench_sender"], input=load, stdout=subprocess.PIPE, check=True)
    return Sent(**orjson.loads(done.stdout))


@contextmanager
def opened(pages: OpenPages) -> Iterator[None]:
    """As many pages as that, all listening, in a process of their own."""
    command = [sys.executable, "-m", "ops.bench_consoles"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(orjson.dumps(asdict(pages)) + b"\n")
        process.stdin.flush()
        process.stdout.readline()
        try:
            yield
            if process.poll() is not None:
                raise Unavailable("The open pages were let go.")
        finally:
            process.terminate()
