"""What `ai-webhook doctor` says of clocks, of work that waits or that nobody is at, of agents and of backups."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from domain import envelope
from domain.settings import Settings
from ops import doctor_work
from ops.backup import file_name
from ops.doctor import redis_checks
from store import deliveries
from store.database import Connection
from tests.conftest import delivery
from tests.processors.workshop import accept


def states(found: Iterator[doctor_work.Found]) -> list[tuple[str, str]]:
    rows = list(found)
    assert all(mend for _, state, _, mend in rows if state != "ok")  # it is said how to mend it
    return [(name, state) for name, state, _, _ in rows]


def test_clocks_are_compared(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert states(doctor_work.clocks(database_url, redis_url)) == [("clocks", "ok")]
    assert states(doctor_work.clocks(None, None)) == []
    monkeypatch.setattr(doctor_work, "redis_seconds", lambda url: -90.0)
    ((_, state, finding, _),) = doctor_work.clocks(database_url, redis_url)
    assert (state, finding) == ("warning", "Redis is 90 s behind")


def test_work_that_waits_for_long(settings: Settings, redis_url: str, redis_client: "redis.Redis") -> None:
    assert states(doctor_work.waiting(redis_url)) == [("queue", "ok")]
    accept(settings, delivery("{}"))
    (batch,) = (member.decode() for member in redis_client.smembers(envelope.BATCHES))  # type: ignore[union-attr]
    assert states(doctor_work.waiting(redis_url)) == [("queue", "ok")]
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    redis_client.hset(f"rq:job:{batch}", "created_at", long_ago)
    assert states(doctor_work.waiting(redis_url)) == [("queue", "warning")]


def test_a_batch_whose_worker_is_gone(settings: Settings, redis_url: str, redis_client: "redis.Redis") -> None:
    accept(settings, delivery("{}"))
    (batch,) = (member.decode() for member in redis_client.smembers(envelope.BATCHES))  # type: ignore[union-attr]
    redis_client.hset(envelope.meta_name(batch), "owner", "w1")
    redis_client.set(envelope.alive_name("w1"), batch)
    assert doctor_work.orphaned(redis_url) == []
    redis_client.delete(envelope.alive_name("w1"))
    assert doctor_work.orphaned(redis_url) == [batch]
    assert ("orphans", "warning") in states(doctor_work.waiting(redis_url))


def test_deliveries_never_finished_and_agents_that_fell_silent(database_url: str, conn: Connection) -> None:
    assert states(doctor_work.recorded(database_url)) == []
    deliveries.record(conn, [delivery("{}", received_at=datetime.now(UTC) - timedelta(hours=2))])
    conn.execute("INSERT INTO sessions (id, title) VALUES ('walk', 'Walk')")
    conn.execute("INSERT INTO tasks (id, session_id, agent_name, task_type) VALUES ('t1', 'walk', 'codex', 'code')")
    assert conn.execute("SELECT * FROM claim_task('codex', 'c1')").fetchone()
    conn.execute("UPDATE agents SET last_heartbeat = now() - interval '1 hour' WHERE name = 'codex'")
    assert states(doctor_work.recorded(database_url)) == [("unfinished", "warning"), ("agents", "warning")]


def test_backups_are_looked_at_where_they_are_scheduled(settings: Settings, tmp_path: Path) -> None:
    assert states(doctor_work.backups(settings)) == []
    scheduled = settings.model_copy(update={"backup_folder": tmp_path})
    assert states(doctor_work.backups(scheduled)) == [("backups", "wrong")]
    (tmp_path / file_name(datetime.now(UTC) - timedelta(hours=40))).touch()
    assert states(doctor_work.backups(scheduled)) == [("backups", "wrong")]
    (tmp_path / file_name(datetime.now(UTC) - timedelta(hours=3))).touch()
    assert states(doctor_work.backups(scheduled)) == [("backups", "ok")]


def test_a_redis_that_may_lose_what_it_accepted_fails_unless_that_is_meant(
    redis_url: str, redis_client: "redis.Redis"
) -> None:
    before = redis_client.config_get("appendfsync")["appendfsync"]  # type: ignore[index]
    redis_client.config_set("appendfsync", "everysec")
    try:
        refused, *_ = redis_checks(redis_url)
        meant, *_ = redis_checks(redis_url, is_volatile=True)
    finally:
        redis_client.config_set("appendfsync", before)
    assert (refused.state, meant.state) == ("wrong", "warning")
    assert "appendfsync always" in refused.mend
    assert "AI_WEBHOOK_VOLATILE_REDIS" in refused.mend


@pytest.mark.parametrize("kept", ["yes", "no"])
def test_a_managed_redis_that_forbids_config_is_asked_what_it_tells(
    redis_url: str, redis_client: "redis.Redis", kept: str
) -> None:
    redis_client.execute_command("ACL", "SETUSER", "tenant", "on", "nopass", "~*", "+@all", "-config")
    redis_client.config_set("appendonly", kept)
    try:
        check, *_ = redis_checks(redis_url.replace("redis://", "redis://tenant:any@"))
    finally:
        redis_client.config_set("appendonly", "yes")
        redis_client.acl_deluser("tenant")
    assert check.state == ("warning" if kept == "yes" else "wrong")
    assert ("appendfsync always" in check.mend) == (kept == "yes")
    assert ("appendonly yes" in check.mend) == (kept == "no")
