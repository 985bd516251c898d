"""When more comes than can be taken: a full queue, a full Redis, slow bodies, and senders who send too much."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import orjson
import pytest
import redis
import uvicorn
from starlette.applications import Starlette
from starlette.testclient import TestClient

from domain.errors import SettingsError
from domain.settings import Settings
from ingest.__main__ import build
from processors.queueing import DeliveryQueue
from tests.conftest import make_settings
from tests.ingest.test_endpoint import (
    GENERIC,
    KEY,
    TALK,
    batches,
    check_refusal,
    kept_at_all,
    keys,
    settings_for,
    waiting_jobs,
)


def post(client: TestClient, number: int, source: str = "generic") -> Any:
    body = orjson.dumps({"session": "walk", "text": f"Sentence number {number}."})
    return client.post(f"/webhook/{source}", content=body, headers=KEY)


@pytest.mark.parametrize("batch", [1, 2, 50])
def test_a_full_queue_takes_no_more_until_there_is_room(
    redis_url: str, redis_client: "redis.Redis", batch: int
) -> None:
    few = settings_for(redis_url, AI_WEBHOOK_QUEUE_LIMIT="5", AI_WEBHOOK_BATCH_DELIVERIES=str(batch))
    with TestClient(build(few), raise_server_exceptions=False) as client:
        assert [post(client, number).status_code for number in range(5)] == [200] * 5
        before = sorted(keys(redis_client))
        refusal = post(client, 5)
        check_refusal(refusal, 503, "queue_full")
        assert int(refusal.headers["retry-after"]) > 0
        assert sorted(keys(redis_client)) == before
        assert post(client, 2).json()["status"] == "duplicate"  # what is there already needs no room
        queue = DeliveryQueue(redis_client, worker="bob", job_timeout_seconds=60, seen_seconds=60)
        queue.finish(queue.begin(waiting_jobs(redis_client)[0]))
        free = min(batch, 5)
        answers = [post(client, number).status_code for number in range(5, 11)]
        assert answers == [200] * free + [503] * (6 - free)
        assert sum(len(carried) for carried in batches(redis_client).values()) == 5


def test_while_redis_has_no_memory_left_the_sender_is_asked_to_come_again(
    redis_url: str, redis_client: "redis.Redis"
) -> None:
    limited = settings_for(redis_url, AI_WEBHOOK_RATE_LIMIT="600/minute")
    memory = cast("dict[str, str]", redis_client.config_get("maxmemory", "maxmemory-policy"))
    with TestClient(build(limited), raise_server_exceptions=False) as client:
        redis_client.config_set("maxmemory-policy", "noeviction")
        redis_client.config_set("maxmemory", 1)
        try:
            answer = client.post(GENERIC, content=TALK, headers=KEY)
        finally:
            for name, value in memory.items():
                redis_client.config_set(name, value)
        check_refusal(answer, 503, "queue_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert client.post(GENERIC, content=TALK, headers=KEY).json()["status"] == "accepted"


# Rates


def test_a_source_that_sends_too_much_is_asked_to_wait_and_no_other_is(redis_url: str) -> None:
    limited = settings_for(redis_url, AI_WEBHOOK_RATE_LIMIT="3/hour")
    with TestClient(build(limited), raise_server_exceptions=False) as client:
        assert [post(client, number).status_code for number in range(3)] == [200] * 3
        refusal = post(client, 3)
        check_refusal(refusal, 429, "rate_limited")
        assert 1 <= int(refusal.headers["retry-after"]) <= 3600
        assert post(client, 3, "vapi").status_code == 200
        # Whoever does not come in counts for nothing, so a stranger cannot use up what a sender may send.
        for _ in range(5):
            assert client.post("/webhook/otter", content=TALK).status_code == 401
        assert post(client, 4, "otter").status_code == 200


def test_the_rate_is_open_while_redis_is_down() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with TestClient(
            build(settings_for(url, AI_WEBHOOK_RATE_LIMIT="1/hour")), raise_server_exceptions=False
        ) as client:
            for number in range(3):
                check_refusal(post(client, number), 503, "queue_unavailable")


def test_a_silent_redis_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with TestClient(
            build(settings_for(url, AI_WEBHOOK_RATE_LIMIT="1/hour")), raise_server_exceptions=False
        ) as client:
            check_refusal(post(client, 1), 503, "queue_unavailable")


@pytest.mark.parametrize("limit", ["600", "a/minute", "0/minute", "600/fortnight", "-1/minute", "600/minute; 1/day"])
def test_a_limit_that_is_none_is_told_at_the_start(limit: str) -> None:
    with pytest.raises(SettingsError, match="AI_WEBHOOK_RATE_LIMIT"):
        make_settings("", "", AI_WEBHOOK_RATE_LIMIT=limit)


@pytest.mark.parametrize("limit", ["600/minute", "1 per second", "10000/2 hours", "5/day"])
def test_a_limit_may_be_written_in_several_ways(redis_url: str, limit: str) -> None:
    with TestClient(build(settings_for(redis_url, AI_WEBHOOK_RATE_LIMIT=limit))) as client:
        assert post(client, 1).status_code == 200


# Slow bodies, over a real socket


@contextmanager
def serving(app: Starlette) -> Iterator[int]:
    """The port of a server that runs for a while."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(timeout=10)
            assert not thread.is_alive()


def head(length: int) -> bytes:
    return (
        f"POST {GENERIC} HTTP/1.1\r\nhost: test\r\nx-api-key: {KEY['x-api-key']}\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


def answer_of(connection: socket.socket) -> bytes:
    received = b""
    while b"}}" not in received and (piece := connection.recv(65536)):
        received += piece
    return received


def slow_settings(redis_url: str) -> Settings:
    return settings_for(redis_url, AI_WEBHOOK_BODY_SECONDS="0.5")


def test_a_body_that_trickles_is_given_up(redis_url: str, redis_client: "redis.Redis") -> None:
    with serving(build(slow_settings(redis_url))) as port, socket.create_connection(("127.0.0.1", port)) as trickling:
        trickling.settimeout(8)
        trickling.sendall(head(len(TALK)))
        stopped = threading.Event()

        def trickle() -> None:
            for number in range(len(TALK)):
                if stopped.wait(0.1):
                    return
                try:
                    trickling.sendall(TALK[number : number + 1])
                except OSError:
                    return

        writer = threading.Thread(target=trickle)
        writer.start()
        started = time.monotonic()
        answer = answer_of(trickling)
        took = time.monotonic() - started
        stopped.set()
        writer.join()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body_too_slow" in answer
        assert b"connection: close" in answer
        assert 0.3 < took < 4
    assert kept_at_all(redis_client) == []


def test_a_body_that_never_comes_holds_up_nobody(redis_url: str) -> None:
    with serving(build(slow_settings(redis_url))) as port:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
        for connection in silent:
            connection.settimeout(8)
            connection.sendall(head(1000))
        with socket.create_connection(("127.0.0.1", port)) as quick:
            quick.settimeout(8)
            quick.sendall(head(len(TALK)) + TALK)
            assert b'"accepted"' in quick.recv(65536)
        assert all(answer_of(connection).startswith(b"HTTP/1.1 408 ") for connection in silent)
        for connection in silent:
            connection.close()
