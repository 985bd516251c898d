"""How fast tasks are claimed, beside what the disk allows (one durable row a transaction) and beside other queues.

PostgreSQL's own pgbench is the client of all, with prepared statements as psycopg uses them, against a fresh embedded
server with fsync on. What is compared is measured in turn, in several short rounds, and the medians are told: a shared
machine drifts.
"""

import operator
import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.peers import Rival
from bench.peers.pgqueuer_queue import pgqueuer
from bench.peers.procrastinate_queue import procrastinate
from bench.peers.public_schema import PUBLIC_SCHEMA
from domain.errors import AIWebhookError
from domain.settings import Settings
from ops.bench import Row, is_installed, row
from ops.demo import folder_for
from ops.embedded import EmbeddedServers
from ops.embedded_programs import postgres_programs
from ops.output import note
from store import bench
from store.database import Connection, connect
from store.migrate import migrate

CLIENTS = {1: 0.9, 8: 0.7, 32: 0.6}  # clients, and the share of durable inserts that claims are to reach
BATCH, BATCH_GOAL = 50, 20_000
RIVAL_GOAL, DEEP_GOAL = 2.0, 0.8
RATE = re.compile(r"tps = ([\d.]+)")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. A round is long enough to see and short enough that few dead rows gather."""

    seconds: int = 2
    rounds: int = 3
    pending: int = 100_000
    shallow: int = 10_000
    deep: tuple[int, int] = (1_000_000, 3_000_000)  # pending, completed
    lasting: int = 30_000  # claims by each of 8 clients without a pause, about a minute of them


@dataclass(frozen=True, slots=True)
class Bench:
    """A database to measure in."""

    url: str
    programs: Path
    sizes: Sizes

    def rate(self, script: str, clients: int, *, times: int | None = None) -> float:
        """Transactions a second of this pgbench script, by so many clients at once, each `times` or for a while."""
        length = ["-T", str(self.sizes.seconds)] if times is None else ["-t", str(times)]
        parts = bench.address(self.url)
        environment = {"PGPASSWORD": parts["password"], "LC_ALL": "C"}
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script)
            file.flush()
            command = [str(self.programs / "pgbench"), "-n", "-M", "prepared", "-f", file.name, "-c", str(clients),
                       "-j", "2", *length, "-h", parts["host"], "-p", parts["port"],
                       "-U", parts["user"], parts["dbname"]]  # fmt: skip
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
        found = RATE.search(done.stdout)
        if done.returncode or not found:
            raise AIWebhookError(f"pgbench ended with exit code {done.returncode} and no rate.")
        return float(found[1])

    def in_turn(
        self, *contenders: tuple[str, Callable[[Connection], None]], clients: int, times: int | None = None
    ) -> list[float]:
        """The median rate of each script, each prepared before each of its rounds, measured one after the other."""
        rates: list[list[float]] = [[] for _ in contenders]
        for _ in range(self.sizes.rounds):
            for found, (script, prepare) in zip(rates, contenders, strict=True):
                with connect(self.url, "bench") as conn:
                    prepare(conn)
                found.append(self.rate(script, clients, times=times))
        return [statistics.median(found) for found in rates]


def claim(settings: Settings, *, deep: bool = False, sizes: Sizes | None = None) -> list[Row]:
    """`deep` adds a queue of a million tasks beside three million that are done, which takes minutes to fill, and a
    minute of claims without a pause."""
    sizes = sizes or Sizes()
    with measured(settings, sizes) as here:
        rows = [against_inserts(here, clients, goal) for clients, goal in CLIENTS.items()]
        rows.append(batches(here))
        for rival in rivals():
            rows += [against(here, rival, clients) for clients in (1, 8)]
        return rows + (depth(here) if deep else [])


@contextmanager
def measured(settings: Settings, sizes: Sizes) -> Iterator[Bench]:
    with folder_for(None) as folder, embedded(settings, folder) as servers:
        url = servers.database_url or ""
        migrate(url)
        with connect(url, "bench") as conn:
            bench.prepare(conn)
        yield Bench(url, postgres_programs(settings.postgres_bin), sizes)


def embedded(settings: Settings, folder: Path) -> EmbeddedServers:
    return EmbeddedServers(folder, server_user=settings.server_user, postgres_bin=settings.postgres_bin, valkey=False)


def against_inserts(here: Bench, clients: int, goal: float) -> Row:
    inserts, claims = here.in_turn(
        (bench.INSERT, lambda conn: None),
        (bench.CLAIM, lambda conn: bench.refill(conn, here.sizes.pending)),
        clients=clients,
    )
    found = row(f"claims, {plural(clients)}", claims, "/s", reference=round(inserts))
    return found | {"goal": f"{goal} of inserts", "ok": claims >= goal * inserts}


def batches(here: Bench) -> Row:
    """Counted and not timed: however fast the machine, the queue does not run dry."""
    times = here.sizes.pending * 4 // 5 // (8 * BATCH)
    (rate,) = here.in_turn(
        (bench.CLAIM_FIFTY, lambda conn: bench.refill(conn, here.sizes.pending)), clients=8, times=times
    )
    return row(f"claims in batches of {BATCH}, 8 clients", BATCH * rate, "/s", goal=BATCH_GOAL, meets=operator.ge)


def rivals() -> list[Rival]:
    found = {"procrastinate": procrastinate, "pgqueuer": pgqueuer}
    return [PUBLIC_SCHEMA, *(install() for package, install in found.items() if is_installed(package))]


def against(here: Bench, rival: Rival, clients: int) -> Row:
    if clients == 1:
        with connect(here.url, "bench") as conn:
            bench.fill(conn, rival.schema)

    def refill(conn: Connection) -> None:
        bench.fill(conn, rival.fill, pending=here.sizes.pending)
        bench.settle(conn, rival.tables)

    theirs, ours = here.in_turn(
        (rival.script, refill),
        (bench.CLAIM_AND_COMPLETE, lambda conn: bench.refill(conn, here.sizes.pending)),
        clients=clients,
    )
    found = row(f"claim to completion, {plural(clients)}, beside {rival.name}", ours, "/s", reference=round(theirs))
    return found | {"goal": f"{RIVAL_GOAL} times", "ok": ours >= RIVAL_GOAL * theirs}


def depth(here: Bench) -> list[Row]:
    """Two databases of one server, measured in turn, by as many claims as the smaller queue can give."""
    pending, done = here.sizes.deep
    times = here.sizes.shallow // 10
    note(f"Filling a queue of {pending:,} tasks beside {done:,} that are done.")
    below = Bench(another_database(here.url, "deep"), here.programs, here.sizes)
    with connect(below.url, "bench") as conn:
        bench.take_time(conn)
        bench.refill(conn, pending, done)
        bench.checkpoint(conn)
    rates: list[list[float]] = [[], []]
    for _ in range(here.sizes.rounds):
        with connect(here.url, "bench") as conn:
            bench.refill(conn, here.sizes.shallow)
        rates[0].append(here.rate(bench.CLAIM, 8, times=times))
        with connect(below.url, "bench") as conn:
            bench.take_time(conn)
            bench.settle(conn, "tasks")
        rates[1].append(below.rate(bench.CLAIM, 8, times=times))
    shallow, deep = map(statistics.median, rates)
    name = f"claims, 8 clients, {pending:,} pending and {done:,} done"
    found = row(name, deep, "/s", reference=round(shallow))
    found |= {"goal": f"{DEEP_GOAL} of {here.sizes.shallow:,} pending", "ok": deep >= DEEP_GOAL * shallow}
    return [found, lasting(below, deep, times)]


def lasting(here: Bench, before: float, times: int) -> Row:
    """After a minute of claims that PostgreSQL swept up after as it liked; `before` is their rate without dead rows."""
    here.rate(bench.CLAIM, 8, times=here.sizes.lasting)
    rate = here.rate(bench.CLAIM, 8, times=times)
    name = f"claims, 8 clients, after {8 * here.sizes.lasting:,} without a pause"
    found = row(name, rate, "/s", reference=round(before))
    return found | {"goal": f"{DEEP_GOAL} of those before", "ok": rate >= DEEP_GOAL * before}


def another_database(url: str, name: str) -> str:
    with connect(url, "bench") as conn:
        bench.create_database(conn, name)
    other = bench.with_database(url, name)
    migrate(other)
    with connect(other, "bench") as conn:
        bench.prepare(conn)
    return other


def plural(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"
