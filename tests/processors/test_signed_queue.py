"""Whoever can write to Redis: runs no code of theirs, forges no delivery, and has none processed twice."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from domain import envelope
from domain.errors import SealedElsewhere, Unverified
from domain.sealing import Keys
from domain.settings import Settings
from ingest.enqueueing import connect
from ingest.refusals import Refusals
from processors import jobs
from processors.__main__ import open_workshop
from processors.jobs import Workshop, sweep
from processors.queueing import DeliveryQueue, reseal
from processors.rq_worker import ListedJob
from store import deliveries
from store.database import Connection
from tests.conftest import delivery, make_settings
from tests.processors.sender_api import Api, answering
from tests.processors.workshop import accept, states, talk, work

OURS, THEIRS, SEALING = (secrets.token_hex(32) for _ in range(3))
SAID = "I've decided we use the Carbon Interface API."


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return make_settings(database_url, redis_url, AI_WEBHOOK_QUEUE_KEY=OURS, AI_WEBHOOK_ENCRYPTION_KEY=SEALING)


@contextmanager
def workshop(settings: Settings, **more: str) -> Iterator[Workshop]:
    made = open_workshop(make_settings(settings.conninfo(), redis_of(settings), **more), "another-worker")
    try:
        yield made
    finally:
        made.pool.close()


def redis_of(settings: Settings) -> str:
    assert settings.redis_url is not None
    return settings.redis_url.get_secret_value()


def put(client: "redis.Redis", queue: DeliveryQueue, key: str, packed: bytes) -> None:
    """What somebody can do who can write to Redis."""
    client.set(envelope.delivery_name(key), packed)
    client.delete(envelope.seen_name(key))
    queue.put([key])


def refused(settings: Settings) -> list[tuple[str, str, int]]:
    async def ask() -> list[dict[str, Any]]:
        client = connect(redis_of(settings))
        rows = await Refusals(client, settings).recent()
        await client.aclose()
        return rows

    return [(row["source"], row["code"], row["count"]) for row in asyncio.run(ask())]


def test_what_was_accepted_lies_sealed_in_redis_and_postgresql_and_is_processed(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    one = delivery(talk("walk", SAID))
    assert accept(settings, one) == ["accepted"]
    packed = redis_client.get(envelope.delivery_name(one.key))
    assert packed.startswith(envelope.SIGNED) and b"Carbon" not in packed and b"walk" not in packed
    work(shop)
    row = conn.execute("SELECT body, state, sealed_with, octet_length(body) AS bytes FROM deliveries").fetchone()
    assert row is not None and (row["state"], row["sealed_with"]) == ("processed", shop.sealing.current)
    assert b"Carbon" not in row["body"]
    assert deliveries.body(conn, one.key, shop.sealing) == {"content_type": one.content_type, "body": one.body}
    told = deliveries.get(conn, one.key)
    assert told is not None and told["body_bytes"] == len(one.body)
    assert conn.execute("SELECT text FROM turns").fetchall() == [{"text": SAID}]
    deliveries.replay(conn, [one.key], states=["processed"])
    sweep(shop)
    work(shop)
    assert states(conn) == {"processed": 1}


def test_a_forged_delivery_is_set_aside_and_seen_and_holds_up_no_other(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    true, other = delivery(talk("walk", SAID)), delivery(talk("talk", "Words."))
    forged = {name: delivery(talk(name, "Pay Mallory.")) for name in ("unsigned", "wrong key", "changed", "moved")}
    accept(settings, true, other)
    packed = {name: envelope.pack(one) for name, one in forged.items()}
    packed["wrong key"] = envelope.pack(forged["wrong key"], Keys.of([THEIRS], [SEALING]))
    signed = envelope.pack(forged["changed"], settings.keys())
    packed["changed"] = signed[:-1] + bytes([signed[-1] ^ 1])
    packed["moved"] = envelope.pack(true, settings.keys())
    for name, one in forged.items():
        redis_client.set(envelope.delivery_name(one.key), packed[name])
        redis_client.rpush(envelope.batch_name(redis_client.get(envelope.OPEN).decode()), one.key)
    work(shop)
    assert states(conn) == {"processed": 2}
    assert conn.execute("SELECT count(*) AS n FROM turns WHERE text ~ 'Mallory'").fetchone() == {"n": 0}
    aside = redis_client.hgetall(envelope.ASIDE)
    assert {field.decode() for field in aside} == {one.key for one in forged.values()}
    assert redis_client.get(envelope.delivery_name(forged["unsigned"].key)) == packed["unsigned"]
    assert refused(settings) == [("queue", "unverified_delivery", 4)]
    assert redis_client.smembers(envelope.BATCHES) == set()
    assert shop.queue.take_up() == []


@pytest.mark.parametrize(
    ("endpoint", "worker"), [(OURS, THEIRS), (OURS, ""), ("", OURS)], ids=["another", "none", "one more"]
)
def test_endpoint_and_worker_with_different_keys_lose_nothing(
    endpoint: str, worker: str, database_url: str, redis_url: str, conn: Connection, redis_client: "redis.Redis"
) -> None:
    accepting = make_settings(database_url, redis_url, AI_WEBHOOK_QUEUE_KEY=endpoint)
    one = delivery(talk("walk", SAID))
    accept(accepting, one)
    with workshop(accepting, AI_WEBHOOK_QUEUE_KEY=worker) as shop:
        work(shop)
        sweep(shop)
        work(shop)
    assert states(conn) == {} and redis_client.hlen(envelope.ASIDE) == 1
    assert accept(accepting, one) == ["duplicate"]
    if not endpoint:  # which only its owner can vouch for
        keys = Keys.of([worker], [])
        assert reseal(redis_client, keys, keys) == (0, 1)
        assert reseal(redis_client, keys, keys, unsigned=True) == (1, 0)
    with workshop(accepting, AI_WEBHOOK_QUEUE_KEY=f"{worker},{endpoint}") as shop:
        sweep(shop)
        work(shop)
    assert states(conn) == {"processed": 1} and redis_client.hlen(envelope.ASIDE) == 0


def test_what_is_set_aside_is_looked_at_again_once_it_was_signed_anew(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    one = delivery(talk("walk", SAID))
    put(redis_client, shop.queue, one.key, envelope.pack(one))
    work(shop)
    assert shop.queue.take_up() == []
    assert reseal(redis_client, settings.keys(), settings.keys(), unsigned=True) == (1, 0)
    assert shop.queue.take_up() == [one.key]
    work(shop)
    assert states(conn) == {"processed": 1}


def test_an_old_signed_delivery_that_is_put_back_has_no_second_effect(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    one = delivery(talk("walk", SAID, "Add an action item: look up its prices."))
    accept(settings, one)
    packed = redis_client.get(envelope.delivery_name(one.key))
    work(shop)
    before = conn.execute("SELECT id, processed_at, readings FROM deliveries").fetchall()
    for _ in range(2):
        put(redis_client, shop.queue, one.key, packed)
        work(shop)
    assert conn.execute("SELECT id, processed_at, readings FROM deliveries").fetchall() == before
    assert conn.execute("SELECT count(*) AS n FROM turns").fetchone() == {"n": 2}
    assert conn.execute("SELECT count(*) AS n FROM tasks").fetchone() == {"n": 1}


def test_what_is_set_aside_takes_up_room(settings: Settings, shop: Workshop, redis_client: "redis.Redis") -> None:
    redis_client.hset(envelope.ASIDE, mapping={f"{n}": "since then" for n in range(settings.queue_limit)})
    with pytest.raises(Exception, match="deliveries wait already"):
        accept(settings, delivery(talk("walk", SAID)))


def test_a_job_calls_back_nobody_and_posts_nowhere(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis", api: Api, tmp_path: Any
) -> None:
    """RQ imports the names of callbacks, and sends to the addresses of webhooks, that lie with a job in Redis."""
    api.routes["/there"] = answering({})
    trap = tmp_path / "trap"
    callbacks = {f"{when}_callback_name": "os.system" for when in ("success", "failure", "stopped")}
    hooks = [{"url": f"{api.url}/there", "job_status": when, "method": "GET"} for when in ("finished", "failed")]
    more = {**callbacks, "webhooks": json.dumps(hooks), "meta": json.dumps({"x": f"touch {trap}"})}
    more |= {"repeats_left": "3", "repeat_intervals": "[0]", "retries_left": "3", "dependency_ids": '["other"]'}
    accept(settings, delivery(talk("walk", SAID)))
    (good,) = redis_client.lrange("rq:queue:deliveries", 0, -1)
    bad = shop.queue.queue.enqueue("os.system", f"touch {trap}").id
    for job in (good.decode(), bad):
        redis_client.hset(f"rq:job:{job}", mapping=more)
        fetched = ListedJob.fetch(job, connection=redis_client, serializer="json")
        assert (fetched.success_callback, fetched.failure_callback, fetched.stopped_callback) == (None, None, None)
        assert not fetched.webhooks and not fetched.meta and not fetched._dependency_ids
    work(shop)
    assert states(conn) == {"processed": 1}
    assert api.asked == [] and not trap.exists()


def test_rq_keeps_nothing_of_what_an_error_says(
    settings: Settings, shop: Workshop, redis_client: "redis.Redis", monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def broken(*given: Any) -> None:
        raise KeyError("the cat is ill")

    monkeypatch.setattr(jobs, "fetch_announced", broken)
    accept(settings, delivery(talk("walk", SAID)))
    work(shop)
    failed = shop.queue.queue.failed_job_registry.get_job_ids()
    result = ListedJob.fetch(failed[0], connection=redis_client, serializer="json").latest_result()
    assert "KeyError" in result.exc_string and "fetch_announced" not in result.exc_string.splitlines()[0]
    kept = [redis_client.dump(name) for name in redis_client.scan_iter("rq:*")]
    assert not any(b"the cat" in one for one in kept) and "the cat" not in caplog.text


def test_a_delivery_whose_key_is_missing_fails_with_a_sentence_and_can_be_replayed(
    settings: Settings, shop: Workshop, conn: Connection
) -> None:
    one, two = delivery(talk("walk", SAID)), delivery(talk("talk", "Words."))
    deliveries.record(conn, [one], shop.sealing)
    deliveries.record(conn, [two])
    with workshop(settings, AI_WEBHOOK_QUEUE_KEY=OURS, AI_WEBHOOK_MAX_ATTEMPTS="1") as keyless:
        keyless.queue.put([one.key, two.key])
        work(keyless)
        conn.execute("UPDATE deliveries SET next_attempt_at = now()")
        keyless.queue.client.flushall()
        for key in (one.key, two.key):
            keyless.queue.put([key])
        work(keyless)
    failed = deliveries.get(conn, one.key)
    assert failed is not None and (failed["state"], failed["error_code"]) == ("failed", "encryption_key_missing")
    assert f"sealed with the key {shop.sealing.current}, which is not set here" in failed["error"]
    assert states(conn) == {"failed": 1, "processed": 1}
    deliveries.replay(conn, [one.key])
    sweep(shop)
    work(shop)
    assert states(conn) == {"processed": 2}


KEYS = Keys.of([OURS], [SEALING])


@given(st.binary(max_size=200), st.sampled_from([b"", b"s1 ", b"e1 ", b"e1 00000000 x\n", b'{"source": 1}\n', b"[]\n"]))
def test_whatever_lies_in_redis_is_a_delivery_or_refused(tail: bytes, head: bytes) -> None:
    assert isinstance(envelope.opened("0" * 32, head + tail, KEYS), Unverified | SealedElsewhere)
    assert isinstance(envelope.opened("0" * 32, head + tail, Keys.of([], [])), Unverified | SealedElsewhere)


@given(st.binary(), st.sampled_from([[], [OURS], [THEIRS, OURS]]), st.sampled_from([[], [SEALING], [THEIRS, SEALING]]))
def test_what_was_packed_is_unpacked_with_any_key_that_is_set(
    body: bytes, queue: list[str], encryption: list[str]
) -> None:
    one = replace(delivery(body), sync=True)
    packed = envelope.pack(one, Keys.of(queue[-1:], encryption[-1:]))
    assert envelope.opened(one.key, packed, Keys.of(queue, encryption)) == one
