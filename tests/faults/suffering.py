"""One fault on a stack under load, and the invariants that hold whatever the fault: one function checks them.

While a fault strikes, senders post, each delivery with words of its own, and agents claim the tasks that come of them
and complete them over HTTP. Afterwards: accepted is processed, once; nothing was refused for a fault of ours; no task
had two holders and each was completed once; no process, job, batch or lock is left over.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from access.client import Client
from domain.errors import AIWebhookError, ClaimLost
from store.database import connect
from tests.faults.catalogue import Fault, at_work
from tests.faults.stand import Stand
from tests.journeys.load import Load, check_all_is_there_once, check_redis_is_empty, load

AGENTS = 2
LEASE_SECONDS = 4
PAUSE_SECONDS = 0.5  # of each sender: recovery is measured, not how fast a backlog is worked off
PATIENCE_SECONDS = 90.0


@dataclass(frozen=True)
class Suffered:
    """What a fault did. `seconds` from its end until all that was accepted before was processed, and more accepted."""

    fault: str
    seconds: float
    accepted: int
    refused: dict[str, int]  # how often senders were told so, by status and code; they tried again
    completed: int


class Agents:
    """Claim tasks over HTTP and complete them, until told to stop; `completed` is what they were told they did."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.stopping = threading.Event()
        self.completed: list[str] = []

    def work(self, name: str) -> None:
        with self.stand.client() as client:
            while not self.stopping.is_set():
                for claim in self.claim(client, name):
                    if self.complete(client, claim):
                        self.completed.append(claim["task_id"])

    def claim(self, client: Client, name: str) -> list[Any]:
        try:
            claims = client.claim_task("claude_code", name, lease_seconds=LEASE_SECONDS, max_tasks=5)
        except AIWebhookError as error:
            assert error.status >= 500, error.message
            claims = []
        if not claims:
            self.stopping.wait(0.1)
        return list(claims)

    def complete(self, client: Client, claim: Any) -> bool:
        """Again and again until there is an answer; False when the lease had lapsed."""
        while True:
            try:
                client.complete_task(claim["task_id"], claim["claim_token"], output_data={})
                return True
            except AIWebhookError as error:
                if error.code == ClaimLost.code:
                    return False
                assert error.status >= 500, error.message
                self.stopping.wait(0.1)


@contextmanager
def agents_at_work(stand: Stand) -> Iterator[Agents]:
    agents = Agents(stand)
    with ThreadPoolExecutor(AGENTS) as threads:
        work = [threads.submit(agents.work, f"agent-{number}") for number in range(AGENTS)]
        try:
            yield agents
        finally:
            agents.stopping.set()
    for one in work:
        one.result()


def suffer(stand: Stand, fault: Fault, name: str) -> Suffered:
    """Lets a fault strike the stack under load, waits for it to recover, and checks every invariant."""
    with agents_at_work(stand) as agents:
        with load(stand, name, pause_seconds=PAUSE_SECONDS) as sent:
            fault.strike(stand)
            over = time.monotonic()
            with sent.counted:
                before = list(sent.accepted)
            sent.wait_for_more(1, PATIENCE_SECONDS)
            wait_until_processed(stand, before)
            seconds = time.monotonic() - over
        check(stand, sent, agents)
    refused = {f"{status} {code}": count for (status, code), count in sent.refusals.items()}
    return Suffered(fault.name, round(seconds, 1), len(sent.accepted), refused, len(agents.completed))


def wait_until_processed(stand: Stand, keys: list[str]) -> None:
    statement = "SELECT count(*) AS n FROM deliveries WHERE id = ANY(%s) AND state = 'processed'"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (done := stand.ask(statement, [keys])[0]["n"]) < len(keys):
        assert time.monotonic() < deadline, (done, len(keys), "\n".join(stand.lines[-30:]))
        time.sleep(0.05)


def check(stand: Stand, sent: Load, agents: Agents) -> None:
    """The invariants. `sent` is finished; `agents` still work."""
    assert all(status >= 500 for status, _ in sent.refusals), sent.refusals
    with connect(stand.database_url(), "test") as database:
        check_all_is_there_once(stand, database, sent)
    check_redis_is_empty(stand)
    settle(stand, ALL_COMPLETED, sent, "tasks that nobody completed")
    for what, statement in (("histories with a gap", BROKEN_HISTORIES), ("completed twice", COMPLETED_TWICE)):
        assert stand.ask(statement, [f"{sent.name}-%"]) == [], what
    assert set(Counter(agents.completed).values()) <= {1}, "two agents were told that they completed a task"
    settle(stand, LEFT_OPEN, sent, "transactions left open")
    check_processes(stand)
    check_jobs(stand)


# A task changes hands only through `pending`: a history in which each move begins where the last one ended, and in
# which no claim follows a claim, had one holder at a time.
BROKEN_HISTORIES = """
    SELECT * FROM (
        SELECT e.task_id, from_status, to_status, lag(to_status) OVER (PARTITION BY e.task_id ORDER BY e.id) AS before
          FROM task_events e JOIN tasks t ON t.id = e.task_id WHERE t.session_id LIKE %s) AS moves
     WHERE from_status IS DISTINCT FROM before OR (before IN ('claimed', 'running') AND to_status = 'claimed')
"""
COMPLETED_TWICE = """
    SELECT e.task_id FROM task_events e JOIN tasks t ON t.id = e.task_id
     WHERE t.session_id LIKE %s AND to_status = 'completed' GROUP BY e.task_id HAVING count(*) > 1
"""
ALL_COMPLETED = "SELECT id, status FROM tasks WHERE session_id LIKE %s AND status <> 'completed'"
LEFT_OPEN = """
    SELECT pid, state, query FROM pg_stat_activity
     WHERE application_name LIKE 'ai-webhook%%' AND xact_start < now() - interval '2 seconds' AND %s <> ''
"""


def settle(stand: Stand, statement: str, sent: Load, what: str) -> None:
    """Until the statement finds nothing any more."""
    deadline = time.monotonic() + 60
    while left := stand.ask(statement, [f"{sent.name}-%"]):
        assert time.monotonic() < deadline, (what, left[:5])
        time.sleep(0.1)


def check_processes(stand: Stand) -> None:
    """One endpoint and two workers, all of them children of `up`."""
    deadline = time.monotonic() + 30
    while True:
        children = {child.pid for child in psutil.Process(stand.process.pid).children()}
        found = (len(stand.pids("ops.child", "web")), len(stand.workers()))
        strangers = set(stand.pids("ops.child")) - children | set(stand.pids("-m", "processors"))
        if found == (1, 2) and not strangers:
            return
        assert time.monotonic() < deadline, (found, strangers)
        time.sleep(0.1)


def check_jobs(stand: Stand) -> None:
    """No batch, no job that waits or is at work, and nobody is said to be at one."""
    deadline = time.monotonic() + 60
    with stand.redis() as client:
        while True:
            left = [*at_work(stand), *client.smembers("aiw:batches"), *client.lrange("rq:queue:deliveries", 0, -1)]
            if not left:
                return
            assert time.monotonic() < deadline, left
            time.sleep(0.1)
