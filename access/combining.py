"""Requests that come together are done together: one statement and one commit for all that wait for the last one."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

from domain.errors import Unavailable
from store.database import Connection, Pool, borrowed

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST_TOGETHER = 64


class Combiner(Generic[Item, Result]):
    """`many` does several or none of them; where one of them stands in its way each is done alone, by `one`, and only
    that one gets its error. Nobody waits for others to come: who comes alone is done at once."""

    def __init__(
        self,
        pool: Pool,
        many: Callable[[Connection, Sequence[Item]], Sequence[Result]],
        one: Callable[[Connection, Item], Result],
    ) -> None:
        self.pool, self.many, self.one = pool, many, one
        self.waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self.running: asyncio.Task[None] | None = None

    async def do(self, item: Item) -> Result:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.waiting.append((item, future))
        if self.running is None or self.running.done():
            self.running = asyncio.create_task(self.run())
        return await future

    async def run(self) -> None:
        while self.waiting:
            batch = [self.waiting.popleft() for _ in range(min(len(self.waiting), MOST_TOGETHER))]
            batch = [(item, future) for item, future in batch if not future.done()]  # whoever asked may have gone
            results = await self.done([item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    async def done(self, items: Sequence[Item]) -> Sequence[Result | BaseException]:
        """For each item its result or its error."""
        try:
            return await run_in_threadpool(self.together, items)
        except Exception as error:  # noqa: BLE001 - it is raised again, by all that wait for this
            return [error] * len(items)

    def together(self, items: Sequence[Item]) -> Sequence[Result | BaseException]:
        with borrowed(self.pool) as conn:
            if len(items) > 1:
                try:
                    return self.many(conn, items)
                except Unavailable:
                    raise
                except Exception:  # noqa: BLE001 - whose it is, is seen alone, and raised to them
                    return [self.alone(conn, item) for item in items]
            return [self.alone(conn, item) for item in items]

    def alone(self, conn: Connection, item: Item) -> Result | BaseException:
        try:
            return self.one(conn, item)
        except Exception as error:  # noqa: BLE001 - it is raised again, by who asked
            return error
