"""What is kept of refused requests: who, why and how often, and nothing that was sent."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import redis
from starlette.testclient import TestClient

from domain import envelope
from domain.errors import BodyTooLarge, QueueUnavailable, SignatureError
from ingest.__main__ import build
from ingest.enqueueing import connect
from ingest.refusals import Refusals
from ingest.sources import UNKNOWN
from tests.conftest import API_KEY
from tests.ingest.test_endpoint import settings_for

SECRET = "zoomzoomzoom-is-a-secret"
SAID = b'{"event": "recording.completed", "said": "the cat is ill"}'


def told(redis_url: str, work: Callable[[Refusals], Any] | None = None) -> list[dict[str, Any]]:
    async def ask() -> list[dict[str, Any]]:
        client = connect(redis_url)
        refusals = Refusals(client, settings_for(redis_url, WEBHOOK_SECRET_ACME="acmes", WEBHOOK_SOURCES="acme"))
        if work is not None:
            work(refusals)
        await refusals.close()
        rows = await refusals.recent()
        await client.aclose()
        return rows

    return asyncio.run(ask())


def test_a_refused_request_is_counted_with_its_reason(redis_url: str) -> None:
    with TestClient(build(settings_for(redis_url, WEBHOOK_SECRET_ZOOM=SECRET))) as client:
        for _ in range(3):
            client.post(
                "/webhook/zoom", content=SAID, headers={"x-zm-signature": "v0=00", "x-zm-request-timestamp": "1"}
            )
        client.post("/webhook/zoom", content=b"", headers={"authorization": f"Bearer {API_KEY}"})
        client.post("/webhook/zoom/wrong-secret-in-the-address", content=SAID)
        assert client.post("/webhook/zoom", content=SAID, headers={"x-api-key": API_KEY}).status_code == 200
    rows = {row["code"]: row for row in told(redis_url)}
    assert {code: (row["source"], row["count"]) for code, row in rows.items()} == {
        "invalid_signature": ("zoom", 1),
        "signature_expired": ("zoom", 3),
        "empty_body": ("zoom", 1),
    }
    assert rows["invalid_signature"]["why"].startswith("The secret in the URL is wrong.")
    assert datetime.now(UTC) - rows["empty_body"]["last_at"] < timedelta(minutes=1)


def test_nothing_that_was_sent_is_kept(redis_url: str, redis_client: "redis.Redis") -> None:
    with TestClient(build(settings_for(redis_url))) as client:
        client.post("/webhook/zoom/my-secret-in-the-address", content=SAID, headers={"user-agent": "agent-of-zoom"})
        client.post("/webhook/asecretputwrong", content=SAID, headers={"authorization": "Bearer wrong-key"})
        client.post("/webhook/%00%3Cscript%3E", content=SAID)
    name = envelope.refused_name(datetime.now(UTC).date())
    kept = b" ".join(part for pair in cast("Any", redis_client.hgetall(name)).items() for part in pair)
    for word in (b"my-secret", b"cat", b"agent-of", b"asecretputwrong", b"wrong-key", b"script", b"testclient"):
        assert word not in kept
    assert {row["source"] for row in told(redis_url)} == {"zoom", UNKNOWN}
    assert 0 < cast("int", redis_client.ttl(name)) <= envelope.REFUSED_SECONDS


def test_a_source_of_ones_own_has_its_name(redis_url: str) -> None:
    assert [row["source"] for row in told(redis_url, lambda r: r.count("acme", SignatureError("No.")))] == ["acme"]


def test_what_is_our_own_fault_is_not_counted(redis_url: str) -> None:
    assert told(redis_url, lambda refusals: refusals.count("zoom", QueueUnavailable("Down."))) == []


def test_a_flood_is_few_round_trips(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    send = Refusals.send

    async def counted(self: Refusals, gathered: Any) -> None:
        sent.append(gathered)
        await send(self, gathered)

    monkeypatch.setattr(Refusals, "send", counted)

    def flood(refusals: Refusals) -> None:
        for number in range(1000):
            refusals.count(f"name-{number}", BodyTooLarge("Too large."))

    assert [(row["source"], row["count"]) for row in told(redis_url, flood)] == [(UNKNOWN, 1000)]
    assert len(sent) == 1


def test_days_are_added_up_and_the_latest_has_the_last_word(redis_url: str, redis_client: "redis.Redis") -> None:
    today = datetime.now(UTC)
    for back, why in ((7, "Too old."), (6, "First."), (0, "Last.")):
        at = today - timedelta(days=back)
        row = {"zoom empty_body count": back + 1, "zoom empty_body at": at.isoformat(), "zoom empty_body why": why}
        redis_client.hset(envelope.refused_name(at.date()), mapping=cast("Any", row))
    assert [(row["count"], row["why"], row["last_at"]) for row in told(redis_url)] == [(8, "Last.", today)]


def test_without_redis_a_sender_is_refused_all_the_same(redis_url: str) -> None:
    down = "redis://127.0.0.1:1/0"
    with TestClient(build(settings_for(down))) as client:
        assert client.post("/webhook/zoom", content=SAID).status_code == 401
    with pytest.raises(QueueUnavailable):
        told(down)
