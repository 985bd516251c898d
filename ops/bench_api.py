"""How fast agents are served: claims and completions, waking, search beside its SQL, MCP. One web process, one run."""

import asyncio
import operator
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import httpx2
import orjson

from access.client import Client
from domain.errors import AIWebhookError
from domain.settings import Settings
from ops.bench import Row, row, running, transcript
from ops.bench_agents import Done, Load
from ops.demo import folder_for
from ops.up import Stack
from store import agents, bench, search, tokens
from store.database import Connection, connect

AGENTS = 64
AGENT = "bench"
QUESTIONS = ("what did we decide about the database", "carbon interface api prices", "who reviews the merge function")


@dataclass(frozen=True, slots=True)
class Sizes:
    tasks: int = 5_000
    rounds: int = 3
    wakes: int = 200
    talks: int = 60
    searches: int = 200
    calls: int = 200
    runs: int = 40


def api(settings: Settings, sizes: Sizes | None = None) -> list[Row]:
    sizes = sizes or Sizes()
    with folder_for(None) as folder, running(settings, folder) as stack, connect(stack.database_url(), "bench") as conn:
        agents.register(conn, AGENT, max_concurrent=None)
        token = tokens.create(conn, "bench", ["read", f"claim:{AGENT}"])["token"]
        return [
            pairs(stack, conn, token, sizes),
            waking(stack, conn, token, sizes.wakes),
            searching(stack, conn, token, sizes),
            mcp_calls(stack, token, sizes.calls),
            runner_overhead(stack, conn, token, folder, sizes.runs),
        ]


def pairs(stack: Stack, conn: Connection, token: str, sizes: Sizes) -> Row:
    """Agents of a process of its own empty the queue; the first round only warms up."""
    port = int(stack.url.rpartition(":")[2])
    load = orjson.dumps(asdict(Load(port, token, AGENTS, AGENT)))
    rates = []
    for _ in range(sizes.rounds + 1):
        bench.fill_queue(conn, AGENT, sizes.tasks)
        command = [sys.executable, "-m", "ops.bench_agents"]
        answer = subprocess.run(command, input=load, stdout=subprocess.PIPE, check=True).stdout
        done = Done(**orjson.loads(answer))
        if done.refused or done.pairs != sizes.tasks:
            raise AIWebhookError(f"{done.refused} requests were refused, {done.pairs} tasks done of {sizes.tasks}.")
        rates.append(done.pairs / done.seconds)
    rate = statistics.median(rates[1:])
    return row(f"claim and complete over HTTP, {AGENTS} agents", rate, "/s", goal=1000, meets=operator.ge)


def waking(stack: Stack, conn: Connection, token: str, wakes: int) -> Row:
    """From the insert of a task until an agent that waited has it."""
    waiting: queue.Queue[None] = queue.Queue()
    had: queue.Queue[float] = queue.Queue()

    def wait() -> None:
        with Client(stack.url, token) as client:
            for _ in range(wakes):
                waiting.put(None)
                (claim,) = client.claim_task(AGENT, "waiting", wait_seconds=60)
                had.put(time.perf_counter())
                client.complete_task(claim["task_id"], claim["claim_token"])

    agent = threading.Thread(target=wait)
    agent.start()
    milliseconds = []
    for _ in range(wakes):
        waiting.get()
        time.sleep(0.01)  # for its request to arrive; one that comes late would measure no waking
        inserted = time.perf_counter()
        bench.fill_queue(conn, AGENT, 1)
        milliseconds.append(1e3 * (had.get() - inserted))
    agent.join()
    return row("waiting claim has a new task, p95", percentile(milliseconds, 95), "ms", goal=20)


def searching(stack: Stack, conn: Connection, token: str, sizes: Sizes) -> Row:
    """The same questions over HTTP and by SQL, in turn."""
    with stack.client() as sender:
        headers = {"authorization": f"Bearer {stack.secrets.api_key}", "content-type": "application/json"}
        sent = [sender.deliver("generic", transcript(n, 40), headers)["delivery"] for n in range(sizes.talks)]
        until(lambda: sender.call("count_deliveries")["processed"] >= len(set(sent)))
    over_http, by_sql = [], []
    with Client(stack.url, token) as client:
        for number in range(sizes.searches):
            question = QUESTIONS[number % len(QUESTIONS)]
            over_http.append(milliseconds_of(partial(client.search, question)))
            by_sql.append(milliseconds_of(partial(search.search, conn, question)))
    made = row("search over HTTP, p50", statistics.median(over_http), "ms", reference=statistics.median(by_sql))
    made["reference"] = round(made["reference"], 3)
    return made | {"goal": "5 ms more than its SQL", "ok": made["value"] <= made["reference"] + 5}


def mcp_calls(stack: Stack, token: str, calls: int) -> Row:
    """A tool of the MCP server over HTTP, called one after another by the SDK's own client."""
    from mcp.client import Client as McpClient
    from mcp.client.streamable_http import streamable_http_client

    async def ask() -> list[float]:
        taken = []
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=60) as http,
            McpClient(streamable_http_client(f"{stack.url}/mcp", http_client=http)) as client,
        ):
            for number in range(calls + 1):
                started = time.perf_counter()
                await client.call_tool("list_tasks", {"limit": 10})
                if number:  # the first one warms up
                    taken.append(1e3 * (time.perf_counter() - started))
        return taken

    return row("MCP call over HTTP, p95", percentile(asyncio.run(ask()), 95), "ms", goal=30)


def runner_overhead(stack: Stack, conn: Connection, token: str, folder: Path, runs: int) -> Row:
    """From the claim to the completion of a task whose program does nothing, one after another."""
    bench.fill_queue(conn, AGENT, runs)
    environment = {**stack.environment(), "AI_WEBHOOK_URL": stack.url, "AI_WEBHOOK_TOKEN": token}
    command = [sys.executable, "-m", "ops", "agent", "run", AGENT, "--max", "1", "--once", "--data", str(folder)]
    subprocess.run([*command, "--", "true"], env=environment, stdout=subprocess.DEVNULL, check=True)
    took = statistics.median(bench.claim_to_completion(conn, AGENT, runs))
    return row("task by the runner, its program takes no time, p50", took, "ms", goal=150)


def until(what: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise AIWebhookError("The workers do not finish.")
        time.sleep(0.05)


def milliseconds_of(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return 1e3 * (time.perf_counter() - started)


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]
