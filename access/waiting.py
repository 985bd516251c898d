"""Claims that wait for work: first come, first served, woken by the database, bounded in number."""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

from starlette.concurrency import run_in_threadpool

from access.combining import Combiner
from access.timing import CLAIM_SECONDS
from domain.errors import AIWebhookError, ClaimLost, InvalidMove, TooManyWaiting
from store import tasks
from store.database import Connection, Pool, Row, borrowed, connect

log = logging.getLogger("ai_webhook.access")

Claim = dict[str, Any]  # the arguments of store.tasks.claim by their names
LOOK_SECONDS = 2.0  # where no notification comes: behind a proxy that pools transactions, and for tasks of a set time
MOST_TOGETHER = 32
LISTENER_SECONDS = 5.0  # for the listener to end; it looks twice a second whether it should


@dataclass(eq=False, slots=True)
class Waiter:
    claim: Claim
    given: asyncio.Future[list[Row]]
    asking: bool = False  # a statement that may give it something is under way
    leaving: bool = False  # it waits for that statement and for no other


@dataclass(slots=True)
class Room:
    """Those who wait for tasks of one agent."""

    waiters: deque[Waiter] = field(default_factory=deque)
    woken: bool = False
    serving: asyncio.Task[None] | None = None


class Claims:
    """Gives tasks to who asks, at once or when there is one. Belongs to one event loop."""

    def __init__(self, conninfo: str, pool: Pool, most_waiting: int) -> None:
        self.conninfo, self.pool = conninfo, pool
        self.most_waiting = most_waiting
        self.combiner: Combiner[Claim, list[Row]] = Combiner(pool, claim_many, claim_one)
        self.rooms: defaultdict[str, Room] = defaultdict(Room)
        self.count = 0
        self.stopping = Event()
        self.listener: Thread | None = None
        self.looking: asyncio.Task[None] | None = None

    async def claim(self, claim: Claim, wait_seconds: float, gone: Callable[[], Awaitable[object]]) -> list[Row]:
        """The claims given; none when there is nothing to do, or nothing came in time. `gone` ends when whoever asks
        hangs up: what they can no longer be told of is released. Raises what tasks.claim does, and TooManyWaiting."""
        if wait_seconds <= 0 or self.stopping.is_set():
            return await self.combiner.do(claim)
        if self.count >= self.most_waiting:
            raise TooManyWaiting(f"{self.most_waiting} claims are waiting already.")
        self.start_listening()
        self.count += 1
        try:
            return await self.wait(claim, wait_seconds, gone)
        finally:
            self.count -= 1

    async def wait(self, claim: Claim, seconds: float, gone: Callable[[], Awaitable[object]]) -> list[Row]:
        room = self.rooms[claim["agent_name"]]
        waiter = Waiter(claim, asyncio.get_running_loop().create_future())
        room.waiters.append(waiter)
        self.wake(claim["agent_name"])
        hung_up = asyncio.ensure_future(gone())
        either: set[asyncio.Future[Any]] = {waiter.given, hung_up}
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            waiter.leaving = True
            if waiter.asking:
                await asyncio.wait({waiter.given})
            left = hung_up.done()
        finally:
            hung_up.cancel()
            waiter.leaving = True
            if not (waiter.given.done() or waiter.asking):  # nothing came in time, or this is cancelled
                room.waiters.remove(waiter)
        if not waiter.given.done():
            return []
        claims = waiter.given.result()
        if not (left and claims):
            return claims
        await run_in_threadpool(self.give_back, claims)
        return []

    def give_back(self, claims: list[Row]) -> None:
        with suppress(AIWebhookError), borrowed(self.pool) as conn:  # else the leases lapse
            for row in claims:
                with suppress(ClaimLost, InvalidMove):
                    tasks.release(conn, row["task_id"], row["claim_token"])

    def wake(self, agent: str) -> None:
        """There may be work for an agent; `*` is any."""
        for name in list(self.rooms) if agent == "*" else [agent]:
            room = self.rooms.get(name)
            if room is None:
                continue
            busy = room.serving is not None and not room.serving.done()  # it may have all the waiters in hand
            if not busy and not room.waiters:
                del self.rooms[name]
                continue
            room.woken = True
            if not busy:
                room.serving = asyncio.create_task(self.serve(room))

    async def serve(self, room: Room) -> None:
        """Asks for the first in the row, then for more of them at once, until there is nothing left to give."""
        while room.woken:
            room.woken = False
            size = 1
            while room.waiters and not self.stopping.is_set():
                first = [room.waiters.popleft() for _ in range(min(size, len(room.waiters)))]
                for waiter in first:
                    waiter.asking = True
                results = await self.combiner.done([waiter.claim for waiter in first])
                empty = [w for w, result in zip(first, results, strict=True) if not settle(w, result)]
                room.waiters.extendleft(reversed(empty))
                if empty:
                    break
                size = min(2 * size, MOST_TOGETHER)
        if self.stopping.is_set():
            let_go(room)

    def start_listening(self) -> None:
        if self.listener is None:
            loop = asyncio.get_running_loop()
            self.listener = Thread(target=self.listen, args=(loop,), daemon=True, name="waiting claims")
            self.listener.start()
            self.looking = asyncio.create_task(self.look())

    async def look(self) -> None:
        while not self.stopping.is_set():
            await asyncio.sleep(LOOK_SECONDS)
            self.wake("*")

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self.stopping.is_set():
            try:
                with connect(self.conninfo, "waiting") as conn:
                    for agent in tasks.new_work(conn, self.stopping):
                        loop.call_soon_threadsafe(self.wake, agent)
            except AIWebhookError as error:
                log.warning("waiting claims hear nothing from the database: %s", error.message)
                self.stopping.wait(1)

    def stop(self) -> None:
        """Lets all who wait go, with nothing."""
        self.stopping.set()
        if self.looking is not None:
            self.looking.cancel()
        for room in self.rooms.values():
            let_go(room)

    def join(self) -> None:
        """Waits until nobody listens any more; after `stop`."""
        if self.listener is not None:
            self.listener.join(LISTENER_SECONDS)


def claim_many(conn: Connection, claims: Sequence[Claim]) -> list[list[Row]]:
    with CLAIM_SECONDS.time():
        return tasks.claim_many(conn, claims)


def claim_one(conn: Connection, claim: Claim) -> list[Row]:
    with CLAIM_SECONDS.time():
        return tasks.claim(conn, **claim)


def settle(waiter: Waiter, result: list[Row] | BaseException) -> bool:
    """Tells a waiter what it was given, or its error; False when there was nothing for it and it waits on."""
    waiter.asking = False
    if isinstance(result, BaseException):
        waiter.given.set_exception(result)
    elif result or waiter.leaving:
        waiter.given.set_result(result)
    return waiter.given.done()


def let_go(room: Room) -> None:
    while room.waiters:
        waiter = room.waiters.popleft()
        if not waiter.given.done():
            waiter.given.set_result([])
