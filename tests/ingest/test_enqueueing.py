"""How requests that come together go together. Nothing here depends on a server, so fakeredis stands for one."""

import asyncio
from typing import Any

import fakeredis
import pytest

from domain import envelope
from domain.errors import QueueUnavailable
from ingest import enqueueing
from ingest.enqueueing import Enqueuer
from tests.conftest import delivery


def enqueuer(client: Any, batch_deliveries: int = 50) -> Enqueuer:
    return Enqueuer(client, batch_deliveries=batch_deliveries, job_timeout_seconds=60)


async def round_trips(count: int, size: int = 10) -> tuple[list[str], list[int]]:
    """Posts so many deliveries at once; their outcomes, and how many went in each round trip."""
    client = fakeredis.FakeAsyncRedis()
    ours, groups = enqueuer(client), []
    send = ours.send

    async def counted(deliveries: Any) -> Any:
        groups.append(len(deliveries))
        return await send(deliveries)

    ours.send = counted  # type: ignore[method-assign]
    outcomes = await asyncio.gather(*(ours.enqueue(delivery(b"x" * size)) for _ in range(count)))
    await ours.close()
    return list(outcomes), groups


def test_what_comes_together_goes_in_one_round_trip() -> None:
    outcomes, groups = asyncio.run(round_trips(40))
    assert outcomes == ["accepted"] * 40
    assert groups == [40]


def test_a_round_trip_is_bounded_in_number_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asyncio.run(round_trips(450))[1] == [200, 200, 50]
    monkeypatch.setattr(enqueueing, "FLUSH_BYTES", 1000)
    assert asyncio.run(round_trips(7, size=400))[1] == [2, 2, 2, 1]
    assert asyncio.run(round_trips(2, size=5000))[1] == [1, 1]  # one that is larger goes alone


def test_a_batch_takes_no_more_than_its_limit() -> None:
    async def post() -> list[int]:
        client = fakeredis.FakeAsyncRedis()
        ours = enqueuer(client, batch_deliveries=3)
        await asyncio.gather(*(ours.enqueue(delivery(b"x")) for _ in range(7)))
        members: Any = await client.smembers(envelope.BATCHES)
        lengths = [await client.llen(envelope.batch_name(member.decode())) for member in members]
        await ours.close()
        return sorted(lengths)

    assert asyncio.run(post()) == [1, 3, 3]


@pytest.mark.parametrize("failure", [OSError("gone"), ValueError("a bug of ours")])
def test_every_sender_that_waits_gets_an_answer_when_the_round_trip_fails(failure: Exception) -> None:
    async def post() -> list[Any]:
        ours = enqueuer(fakeredis.FakeAsyncRedis())

        async def broken(deliveries: Any) -> Any:
            raise failure

        ours.send = broken  # type: ignore[method-assign]
        answers = await asyncio.gather(*(ours.enqueue(delivery(b"x")) for _ in range(3)), return_exceptions=True)
        await ours.close()
        return list(answers)

    answers = asyncio.run(post())
    assert [type(answer) for answer in answers] == [QueueUnavailable] * 3
    assert "gone" not in str(answers[0])
