"""How fast tasks are claimed, beside what the disk allows: one durable row a transaction, with as many clients.

PostgreSQL's own pgbench drives both, in turn, against a fresh embedded server with fsync on.
"""

import operator
import re
import subprocess
import tempfile
from pathlib import Path

from domain.errors import AIWebhookError
from domain.settings import Settings
from ops.bench import Row, row
from ops.demo import folder_for
from ops.embedded import EmbeddedServers
from ops.embedded_programs import postgres_programs
from store import bench
from store.database import connect
from store.migrate import migrate

SECONDS = 4
PENDING = 100_000
CLIENTS = {1: 0.9, 8: 0.7, 32: 0.6}  # clients, and the share of durable inserts that claims are to reach
BATCH, BATCH_GOAL = 50, 20_000
RATE = re.compile(r"tps = ([\d.]+)")


def claim(settings: Settings) -> list[Row]:
    with folder_for(None) as folder, embedded(settings, folder) as servers:
        url = servers.database_url or ""
        migrate(url)
        programs = postgres_programs(settings.postgres_bin)
        rows = []
        with connect(url, "bench") as conn:
            bench.prepare(conn)
        for clients, goal in CLIENTS.items():
            refill(url)
            inserts = rate(programs, url, bench.INSERT, clients)
            claims = rate(programs, url, bench.CLAIM, clients)
            made = row(f"claims, {clients} clients", claims, "/s", reference=round(inserts))
            made |= {"goal": f"{goal} of inserts", "ok": claims >= goal * inserts}
            rows.append(made)
        refill(url)
        batches = BATCH * rate(programs, url, bench.CLAIM_FIFTY, 8, seconds=2)
        rows.append(row(f"claims in batches of {BATCH}, 8 clients", batches, "/s", goal=BATCH_GOAL, meets=operator.ge))
        return rows


def embedded(settings: Settings, folder: Path) -> EmbeddedServers:
    return EmbeddedServers(folder, server_user=settings.server_user, postgres_bin=settings.postgres_bin, valkey=False)


def refill(url: str) -> None:
    with connect(url, "bench") as conn:
        bench.refill(conn, PENDING)


def rate(programs: Path, url: str, statement: str, clients: int, *, seconds: int = SECONDS) -> float:
    """Transactions a second of this statement, by so many clients at once."""
    parts = bench.address(url)
    environment = {"PGPASSWORD": parts["password"], "LC_ALL": "C"}
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(statement + ";\n")
        script.flush()
        command = [str(programs / "pgbench"), "-n", "-f", script.name, "-c", str(clients), "-j", "2",
                   "-T", str(seconds), "-h", parts["host"], "-p", parts["port"], "-U", parts["user"],
                   parts["dbname"]]  # fmt: skip
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    found = RATE.search(done.stdout)
    if done.returncode or not found:
        raise AIWebhookError(f"pgbench ended with exit code {done.returncode} and no rate.")
    return float(found[1])
