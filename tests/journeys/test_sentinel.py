"""Redis fails over: what was accepted is processed, once, though the server that took it is gone."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from access.rq_dashboard import create_flask_app
from domain.errors import AIWebhookError, QueueUnavailable
from ingest.enqueueing import open_enqueuer
from ops.doctor import redis_checks
from processors.queueing import connect as connect_worker
from store.database import Connection
from tests.conftest import delivery, make_settings
from tests.journeys.processes import (
    check_all_is_there_once,
    endpoint_settings,
    free_port,
    is_ready,
    process,
    sending,
    wait_until,
)
from tests.journeys.sentinels import Watched, paused, watched


@pytest.fixture
def redises() -> Iterator[Watched]:
    with watched() as running:
        yield running


def test_nothing_that_was_accepted_is_lost_when_the_master_is_killed(
    redises: Watched, conn: Connection, database_url: str
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    endpoint = endpoint_settings(redises.url(), port) | {"AI_WEBHOOK_REDIS_REPLICAS": "1"}
    worker = {"REDIS_URL": redises.url(), "DATABASE_URL": database_url, "AI_WEBHOOK_SWEEP_SECONDS": "1"}
    with process("ingest", **endpoint), process("processors", **worker), process("processors", **worker):
        wait_until(lambda: is_ready(url), "the endpoint is not ready")
        with sending(url) as senders:
            redises.master.kill()
            killed = time.monotonic()
            senders.wait_for_refusals(3)
            wait_until(lambda: redises.master_port() != redises.master.port, "no other master is named")
            senders.wait_for_more(1)
            print(f"deliveries are accepted again after {time.monotonic() - killed:.1f} s")
            redises.master.start()  # it comes back as a replica, and forgets what it alone had
        assert set(senders.refusals) == {503}
        check_all_is_there_once(conn, senders.accepted)
    found = redis_checks(redises.url(), 1)
    assert found[0].state == "ok", found
    with create_flask_app(redises.url()).test_client() as dashboard:
        assert dashboard.get("/").status_code == 200


def test_a_read_that_a_signal_breaks_off_leaves_no_answer_for_the_next_command(redises: Watched) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    client = connect_worker(redises.url())
    client.set("mine", b"value")
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        later = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGUSR1])
        later.start()
        with pytest.raises(Interrupted):
            client.blpop(["nothing", "comes"], 1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert client.get("mine") == b"value"
    client.close()


def test_what_too_few_replicas_have_is_not_accepted_nor_called_a_duplicate(redises: Watched, database_url: str) -> None:
    assert [check.state for check in redis_checks(redises.url(), 3) if check.name == "replicas"] == ["wrong"]
    settings = make_settings(database_url, redises.url(), AI_WEBHOOK_REDIS_REPLICAS="1")
    once = delivery("said once")

    async def outcomes() -> list[str]:
        enqueuer, other = open_enqueuer(settings), open_enqueuer(settings)
        found = [await enqueuer.enqueue(delivery("before"))]
        with paused(*redises.replicas):
            for one in (enqueuer, other):  # the other's connection has written nothing yet
                with pytest.raises(QueueUnavailable, match="0 of 1 replicas"):
                    await one.enqueue(once)
        found.append(await other.enqueue(once))
        await enqueuer.close()
        await other.close()
        return found

    assert asyncio.run(outcomes()) == ["accepted", "duplicate"]


@pytest.mark.parametrize(
    "url",
    ["redis+sentinel://localhost:26379/", "redis+sentinel:///service", "redis+sentinel://h:port/s", "http://localhost"],
)
def test_a_url_that_cannot_be_read_is_told_in_a_sentence(url: str, database_url: str) -> None:
    with pytest.raises(AIWebhookError, match="REDIS_URL cannot be read") as error:
        open_enqueuer(make_settings(database_url, url))
    assert "redis+sentinel://:password@" in error.value.hint
