"""The runner: claims an agent's tasks, lets a program do each of them, and tells the service how it went.

A client of the HTTP API only. The main thread claims and says that the agent is alive; each task has a thread.
"""

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from access.client import Client, ServiceError
from domain.errors import AIWebhookError, SettingsError
from ops.runner_attempt import LOST, Attempt, Setup, is_away
from ops.runner_command import STOPPED, CommandAttempt
from ops.runner_folder import RunFolder, RunFolders
from ops.runner_process import end_orphans, environment_for
from ops.runner_repository import remove_worktree

HEARTBEAT_SECONDS = 15.0
POLL_SECONDS = 1.0  # between two looks for work when there was none
WAIT_SECONDS = 2.0  # for work, by the service; the runner cannot stop while it waits
CAPACITY = 4  # tasks at a time where nobody says a number


def known_agent(client: Client, name: str, *, capacity: int | None) -> dict[str, Any]:
    """The agent's row, made if there is none. One that is there is left as it is."""
    try:
        return dict(client.call("get_agent", name))
    except ServiceError as error:
        if error.code != "not_found":
            raise
    return dict(client.call("register_agent", name, max_concurrent=capacity or CAPACITY))


def capacity_of(agent: Mapping[str, Any], wanted: int | None) -> int:
    """Tasks at a time: what the operator wants, else what the row allows. Past its limit the service gives none."""
    if wanted is not None:
        return wanted
    return CAPACITY if agent["max_concurrent"] is None else int(agent["max_concurrent"])


def claim(client: Client, agent: str, control_agent: str, **how: Any) -> list[dict[str, Any]]:
    """Tasks for the agent, each ours for the lease; none when there is nothing to do within the time to wait, or when
    the agent holds all that it may. `how` are the parameters of Client.claim_task."""
    try:
        return [dict(claimed) for claimed in client.claim_task(agent, control_agent, **how)]
    except ServiceError as error:
        if error.code not in ("agent_at_capacity", "too_many_waiting"):
            raise
        return []


class Runner:
    """`run` returns when it was told to `stop` and all has ended; with `once` also when there is nothing to do."""

    def __init__(
        self,
        client: Client,
        setup: Setup,
        folders: RunFolders,
        *,
        capacity: int,
        say: Callable[[str], None],
        once: bool = False,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self.client = client
        self.setup = setup
        self.folders = folders
        self.capacity = capacity
        self.say = say
        self.once = once
        self.wait_seconds = 0.0 if once else wait_seconds
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.running: set[threading.Thread] = set()
        self.wake: queue.SimpleQueue[None] = queue.SimpleQueue()  # a signal handler may put into this kind of queue
        self.stops = 0
        self.programs_stop = False
        self.call, self.calling = os.pipe()
        self.error: AIWebhookError | None = None
        self.beat_at = 0.0
        self.is_away = False

    def stop(self) -> None:
        """Once: nothing new is claimed, what runs has some seconds to end. Twice: at once. For signal handlers, too."""
        self.stops += 1
        if self.stops > 1:
            self.stop_programs()
        self.wake.put(None)

    def stop_programs(self) -> None:
        self.programs_stop = True
        with contextlib.suppress(OSError):  # a signal after the end
            os.write(self.calling, b".")  # every thread listens to this pipe, too, and leaves the byte in it

    def is_over(self) -> bool:
        return self.programs_stop

    def is_urgent(self) -> bool:
        return self.stops > 1

    def give_up(self, error: AIWebhookError) -> None:
        """Nothing can be run here: the runner ends with this error instead of failing one task after another."""
        if self.error is None:
            self.error = error
            self.stop()

    def run(self) -> None:
        if not self.setup.keep_runs:
            self.folders.remove_kept()
        try:
            while not self.stops:
                began = time.monotonic()
                taken = self.take()
                if self.once and not taken and not self.running:
                    break
                if not taken:  # the service has waited for work already, unless it was away or there was no room
                    seconds = HEARTBEAT_SECONDS if len(self.running) >= self.capacity else POLL_SECONDS
                    self.rest(began + seconds - time.monotonic())
        finally:
            self.finish()
        if self.error:
            raise self.error

    def take(self) -> int:
        """Claims what there is room for and begins with it; answers how many. A service that is away is waited for."""
        try:
            self.beat()
            room = self.capacity - len(self.running)
            since = time.monotonic()
            claims = self.claim(room) if room > 0 else []
        except AIWebhookError as error:
            if not is_away(error) or (isinstance(error, ServiceError) and error.status == 401):
                raise
            if self.once and not self.running:
                raise
            if not self.is_away:
                self.say("the service does not answer; trying again")
            self.is_away = True
            return 0
        self.is_away = False
        for claimed in claims:
            self.begin(claimed, since)
        return len(claims)

    def claim(self, room: int) -> list[dict[str, Any]]:
        how = {"lease_seconds": self.setup.lease_seconds, "max_tasks": room, "wait_seconds": self.wait_seconds}
        return claim(self.client, self.setup.agent, self.name, **how)

    def beat(self) -> None:
        """Now and then: looks after what runners that were killed have left, and says that the agent is alive."""
        if time.monotonic() >= self.beat_at:
            self.settle_abandoned()
            self.client.call("heartbeat_agent", self.setup.agent)
            self.beat_at = time.monotonic() + HEARTBEAT_SECONDS

    def begin(self, claimed: Mapping[str, Any], since: float) -> None:
        self.say(f"{claimed['task_id']} claimed, attempt {claimed['attempt']}")
        thread = threading.Thread(target=self.work, args=(claimed, since), name=str(claimed["task_id"]))
        self.running.add(thread)
        thread.start()

    def work(self, claimed: Mapping[str, Any], since: float) -> None:
        """A task's thread."""
        try:
            made = Attempt if self.setup.allowed is None else CommandAttempt
            attempt = made(self.client, self.setup, self.folders, self, claimed, since)
            became = attempt.run()
            self.say(f"{claimed['task_id']} {became}" + (f" after {attempt.seconds:.1f} s" if attempt.seconds else ""))
        except OSError as error:  # a full disk, too many open files
            self.give_up(SettingsError(f"The folder of a run cannot be made: {error.strerror}."))
        finally:
            self.running.discard(threading.current_thread())
            self.wake.put(None)

    def rest(self, seconds: float) -> None:
        """Until a task has ended, somebody calls, or the time is over."""
        with contextlib.suppress(queue.Empty):
            self.wake.get(timeout=max(0.0, seconds))
            while True:
                self.wake.get_nowait()

    def finish(self) -> None:
        """What runs may end by itself for some seconds; then it is stopped, and its tasks go back to the queue."""
        if self.running:
            self.say(f"stopping; {len(self.running)} still running")
        deadline = time.monotonic() + self.setup.stop_seconds
        while self.running and not self.is_urgent() and (left := deadline - time.monotonic()) > 0:
            self.rest(left)
        self.stop_programs()
        for thread in list(self.running):
            thread.join()
        call, calling, self.calling = self.call, self.calling, -1
        os.close(call)
        os.close(calling)

    def settle_abandoned(self) -> None:
        """Ends what killed runners on this folder left running, and gives their tasks back; also what we could not
        settle ourselves while the service was away."""
        for folder in self.folders.abandoned():
            state = folder.state()
            if state:
                end_orphans(state["run"], state["pid"], state["started"], self.setup.grace_seconds)
            if state.get("repository"):
                environment = environment_for((), self.setup.environment)
                remove_worktree(Path(state["repository"]), folder.worktree, environment)
            self.give_back(folder, state)

    def give_back(self, folder: RunFolder, state: Mapping[str, Any]) -> None:
        try:
            if state and state.get("is_command"):  # it may have done its work, so nobody does it twice
                self.client.call(
                    "fail_task", state["task_id"], claim_token=state["claim_token"], error=STOPPED, retry=False
                )
                self.say(f"{state['task_id']} failed: its runner was gone")
            elif state:
                self.client.release_task(state["task_id"], state["claim_token"])
                self.say(f"{state['task_id']} released: its runner was gone")
        except AIWebhookError as error:
            if error.code not in LOST:  # the claim may still be ours: for the next start
                folder.leave()
                return
        folder.forget(keep=self.setup.keep_runs)
