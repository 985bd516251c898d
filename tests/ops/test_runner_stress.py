"""200 tasks, eight at a time, while runners and programs are killed with -9 at random: each ends once."""

import contextlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from ops.embedded import Servers
from tests.conftest import reachable_folder
from tests.ops.runner_site import STAND_IN, Site, marked, site_on, until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what is left running"),
    pytest.mark.xdist_group("runner"),  # they look at every process of this machine that a runner started
]

TASKS, AT_ONCE, KILLS = 200, 8, 24


@pytest.fixture
def site(servers: Servers, template: str) -> Iterator[Site]:
    folder = reachable_folder()
    with site_on(servers, template, folder) as site:
        site.conn.execute("UPDATE agents SET max_concurrent = NULL")
        yield site
    shutil.rmtree(folder)


class Runners:
    """One runner at a time; one that is killed is followed by the next."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.killed = self.programs_killed = 0
        self.start()

    def start(self) -> None:
        self.output = open(self.site.folder / f"runner-{self.killed}", "w")  # noqa: SIM115 - closed when it is killed
        arguments = ["--max", str(AT_ONCE), "--lease", "5", "--", *STAND_IN]
        self.process = self.site.command(*arguments, stdout=self.output)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()
        self.killed += 1
        self.start()

    def kill_a_program(self) -> None:
        if found := list(marked()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(found), signal.SIGKILL)
                self.programs_killed += 1

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        self.output.close()


def completed(site: Site) -> int:
    # A program that was killed is a failure, and the pause after it is not what is tried here.
    site.conn.execute("UPDATE tasks SET not_before = NULL WHERE not_before IS NOT NULL")
    row = site.conn.execute("SELECT count(*) AS n FROM tasks WHERE status = 'completed'").fetchone()
    assert row is not None
    return int(row["n"])


def test_every_task_ends_once_and_no_process_is_left_whoever_is_killed(site: Site) -> None:
    for number in range(TASKS):
        columns = {"max_attempts": 100}
        site.task("napping", seconds=random.uniform(0, 0.4), leaves=number % 4 == 0, columns=columns)
    runners, kills = Runners(site), 0
    deadline = time.monotonic() + 120
    try:
        while (done := completed(site)) < TASKS:
            assert time.monotonic() < deadline, f"{done} of {TASKS} completed"
            if kills < KILLS and done >= kills * TASKS // KILLS:
                kills += 1
                runners.kill() if kills % 2 else runners.kill_a_program()
            time.sleep(random.uniform(0, 0.05))
        runners.stop()
    finally:
        if runners.process.poll() is None:
            runners.process.kill()
            runners.process.wait()
    ends = site.conn.execute(
        "SELECT task_id, count(*) AS n FROM task_events WHERE to_status IN ('completed', 'failed', 'cancelled')"
        " GROUP BY task_id"
    ).fetchall()
    assert len(ends) == TASKS
    assert {row["n"] for row in ends} == {1}
    assert runners.killed == KILLS // 2
    assert runners.programs_killed > 0
    until(lambda: not marked())
    assert site.runs() == []
