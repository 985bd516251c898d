"""Runs an ASGI application until the process is told to stop."""

import logging
import signal
import socket
import sys

import uvicorn
from starlette.applications import Starlette

from domain.settings import Settings


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
    uvicorn.Server(config).run(sockets=[listening] if listening else None)
