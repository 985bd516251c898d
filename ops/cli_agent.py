"""`ai-webhook agent run`: lets a program do an agent's tasks."""

import os
import signal
import sys
import time
from types import FrameType
from typing import Annotated, Any

import typer

from domain.errors import SettingsError
from domain.settings import Settings, named
from ops.cli import Data, app, data_folder, service
from ops.output import say

agent = typer.Typer(help="Let a program do an agent's tasks.", no_args_is_help=True)
app.add_typer(agent, name="agent")

REQUEST_SECONDS = 10.0  # a request that hangs must not take a lease with it


@agent.command("run")
def run(
    name: Annotated[str, typer.Argument(help="The agent whose tasks are done.")],
    command: Annotated[
        list[str] | None, typer.Argument(help="After --: the program and its arguments; else the agent's row names it.")
    ] = None,
    max_tasks: Annotated[int | None, typer.Option("--max", help="Tasks at a time.", min=1, max=100)] = None,
    lease: Annotated[int, typer.Option("--lease", help="Seconds of a claim; it is renewed.", min=5, max=86400)] = 120,
    commands: Annotated[
        bool, typer.Option("--commands", help="Run what native clients send, as far as the settings allow it.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Stop when there is nothing to do.")] = False,
    keep_runs: Annotated[bool, typer.Option("--keep-runs", help="Keep the folders of runs that are over.")] = False,
    data: Data = None,
) -> None:
    """Claim tasks, let a program do each, keep what it leaves as artifacts, and complete them."""
    if sys.platform == "win32":
        raise SettingsError("The runner does not run on Windows.", hint="Use WSL.")
    from ops.runner import Runner, capacity_of, known_agent
    from ops.runner_allowing import allowed_by
    from ops.runner_attempt import Setup
    from ops.runner_folder import RunFolders
    from ops.runner_templates import command_for

    settings = Settings.from_env()
    if commands and command:
        raise SettingsError("With --commands no program is given: clients name it.", hint="Leave one of them out.")
    allowed = allowed_by(settings, os.environ.get("PATH")) if commands else None
    with service(data, timeout_seconds=REQUEST_SECONDS) as client:
        row = known_agent(client, name, capacity=max_tasks)
        setup = Setup(
            agent=name,
            command=None
            if allowed
            else command_for(
                row,
                command or [],
                programs=named(settings.runner_programs),
                seconds=settings.runner_seconds,
                path=os.environ.get("PATH"),
            ),
            allowed=allowed,
            environment=os.environ,
            lease_seconds=lease,
            log_bytes=settings.runner_log_bytes,
            repositories=named(settings.runner_repositories),
            variables=() if allowed else named(settings.runner_environment),  # clients' commands get no keys
            keep_runs=keep_runs,
        )
        folders = RunFolders(data_folder(settings, data).path.absolute() / "runs")
        capacity = capacity_of(row, max_tasks)
        runner = Runner(client, setup, folders, capacity=capacity, say=tell, once=once)
        stop_on_signals(runner)
        doing = setup.command.program if setup.command else ", ".join(allowed.programs if allowed else ())
        say(f"Doing the tasks of {name}, {capacity} at a time, with {doing}; Ctrl-C stops.")
        runner.run()


def tell(line: str) -> None:
    say(f"{time.strftime('%H:%M:%S')} {line}")


def stop_on_signals(runner: Any) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        runner.stop()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # which nohup set
        signal.signal(signal.SIGHUP, stop)
