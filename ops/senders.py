"""What the console is told of the endpoint, and how it tries a source: by a request to the very app that serves it."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httpx2
from anyio import from_thread
from redis.exceptions import RedisError

from access.console.senders import Refusal, Sender, Senders
from domain import envelope
from domain.delivery import NATIVE
from domain.errors import InvalidRequest, QueueUnavailable, SettingsError
from domain.settings import Settings
from ingest.credentials import secret_setting
from ingest.enqueueing import Enqueuer
from ingest.refusals import Refusals
from ingest.samples import how_it_signs, sample_as
from ingest.sources import SOURCES, source_named

Found = TypeVar("Found")


def told_to_the_console(settings: Settings, enqueuer: Enqueuer, refusals: Refusals, app: Callable[[], Any]) -> Senders:
    """`app` answers the app that takes deliveries, which is made after its console."""

    async def refused() -> list[Refusal]:
        return [Refusal(**row) for row in await refusals.recent()]

    async def send_sample(source: str, server: str) -> str:
        return await post_sample(app(), settings, source, server)

    return Senders(
        public_url=settings.public_url,
        known=tuple(senders(settings)),
        has_key=bool(settings.api_keys()),
        refused=lambda: from_thread.run(refused),
        waiting=lambda: from_thread.run(with_redis, lambda: waiting(enqueuer)),
        waits=lambda key: from_thread.run(with_redis, lambda: waits(enqueuer, key)),
        send_sample=lambda source, server: from_thread.run(send_sample, source, server),
    )


def senders(settings: Settings) -> Iterator[Sender]:
    """Those of the table, then those of one's own that have a secret or are listed."""
    own = {*settings.source_secrets, *(name.replace("-", "_") for name in settings.listed_sources())}
    for name in (*SOURCES, *sorted(own - {source.replace("-", "_") for source in SOURCES})):
        row = source_named(name)
        yield Sender(
            name=name,
            path="/webhook" if name == NATIVE else f"/webhook/{name}",
            signs=how_it_signs(name),
            setting=secret_setting(name),
            has_secret=bool(settings.secrets_of(name)),
            secret_in_path=name in SOURCES and row.scheme is None and not row.secret_headers,
        )


async def with_redis(ask: Callable[[], Awaitable[Found]]) -> Found:
    try:
        return await ask()
    except (RedisError, OSError, TimeoutError) as error:
        raise QueueUnavailable(f"Redis does not answer ({type(error).__name__}).") from None


async def waiting(enqueuer: Enqueuer) -> int:
    """Batches are few: each carries many."""
    batches = await cast("Awaitable[set[bytes]]", enqueuer.client.smembers(envelope.BATCHES))
    async with enqueuer.client.pipeline(transaction=False) as pipe:
        for batch in batches:
            pipe.llen(envelope.batch_name(batch.decode()))
        return sum(await pipe.execute()) if batches else 0


async def waits(enqueuer: Enqueuer, key: str) -> bool:
    return bool(await enqueuer.client.exists(envelope.delivery_name(key)))


async def post_sample(app: Any, settings: Settings, source: str, server: str) -> str:
    """Posts a few words as this source would and returns the delivery's id. No network is between: what is tried is
    the source's secret and signature and everything behind them. What a proxy puts before the path is not there.
    """
    called = urlsplit(server)
    try:
        sample = sample_as(source, settings, server=server, now=datetime.now(UTC))
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=f"{called.scheme}://{called.netloc}") as client:
            answer = await client.post(sample.path, content=sample.body, headers=dict(sample.headers))
    except SettingsError as error:
        raise InvalidRequest(error.message, hint=error.hint) from None
    except httpx2.InvalidURL:
        raise InvalidRequest("This service was called by no address.", hint="Set AI_WEBHOOK_PUBLIC_URL.") from None
    if answer.status_code >= 400:
        told = answer.json()["error"]
        raise InvalidRequest(f"It was refused: {told['message']}", hint=told["hint"])
    return str(answer.json()["delivery"]) if answer.content else sample.key
