"""What is not held against a batch, and whose clock its pauses are by."""

import time

import pytest
import redis
from psycopg import errors as pg

from domain import envelope
from domain.errors import DatabaseConflict
from processors import jobs
from processors.jobs import Workshop, process_batch
from store.database import our_errors


def put(shop: Workshop, key: str) -> str:
    """The batch of one delivery."""
    shop.queue.put([key])
    (batch,) = shop.queue.client.smembers(envelope.BATCHES)
    return str(batch.decode())


@pytest.mark.parametrize("error", [pg.DeadlockDetected, pg.SerializationFailure, pg.DiskFull, pg.TooManyConnections])
def test_what_is_nobodys_fault_is_not_held_against_a_batch(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def break_over_it(*given: object) -> None:
        with our_errors():
            raise error

    batch = put(shop, "a" * 32)
    monkeypatch.setattr(jobs, "process_what_opens", break_over_it)
    with pytest.raises(DatabaseConflict):
        process_batch(shop, batch)
    again = shop.queue.begin(batch)
    assert (again.runs, again.broken_runs) == (2, 0)


def test_a_pause_ends_by_the_clock_of_redis_whatever_that_of_a_worker_says(
    shop: Workshop, redis_client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = put(shop, "b" * 32)
    redis_client.delete(shop.queue.queue.key)  # as if a worker had taken its job
    begun = shop.queue.begin(batch)
    right = time.time
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time", lambda: right() + 3600)
        shop.queue.postpone(begun, 0)
    assert shop.queue.rescue() == [batch]
