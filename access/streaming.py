"""The stream of events to who keeps a connection open: one reader of the database for all of them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from access.actions import event_told
from domain.errors import AIWebhookError, TooManyWaiting
from store import events
from store.database import Connection, Row, borrowed
from store.reading import Reading

log = logging.getLogger("ai_webhook.access")

Found = TypeVar("Found")
LOOK_SECONDS = 0.1
AT_ONCE = 500
BEHIND = 20  # times that many, all that a listener may be behind; then it is let go, and comes back for the rest


@dataclass(eq=False, slots=True)
class Listener:
    queue: asyncio.Queue[list[Row] | None] = field(default_factory=lambda: asyncio.Queue(BEHIND))

    async def all_there_is(self) -> list[Row] | None:
        """What came since it was asked last, if need be the next that comes; None when nothing will."""
        found: list[Row] = []
        while not found or not self.queue.empty():
            rows = await self.queue.get()
            if rows is None:
                return None
            found += rows
        return found


class Stream:
    """Reads new events while somebody listens, and hands them to all who do. Belongs to one event loop."""

    def __init__(self, reads: Reading, most_listeners: int) -> None:
        self.reads = reads
        self.pool = reads.primary
        self.most_listeners = most_listeners
        self.listeners: set[Listener] = set()
        self.position = ""
        self.reading: asyncio.Task[None] | None = None
        self.starting = asyncio.Lock()
        self.stopped = False

    async def events(self, after: str | None) -> AsyncGenerator[list[Row]]:
        """First none, when there is room for one more to listen; then events after a position, or from now on, as many
        at once as there are, without an end but that the listener falls behind, the database fails or the process
        stops. Raises TooManyWaiting and DatabaseUnavailable at the beginning."""
        if len(self.listeners) >= self.most_listeners:
            raise TooManyWaiting(f"{self.most_listeners} listen to the events already.")
        listener = Listener()
        self.listeners.add(listener)  # before it looks back: nothing falls between the two
        try:
            reached = await self.start()
            yield []
            while after is not None:
                try:
                    rows = await self.read(after)
                except AIWebhookError as error:
                    log.warning("a listener to the events is let go: %s", error.message)
                    return
                old = [row for row in rows if key(row["id"]) <= key(reached)]
                yield old
                if len(old) < len(rows) or len(rows) < AT_ONCE:
                    break
                after = rows[-1]["id"]
            while not self.stopped and (new := await listener.all_there_is()) is not None:
                if key(new[0]["id"]) > key(reached):  # as is all that follows, however many listen to however much
                    yield new
                else:
                    yield [row for row in new if key(row["id"]) > key(reached)]
        finally:
            self.listeners.discard(listener)

    async def start(self) -> str:
        """Begins to read if nobody does, and answers how far it has read."""
        async with self.starting:
            if self.reading is None or self.reading.done():
                self.position = await run_in_threadpool(self.with_connection, events.end)
                self.reading = asyncio.create_task(self.run())
        return self.position

    async def run(self) -> None:
        try:
            await self.read_on()
        finally:  # however it ends: who listens comes back, and has it begin again
            self.let_go()

    async def read_on(self) -> None:
        while self.listeners and not self.stopped:
            try:
                rows = await self.read(self.position)
            except AIWebhookError as error:
                log.warning("the stream of events waits for the database: %s", error.message)
                rows = []
            if rows:
                self.hand_out(rows)
            if len(rows) < AT_ONCE:
                await asyncio.sleep(LOOK_SECONDS)

    def hand_out(self, rows: list[Row]) -> None:
        self.position = rows[-1]["id"]
        for listener in list(self.listeners):
            if listener.queue.full():
                self.listeners.discard(listener)
                while not listener.queue.empty():  # it comes back for all that it was not told yet
                    listener.queue.get_nowait()
                listener.queue.put_nowait(None)
            else:
                listener.queue.put_nowait(rows)

    async def read(self, after: str) -> list[Row]:
        def look(conn: Connection) -> list[Row]:
            rows = [event_told(row) for row in events.after(conn, after, limit=AT_ONCE)]
            if rows:
                self.reads.tell(conn)
            return rows

        return await run_in_threadpool(self.with_connection, look)

    def with_connection(self, work: Callable[[Connection], Found]) -> Found:
        with borrowed(self.pool) as conn:
            return work(conn)

    def stop(self) -> None:
        self.stopped = True
        self.let_go()

    def let_go(self) -> None:
        for listener in self.listeners:
            if not listener.queue.full():
                listener.queue.put_nowait(None)


def key(position: str) -> tuple[int, int]:
    xact, _, number = position.partition("-")
    return int(xact), int(number)
