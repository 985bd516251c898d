"""A real `ai-webhook up` in a process of its own, for journeys."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import redis

from access.client import Client
from tests.conftest import ROOT, reachable_folder

CLEAN = ("DATABASE_URL", "REDIS_URL", "PGHOST", "WEBHOOK_API_KEY", "AI_WEBHOOK_TOKEN", "AI_WEBHOOK_URL")


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in CLEAN}


class Up:
    """`ai-webhook up` on a folder, with these settings in its environment; `lines` is what it has printed so far.

    `before` are words before the command, which have to become it (`unshare`).
    """

    def __init__(self, folder: Path, *arguments: str, before: Sequence[str] = (), **settings: str) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "ops", "up", "--port", "0", "--data", str(folder), *arguments],
            cwd=ROOT,
            env=environment() | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self.read, daemon=True).start()
        self.wait_for("ai-webhook tasks claim")  # the last line of the greeting
        self.secrets = json.loads((folder / "secrets.json").read_text())
        self.url = json.loads((folder / "up.json").read_text())["url"]

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip())
                self.changed.notify_all()
        with self.changed:
            self.lines.append("(ended)")
            self.changed.notify_all()

    def wait_for(self, text: str, seconds: float = 60) -> str:
        def line() -> str | None:
            return next((line for line in self.lines if text in line or line == "(ended)"), None)

        with self.changed:
            self.changed.wait_for(lambda: line() is not None, seconds)
            found = line()
        assert found is not None and text in found, "\n".join(self.lines)
        return found

    def client(self) -> Client:
        return Client(self.url, self.secrets["token"])

    def headers(self, content_type: str = "application/json") -> dict[str, str]:
        return {"authorization": f"Bearer {self.secrets['api_key']}", "content-type": content_type}

    def database_url(self) -> str:
        state = json.loads((self.folder / "state.json").read_text())["postgresql"]
        return f"postgresql://app:{state['password']}@127.0.0.1:{state['port']}/ai_webhook"

    def redis(self) -> "redis.Redis":
        state = json.loads((self.folder / "state.json").read_text())["valkey"]
        return redis.Redis(host="127.0.0.1", port=state["port"], password=state["password"])

    @contextmanager
    def nothing_is_restarted(self) -> Iterator[None]:
        """Keeps `up` from starting again what dies: it waits for the lock of those who start and stop servers."""
        with self.held(self.folder / "start.lock"):
            yield

    @contextmanager
    def held(self, path: Path) -> Iterator[None]:
        with open(path, "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def pids(self, *words: str) -> list[int]:
        """Processes of this stack whose command line holds all of these words."""
        mine = {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}
        found = []
        for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
            line = " ".join(process.info["cmdline"] or [])
            place = process.info["cwd"] or ""
            ours = process.info["pid"] in mine or str(self.folder) in line or place.startswith(str(self.folder))
            if ours and all(word in line for word in words):
                found.append(process.info["pid"])
        return sorted(found)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@contextmanager
def running_up(*arguments: str, **settings: str) -> Iterator[Up]:
    folder = reachable_folder()
    up = Up(folder, *arguments, **settings)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.process.terminate()
            up.process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
