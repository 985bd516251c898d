"""An endpoint and two workers on hosts of their own: a cut link costs time, and nothing else."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ops.embedded_programs import reachable_postgres, server_account
from store.database import Connection, Row, connect
from store.migrate import migrate
from tests.conftest import ROOT, reachable_folder
from tests.journeys.hosts import Host, hosts
from tests.journeys.processes import (
    check_all_is_there_once,
    endpoint_settings,
    free_port,
    is_ready,
    process,
    sending,
    wait_until,
)
from tests.journeys.replicated import Server
from tests.journeys.sentinels import PASSWORD, SERVER, Program
from tests.journeys.stack import environment


@pytest.fixture
def network() -> Iterator[tuple[str, list[Host]]]:
    with hosts(3) as made:
        yield made


@pytest.fixture
def servers(network: tuple[str, list[Host]]) -> Iterator[tuple[Server, str]]:
    """PostgreSQL and the URL of a Redis, which listen on the network."""
    here, _ = network
    folder = reachable_folder()
    account = server_account("nobody")
    with ExitStack() as ending:
        ending.callback(shutil.rmtree, folder)
        os.chmod(folder, 0o777)
        postgres = Server(reachable_postgres(None, account, folder), folder / "postgres", account, here)
        postgres.make()
        postgres.start()
        ending.callback(postgres.stop)
        migrate(postgres.url())
        redis = Program(folder, SERVER, host=here)
        ending.callback(redis.stop)
        wait_until(redis.answers, "Redis does not start")
        yield postgres, redis.url()


def test_a_cut_link_loses_nothing_and_does_nothing_twice(
    network: tuple[str, list[Host]], servers: tuple[Server, str]
) -> None:
    _, (front, first, second) = network
    postgres, redis_url = servers
    assert PASSWORD not in redis_url  # it is quoted there
    url = f"http://{front.address}:{(port := free_port())}"
    endpoint = endpoint_settings(redis_url, port) | {"AI_WEBHOOK_HOST": front.address}
    worker = {"REDIS_URL": redis_url, "DATABASE_URL": postgres.url(), "AI_WEBHOOK_SWEEP_SECONDS": "1"}
    with (
        connect(postgres.url(), "test") as conn,
        process("ingest", before=front.inside, **endpoint),
        process("processors", before=first.inside, **worker),
        process("processors", before=second.inside, **worker),
    ):
        wait_until(lambda: is_ready(url), "the endpoint is not ready")
        with sending(url) as senders:
            for host in (first, second):
                wait_until(lambda host=host: is_writing(conn, host), "the worker gets nothing to do")
                host.cut()
                began, so_far = time.monotonic(), len(senders.accepted)
                wait_until(lambda count=so_far: processed(conn) >= count, "the other worker does not take over")
                print(
                    f"a worker was cut off; what had been accepted is processed after {time.monotonic() - began:.1f} s"
                )
                host.mend()
                senders.wait_for_more()
            front.cut()
            senders.wait_for_refusals(3)
            front.mend()
            senders.wait_for_more(1)
            assert set(senders.refusals) <= {0, 503}
        check_all_is_there_once(conn, senders.accepted)
        for host in (first, second):
            wait_until(lambda host=host: has_sessions(conn, host), f"{host.name} does not come back")


def test_nobody_waits_long_for_the_locks_of_a_host_that_is_gone(
    network: tuple[str, list[Host]], servers: tuple[Server, str]
) -> None:
    _, (host, *_) = network
    postgres, _ = servers
    holding = (
        "import os; from store.database import connect\n"
        "with connect(os.environ['DATABASE_URL']) as conn, conn.transaction():\n"
        "    conn.execute('LOCK TABLE deliveries'); input()\n"
    )
    with (
        connect(postgres.url(), "test") as conn,
        subprocess.Popen(
            [*host.inside, sys.executable, "-c", holding],
            cwd=ROOT,
            env=environment() | {"DATABASE_URL": postgres.url()},
            stdin=subprocess.PIPE,
        ) as holder,
    ):
        wait_until(lambda: is_writing(conn, host), "the lock is not taken")
        host.cut()
        began = time.monotonic()
        processed(conn)  # within lock_timeout
        print(f"its lock was free after {time.monotonic() - began:.1f} s")
        assert not has_sessions(conn, host)
        holder.kill()


def processed(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) AS n FROM deliveries WHERE state = 'processed'").fetchone()
    return int(row["n"]) if row else 0


def is_writing(conn: Connection, host: Host) -> bool:
    """Whether a worker there is within a transaction, whose locks are in the way of others."""
    return any(row["writes"] for row in sessions_of(conn, host))


def has_sessions(conn: Connection, host: Host) -> bool:
    return bool(sessions_of(conn, host))


def sessions_of(conn: Connection, host: Host) -> list[Row]:
    return conn.execute(
        "SELECT backend_xid IS NOT NULL AS writes FROM pg_stat_activity WHERE client_addr = %s::inet", [host.address]
    ).fetchall()
