"""Runs an ASGI application until the process is told to stop."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from domain.errors import SettingsError
from domain.settings import Settings, sockets_handed_over

# A body of some kilobytes is hundreds of objects in JSON, none of them in a cycle. Python's own threshold, 700, would
# have each request searched for cycles several times over, which takes as long as parsing does.
CYCLES_AFTER = 50_000
FIRST_HANDED_OVER = 3  # the descriptor, by systemd's protocol
LEAVING_SECONDS = 1.0  # for those who keep a connection open to hear, with their next answer, that it closes


class Server(uvicorn.Server):
    """Ends without losing a request: takes no more connections, which are for the next process on the same socket, lets
    go of those who wait, and says in every answer that the connection closes, before it closes those that are idle."""

    def __init__(self, config: uvicorn.Config, let_go: Callable[[], None]) -> None:
        super().__init__(config)
        self.let_go = let_go

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self.let_go()
        await self.leave()
        await super().shutdown(sockets)

    async def leave(self) -> None:
        state, loop = self.server_state, asyncio.get_running_loop()
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        for connection in list(state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                connection.shutdown()  # after the answer under way; what is idle may be just about to ask
        last_moment = loop.time() + LEAVING_SECONDS
        while state.connections and loop.time() < last_moment and not self.force_exit:
            await asyncio.sleep(0.02)


def run_server(
    app: Starlette,
    settings: Settings,
    listening: socket.socket | None = None,
    let_go: Callable[[], None] = lambda: None,
) -> None:
    """Serves on the settings' address, or on a socket that somebody else holds open over restarts.

    SIGTERM ends it with exit code 0, after the requests under way or when `stop_seconds` are over: uvicorn, having
    stopped, raises the signal again.
    """
    listening = listening or handed_over()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, int(settings.stop_seconds - LEAVING_SECONDS)),
    )
    gc.freeze()  # what is there by now stays
    gc.set_threshold(CYCLES_AFTER, 10, 10)
    Server(config, let_go).run(sockets=[listening] if listening else None)


def handed_over() -> socket.socket | None:
    """The socket that systemd, or whoever speaks as it does, left this process; None when there is none."""
    number = sockets_handed_over()
    if number == 0:
        return None
    if number > 1:
        raise SettingsError(f"LISTEN_FDS hands over {number} sockets.", hint="The web process serves on one.")
    try:
        given = socket.socket(fileno=FIRST_HANDED_OVER)
        listens = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listens = 0
    if not listens:
        raise SettingsError("LISTEN_FDS is set, but descriptor 3 is no socket that listens.", hint="Unset LISTEN_FDS.")
    given.set_inheritable(False)
    return given
