"""Runs an ASGI application until the process is told to stop."""

import gc
import logging
import signal
import socket
import sys

import uvicorn
from starlette.applications import Starlette

from domain.settings import Settings

# A body of some kilobytes is hundreds of objects in JSON, none of them in a cycle. Python's own threshold, 700, would
# have each request searched for cycles several times over, which takes as long as parsing does.
CYCLES_AFTER = 50_000


def run_server(app: Starlette, settings: Settings, listening: socket.socket | None = None) -> None:
    """Serves on the settings' address, or on a socket that somebody else holds open over restarts.

    SIGTERM ends it with exit code 0, after the requests under way: uvicorn, having stopped, raises the signal again.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    logging.getLogger("uvicorn").setLevel("WARNING")
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    gc.freeze()  # what is there by now stays
    gc.set_threshold(CYCLES_AFTER, 10, 10)
    uvicorn.Server(config).run(sockets=[listening] if listening else None)
