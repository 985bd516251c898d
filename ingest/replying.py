"""Waits for what comes of a delivery, for senders who talk and want the answer at once.

Each waiter blocks one connection to Redis, so they have a pool of their own and are few: past that number, and when
time is up, a sender is told where to ask later.
"""

from typing import cast

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from broker.clients import open_async_client
from domain import envelope
from domain.errors import QueueUnavailable
from domain.settings import Settings

MOST_WAITERS = 64
COMMAND_SECONDS = 30.0  # a program takes longer than an answer from what is stored


def connect_waiting(redis_url: str, seconds: float) -> "redis.asyncio.Redis":
    """A client whose commands may block for so many seconds."""
    return open_async_client(
        redis_url, socket_connect_timeout=0.5, socket_timeout=seconds + 2, retry=Retry(NoBackoff(), 0)
    )


def open_replies(settings: Settings) -> "Replies":
    assert settings.redis_url is not None
    client = connect_waiting(settings.redis_url.get_secret_value(), max(settings.sync_seconds, COMMAND_SECONDS))
    return Replies(client, seconds=settings.sync_seconds)


class Replies:
    def __init__(
        self,
        client: "redis.asyncio.Redis",
        *,
        seconds: float,
        command_seconds: float = COMMAND_SECONDS,
        most_waiters: int = MOST_WAITERS,
    ) -> None:
        self.client = client
        self.seconds = seconds
        self.command_seconds = command_seconds
        self.most_waiters = most_waiters
        self.waiters = 0

    async def wait(self, key: str, *, repeated: bool, command: bool = False) -> bytes | None:
        """The worker's reply as JSON, or None when there is none in time. Never raises for Redis: the delivery is
        accepted, whatever becomes of waiting. What had come before (`repeated`) may be over already; a `command` is
        waited for longer."""
        if self.seconds <= 0 or self.waiters >= self.most_waiters:
            return None
        self.waiters += 1
        try:
            return await self.wait_for_worker(
                key, repeated, max(self.seconds, self.command_seconds) if command else self.seconds
            )
        except (RedisError, OSError, TimeoutError):
            return None
        finally:
            self.waiters -= 1

    async def wait_for_worker(self, key: str, repeated: bool, most: float) -> bytes | None:
        if repeated:
            reply, under_way = await self.state(key)
            if reply is not None or not under_way:
                return reply
        # The element is put back at once, so that everybody who waits for this delivery gets to see it.
        name, seconds = envelope.replied_name(key), cast("int", most)  # Redis takes fractions too
        await self.client.blmove(name, name, seconds, "LEFT", "RIGHT")
        reply, _ = await self.state(key)
        return reply

    async def look(self, key: str) -> tuple[bytes | None, bool]:
        """(the reply if it is there, whether the delivery or its task is still under way). Raises QueueUnavailable."""
        try:
            return await self.state(key)
        except (RedisError, OSError, TimeoutError) as error:
            raise QueueUnavailable(f"Redis did not tell the reply ({type(error).__name__}).") from None

    async def state(self, key: str) -> tuple[bytes | None, bool]:
        async with self.client.pipeline(transaction=False) as pipe:
            pipe.get(envelope.reply_name(key))
            pipe.exists(envelope.delivery_name(key))
            pipe.hexists(envelope.AWAITED, key)
            reply, waiting, awaited = await pipe.execute()
        return reply, bool(waiting or awaited)

    async def close(self) -> None:
        await self.client.aclose()
