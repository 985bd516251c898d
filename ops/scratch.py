"""A PostgreSQL of its own for a while, and the workers' code on it without a queue: for benchmarks and evaluations."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from domain.delivery import Delivery
from domain.settings import Settings
from ops.demo import folder_for
from ops.embedded import EmbeddedServers
from processors.jobs import Workshop, process_deliveries
from processors.queueing import DeliveryQueue, connect
from store import deliveries
from store.database import Connection, Pool
from store.migrate import migrate


@contextmanager
def scratch_database(settings: Settings) -> Iterator[str]:
    """The address of a fresh database with today's schema."""
    with (
        folder_for(None) as folder,
        EmbeddedServers(
            folder, server_user=settings.server_user, postgres_bin=settings.postgres_bin, valkey=False
        ) as servers,
    ):
        assert servers.database_url is not None
        migrate(servers.database_url)
        yield servers.database_url


def write(conn: Connection, settings: Settings, arrived: Sequence[Delivery]) -> None:
    """Has deliveries recorded and processed as one batch of a worker."""
    # Nothing that is called here takes from the pool or asks the queue, which only counts: there need be no Redis.
    queue = DeliveryQueue(
        connect("redis://nowhere"), worker="scratch", job_timeout_seconds=180, seen_seconds=settings.seen_seconds
    )
    shop = Workshop(cast("Pool", None), queue, settings)
    deliveries.record(conn, arrived)
    process_deliveries(conn, shop, [delivery.key for delivery in arrived])
