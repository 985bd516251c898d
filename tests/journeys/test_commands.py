"""A client that talks asks for `git status` and is told it: real processes from the request to the answer."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import ROOT
from tests.journeys.stack import Up, environment, running_up
from tests.ops.runner_site import until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="as the tests of the runner"),
    pytest.mark.xdist_group("runner"),  # they look at every process of this machine that a runner started
]


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    repository = tmp_path / "tiles"
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(repository)], check=True)
    (repository / "plan.md").write_text("Blue tiles\n")
    return repository


@contextmanager
def running_commands(up: Up, tiles: Path) -> Iterator[None]:
    line = [sys.executable, "-m", "ops", "agent", "run", "commands", "--commands", "--data", str(up.folder)]
    allowed = {"AI_WEBHOOK_RUNNER_COMMANDS": "git,ls", "AI_WEBHOOK_RUNNER_FOLDERS": str(tiles)}
    with subprocess.Popen(line, cwd=ROOT, env=environment() | allowed, stdout=subprocess.DEVNULL) as runner:
        try:
            until(lambda: up.client().call("get_agent", "commands")["last_heartbeat"])
            yield
        finally:
            runner.terminate()


def send(up: Up, task_id: str, *argv: str, sync: bool = True, kind: str = "shell", **params: Any) -> Any:
    data = {"task_id": task_id, "action_type": kind, "params": {"command": list(argv), **params}}
    body = {"type": "task_command", "sync": sync, "data": data}
    return httpx2.post(f"{up.url}/webhook", json=body, headers=up.headers(), timeout=60)


def test_a_client_is_told_what_its_command_printed(tiles: Path) -> None:
    with running_up(AI_WEBHOOK_TASK_COMMANDS="commands") as up:
        told = send(up, "early", "git", "status", kind="git").json()
        assert (told["status"], told["error"]["code"]) == ("error", "no_agent")
        up.client().call("register_agent", "commands")
        with running_commands(up, tiles):
            told = send(up, "status_1", "git", "status", "--short", "--branch", kind="git").json()
            assert (told["status"], told["task_id"]) == ("success", "status_1")
            assert told["output"]["stdout"] == "## No commits yet on main\n?? plan.md\n"
            told = send(up, "remove_1", "rm", "plan.md").json()
            assert (told["status"], told["error"]["code"]) == ("error", "command_not_allowed")
            told = send(up, "outside_1", "git", "status", kind="git", working_dir="/").json()
            assert (told["status"], told["error"]["code"]) == ("error", "folder_not_allowed")
            told = send(up, "show_1", "git", "show", "no-such", kind="git").json()
            assert (told["status"], told["output"]["success"]) == ("failed", False)
            assert "no-such" in told["output"]["stderr"]
        assert (tiles / "plan.md").exists()


def test_commands_are_off_by_default() -> None:
    with running_up() as up:
        told = send(up, "status_1", "git", "status", kind="git").json()
        assert (told["status"], told["error"]["code"]) == ("error", "task_command_disabled")
