"""A runner of commands against a real service: run once, answered with what was printed, never more than is allowed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from access.client import ServiceError
from ops.embedded import Servers
from ops.runner import Runner
from ops.runner_allowing import Allowed
from ops.runner_attempt import Setup
from ops.runner_command import OUTPUT_BYTES
from ops.runner_folder import RunFolders
from tests.conftest import ROOT, TOKEN, reachable_folder
from tests.ops.runner_site import Site, marked, site_on, until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what is left running"),
    pytest.mark.xdist_group("runner"),  # they look at every process of this machine that a runner started
]

DELIVERY = "d" * 32
SHELL = "/bin/sh"  # which no setting can allow; here it stands in for programs that behave and that do not


@pytest.fixture(scope="module")
def service(servers: Servers, template: str) -> Iterator[Site]:
    folder = reachable_folder()
    with site_on(servers, template, folder) as site:
        site.conn.execute(
            "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body, state,"
            " processed_at)"
            " VALUES (%s, 'native', '1', 'task_command', now(), 'application/json', '', 'processed', now())",
            [DELIVERY],
        )
        site.conn.execute("SELECT register_agent('commands')")
        yield site
    shutil.rmtree(folder)


@pytest.fixture
def site(service: Site, tmp_path: Path) -> Iterator[Site]:
    fresh = Site(service.url, service.conn, tmp_path)
    (tmp_path / "tiles").mkdir()
    yield fresh
    until(lambda: not marked())
    assert fresh.runs() == []
    service.conn.execute("DELETE FROM tasks")


def ordered(site: Site, *argv: str, timeout: float = 30, folder: str | None = None, agent: str = "commands") -> str:
    """A command as a worker makes it a task."""
    command = Jsonb({"argv": list(argv), "working_dir": folder, "timeout": timeout})
    row = site.conn.execute(
        "INSERT INTO tasks (title, agent_name, task_type, command, delivery, max_attempts)"
        " VALUES ('Run a program', %s, 'shell_command', %s, %s, 1) RETURNING id",
        [agent, command, DELIVERY],
    ).fetchone()
    assert row is not None
    return str(row["id"])


def runner(site: Site, *, once: bool = True) -> Runner:
    folder = Path(os.path.realpath(site.folder / "tiles"))
    setup = Setup(
        "commands",
        None,
        {**site.environment, "AI_WEBHOOK_TOKEN": TOKEN},
        allowed=Allowed({"sh": SHELL}, (folder,)),
        grace_seconds=0.5,
        stop_seconds=0,
    )
    folders = RunFolders(site.folder / "runs")
    return Runner(site.client, setup, folders, capacity=1, say=site.said.append, once=once, wait_seconds=0)


def done(site: Site, *argv: str, **more: Any) -> Any:
    task = ordered(site, *argv, **more)
    runner(site).run()
    return site.get(task)


def test_a_command_is_completed_with_what_it_printed(site: Site) -> None:
    task = done(site, "sh", "-c", "pwd; echo no >&2; exit 3")
    assert (task["status"], task["artifacts"], task["error_message"]) == ("completed", [], None)
    output = task["output_data"]
    assert output.pop("seconds") > 0
    assert output == {"exit_code": 3, "stdout": f"{os.path.realpath(site.folder)}/tiles\n", "stderr": "no\n"}


def test_long_output_is_cut_in_its_middle_and_says_so(site: Site) -> None:
    output = done(site, "sh", "-c", "echo first; head -c 300000 /dev/zero; echo last")["output_data"]
    assert output["stdout"].startswith("first\n")
    assert output["stdout"].endswith("last\n")
    assert "bytes left out" in output["stdout"]
    assert len(output["stdout"]) < OUTPUT_BYTES + 100


def test_the_environment_is_small_and_nothing_comes_in(site: Site) -> None:
    printed = done(site, "sh", "-c", "cat; env")["output_data"]["stdout"]
    names = {line.partition("=")[0] for line in printed.splitlines()}
    assert names <= {"PATH", "HOME", "PWD", "_", "SHLVL", "OLDPWD", "AI_WEBHOOK_RUN"}


@pytest.mark.parametrize(
    ("argv", "folder", "code"),
    [
        (["rm", "-rf", "."], None, "command_not_allowed"),
        (["/bin/sh"], None, "command_not_allowed"),
        (["sh", "/etc/passwd"], None, "command_not_allowed"),
        (["sh"], "/etc", "folder_not_allowed"),
    ],
)
def test_what_is_not_allowed_fails_at_once(site: Site, argv: list[str], folder: str | None, code: str) -> None:
    task = done(site, *argv, folder=folder)
    assert (task["status"], task["error_message"].partition(":")[0]) == ("failed", code)
    assert site.moves(task["id"]) == ["pending", "claimed", "failed"]


def test_one_that_takes_too_long_is_ended_and_not_tried_again(site: Site) -> None:
    task = done(site, "sh", "-c", "sleep 600", timeout=0.2)
    assert (task["status"], task["error_message"].partition(":")[0]) == ("failed", "command_timeout")


def test_one_that_is_stopped_is_not_done_again(site: Site) -> None:
    task = ordered(site, "sh", "-c", "sleep 600")
    working = runner(site, once=False)
    working.say = lambda line: working.stop() if "claimed" in line else None
    working.run()
    assert (site.status(task), site.get(task)["error_message"].partition(":")[0]) == ("failed", "command_stopped")


def test_one_whose_runner_was_killed_is_not_done_again(site: Site) -> None:
    task = ordered(site, "sh", "-c", "sleep 600")
    script = (
        "import sys; from pathlib import Path; from tests.ops.runner_site import Site; from tests.ops import"
        " test_runner_command as t; t.runner(Site(sys.argv[1], None, Path(sys.argv[2]))).run()"
    )
    line = [sys.executable, "-c", script, site.url, str(site.folder)]
    with subprocess.Popen(line, cwd=ROOT, env={**os.environ}) as killed:
        until(lambda: site.status(task) == "running")
        killed.send_signal(signal.SIGKILL)
    runner(site).run()
    assert (site.status(task), site.get(task)["error_message"].partition(":")[0]) == ("failed", "command_stopped")


def test_a_task_that_no_client_sent_is_no_command(site: Site) -> None:
    columns = {"agent_name": "commands", "task_type": "shell_command"}
    made = site.client.create_task(
        "Run a program", **columns, input_data={"command": {"argv": ["sh"]}, "argv": ["sh"], "origin": "task_command"}
    )
    runner(site).run()
    task = site.get(made["id"])
    assert (task["status"], task["error_message"].partition(":")[0]) == ("failed", "not_a_command")


def test_the_service_lets_nobody_set_a_command(site: Site) -> None:
    command = {"argv": ["sh"], "working_dir": None, "timeout": 30}
    with pytest.raises(ServiceError, match="command"):
        site.client.call("create_task", title="x", command=command)
    task = ordered(site, "sh", "-c", "true")
    with pytest.raises(ServiceError, match="command"):
        site.client.call("update_task", task, command=command)


def test_a_runner_of_programs_runs_no_command(site: Site) -> None:
    task = ordered(site, "sh", "-c", "true", agent="claude_code")
    site.run_once(["sh", "-c", "true"])
    assert (site.status(task), site.get(task)["error_message"].partition(":")[0]) == ("failed", "commands_off")
