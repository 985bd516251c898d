"""A network that misbehaves: a TCP proxy between our processes and a server, which delays, cuts and swallows."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Link:
    """Listens on `port` of the loopback and passes on to `to`, a port there, in a thread of its own."""

    def __init__(self, to: int) -> None:
        self.to = to
        self.port = 0
        self.delay_seconds = 0.0  # for each piece that passes, either way
        self.refusing = False
        self.writers: set[asyncio.StreamWriter] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.loop = asyncio.new_event_loop()
        self.listening = threading.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.serve(),), daemon=True)
        self.thread.start()
        assert self.listening.wait(10)

    async def serve(self) -> None:
        self.ending = asyncio.Event()
        server = await asyncio.start_server(self.connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.listening.set()
        await self.ending.wait()
        server.close()
        self.reset_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            if self.refusing:
                return
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.to)
            self.writers.add(inner_writer)
            try:
                ways = [self.pump(reader, inner_writer), self.pump(inner_reader, writer)]
                passing = [asyncio.ensure_future(way) for way in ways]
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
                for way in passing:
                    way.cancel()
            finally:
                self.drop(inner_writer)
        except OSError:
            return  # the server is away; whoever connects learns it by the end of the connection
        finally:
            self.drop(writer)

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await self.flowing.wait()
                writer.write(piece)
                await writer.drain()

    def drop(self, writer: asyncio.StreamWriter) -> None:
        self.writers.discard(writer)
        writer.transport.abort()

    def reset_all(self) -> None:
        for writer in list(self.writers):
            self.drop(writer)

    def call(self, function: object, *arguments: object) -> None:
        """Runs a function in the thread of the proxy and waits for it."""
        done = threading.Event()

        def run() -> None:
            function(*arguments)  # type: ignore[operator]
            done.set()

        self.loop.call_soon_threadsafe(run)
        assert done.wait(10)

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        self.delay_seconds = seconds
        try:
            yield
        finally:
            self.delay_seconds = 0.0

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Every connection is reset, and so is every new one."""
        self.refusing = True
        self.call(self.reset_all)
        try:
            yield
        finally:
            self.refusing = False

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Nothing passes and nobody is told, as where packets are dropped; what was connected is reset at the end."""
        self.call(self.flowing.clear)
        try:
            yield
        finally:
            self.call(self.reset_all)
            self.call(self.flowing.set)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.ending.set)
        self.thread.join(10)
