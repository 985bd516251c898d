"""How many deliveries of one source are taken in a while. Counted in Redis, so that it holds over all endpoints."""

import asyncio
import math
import time
from typing import cast

import redis.asyncio
from limits import parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from domain import envelope
from domain.errors import RateLimited
from domain.settings import Settings

PATIENCE_SECONDS = 0.25  # what counting may cost a sender while Redis is slow


def open_rate_limits(settings: Settings, client: "redis.asyncio.Redis") -> "RateLimits | None":
    return RateLimits(client, settings.rate_limit) if settings.rate_limit else None


class RateLimits:
    def __init__(self, client: "redis.asyncio.Redis", limit: str) -> None:
        """`limit` is such as `600/minute`, for each source."""
        storage = RedisStorage(
            "async+redis://",  # where the client leads to is what counts
            implementation="redispy",
            key_prefix=envelope.PREFIX + "rate",
            connection_pool=cast("str", client.connection_pool),  # it is typed for what a URL can say
        )
        self.limiter = SlidingWindowCounterRateLimiter(storage)
        self.limit = parse(limit)

    async def check(self, source: str) -> None:
        """Counts one delivery; raises RateLimited when it is one too many. Open while Redis is down, since nothing is
        accepted then anyway."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if await self.limiter.hit(self.limit, source):
                    return
                reset_at = (await self.limiter.get_window_stats(self.limit, source)).reset_time
        except (RedisError, OSError, TimeoutError):
            return
        wait = max(1, math.ceil(reset_at - time.time()))
        raise RateLimited(f"This source has sent more than {self.limit}.", retry_after_seconds=wait)
