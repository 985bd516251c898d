"""`python -m ops.bench_consoles`: many open pages of the console, cheaply: each listens to the stream and asks for
Today anew when something happened, spread as static/app.js does.

Reads a Load as a line of JSON, writes a line when all listen, and goes on until it is ended.
"""

import heapq
import random
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from os import read

import orjson

AFTER_MS, AT_ONCE_MS = 40, 500  # as in static/app.js


@dataclass(frozen=True, slots=True)
class Load:
    port: int
    cookie: str = field(repr=False)
    pages: int


class Page:
    """An open page: one connection that is told, and one by which it asks anew."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.listening = self.connected("/events")
        self.asking: socket.socket | None = None
        self.told = b""
        self.is_due = False

    def connected(self, path: str) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.load.port))
        accept = "text/event-stream" if path == "/events" else "text/html"
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {self.load.cookie}\r\nAccept: {accept}\r\n"
        made.sendall(f"{head}Accept-Encoding: gzip\r\nConnection: close\r\n\r\n".encode())
        return made


def browse(load: Load) -> None:
    selector = selectors.DefaultSelector()
    pages = [Page(load) for _ in range(load.pages)]
    for opened in pages:
        if not opened.listening.recv(65536).startswith(b"HTTP/1.1 200"):
            raise ConnectionError("The service does not let a page listen.")
        selector.register(opened.listening, selectors.EVENT_READ, opened)
    print("listening", flush=True)  # noqa: T201
    due: list[tuple[float, int]] = []
    while True:
        wait = max(0.0, due[0][0] - time.monotonic()) if due else None
        for key, _ in selector.select(wait):
            page: Page = key.data
            piece = read(key.fd, 262144)
            if page.asking is not None and key.fd == page.asking.fileno():
                if not piece:
                    selector.unregister(page.asking)
                    page.asking.close()
                    page.asking = None
            elif not piece:
                raise ConnectionError("The service let a page go.")
            else:
                page.told += piece
                *lines, page.told = page.told.split(b"\n")
                said = [orjson.loads(line[5:]) for line in lines if line.startswith(b"data:")]
                if said and not page.is_due:
                    page.is_due = True
                    within = said[-1]["within"]
                    after = AFTER_MS + (within * random.random() if within > AT_ONCE_MS else 0)  # noqa: S311
                    heapq.heappush(due, (time.monotonic() + after / 1000, pages.index(page)))
        while due and due[0][0] <= time.monotonic():
            page = pages[heapq.heappop(due)[1]]
            page.is_due = False
            if page.asking is None:
                page.asking = page.connected("/")
                selector.register(page.asking, selectors.EVENT_READ, page)


if __name__ == "__main__":
    browse(Load(**orjson.loads(sys.stdin.buffer.readline())))
