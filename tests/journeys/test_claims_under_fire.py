"""32 agents in processes of their own, killed with -9 at random: every task is completed exactly once."""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database import Connection
from tests.conftest import ROOT

pytestmark = pytest.mark.xdist_group("runner")  # beside so many agents a runner is not answered in time when it starts

AGENTS, TASKS, KILLS = 32, 10_000, 30


class Squad:
    """The claimers, and the files into which they say what they completed."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.environment = {**os.environ, "CLAIMER_DATABASE_URL": database_url}
        self.folder = folder
        self.started = 0
        self.alive: list[subprocess.Popen[bytes]] = []
        for _ in range(AGENTS):
            self.start()

    def start(self) -> None:
        self.started += 1
        name = f"claimer-{self.started}"
        with open(self.folder / name, "wb") as said:
            command = [sys.executable, "-m", "tests.journeys.claimer", name]
            self.alive.append(subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=said))

    def kill_one(self) -> None:
        victim = self.alive.pop(random.randrange(len(self.alive)))
        victim.kill()
        victim.wait()
        self.start()

    def said(self) -> list[list[str]]:
        lines = [line.split() for path in self.folder.iterdir() for line in path.read_text().splitlines()]
        return [line for line in lines if len(line) == 3]  # a killed one may have been cut off in a line

    def stop(self) -> None:
        for process in self.alive:
            process.kill()
            process.wait()


@pytest.fixture
def squad(conn: Connection, database_url: str) -> Iterator[Squad]:
    conn.execute("UPDATE agents SET max_concurrent = NULL")
    conn.execute(
        "INSERT INTO tasks (id, agent_name, title, max_attempts)"
        " SELECT 'task-' || n, 'claude_code', 'Task ' || n, 50 FROM generate_series(1, %s) AS n",
        [TASKS],
    )
    with tempfile.TemporaryDirectory() as folder:
        started = Squad(database_url, Path(folder))
        yield started
        started.stop()


def count(conn: Connection, status: str) -> int:
    row = conn.execute("SELECT count(*) AS n FROM tasks WHERE status = %s", [status]).fetchone()
    assert row is not None
    return int(row["n"])


def test_every_task_is_completed_exactly_once_whoever_is_killed(squad: Squad, conn: Connection) -> None:
    deadline = time.monotonic() + 300
    killed = 0
    while (done := count(conn, "completed")) < TASKS:
        assert time.monotonic() < deadline, f"{done} of {TASKS} completed"
        if killed < KILLS and done >= (killed + 1) * TASKS // (KILLS + 2):
            squad.kill_one()
            killed += 1
        time.sleep(0.02)
    for process in squad.alive:
        assert process.wait(60) == 0
    assert killed == KILLS
    assert count(conn, "completed") == TASKS
    completions = conn.execute(
        "SELECT count(*) AS n FROM task_events WHERE to_status = 'completed' GROUP BY task_id"
    ).fetchall()
    assert len(completions) == TASKS
    assert {row["n"] for row in completions} == {1}
    told = Counter(task for word, task, _ in squad.said() if word == "completed")
    assert set(told.values()) == {1}
    broken = conn.execute(
        "SELECT count(*) AS n FROM"
        " (SELECT from_status, lag(to_status) OVER (PARTITION BY task_id ORDER BY id) AS before FROM task_events) AS e"
        " WHERE from_status IS DISTINCT FROM before"
    ).fetchone()
    assert broken == {"n": 0}
