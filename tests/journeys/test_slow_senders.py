"""Senders who send a byte at a time hold up nobody, and are let go."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.journeys.load import talk
from tests.journeys.stack import Up, running_up

SLOW, NORMAL = 100, 50


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with running_up(AI_WEBHOOK_BODY_SECONDS="3") as running:
        yield running


def trickle(connections: list[socket.socket], stopping: threading.Event) -> None:
    """One byte each second to everybody who still listens."""
    gone: set[socket.socket] = set()
    while not stopping.wait(1):
        for connection in connections:
            try:
                if connection not in gone:
                    connection.sendall(b"x")
            except OSError:
                gone.add(connection)


def all_that_comes(connection: socket.socket) -> bytes:
    """Until the server closes the connection."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:  # bytes of ours were under way when it closed
        return received
    return received


def test_slow_senders_hold_up_nobody_and_are_let_go(up: Up) -> None:
    host, _, port = up.url.removeprefix("http://").partition(":")
    head = "POST /webhook/generic HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in up.headers().items())
    stopping = threading.Event()
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((host, int(port)), 30)) for _ in range(SLOW)]
        for connection in slow:
            connection.sendall(head.encode() + b"\r\n")
        trickling = threading.Thread(target=trickle, args=(slow, stopping))
        trickling.start()
        try:
            with up.client() as client:
                told = [
                    client.deliver("generic", talk("quick", f"quick-{number}"), up.headers())["status"]
                    for number in range(NORMAL)
                ]
            assert told == ["accepted"] * NORMAL
            answers = [all_that_comes(connection) for connection in slow]
        finally:
            stopping.set()
            trickling.join()
    assert {answer.partition(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 408 Request Timeout"}
    assert all(b"body_too_slow" in answer for answer in answers)
