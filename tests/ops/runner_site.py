"""A running service with an agent's tasks, and runners for them: for the tests of the runner."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import httpx2
from psycopg import sql

from access.client import Client
from domain.errors import Unavailable
from ops.embedded import Servers
from ops.runner import Runner
from ops.runner_attempt import Setup
from ops.runner_folder import RunFolders
from ops.runner_templates import command_for
from store.database import Connection, connect
from tests.conftest import API_KEY, ROOT, TOKEN, fresh_database

STAND_IN = [sys.executable, "-S", str(ROOT / "tests" / "ops" / "stand_in_agent.py"), "{task_file}"]
PATH = os.environ["PATH"]


def until(true: Callable[[], Any], seconds: float = 20) -> Any:
    """Waits for something that has no event of its own, and returns it."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


def marked() -> dict[int, str]:
    """Every process that carries the mark of a run, with the task's id."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                variables = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            for variable in variables:
                if variable.startswith(b"AI_WEBHOOK_TASK_ID="):
                    found[int(folder.name)] = variable.partition(b"=")[2].decode()
    return found


class Flaky(Client):
    """A client whose service can be gone for a while."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.gone = threading.Event()
        self.misses = 0
        self.asked: list[str] = []

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        self.asked.append(f"{method} {path}")
        if self.gone.is_set():
            self.misses += 1
            raise Unavailable("Nothing answers.")
        return super().request(method, path, **options)


class Site:
    """The service at `url` and its database; `folder` is the data folder of the runners."""

    def __init__(self, url: str, conn: Connection, folder: Path) -> None:
        self.url = url
        self.conn = conn
        self.folder = folder
        self.client = Flaky(url, TOKEN, timeout_seconds=10.0)
        self.said: list[str] = []
        self.environment = {"PATH": PATH, "HOME": str(folder)}

    def task(self, do: str, *, id: str | None = None, title: str = "Look up its prices", **given: Any) -> str:
        """A task for claude_code that is done as stand_in_agent says; `columns` sets columns of its own."""
        columns = given.pop("columns", {}) | {
            "id": id or f"task_{uuid.uuid4().hex[:8]}",
            "agent_name": "claude_code",
            "title": title,
            "input_data": json.dumps({"do": do, **given}),
        }
        statement = sql.SQL("INSERT INTO tasks ({}) VALUES ({}) RETURNING id").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join(map(sql.Placeholder, columns))
        )
        row = self.conn.execute(statement, columns).fetchone()
        assert row is not None
        return str(row["id"])

    def get(self, task: str) -> dict[str, Any]:
        row = self.conn.execute("SELECT * FROM tasks WHERE id = %s", [task]).fetchone()
        assert row is not None
        return row

    def status(self, task: str) -> str:
        return str(self.get(task)["status"])

    def moves(self, task: str) -> list[str]:
        rows = self.conn.execute("SELECT to_status FROM task_events WHERE task_id = %s ORDER BY id", [task]).fetchall()
        return [str(row["to_status"]) for row in rows]

    def artifacts(self, task: str) -> dict[str, dict[str, Any]]:
        rows = self.conn.execute("SELECT * FROM artifacts WHERE task_id = %s", [task]).fetchall()
        return {row["name"]: row for row in rows}

    def log(self, task: str) -> str:
        return str(self.artifacts(task)["output.log"]["content"])

    def runner(
        self,
        command: list[str] | None = None,
        *,
        capacity: int = 4,
        once: bool = False,
        wait_seconds: float = 0,
        **more: Any,
    ) -> Runner:
        seconds = more.pop("seconds", 60.0)
        row = self.client.call("get_agent", "claude_code")
        given = STAND_IN if command is None else command
        programs = more.pop("programs", ("claude", "codex", "gemini"))
        path = more.get("environment", self.environment)["PATH"]
        found = command_for(row, given, programs=programs, seconds=seconds, path=path)
        setup = replace(Setup("claude_code", found, self.environment, grace_seconds=0.5), **more)
        folders = RunFolders(self.folder / "runs")
        said = self.said.append
        return Runner(self.client, setup, folders, capacity=capacity, say=said, once=once, wait_seconds=wait_seconds)

    def run_once(self, command: list[str] | None = None, **more: Any) -> None:
        """A runner until there is nothing to do."""
        self.runner(command, once=True, **more).run()

    @contextmanager
    def running(self, **more: Any) -> Iterator[Runner]:
        """A runner beside us, stopped at once at the end."""
        runner = self.runner(**more)
        thread = threading.Thread(target=runner.run)
        thread.start()
        try:
            yield runner
        finally:
            runner.stop()
            runner.stop()
            thread.join()

    def command(
        self, *arguments: str, stdout: IO[str] | int = subprocess.PIPE, **variables: str
    ) -> "subprocess.Popen[str]":
        """`ai-webhook agent run claude_code` in a process of its own."""
        environment = {**self.environment, "AI_WEBHOOK_URL": self.url, "AI_WEBHOOK_TOKEN": TOKEN, **variables}
        line = [sys.executable, "-m", "ops", "agent", "run", "claude_code", "--data", str(self.folder), *arguments]
        return subprocess.Popen(line, cwd=ROOT, env=environment, stdout=stdout, stderr=subprocess.STDOUT, text=True)

    def runs(self) -> list[str]:
        """What is left in the folder of runs."""
        folder = self.folder / "runs"
        return sorted(path.name for path in folder.iterdir() if path.name != ".lock") if folder.exists() else []


@contextmanager
def site_on(servers: Servers, template: str, folder: Path) -> Iterator[Site]:
    """A service of its own, as `up` runs it, with a database of its own."""
    with fresh_database(servers, template) as url, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        web = subprocess.Popen(
            [sys.executable, "-m", "ops.child", "web", str(listening.fileno())],
            cwd=ROOT,
            env={"PATH": PATH, "DATABASE_URL": url, "REDIS_URL": servers.redis_url, "WEBHOOK_API_KEY": API_KEY}
            | {"AI_WEBHOOK_TOKEN": TOKEN},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(listening.fileno(),),
        )
        try:
            with connect(url, "test") as conn:
                site = Site(f"http://127.0.0.1:{listening.getsockname()[1]}", conn, folder)
                yield site
                site.client.close()
        finally:
            web.send_signal(signal.SIGTERM)
            web.wait(20)
            assert web.stdin is not None
            web.stdin.close()
