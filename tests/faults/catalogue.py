"""Every fault: what is done to the stack, and what becomes of it. docs/reliability.md has a row for each.

When a strike returns the fault is over, and recovery begins.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis

from tests.faults.stand import Stand

OUTAGE_SECONDS = 6.0  # longer than a worker may be silent, or a sender waits for an answer
Strike = Callable[[Stand], None]


@dataclass(frozen=True)
class Fault:
    name: str
    done: str  # what is done
    becomes: str  # what happens then
    strike: Strike
    missing: Callable[[], str] = lambda: ""  # what the system lacks for it


FAULTS: dict[str, Fault] = {}
# Those that every run of the tests tries; the others are left to --every-fault and scripts/chaos.
COMMON = (
    "endpoint-kill",
    "worker-kill",
    "postgresql-kill",
    "valkey-kill",
    "out-of-connections",
    "deadlock",
    "aof-torn",
)


def fault(name: str, done: str, becomes: str, **more: Any) -> Callable[[Strike], None]:
    def add(strike: Strike) -> None:
        FAULTS[name] = Fault(name, done, becomes, strike, **more)

    return add


def lasting(name: str, done: str, becomes: str, holds: Callable[[Stand], AbstractContextManager[None]]) -> None:
    """A fault that is there for OUTAGE_SECONDS, while what `holds` answers is held."""

    @fault(name, done, becomes)
    def strike(stand: Stand) -> None:
        with holds(stand):
            time.sleep(OUTAGE_SECONDS)


def wait_until(happened: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "the fault did not come about"
        time.sleep(0.01)


def no_mounts() -> str:
    from tests.faults.stand import may_mount

    return "" if may_mount() else "needs a mount namespace (root on Linux)"


def faketime() -> str:
    """libfaketime, which tells a process another time than the machine's."""
    return next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), "")


def no_faketime() -> str:
    return "" if faketime() else "needs libfaketime: apt-get install libfaketime"


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    processes = [psutil.Process(pid) for pid in pids]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def endpoint(stand: Stand) -> int:
    return stand.pids("ops.child", "web")[0]


def postmaster(stand: Stand) -> int:
    return stand.pids("postgres", "-D")[0]


# Processes that are killed


@fault("endpoint-kill", "kill -9 of the endpoint", "The socket stays open in `up`; senders wait or try again.")
def kill_endpoint(stand: Stand) -> None:
    os.kill(endpoint(stand), signal.SIGKILL)


@fault(
    "worker-kill",
    "kill -9 of a worker in the middle of a job (RQ's SimpleWorker: parent and horse are one)",
    "Its transaction is rolled back; a sweep of another worker gives its batch a new job.",
)
def kill_worker(stand: Stand) -> None:
    with stand.admin() as conn, conn.transaction():
        conn.execute("LOCK TABLE turns IN SHARE ROW EXCLUSIVE MODE")
        wait_until(lambda: conn.execute(WAITING_WORKERS).fetchone() and at_work(stand))
        busy = [pid for pid in stand.workers() if any(name.endswith(f"-{pid}") for name in at_work(stand))]
        os.kill(busy[0], signal.SIGKILL)


WAITING_WORKERS = """
    SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
     WHERE relation = 'turns'::regclass AND NOT granted AND application_name = 'ai-webhook worker'
"""


def at_work(stand: Stand) -> list[str]:
    """The names of the workers that have a batch in hand."""
    with stand.redis() as client:
        return [key.decode() for key in client.scan_iter("aiw:alive:*") if client.get(key)]


@fault(
    "upkeep-kill",
    "kill -9 of the worker whose turn it is to sweep",
    "Its turn ends by itself after one interval; then another worker sweeps.",
)
def kill_upkeep(stand: Stand) -> None:
    wait_until(lambda: stand.holder_of("aiw:sweep"))
    sweeper = stand.holder_of("aiw:sweep")
    os.kill(next((pid for pid in stand.workers() if sweeper.endswith(f"-{pid}")), stand.workers()[0]), signal.SIGKILL)


@fault(
    "postgresql-kill",
    "kill -9 of PostgreSQL's postmaster",
    "PostgreSQL is started again and recovers from its log; jobs that it interrupted are run again.",
)
def kill_postmaster(stand: Stand) -> None:
    os.kill(postmaster(stand), signal.SIGKILL)


@fault(
    "backend-kill",
    "kill -9 of the backend of a worker's connection",
    "PostgreSQL resets all of its connections and recovers; pools connect again.",
)
def kill_backend(stand: Stand) -> None:
    rows = stand.ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'ai-webhook worker'")
    os.kill(rows[0]["pid"], signal.SIGKILL)


@fault(
    "valkey-kill",
    "kill -9 of Valkey",
    "503 with Retry-After until it is started again; what was accepted is read from its append-only file.",
)
def kill_valkey(stand: Stand) -> None:
    os.kill(stand.pids("valkey-server")[0], signal.SIGKILL)


# Processes that are frozen


lasting(
    "endpoint-freeze",
    "SIGSTOP of the endpoint for 6 s, then SIGCONT",
    "Senders and agents wait.",
    lambda stand: frozen([endpoint(stand)]),
)


@fault(
    "worker-freeze",
    "SIGSTOP of a worker for 8 s, until it is taken for dead, then SIGCONT",
    "Its batch is given to another; what it does when it wakes changes nothing.",
)
def freeze_worker(stand: Stand) -> None:
    with frozen(stand.workers()[:1]):
        time.sleep(OUTAGE_SECONDS + 2)


lasting(
    "postgresql-freeze",
    "SIGSTOP of all of PostgreSQL for 6 s, then SIGCONT",
    "Deliveries wait in Redis.",
    lambda stand: frozen([pid for pid in stand.pids("postgres") if pid != stand.process.pid]),
)


lasting(
    "valkey-freeze",
    "SIGSTOP of Valkey for 6 s, then SIGCONT",
    "503 with Retry-After, within 2 s.",
    lambda stand: frozen(stand.pids("valkey-server")),
)


# PostgreSQL


@fault("postgresql-restart", "PostgreSQL is restarted (fast shutdown)", "Pools connect again; jobs are run again.")
def restart_postgresql(stand: Stand) -> None:
    os.kill(postmaster(stand), signal.SIGINT)


@fault(
    "out-of-connections",
    "Others take every connection that PostgreSQL gives, for 6 s",
    "Deliveries wait in Redis; agents get 503. No run of a batch is held against it.",
)
def eat_connections(stand: Stand) -> None:
    eaten: list[psycopg.Connection] = []
    with ExitStack() as held:
        deadline = time.monotonic() + OUTAGE_SECONDS
        while time.monotonic() < deadline:
            try:
                eaten.append(held.enter_context(psycopg.connect(stand.database_url(), autocommit=True)))
            except psycopg.OperationalError:
                eaten[0].execute(END_CONNECTIONS)
                time.sleep(0.02)


END_CONNECTIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'ai-webhook%'
"""


@fault(
    "deadlock",
    "A transaction of another takes the locks of a job in the other order",
    "PostgreSQL ends the job's transaction; the batch is run again, and this is not held against it.",
)
def deadlock(stand: Stand) -> None:
    def deadlocks() -> int:
        statement = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int(stand.ask(statement)[0]["deadlocks"])

    before = deadlocks()
    with stand.admin() as conn:
        conn.execute("SET deadlock_timeout = '1h'")  # so that it is the job that is ended
        with conn.transaction():
            conn.execute("LOCK TABLE tasks IN EXCLUSIVE MODE")
            wait_until(lambda: conn.execute(WAITS_WITH_TURNS).fetchone())
            conn.execute("LOCK TABLE turns IN EXCLUSIVE MODE")
    wait_until(lambda: deadlocks() > before)


WAITS_WITH_TURNS = """
    SELECT 1 AS one FROM pg_locks AS waits JOIN pg_locks AS has USING (pid)
     WHERE NOT waits.granted AND waits.relation = 'tasks'::regclass
       AND has.granted AND has.relation = 'turns'::regclass AND has.mode = 'RowExclusiveLock'
"""


@fault(
    "serialization-failure",
    "The database is set to repeatable read, and a row that a job waits for is changed under it",
    "PostgreSQL ends the job's transaction; the batch is run again, and this is not held against it.",
)
def serialization_failure(stand: Stand) -> None:
    with stand.admin() as conn:
        conn.execute("ALTER DATABASE ai_webhook SET default_transaction_isolation = 'repeatable read'")
        try:
            conn.execute(END_CONNECTIONS)
            mark = len(stand.lines)
            wait_until(lambda: change_under_a_job(stand) and stand.said("put off: Database", mark))
        finally:
            conn.execute("ALTER DATABASE ai_webhook RESET default_transaction_isolation")
            conn.execute(END_CONNECTIONS)


def change_under_a_job(stand: Stand) -> bool:
    with stand.admin() as conn, conn.transaction():
        conn.execute("UPDATE sessions SET title = title")
        time.sleep(0.3)  # in which jobs take their snapshot and come to wait
    return True


# Room


@fault(
    "postgresql-disk-full",
    "PostgreSQL's disk is full for 6 s",
    "Deliveries wait in Redis; PostgreSQL may go down over it and recovers when there is room.",
    missing=no_mounts,
)
def fill_postgresql(stand: Stand) -> None:
    with stand.disks["postgresql"].full(), stand.admin() as conn:
        try:
            conn.execute("CREATE TABLE ballast AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
        except psycopg.Error:
            time.sleep(OUTAGE_SECONDS)
        else:
            raise AssertionError("there was room")


@fault(
    "valkey-disk-full",
    "Valkey's disk is full for 6 s",
    "503 with Retry-After: Valkey ends rather than accept what it cannot keep, and is back when there is room.",
    missing=no_mounts,
)
def fill_valkey(stand: Stand) -> None:
    with stand.disks["valkey"].full():
        try:
            with stand.redis() as client:
                client.set("ballast", "x" * 100_000)
        except redis.RedisError:
            time.sleep(OUTAGE_SECONDS)
        else:
            raise AssertionError("there was room")


@fault(
    "valkey-out-of-memory",
    "Valkey has reached its maxmemory (noeviction) for 6 s, and is then killed and started again",
    "503 with Retry-After; workers wait. The setting is gone after the restart, nothing else is.",
)
def fill_memory(stand: Stand) -> None:
    with stand.redis() as client:
        client.config_set("maxmemory", 1)
        time.sleep(OUTAGE_SECONDS)
    os.kill(stand.pids("valkey-server")[0], signal.SIGKILL)


@fault(
    "aof-torn",
    "Valkey is killed in the middle of a write: its append-only file ends in half a command",
    "It starts without the half command, which nobody was told had been taken.",
)
def tear_aof(stand: Stand) -> None:
    with stand.nothing_is_restarted():
        os.kill(stand.pids("valkey-server")[0], signal.SIGKILL)
        wait_until(lambda: not stand.pids("valkey-server"))
        with open(last_aof(stand), "ab") as file:
            file.write(b"*3\r\n$3\r\nSET\r\n$8\r\naiw:torn\r\n$100\r\nhalf")


def last_aof(stand: Stand) -> Path:
    return max((stand.home / "valkey").rglob("*.aof"), key=lambda path: path.stat().st_mtime)


# The network


lasting(
    "postgresql-slow",
    "Every packet to and from PostgreSQL takes 50 ms",
    "All is slower.",
    lambda stand: stand.links["postgresql"].slow(0.05),
)


lasting(
    "valkey-slow",
    "Every packet to and from Valkey takes 100 ms",
    "All is slower.",
    lambda stand: stand.links["valkey"].slow(0.1),
)


lasting(
    "postgresql-cut",
    "Connections to PostgreSQL are reset, new ones, too, for 6 s",
    "Deliveries wait in Redis.",
    lambda stand: stand.links["postgresql"].cut(),
)


lasting(
    "valkey-cut",
    "Connections to Valkey are reset, new ones, too, for 6 s",
    "503 with Retry-After.",
    lambda stand: stand.links["valkey"].cut(),
)


lasting(
    "postgresql-silent",
    "Packets to and from PostgreSQL vanish for 6 s; then its connections are reset",
    "Deliveries wait in Redis; jobs are run again over new connections.",
    lambda stand: stand.links["postgresql"].silent(),
)


lasting(
    "valkey-silent",
    "Packets to and from Valkey vanish for 6 s; then its connections are reset",
    "503 with Retry-After, within 2 s; workers connect again.",
    lambda stand: stand.links["valkey"].silent(),
)


@fault(
    "names-lost",
    "The host names of PostgreSQL and Valkey no longer resolve for 6 s, and every connection is reset",
    "As if both were away: 503 with Retry-After, and what was accepted waits.",
    missing=no_mounts,
)
def lose_names(stand: Stand) -> None:
    with stand.without_names():
        for link in stand.links.values():
            link.call(link.reset_all)
        time.sleep(OUTAGE_SECONDS)


@fault(
    "clock-jump",
    "The clock of a further worker jumps an hour ahead, and after 6 s two hours back",
    "Nothing: leases go by PostgreSQL's clock, pauses and signs of life by Valkey's, and the worker's is for its log.",
    missing=no_faketime,
)
def jump_clock(stand: Stand) -> None:
    moved = stand.root / "clock"
    moved.write_text("+0\n")
    told = {
        "LD_PRELOAD": faketime(),
        "FAKETIME_TIMESTAMP_FILE": str(moved),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with stand.further_worker(**told):
        for shift in ("+1h", "-1h"):
            moved.write_text(f"{shift}\n")
            time.sleep(OUTAGE_SECONDS)
