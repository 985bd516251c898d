"""Figures of the service, measured in one run on this machine.

A row is {"name", "value", "unit", "reference", "ratio", "goal", "ok"}: `reference` is what was measured beside it in
the same run, where there is one, and `goal` what the value is held against.
"""

import operator
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from domain.delivery import NATIVE
from domain.errors import Unavailable
from domain.settings import Settings
from ops.demo import folder_for
from ops.output import note
from ops.up import Stack
from store.database import connect

Row = dict[str, Any]
AT_MOST: Callable[[float, float], bool] = operator.le
TURNS, POSTS, QUERIES = 100, 200, 200


def row(
    name: str,
    value: float,
    unit: str,
    *,
    goal: float | None = None,
    meets: Callable[[float, float], bool] = AT_MOST,
    reference: float | None = None,
) -> Row:
    ratio = round(value / reference, 2) if reference else None
    ok = None if goal is None else meets(value, goal)
    return {"name": name, "value": round(value, 3), "unit": unit, "reference": reference, "ratio": ratio,
            "goal": goal, "ok": ok}  # fmt: skip


def is_installed(*packages: str) -> bool:
    """Whether a peer can be measured; says so when it cannot."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        note(f"{missing[0]} is not measured, since it is not installed: pip install 'ai-webhook[bench]'")
    return not missing


def pipeline(settings: Settings, *, posts: int = POSTS, queries: int = QUERIES) -> list[Row]:
    """Start, demo, memory of the idle stack, and the times from a POST to being searchable and to an answer."""
    with folder_for(None) as folder:
        rows = [
            row("up ready, first time", timed_start(settings, folder), "s", goal=6),
            row("up ready, warm", timed_start(settings, folder), "s", goal=3),
            row("demo on a warm folder", timed_demo(folder), "s", goal=10),
        ]
        with running(settings, folder) as stack:
            if sys.platform == "linux":
                rows.append(row("idle stack, proportional set size", idle_megabytes(folder), "MB", goal=400))
            rows += post_to_searchable(stack, posts)
            rows.append(query_answered(stack, queries))
    return rows


@contextmanager
def running(settings: Settings, folder: Path) -> Iterator[Stack]:
    with Stack(settings, folder, port=0, workers=2, say=lambda who, line: None) as stack:
        yield stack


def timed_start(settings: Settings, folder: Path) -> float:
    """A process of its own, as a person starts it: interpreter and imports included."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        up = subprocess.Popen(
            [sys.executable, "-m", "ops", "up", "--port", "0", "--data", str(folder)],
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert up.stdout is not None
        for line in up.stdout:
            if b" is up at " in line:
                break
        took = time.perf_counter() - started
        up.terminate()
        up.communicate()
    return took


def timed_demo(folder: Path) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "ops", "demo", "--json", "--data", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def idle_megabytes(folder: Path) -> float:
    """What this process, its children and the servers of the folder hold, shared pages counted once."""
    parents = {int(p.name): parent_of(p) for p in Path("/proc").iterdir() if p.name.isdigit()}
    family = {os.getpid()} | {pid for pid in parents if serves(pid, folder)}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(proportional_kilobytes(pid) for pid in family) / 1024


def parent_of(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def serves(pid: int, folder: Path) -> bool:
    try:
        return str(folder) in os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False


def proportional_kilobytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def post_to_searchable(stack: Stack, posts: int) -> list[Row]:
    """One transcript after the other, from the start of the POST until another connection sees its rows."""
    times = []
    headers = api_key(stack)
    with stack.client() as client, connect(stack.database_url(), "bench") as conn:
        for number in range(posts):
            body = transcript(number)
            started = time.perf_counter()
            key = client.deliver("generic", body, headers)["delivery"]
            while not conn.execute("SELECT 1 FROM deliveries WHERE id = %s AND state = 'processed'", [key]).fetchone():
                time.sleep(0.0005)
            times.append(1e3 * (time.perf_counter() - started))
    cuts = statistics.quantiles(times, n=100)
    name = f"{TURNS} turns, POST to searchable"
    return [row(f"{name}, p50", cuts[49], "ms", goal=100), row(f"{name}, p99", cuts[98], "ms", goal=500)]


def query_answered(stack: Stack, queries: int) -> Row:
    """A sender who waits: what was decided, over all sessions, answered through endpoint, queue and worker."""
    times = []
    headers = api_key(stack)
    query = {"type": "collaborative_session_command", "command": "query_memories", "data": {"limit": 10}}
    with stack.client() as client:
        for _ in range(queries):
            started = time.perf_counter()
            reply = client.deliver(NATIVE, orjson.dumps(query), headers)
            times.append(1e3 * (time.perf_counter() - started))
            if reply["status"] != "success":
                raise Unavailable("A query got no answer in time.")
    return row("a query answered through the endpoint, p50", statistics.median(times), "ms", goal=60)


def api_key(stack: Stack) -> dict[str, str]:
    return {"authorization": f"Bearer {stack.secrets.api_key}", "content-type": "application/json"}


# What the talks are about: 20 times 20 things, so that one is talked of again now and then.
_KINDS = (
    "trip", "carbon", "invoice", "holiday", "garden", "sensor", "recipe", "ticket", "budget", "school", "photo",
    "music", "parcel", "water", "battery", "solar", "weather", "library", "train", "survey",
)  # fmt: skip
_PARTS = (
    "planner", "interface", "archive", "calendar", "scanner", "index", "importer", "report", "editor", "router",
    "mirror", "counter", "ledger", "gallery", "tracker", "printer", "adapter", "dashboard", "monitor", "export",
)  # fmt: skip


def transcript(number: int, turns: int = TURNS) -> bytes:
    """A talk of so many turns, three in five of which say something worth keeping; about 110 bytes a turn."""
    said = (
        "So where were we with the {thing} and the numbers for trains?",
        "I've decided we use the {thing} for flights, because the docs fit on one page.",
        "Okay, that sounds good to me, and the cars come later.",
        "Add an action item: look up what the {thing} allows in a month.",
        "What if we showed a little bar that gets longer with every {thing}?",
    )
    spoken = []
    for n in range(turns):
        about = 7 * number + n // len(said)
        thing = f"{_KINDS[about % len(_KINDS)]} {_PARTS[about // len(_KINDS) % len(_PARTS)]}"
        text = said[n % len(said)].format(thing=thing)
        spoken.append({"speaker": f"Speaker {n % 2}", "text": text})
    return orjson.dumps({"session": f"bench-{uuid.uuid4().hex}", "turns": spoken})
