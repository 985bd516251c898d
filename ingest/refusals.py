"""A small record of what was refused, for those who set senders up: the source, the code, why, how often, when last.

It is kept in Redis by the day and for a week. Of a request it holds nothing: no body, header, secret or address. The
name of a source stands in a URL that anybody may write, and somebody may have put a secret there by mistake, so only
names are kept that are known here; thereby the record has no more rows than there are sources and codes.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import redis.asyncio
from redis.exceptions import RedisError

from domain import envelope
from domain.errors import AIWebhookError, QueueUnavailable
from domain.settings import Settings
from ingest.limiting import PATIENCE_SECONDS
from ingest.sources import label

DAYS = 7
WHY_CHARS = 400
OUR_FAULT = 500  # from this status on, not the sender is to blame, and Redis may be what does not answer


@dataclass(slots=True)
class Tally:
    count: int
    last_at: datetime
    why: str


class Refusals:
    """Counts here, and writes what has gathered in one round trip after the other: a flood of refused requests costs
    Redis no more than a few."""

    def __init__(self, client: "redis.asyncio.Redis", settings: Settings) -> None:
        self.client = client
        self.settings = settings
        self.pending: dict[tuple[str, str], Tally] = {}
        self.writing: asyncio.Task[None] | None = None

    def count(self, source: str, error: AIWebhookError) -> None:
        """Needs a running loop. Nobody waits for it: what is lost with Redis is lost."""
        if error.status >= OUR_FAULT:
            return
        tally = self.pending.setdefault((label(source, self.settings), error.code), Tally(0, datetime.now(UTC), ""))
        tally.count += 1
        tally.last_at = datetime.now(UTC)
        tally.why = f"{error.message} {error.hint}"[:WHY_CHARS]
        if self.writing is None or self.writing.done():
            self.writing = asyncio.create_task(self.write())

    async def write(self) -> None:
        while self.pending:
            gathered, self.pending = self.pending, {}
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self.send(gathered)
            except (RedisError, OSError, TimeoutError):
                continue  # this record may be lost; senders have their answer

    async def send(self, gathered: dict[tuple[str, str], Tally]) -> None:
        async with self.client.pipeline(transaction=False) as pipe:
            for (source, code), tally in gathered.items():
                name, row = envelope.refused_name(tally.last_at.date()), f"{source} {code}"
                pipe.hincrby(name, f"{row} count", tally.count)
                pipe.hset(name, mapping={f"{row} at": tally.last_at.isoformat(), f"{row} why": tally.why})
                pipe.expire(name, envelope.REFUSED_SECONDS)
            await pipe.execute()

    async def recent(self) -> list[dict[str, Any]]:
        """Rows of source, code, count, last_at and why, of the last seven days (UTC), the latest first.

        Raises QueueUnavailable.
        """
        today = datetime.now(UTC).date()
        try:
            days = [await self.day(today - timedelta(days=back)) for back in reversed(range(DAYS))]
        except (RedisError, OSError, TimeoutError) as error:
            raise QueueUnavailable(f"Redis did not tell what was refused ({type(error).__name__}).") from None
        rows: dict[str, dict[str, Any]] = {}
        for fields in days:  # the oldest first, so that the latest of each has the last word
            for row, count in ((field.removesuffix(" count"), n) for field, n in fields.items() if is_count(field)):
                source, _, code = row.partition(" ")
                before = rows[row]["count"] if row in rows else 0
                told = {"last_at": datetime.fromisoformat(fields[f"{row} at"]), "why": fields.get(f"{row} why", "")}
                rows[row] = {"source": source, "code": code, "count": before + int(count), **told}
        return sorted(rows.values(), key=lambda row: row["last_at"], reverse=True)

    async def day(self, day: date) -> dict[str, str]:
        found = await cast("Awaitable[dict[bytes, bytes]]", self.client.hgetall(envelope.refused_name(day)))
        return {field.decode(): value.decode() for field, value in found.items()}

    async def close(self) -> None:
        if self.writing is not None:
            await self.writing


def is_count(field: str) -> bool:
    return field.endswith(" count")
