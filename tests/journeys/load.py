"""Senders who post all the time, and what has to have come of every delivery that was accepted."""

import time
from contextlib import AbstractContextManager
from typing import Any

import orjson

from access.client import Client
from domain.errors import AIWebhookError
from store.database import Connection
from tests.journeys.sending import Sending
from tests.journeys.stack import Up

SENDERS = 4
LARGE = 300 * 1024  # the endpoint reads a body of this size in a thread


class Load(Sending):
    """To a stack; `accepted` are delivery keys, `refusals` by status and code."""

    def __init__(self, up: Up, name: str, *, pause_seconds: float = 0.1) -> None:
        super().__init__()
        self.up = up
        self.name = name
        self.pause_seconds = pause_seconds

    def send(self, sender: int) -> None:
        with self.up.client() as client:
            number = 0
            while not self.stopping.is_set():
                self.accept(self.deliver(client, f"{self.name}-{sender}-{number}", number))
                number += 1
                self.stopping.wait(self.pause_seconds)

    def deliver(self, client: Client, delivery_id: str, number: int) -> str:
        headers = {**self.up.headers(), "idempotency-key": delivery_id}
        body = talk(f"{self.name}-{number % 10}", delivery_id, LARGE if number % 20 == 7 else 0)
        deadline = time.monotonic() + 60
        while True:
            try:
                told = client.deliver("generic", body, headers)
                assert told["status"] in ("accepted", "duplicate")
                return str(told["delivery"])
            except AIWebhookError as error:
                self.refuse((error.status, error.code))
                assert error.status >= 500, error.message  # never a 4xx for a fault of ours
                assert time.monotonic() < deadline, error.message
                time.sleep(0.05)  # as a sender who is in a hurry


def talk(session: str, name: str, padding: int = 0) -> bytes:
    said = [
        {"speaker": "Alice", "text": f"I've decided that {name} is the one."},
        {"speaker": "Alice", "text": f"Add a task: write up {name}."},
    ]
    return orjson.dumps({"session": session, "turns": said, "unread": "x" * padding})


def load(up: Up, name: str, *, pause_seconds: float = 0.1) -> AbstractContextManager[Load]:
    """Load while the block runs; every delivery has been accepted when it ends."""
    return Load(up, name, pause_seconds=pause_seconds).by(SENDERS)


def check_all_is_there_once(up: Up, database: Connection, sent: Load) -> None:
    """Every accepted delivery is processed, with what comes of it, once; no other one is there and none failed."""
    assert len(set(sent.accepted)) == len(sent.accepted)
    deadline = time.monotonic() + 60
    while (states := count_states(database, sent)) != {"processed": len(sent.accepted)}:
        assert set(states) <= {"received", "processed"}, failures(database)
        assert time.monotonic() < deadline, (states, len(sent.accepted), "\n".join(up.lines[-20:]))
        time.sleep(0.1)
    rows = query(database, "SELECT id, readings FROM deliveries WHERE delivery_id LIKE %s", sent)
    assert {row["id"] for row in rows} == set(sent.accepted)
    assert {row["readings"] for row in rows} == {1}
    turns = query(database, "SELECT text, count(*) AS n FROM turns WHERE session_id LIKE %s GROUP BY text", sent)
    assert len(turns) == 2 * len(sent.accepted)
    assert {row["n"] for row in turns} == {1}
    tasks = query(database, "SELECT title, count(*) AS n FROM tasks WHERE session_id LIKE %s GROUP BY title", sent)
    assert len(tasks) == len(sent.accepted)
    assert {row["n"] for row in tasks} == {1}


def query(database: Connection, statement: Any, sent: Load) -> list[dict[str, Any]]:
    return database.execute(statement, [f"{sent.name}-%"]).fetchall()


def count_states(database: Connection, sent: Load) -> dict[str, int]:
    statement = "SELECT state, count(*) AS n FROM deliveries WHERE delivery_id LIKE %s GROUP BY state"
    return {row["state"]: row["n"] for row in query(database, statement, sent)}


def failures(database: Connection) -> Any:
    statement = "SELECT error_code, error, count(*) AS n FROM deliveries WHERE state = 'failed' GROUP BY 1, 2"
    return database.execute(statement).fetchall()


def check_redis_is_empty(up: Up) -> None:
    """Nothing that was finished is left in the queue: no batch and no words."""
    deadline = time.monotonic() + 30
    with up.redis() as client:
        while left := [*client.scan_iter("aiw:batch*"), *client.scan_iter("aiw:delivery:*")]:
            assert time.monotonic() < deadline, left
            time.sleep(0.1)
