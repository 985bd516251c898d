"""Answers while you talk: senders who wait for what comes of a delivery, with a worker that does the work."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import orjson
import pytest
import redis
from starlette.applications import Starlette
from starlette.testclient import TestClient

from domain import envelope
from domain.delivery import QUEUE_NAME, delivery_key
from domain.settings import Settings
from ingest.__main__ import build
from ingest.app import create_app
from ingest.enqueueing import open_enqueuer
from ingest.replying import Replies, connect_waiting
from processors.__main__ import open_workshop
from processors.commanding import answer_awaited
from processors.jobs import Workshop, process_batch
from processors.queueing import DeliveryQueue
from store import tasks
from store.database import Connection
from tests.conftest import API_KEY, ROOT, make_settings
from tests.ingest.test_endpoint import check_refusal

KEY = {"x-api-key": API_KEY}
JOBS = f"rq:queue:{QUEUE_NAME}"


def command(name: str, data: Any = None, **more: Any) -> bytes:
    head = {"type": "collaborative_session_command", "command": name, "session_id": "walk", "data": data or {}}
    return orjson.dumps({**head, **more})


def question(delivery_id: str) -> bytes:
    return command("query_memories", {"type": "decision"}, delivery_id=delivery_id)


TALK = orjson.dumps({"session": "walk", "text": "Mara: I've decided we use the Carbon Interface API."})


@pytest.fixture
def shop(settings: Settings) -> Iterator[Workshop]:
    workshop = open_workshop(settings, "worker-under-test")
    yield workshop
    workshop.pool.close()


@pytest.fixture
def worker(settings: Settings, database_url: str, redis_url: str) -> Iterator[None]:
    """A worker, in a process of its own."""
    environment = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    started = subprocess.Popen([sys.executable, "-m", "processors"], cwd=ROOT, env=environment)
    try:
        yield
    finally:
        started.terminate()
        started.wait(20)


def work_once(shop: Workshop) -> None:
    """Plays the worker for the next job."""
    popped = cast("tuple[bytes, bytes] | None", shop.queue.client.blpop([JOBS], 8))
    assert popped is not None
    process_batch(shop, popped[1].decode())


def post(client: TestClient, body: bytes) -> Any:
    return client.post("/webhook", content=body, headers=KEY)


def patient_app(
    settings: Settings, *, seconds: float = 8, most_waiters: int = 64, url: str = "", command_seconds: float = 8
) -> Starlette:
    assert settings.redis_url is not None
    waiting = connect_waiting(url or settings.redis_url.get_secret_value(), max(seconds, command_seconds))
    replies = Replies(waiting, seconds=seconds, command_seconds=command_seconds, most_waiters=most_waiters)

    async def ready() -> dict[str, bool]:
        return {}

    return create_app(settings, open_enqueuer(settings).enqueue, ready, replies)


@pytest.mark.usefixtures("worker")
def test_an_assistant_that_asks_is_answered_in_the_response(settings: Settings) -> None:
    with TestClient(build(settings)) as client:
        assert client.post("/webhook/generic", content=TALK, headers=KEY).json()["status"] == "accepted"
        found = post(client, command("query_memories", {"type": "decision"}))
        assert found.status_code == 200
        assert found.headers["content-type"] == "application/json"
        assert found.json()["command"] == "query_memories"
        assert found.json()["data"]["count"] == 1
        assert "Carbon Interface API" in found.json()["message"]
        listed = post(client, command("list_sessions")).json()
        assert [session["session_id"] for session in listed["data"]["sessions"]] == ["walk"]
        summary = post(client, command("get_session_summary")).json()
        assert summary["data"]["stats"]["memories"] == 1
        missing = post(client, command("retrieve_memory", {"key": "no such key"}))
        assert (missing.status_code, missing.json()["status"], missing.json()["error"]["code"]) == (
            200,
            "error",
            "not_found",
        )
        asked_anew = post(client, command("query_memories", {"type": "decision"}))
        assert asked_anew.json()["data"]["count"] == 1


@pytest.mark.usefixtures("worker")
def test_a_gpt_that_asks_what_was_decided_is_told(settings: Settings) -> None:
    with TestClient(build(settings)) as client:
        said = {"text": "User: I've decided we take the blue tiles.\nAssistant: Noted.", "session": "kitchen-plan"}
        assert client.post("/webhook/chatgpt/save_conversation", json=said, headers=KEY).status_code == 200
        told = client.post("/webhook/chatgpt/what_was_decided", json={"question": "tiles"}, headers=KEY)
        assert (told.status_code, told.json()["status"], told.json()["data"]["count"]) == (200, "success", 1)
        assert "blue tiles" in told.json()["message"]


def run_git() -> bytes:
    data = {"task_id": "git_7", "action_type": "git", "params": {"command": ["git", "status"]}}
    return orjson.dumps({"type": "task_command", "sync": True, "delivery_id": "git_7", "data": data})


def test_a_command_is_waited_for_longer_and_found_at_its_place_when_it_has_ended(
    database_url: str, redis_url: str, conn: Connection
) -> None:
    settings = make_settings(database_url, redis_url, AI_WEBHOOK_TASK_COMMANDS="commands")
    shop = open_workshop(settings, "worker-under-test")
    conn.execute("SELECT register_agent('commands')")
    with TestClient(patient_app(settings, seconds=0.05, command_seconds=0.1)) as client:
        answer = post(client, run_git())
        place = answer.headers["location"]
        assert (answer.status_code, answer.json()["reply"]) == (202, place)
        work_once(shop)
        answer_awaited(shop.pool, shop.queue)
        assert client.get(place, headers=KEY).status_code == 202  # the task is there, and nobody has done it yet
        (claimed,) = tasks.claim(conn, "commands", "a")
        tasks.complete(conn, "git_7", claimed["claim_token"], output_data={"exit_code": 0, "stdout": "clean"})
        answer_awaited(shop.pool, shop.queue)
        told = client.get(place, headers=KEY)
        assert (told.status_code, told.json()["output"]["stdout"]) == (200, "clean")
        assert post(client, run_git()).json() == told.json()  # a repeat of the request
    shop.pool.close()


def test_a_command_that_ends_while_its_sender_waits_is_the_answer(
    database_url: str, redis_url: str, conn: Connection
) -> None:
    settings = make_settings(database_url, redis_url, AI_WEBHOOK_TASK_COMMANDS="commands")
    shop = open_workshop(settings, "worker-under-test")
    conn.execute("SELECT register_agent('commands')")

    def work() -> None:
        work_once(shop)
        (claimed,) = tasks.claim(conn, "commands", "a")
        tasks.complete(conn, "git_7", claimed["claim_token"], output_data={"exit_code": 0, "stdout": "clean"})
        answer_awaited(shop.pool, shop.queue)

    with TestClient(patient_app(settings, seconds=0.05, command_seconds=20)) as client, ThreadPoolExecutor() as pool:
        working = pool.submit(work)
        told = post(client, run_git())
        assert (told.status_code, told.json()["status"]) == (200, "success")
        working.result()
    shop.pool.close()


def test_who_is_not_answered_in_time_is_told_where_to_ask(
    settings: Settings, shop: Workshop, redis_client: "redis.Redis"
) -> None:
    with TestClient(patient_app(settings, seconds=0.2)) as client:
        answer = post(client, question("nine"))
        place = answer.headers["location"]
        key = answer.json()["delivery"]
        assert (answer.status_code, answer.json()["status"], answer.json()["reply"]) == (202, "accepted", place)
        assert place == f"/webhook/replies/{key}"
        waiting = client.get(place, headers=KEY)
        assert (waiting.status_code, waiting.json()) == (202, {"status": "waiting", "delivery": key})
        work_once(shop)
        reply = client.get(place, headers=KEY)
        assert (reply.status_code, reply.json()["status"]) == (200, "success")
        assert client.get(place, headers=KEY).json() == reply.json()
        redis_client.delete(envelope.reply_name(key))
        check_refusal(client.get(place, headers=KEY), 404, "not_found")


def test_a_reply_is_told_under_the_same_credentials_only(settings: Settings) -> None:
    with TestClient(build(settings)) as client:
        place = f"/webhook/replies/{'0' * 32}"
        check_refusal(client.get(place), 401, "invalid_api_key")
        check_refusal(client.get(place, headers={"x-api-key": "charlies-key"}), 401, "invalid_api_key")
        check_refusal(client.get(place, headers=KEY), 404, "not_found")
        check_refusal(client.get(place + "?source=chatgpt", headers=KEY), 404, "not_found")
        check_refusal(client.get(place + "?source=otter", headers=KEY), 404, "not_found")
        check_refusal(client.get(place + "?source=chatgpt"), 401, "invalid_api_key")
        check_refusal(client.get("/webhook/replies/x%00y", headers=KEY), 404, "not_found")


def test_the_same_delivery_sent_twice_has_one_reply_for_both(
    settings: Settings, shop: Workshop, redis_client: "redis.Redis"
) -> None:
    body = question("nine")
    with TestClient(patient_app(settings)) as client, ThreadPoolExecutor(2) as pool:
        both = [pool.submit(post, client, body) for _ in range(2)]
        work_once(shop)
        first, second = (answer.result(timeout=8) for answer in both)
        assert first.status_code == second.status_code == 200
        assert first.json() == second.json()
        assert first.json()["status"] == "success"
        assert post(client, body).json() == first.json()  # it is over, and the reply is still there
    key = delivery_key("native", "nine")
    for name in (envelope.reply_name(key), envelope.replied_name(key)):
        assert cast("int", redis_client.ttl(name)) > 0  # waiting has not made it last for ever


def test_a_repeat_whose_reply_is_gone_is_a_duplicate_at_once(
    settings: Settings, shop: Workshop, redis_client: "redis.Redis"
) -> None:
    body = question("nine")
    with TestClient(patient_app(settings)) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, client, body)
        work_once(shop)
        assert first.result(timeout=8).json()["status"] == "success"
        for name in redis_client.scan_iter(envelope.PREFIX + "repl*"):
            redis_client.delete(name)
        started = time.monotonic()
        again = post(client, body)
        assert (again.status_code, again.json()["status"]) == (200, "duplicate")
        assert time.monotonic() - started < 4


def test_past_the_number_of_waiters_a_sender_is_told_at_once(settings: Settings, shop: Workshop) -> None:
    with TestClient(patient_app(settings, most_waiters=1)) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, client, question("nine"))
        wait_until_somebody_blocks(shop.queue.client)
        started = time.monotonic()
        second = post(client, question("ten"))
        assert second.status_code == 202
        assert time.monotonic() - started < 4
        assert not first.done()
        work_once(shop)
        assert first.result(timeout=8).status_code == 200
        assert client.get(second.headers["location"], headers=KEY).status_code == 200


def wait_until_somebody_blocks(client: "redis.Redis") -> None:
    deadline = time.monotonic() + 8
    while cast("dict[str, int]", client.info("clients"))["blocked_clients"] == 0:
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_waiting_needs_redis_but_what_was_accepted_is(settings: Settings) -> None:
    with TestClient(patient_app(settings, url="redis://127.0.0.1:1/0")) as client:
        answer = post(client, question("nine"))
        assert answer.status_code == 202
        check_refusal(client.get(answer.headers["location"], headers=KEY), 503, "queue_unavailable")


def test_any_native_command_may_ask_for_what_comes_of_it(settings: Settings, redis_client: "redis.Redis") -> None:
    queue = DeliveryQueue(redis_client, worker="bob", job_timeout_seconds=60, seen_seconds=60)

    def work() -> None:
        popped = cast("tuple[bytes, bytes] | None", redis_client.blpop([JOBS], 8))
        assert popped is not None
        batch = queue.begin(popped[1].decode())
        (delivery,) = queue.payloads(batch)[1]
        assert (delivery.event, delivery.sync) == ("pause_session", True)
        queue.reply({delivery.key: b'{"status":"success"}'})
        queue.finish(batch)

    with TestClient(patient_app(settings)) as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, client, command("pause_session", sync=True))
        work()
        assert answer.result(timeout=8).json() == {"status": "success"}


def test_without_patience_nobody_waits(database_url: str, redis_url: str) -> None:
    settings = make_settings(database_url, redis_url, AI_WEBHOOK_SYNC_SECONDS="0")
    with TestClient(build(settings)) as client:
        assert post(client, command("query_memories")).status_code == 202


def test_a_command_that_wants_no_answer_does_not_wait(settings: Settings) -> None:
    with TestClient(patient_app(settings)) as client:
        answer = client.post(
            "/webhook",
            content=command("pause_session"),
            headers={**KEY, "x-github-event": "push", "x-github-delivery": "guid-1"},
        )
        assert answer.json() == {
            "status": "accepted",
            "delivery": answer.json()["delivery"],
            "event": "push",
            "delivery_id": "guid-1",
            "clients_notified": 0,
        }
