"""`python -m ops.bench_sender`: posts many signed transcripts, cheaply: what it measures shares the machine with it.

Reads a Load as JSON from standard input, renders and signs every request before its clock starts, and writes a Sent.
"""

import selectors
import socket
import sys
import time
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import orjson

from ingest.signatures import sign_standard_webhooks
from ops.bench import transcript

ANSWER_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Load:
    """`per_second` is the rate of an open loop, in which a post is late from the time that it was due, whatever holds
    it up; None: each connection posts again as soon as it is answered."""

    port: int
    secret: str = field(repr=False)
    posts: int
    turns: int
    connections: int
    per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """`milliseconds` of each post, in the order of the answers; `refused` counts those not answered 200."""

    seconds: float
    refused: int
    milliseconds: list[float]


def requests(load: Load) -> Iterator[bytes]:
    run, now = uuid.uuid4().hex, int(time.time())
    for number in range(load.posts):
        body = transcript(number, load.turns)
        signed = sign_standard_webhooks(load.secret, f"msg_{run}_{number}", now, body)
        headers = {"host": "127.0.0.1", "content-type": "application/json", "content-length": len(body), **signed}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        yield f"POST /webhook/generic HTTP/1.1\r\n{head}\r\n".encode() + body


def send(load: Load, rendered: deque[bytes]) -> Sent:
    # `select` waits to the microsecond, which an open loop needs; `epoll` costs less where there is no rate to keep.
    selector = selectors.SelectSelector() if load.per_second else selectors.DefaultSelector()
    idle = deque(socket.create_connection(("127.0.0.1", load.port)) for _ in range(load.connections))
    for connection in idle:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
    begun: dict[socket.socket, float] = {}
    answers: dict[socket.socket, bytes] = {}
    milliseconds: list[float] = []
    gap = 1 / load.per_second if load.per_second else 0.0
    refused, started = 0, time.perf_counter()
    due = started
    while rendered or begun:
        while rendered and idle and (now := time.perf_counter()) >= due:
            connection = idle.popleft()
            begun[connection], answers[connection] = due if gap else now, b""
            connection.sendall(rendered.popleft())
            due += gap
        wait = max(0.0, due - time.perf_counter()) if rendered and idle else None
        for key, _ in selector.select(wait):
            connection = key.fileobj  # type: ignore[assignment]
            piece = connection.recv(ANSWER_BYTES)
            if not piece:
                raise ConnectionError("The endpoint closed a connection.")
            answers[connection] += piece
            if answers[connection].endswith(b"}"):  # every answer is one short JSON object
                milliseconds.append(1e3 * (time.perf_counter() - begun.pop(connection)))
                refused += not answers[connection].startswith(b"HTTP/1.1 200")
                idle.append(connection)
    seconds = time.perf_counter() - started
    selector.close()
    for connection in idle:
        connection.close()
    return Sent(seconds, refused, milliseconds)


def main() -> int:
    load = Load(**orjson.loads(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(orjson.dumps(asdict(send(load, deque(requests(load))))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
