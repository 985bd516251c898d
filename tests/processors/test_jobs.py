"""A batch from Redis to PostgreSQL: exactly once, one bad delivery alone, nothing lost."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
import redis

from domain import envelope
from domain.delivery import BATCH_JOB
from domain.errors import DatabaseUnavailable
from domain.measures import job_histogram
from domain.settings import Settings
from processors import jobs, telling
from processors.__main__ import open_workshop
from processors.jobs import Workshop, process_batch, sweep
from processors.queueing import Batch, connect
from processors.rq_worker import ListedJob, run_worker
from store.database import Connection
from tests.conftest import delivery, make_settings
from tests.processors.workshop import accept, states, talk, work


def batches(redis_client: "redis.Redis") -> list[str]:
    return [member.decode() for member in redis_client.smembers(envelope.BATCHES)]  # type: ignore[union-attr]


def test_a_talk_becomes_turns_chunks_memories_and_tasks(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    said = talk("walk", "I've decided we use the Carbon Interface API.", "Add an action item: look up its prices.")
    accept(settings, delivery(said))
    work(shop)
    session = conn.execute("SELECT * FROM sessions").fetchone()
    assert session is not None
    assert (session["conversation_chunk_count"], session["memory_count"], session["task_count"]) == (1, 2, 1)
    memories = conn.execute("SELECT m.*, t.text FROM memories m JOIN turns t ON t.id = m.turn ORDER BY m.id").fetchall()
    assert [m["type"] for m in memories] == ["decision", "action_item"]
    assert all(m["text"][m["char_start"] : m["char_end"]] == m["quote"] for m in memories)
    task = conn.execute("SELECT * FROM tasks").fetchone()
    assert task is not None
    assert (task["status"], task["memory"]) == ("pending", memories[1]["id"])
    assert batches(redis_client) == []
    assert not list(redis_client.scan_iter(envelope.delivery_name("*")))


def test_running_a_job_again_changes_nothing(settings: Settings, shop: Workshop, conn: Connection) -> None:
    accept(settings, delivery(talk("walk", "Let's go with Postgres.")))
    batch = batches(shop.queue.client)[0]
    process_batch(shop, batch)
    before = conn.execute("SELECT * FROM turns, memories, sessions").fetchall()
    process_batch(shop, batch)
    assert conn.execute("SELECT * FROM turns, memories, sessions").fetchall() == before


def test_a_run_that_ended_before_it_forgot_the_batch_is_repeated_without_effect(
    settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(settings, delivery(talk("walk", "Let's go with Postgres.")))
    batch = batches(shop.queue.client)[0]
    with monkeypatch.context() as patch:
        patch.setattr(type(shop.queue), "finish", lambda queue, batch: None)
        process_batch(shop, batch)
    process_batch(shop, batch)
    assert conn.execute("SELECT count(*) AS n FROM turns").fetchone() == {"n": 1}
    assert batches(shop.queue.client) == []


def test_one_bad_delivery_holds_up_no_other(settings: Settings, shop: Workshop, conn: Connection) -> None:
    good = [delivery(talk(f"walk {n}", "Let's go with Postgres.")) for n in range(5)]
    bad = delivery('{"session": "empty", "turns": []}')
    accept(settings, *good[:2], bad, *good[2:])
    assert len(batches(shop.queue.client)) == 1
    work(shop)
    assert states(conn) == {"processed": 5, "failed": 1}
    failed = conn.execute("SELECT error_code, error, body FROM deliveries WHERE state = 'failed'").fetchone()
    assert failed is not None
    assert failed["error_code"] == "no_turns"
    assert bytes(failed["body"]) == bad.body
    assert not conn.execute("SELECT FROM sessions WHERE id = 'empty'").fetchall()


def test_a_bug_in_one_step_is_recorded_without_what_was_said_and_tried_again(
    settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(turns: Any, **how: Any) -> Any:
        raise ValueError(turns[0].text)

    key = delivery(talk("walk", "the canary sings"), delivery_id="one")
    accept(settings, key)
    with monkeypatch.context() as patch:
        patch.setattr(telling, "chunk", broken)
        work(shop)
    row = conn.execute("SELECT state, attempts, error_code, error FROM deliveries").fetchone()
    assert row is not None
    assert (row["state"], row["attempts"], row["error_code"]) == ("received", 1, "internal_error")
    assert "ValueError" in row["error"]
    assert "canary" not in row["error"]
    conn.execute("UPDATE deliveries SET next_attempt_at = now()")
    sweep(shop)
    work(shop)
    assert states(conn) == {"processed": 1}


def test_a_delivery_that_fails_every_time_ends_as_failed(
    database_url: str, redis_url: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(database_url, redis_url, AI_WEBHOOK_MAX_ATTEMPTS="2")
    shop = open_workshop(settings, "worker-under-test")
    accept(settings, delivery(talk("walk", "words")))
    monkeypatch.setattr(telling, "chunk", lambda turns, **how: 1 / 0)
    for _ in range(2):
        work(shop)
        conn.execute("UPDATE deliveries SET next_attempt_at = now()")
        sweep(shop)
    shop.pool.close()
    assert states(conn) == {"failed": 1}


def test_a_batch_whose_worker_died_is_split_and_finished(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    accept(settings, *(delivery(talk(f"walk {n}", "Let's go with Postgres.")) for n in range(3)))
    batch = batches(redis_client)[0]
    shop.queue.begin(batch)  # and then the worker is gone: nothing says that it is alive
    redis_client.delete(envelope.alive_name("worker-under-test"))
    redis_client.delete(shop.queue.queue.key)
    assert shop.queue.rescue() == [batch]
    work(shop)
    assert states(conn) == {"processed": 3}
    assert batches(redis_client) == []


def test_a_batch_of_a_living_worker_is_left_alone(
    settings: Settings, shop: Workshop, redis_client: "redis.Redis"
) -> None:
    accept(settings, delivery(talk("walk", "words")))
    redis_client.delete(shop.queue.queue.key)
    shop.queue.begin(batches(redis_client)[0])
    shop.queue.say_alive()
    assert shop.queue.rescue() == []


def test_a_batch_that_a_living_worker_let_go_of_is_taken_up_again(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    accept(settings, delivery(talk("walk", "Let's go with Postgres.")))
    (batch,) = batches(redis_client)
    redis_client.delete(shop.queue.queue.key)
    shop.queue.begin(batch)
    shop.queue.let_go()  # and Redis was not there to be told why
    shop.queue.say_alive()
    assert shop.queue.rescue() == [batch]
    work(shop)
    assert states(conn) == {"processed": 1}
    assert batches(redis_client) == []


@pytest.mark.parametrize("field", ["created_at", "data", "timeout", "meta"])
def test_a_job_that_cannot_be_read_is_made_anew(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis", field: str
) -> None:
    accept(settings, delivery(talk("walk", "Let's go with Postgres.")))
    (batch,) = batches(redis_client)
    shop.queue.begin(batch)
    redis_client.delete(envelope.alive_name("worker-under-test"), shop.queue.queue.key)
    redis_client.hset(f"rq:job:{batch}", field, b"\xff no such thing")
    assert shop.queue.rescue() == [batch]
    work(shop)
    assert states(conn) == {"processed": 1}
    assert batches(redis_client) == []


def test_what_somebody_wrote_over_one_batch_holds_up_no_other(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    accept(settings, delivery(talk("walk", "Let's go with Postgres.")))
    (batch,) = batches(redis_client)
    shop.queue.begin(batch)
    redis_client.delete(envelope.alive_name("worker-under-test"), shop.queue.queue.key)
    redis_client.sadd(envelope.BATCHES, b"\xff", "batch-of-nothing", "batch-of-no-time")
    redis_client.set(envelope.meta_name("batch-of-nothing"), "no hash")
    redis_client.hset(envelope.meta_name("batch-of-no-time"), "retry_at", "soon")
    redis_client.rpush(shop.queue.queue.key, b"\xff")
    sweep(shop)
    redis_client.lrem(shop.queue.queue.key, 0, b"\xff")  # RQ takes no such name
    work(shop)
    assert states(conn) == {"processed": 1}


def test_a_worker_begins_again_under_a_name_that_nobody_could_take_back(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    accept(settings, delivery(talk("walk", "Let's go with Postgres.")))
    redis_client.hset("rq:worker:worker-under-test", "birth", "2026-03-02T08:00:00.000000Z")  # and no death
    work(shop)
    assert states(conn) == {"processed": 1}


def test_a_delivery_that_kills_its_worker_every_time_is_given_up(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    accept(settings, delivery(talk("walk", "words")))
    batch = batches(redis_client)[0]
    for _ in range(settings.max_attempts):
        shop.queue.begin(batch)
    process_batch(shop, batch)
    row = conn.execute("SELECT state, error_code FROM deliveries").fetchone()
    assert row == {"state": "failed", "error_code": "worker_lost"}
    assert shop.queue.measures.take()["delivery generic failed"] == 1


def test_deliveries_that_redis_lost_are_swept_up_from_postgresql(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(settings, delivery(talk("walk", "Let's go with Postgres.")))
    with monkeypatch.context() as patch:

        def die(*arguments: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(jobs, "process_deliveries", die)
        with pytest.raises(KeyboardInterrupt):
            process_batch(shop, batches(redis_client)[0])
    redis_client.flushall()
    assert states(conn) == {"received": 1}
    conn.execute("UPDATE deliveries SET next_attempt_at = now()")
    sweep(shop)
    work(shop)
    assert states(conn) == {"processed": 1}


def test_a_job_deleted_by_hand_is_enqueued_again(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(settings, delivery(talk("walk", "Let's go with Postgres.")))
    redis_client.delete(shop.queue.queue.key, f"rq:job:{batches(redis_client)[0]}")
    assert shop.queue.rescue() == []  # it may be between queue and worker
    monkeypatch.setattr("processors.queueing.LOST_SECONDS", 0)
    assert len(shop.queue.rescue()) == 1
    work(shop)
    assert states(conn) == {"processed": 1}


def test_without_postgresql_a_batch_waits_in_redis(
    settings: Settings, redis_url: str, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    accept(settings, delivery(talk("walk", "Let's go with Postgres.")))
    nowhere = make_settings("postgresql://app@127.0.0.1:1/none", redis_url)
    lost = open_workshop(nowhere, "worker-without-database")
    lost.pool.timeout = 0.2
    run_worker(redis_client, "lost", {BATCH_JOB: partial(process_batch, lost)}, burst=True)
    lost.pool.close()
    batch = batches(redis_client)[0]
    assert redis_client.hget(envelope.meta_name(batch), "retry_at")
    redis_client.hset(envelope.meta_name(batch), "retry_at", "0")
    assert shop.queue.rescue() == [batch]
    work(shop)
    assert states(conn) == {"processed": 1}


def test_however_long_postgresql_is_away_no_delivery_fails_for_it(
    settings: Settings, redis_url: str, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    accept(settings, delivery(talk("walk", "Let's go with Postgres.")))
    (batch,) = batches(redis_client)
    lost = open_workshop(make_settings("postgresql://app@127.0.0.1:1/none", redis_url), "worker-without-database")
    lost.pool.timeout = 0.05
    for _ in range(settings.max_attempts + 1):
        with pytest.raises(DatabaseUnavailable):
            process_batch(lost, batch)
    lost.pool.close()
    process_batch(shop, batch)
    assert states(conn) == {"processed": 1}


def test_commands_for_a_session_that_does_not_exist_yet_are_tried_again(
    settings: Settings, shop: Workshop, conn: Connection
) -> None:
    pause = '{"type": "collaborative_session_command", "command": "pause_session", "session_id": "walk", "data": {}}'
    accept(settings, delivery(pause, source="native", event="pause_session"))
    work(shop)
    assert conn.execute("SELECT state, error_code FROM deliveries").fetchone() == {
        "state": "received",
        "error_code": "unknown_session",
    }
    accept(settings, delivery(talk("walk", "words")))
    conn.execute("UPDATE deliveries SET next_attempt_at = now()")
    sweep(shop)
    work(shop)
    assert conn.execute("SELECT status FROM sessions").fetchone() == {"status": "paused"}


@pytest.mark.parametrize("name", ["os.system", "processors.jobs.process_batch", "builtins.print"])
def test_a_job_that_is_not_on_the_list_is_not_run(
    name: str, shop: Workshop, redis_client: "redis.Redis", capsys: pytest.CaptureFixture[str]
) -> None:
    shop.queue.queue.enqueue(name, "echo broken into")
    work(shop)
    assert "broken into" not in capsys.readouterr().out
    registry = shop.queue.queue.failed_job_registry
    assert len(registry) == 1
    failed = ListedJob.fetch(registry.get_job_ids()[0], connection=redis_client, serializer="json")
    assert "PermissionError" in failed.latest_result().exc_string


def test_a_pickled_job_is_not_unpickled(shop: Workshop, redis_client: "redis.Redis", tmp_path: Any) -> None:
    import pickle
    import zlib

    trap = tmp_path / "trap"

    class Payload:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return (open, (str(trap), "w"))

    fields = {"data": zlib.compress(pickle.dumps(Payload())), "status": "queued", "origin": "deliveries"}
    redis_client.hset("rq:job:evil", mapping={**fields, "created_at": "2026-01-01T00:00:00Z"})
    redis_client.rpush("rq:queue:deliveries", "evil")
    work(shop)
    assert not trap.exists()


def test_a_batch_takes_no_delivery_once_it_has_begun(
    settings: Settings, shop: Workshop, redis_client: "redis.Redis"
) -> None:
    accept(settings, delivery(talk("a", "words")))
    first = batches(redis_client)[0]
    begun = shop.queue.begin(first)
    accept(settings, delivery(talk("b", "words")))
    assert len(begun.keys) == 1
    assert shop.queue.begin(first) == Batch(first, begun.keys, 2)
    assert len(batches(redis_client)) == 2


# What is counted


def test_what_workers_count_outlives_them(shop: Workshop, settings: Settings, redis_client: "redis.Redis") -> None:
    accept(settings, delivery(talk("walk", "We use Postgres.")))
    work(shop)
    shop.queue.say_gone()
    told = cast("dict[bytes, bytes]", redis_client.hgetall(envelope.MEASURES))
    counted = {name.decode(): float(count) for name, count in told.items()}
    assert counted["delivery generic processed"] == 1
    assert job_histogram(counted, "done")[0][-1] == ("+Inf", 1)
    assert counted["job done sum"] > 0


def test_what_redis_does_not_take_is_counted_later(shop: Workshop, redis_client: "redis.Redis") -> None:
    shop.queue.measures.job("put_off", 1.5)
    client, shop.queue.client = shop.queue.client, connect("redis://127.0.0.1:1/0")
    with pytest.raises(redis.RedisError):
        shop.queue.say_alive()
    with pytest.raises(redis.RedisError):
        shop.queue.tell_measures()
    shop.queue.client = client
    shop.queue.measures.job("put_off", 3.0)
    shop.queue.tell_measures()
    shop.queue.tell_measures()
    assert redis_client.hget(envelope.MEASURES, "job put_off sum") == b"4.5"
