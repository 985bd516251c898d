"""Events as they happen, over a connection that stays open, resumable wherever it broke off."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from starlette.types import Message

from access.api import Told
from domain.errors import DatabaseUnavailable
from domain.settings import Settings
from store import tokens
from store.database import Connection, Row
from tests.access.conftest import Api, served
from tests.access.test_waiting import until
from tests.conftest import TOKEN

HEADERS = {"authorization": f"Bearer {TOKEN}", "accept": "text/event-stream"}


@pytest.fixture(scope="module")
def address(api_settings: Settings) -> Iterator[str]:
    with served(api_settings, max_streams=3) as address:
        yield address


def insert_task(conn: Connection, task_id: str) -> None:
    conn.execute("INSERT INTO tasks (id, agent_name, title) VALUES (%s, 'codex', 'Look up\n\ndata: no')", [task_id])


@contextmanager
def listening(address: str, **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
    with httpx2.stream("GET", f"{address}/api/events", headers=HEADERS | headers, timeout=20) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield told(response)


def told(response: httpx2.Response) -> Iterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    for line in response.iter_lines():
        if not line:
            if event:
                yield event
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = json.loads(value) if name == "data" else value


def test_events_come_as_they_happen(address: str, api: Api, conn: Connection) -> None:
    with listening(address, **{"last-event-id": end(api)}) as events:
        insert_task(conn, "t1")
        event = next(events)
        assert (event["event"], event["data"]["subject"], event["data"]["title"]) == (
            "task.pending",
            "t1",
            "Look up\n\ndata: no",
        )
        conn.execute("UPDATE tasks SET status = 'cancelled'")
        assert next(events)["event"] == "task.cancelled"


def end(api: Api) -> str:
    """Where the stream is now."""
    position = None
    while (page := api.get("/events", limit=1000, **({"after": position} if position else {})))["items"]:
        position = page["next"]
    return str(position or "0-0")


def test_a_broken_connection_goes_on_where_it_was(address: str, api: Api, conn: Connection) -> None:
    begin = end(api)
    for n in range(5):
        insert_task(conn, f"t{n}")
    with listening(address, **{"last-event-id": begin}) as events:
        first = [next(events) for _ in range(2)]
    with listening(address, **{"last-event-id": first[-1]["id"]}) as events:
        rest = [next(events) for _ in range(3)]
    assert [event["data"]["subject"] for event in first + rest] == [f"t{n}" for n in range(5)]
    insert_task(conn, "later")
    with listening(address, **{"last-event-id": rest[-1]["id"]}) as events:
        assert next(events)["data"]["subject"] == "later"


def test_everybody_who_listens_is_told(address: str, api: Api, conn: Connection) -> None:
    begin = {"last-event-id": end(api)}
    with listening(address, **begin) as one, listening(address, **begin) as two:
        insert_task(conn, "t")
        assert next(one)["data"] == next(two)["data"]


def test_a_page_of_events_says_where_to_go_on(api: Api, conn: Connection) -> None:
    begin = end(api)
    for n in range(3):
        insert_task(conn, f"t{n}")
    first = api.get("/events", after=begin, limit=2)
    assert [event["subject"] for event in first["items"]] == ["t0", "t1"]
    second = api.get("/events", after=first["next"], limit=2)
    assert [event["subject"] for event in second["items"]] == ["t2"]
    assert api.get("/events", after=second["next"]) == {"items": [], "next": second["next"]}


@pytest.mark.parametrize("position", ["x", "1", "-1-1", "1-2-3", "9" * 30 + "-1"])
def test_what_is_no_position_is_refused(address: str, api: Api, position: str) -> None:
    assert api.refused("GET", "/events", params={"after": position}) == (422, "invalid_request")
    answer = httpx2.get(f"{address}/api/events", headers=HEADERS | {"last-event-id": position})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


def test_no_more_listen_than_are_allowed(address: str, conn: Connection) -> None:
    def asked() -> int:
        with httpx2.stream("GET", f"{address}/api/events", headers=HEADERS) as response:
            return response.status_code

    until(lambda: asked() == 200)  # those of the tests before have gone
    with listening(address), listening(address), listening(address):
        answer = httpx2.get(f"{address}/api/events", headers=HEADERS)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_waiting")
        assert answer.headers["retry-after"] == "5"
    until(lambda: asked() == 200)


def test_a_listener_that_stops_reading_is_let_go(
    address: str, conn: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It reads nothing, so its socket fills up; the others, and the process, go on."""
    monkeypatch.setattr("access.api.SEND_SECONDS", 0.5)
    caplog.set_level("INFO", "ai_webhook.access")
    host, port = address.removeprefix("http://").split(":")
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect((host, int(port)))
        stalled.sendall(f"GET /api/events HTTP/1.1\r\nHost: x\r\n{head}last-event-id: 0-0\r\n\r\n".encode())
        conn.execute(
            "INSERT INTO tasks (id, agent_name, title)"
            " SELECT 'many ' || n, 'codex', repeat('x', 2000) FROM generate_series(1, 6000) AS n"
        )
        assert many_told(address) == [f"many {n}" for n in range(1, 6001)]
        until(lambda: "stopped reading" in caplog.text)  # not before: who reads again is not let go
        until(lambda: is_closed(stalled))


def many_told(address: str) -> list[str]:
    """Reads all of them; who is told too much at once is let go, and comes back for the rest."""
    found: list[str] = []
    last = "0-0"
    while len(found) < 6000:
        with listening(address, **{"last-event-id": last}) as events:
            for event in events:
                last = event["id"]
                found += [event["data"]["subject"]] if event["data"]["subject"].startswith("many") else []
                if len(found) == 6000:
                    break
    return found


def is_closed(connection: socket.socket) -> bool:
    """Reads what there still is; the end comes only if the other side has closed."""
    connection.settimeout(0.05)
    try:
        while connection.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_no_more_listen_than_are_allowed_though_all_come_at_once(address: str, conn: Connection) -> None:
    def asked() -> int:
        with httpx2.stream("GET", f"{address}/api/events", headers=HEADERS) as response:
            return response.status_code

    until(lambda: asked() == 200)
    host, port = address.removeprefix("http://").split(":")
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    request = f"GET /api/events HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode()

    async def one() -> tuple[bytes, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        return (await reader.readline()).split()[1], writer

    async def all_at_once() -> list[bytes]:
        answers = await asyncio.gather(*(one() for _ in range(60)))
        for _, writer in answers:
            writer.close()
        return sorted(status for status, _ in answers)

    assert asyncio.run(all_at_once()) == [b"200"] * 3 + [b"503"] * 57


def test_a_listener_hears_nothing_after_its_token_was_revoked(
    address: str, api: Api, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("access.authenticating.REMEMBERED_SECONDS", 0.0)
    token = tokens.create(conn, "of somebody", ["read"])["token"]
    with listening(address, **{"authorization": f"Bearer {token}", "last-event-id": end(api)}) as events:
        insert_task(conn, "before")
        assert next(events)["data"]["subject"] == "before"
        tokens.revoke(conn, "of somebody")
        insert_task(conn, "after")
        assert list(events) == []


def test_a_stream_that_cannot_begin_is_refused_and_takes_no_place(
    address: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(conn: Connection) -> str:
        raise DatabaseUnavailable("PostgreSQL does not answer.")

    def asked() -> tuple[int, str | None]:
        with httpx2.stream("GET", f"{address}/api/events", headers=HEADERS) as response:
            return response.status_code, response.headers.get("retry-after")

    until(lambda: asked() == (200, None))
    with monkeypatch.context() as patched:
        patched.setattr("store.events.end", down)
        until(lambda: asked() == (503, "5"))  # the reader of the one before may be there still
        for _ in range(4):
            assert asked() == (503, "5")
    assert asked() == (200, None)


def test_who_stops_reading_frees_its_place_and_is_no_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("access.api.SEND_SECONDS", 0.01)
    left = []

    async def happening() -> AsyncGenerator[list[Row]]:
        try:
            while True:
                yield [{"id": "1-1"}]
        finally:
            left.append("the row of listeners")

    async def words(batches: AsyncGenerator[list[Row]]) -> AsyncGenerator[dict[str, str]]:
        async for _ in batches:
            yield {"data": "x"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()  # the socket is full, and stays so

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("it says nothing")

    async def go() -> None:
        batches = happening()
        await Told(words(batches), batches)({"type": "http", "method": "GET"}, receive, send)

    asyncio.run(go())
    assert left == ["the row of listeners"]
