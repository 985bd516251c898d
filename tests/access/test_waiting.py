"""Claims that wait for work: woken when there is some, first come first served, bounded, and nothing lost."""

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx2
import pytest

from access.client import Client, ServiceError
from access.combining import Combiner
from access.waiting import Claim, Claims
from domain.errors import DatabaseUnavailable
from domain.settings import Settings
from store import tokens
from store.database import Connection, Row, open_pool
from tests.access.conftest import served
from tests.conftest import TOKEN

BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def address(api_settings: Settings) -> Iterator[str]:
    with served(api_settings, max_waiting=5) as address:
        yield address


@pytest.fixture
def client(address: str, conn: Connection) -> Iterator[Client]:
    with Client(address, TOKEN) as client:
        yield client


def insert_task(conn: Connection, task_id: str, agent: str = "claude_code") -> None:
    conn.execute("INSERT INTO tasks (id, agent_name, title) VALUES (%s, %s, 'Look up')", [task_id, agent])


class Waiting:
    """A claim that waits, in a thread of its own."""

    def __init__(
        self, address: str, who: str, seconds: float = 30, agent: str = "claude_code", token: str = TOKEN
    ) -> None:
        self.answer: queue.Queue[Any] = queue.Queue()
        self.thread = threading.Thread(target=self.run, args=(address, who, seconds, agent, token))
        self.thread.start()

    def run(self, address: str, who: str, seconds: float, agent: str, token: str) -> None:
        with Client(address, token) as client:
            try:
                self.answer.put([claim["task_id"] for claim in client.claim_task(agent, who, wait_seconds=seconds)])
            except ServiceError as error:
                self.answer.put(error.code)

    def result(self) -> Any:
        self.thread.join(30)
        return self.answer.get(timeout=1)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline, "it does not come about"


def waiters(conn: Connection) -> int:
    """How many listen for work: the first claim that waits begins to."""
    row = conn.execute(
        "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'ai-webhook waiting' AND query ^@ 'LISTEN'"
    ).fetchone()
    assert row is not None
    return int(row["n"])


def test_what_is_there_is_claimed_without_waiting(client: Client, conn: Connection) -> None:
    insert_task(conn, "there")
    assert [claim["task_id"] for claim in client.claim_task("claude_code", "one", wait_seconds=60)] == ["there"]


def test_a_claim_waits_until_there_is_a_task(address: str, conn: Connection) -> None:
    one = Waiting(address, "one")
    until(lambda: waiters(conn) == 1)
    insert_task(conn, "other", agent="codex")
    insert_task(conn, "new")
    assert one.result() == ["new"]


def test_a_task_that_its_holder_gives_back_goes_to_who_waits(address: str, client: Client, conn: Connection) -> None:
    insert_task(conn, "back")
    (claim,) = client.claim_task("claude_code", "one")
    two = Waiting(address, "two")
    client.release_task("back", claim["claim_token"])
    assert two.result() == ["back"]


def test_every_task_goes_to_one_of_those_who_wait(address: str, conn: Connection) -> None:
    waiting = [Waiting(address, f"agent {n}") for n in range(4)]
    until(lambda: waiters(conn) == 1)
    with conn.transaction():
        for n in range(4):
            insert_task(conn, f"t{n}")
    assert sorted(one.result()[0] for one in waiting) == ["t0", "t1", "t2", "t3"]


def test_a_claim_waits_no_longer_than_it_is_told(client: Client) -> None:
    assert client.claim_task("claude_code", "one", wait_seconds=0.2) == []


def test_no_more_wait_than_are_allowed(address: str, conn: Connection) -> None:
    waiting = [Waiting(address, f"agent {n}") for n in range(9)]
    until(lambda: sum(not one.thread.is_alive() for one in waiting) == 4)
    claim = {"agent_name": "claude_code", "control_agent": "late", "wait_seconds": 1}
    answer = httpx2.post(f"{address}/api/tasks/claim", json=claim, headers=BEARER)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_waiting")
    assert answer.headers["retry-after"] == "5"
    refused = [one for one in waiting if not one.thread.is_alive()]
    assert [one.result() for one in refused] == ["too_many_waiting"] * 4
    conn.execute("UPDATE agents SET max_concurrent = NULL WHERE name = 'claude_code'")
    for n in range(5):
        insert_task(conn, f"t{n}")
    assert sorted(one.result()[0] for one in waiting if one not in refused) == [f"t{n}" for n in range(5)]


def test_an_error_is_told_to_who_waits(client: Client, conn: Connection) -> None:
    with pytest.raises(ServiceError) as nobody:
        client.claim_task("nobody", "one", wait_seconds=30)
    assert nobody.value.code == "unknown_agent"
    conn.execute("UPDATE agents SET max_concurrent = 0 WHERE name = 'codex'")
    with pytest.raises(ServiceError) as full:
        client.claim_task("codex", "one", wait_seconds=30)
    assert full.value.code == "agent_at_capacity"


def test_a_wait_past_a_minute_is_refused(client: Client) -> None:
    for seconds in (61, -1):
        with pytest.raises(ServiceError) as error:
            client.claim_task("codex", "one", wait_seconds=seconds)
        assert error.value.code == "invalid_request"


def test_who_hangs_up_keeps_nothing_from_the_others(address: str, conn: Connection) -> None:
    host, port = address.removeprefix("http://").split(":")
    body = b'{"agent_name": "claude_code", "control_agent": "gone", "wait_seconds": 60}'
    head = f"POST /api/tasks/claim HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    for _ in range(5):
        with socket.create_connection((host, int(port))) as gone:
            gone.sendall(head.encode() + body)
            until(lambda: waiters(conn) == 1)
    one = Waiting(address, "one")
    insert_task(conn, "t")
    assert one.result() == ["t"]
    row = conn.execute("SELECT claimed_by FROM tasks WHERE id = 't'").fetchone()
    assert row == {"claimed_by": "one"}


def test_a_claim_brings_what_was_said_about_its_task_if_asked(client: Client, conn: Connection) -> None:
    conn.execute("INSERT INTO sessions (id, title) VALUES ('walk', 'Morning walk')")
    client.store_memory("walk", "decision", "Look up prices at Carbon Interface")
    conn.execute("INSERT INTO tasks (id, agent_name, title) VALUES ('t', 'codex', 'Look up prices')")
    (claim,) = client.claim_task("codex", "one", context=True)
    assert claim["context"] is not None
    assert "Carbon Interface" in claim["context"]["text"]
    client.release_task("t", claim["claim_token"])
    assert client.claim_task("codex", "one")[0]["context"] is None


def test_stopping_lets_those_who_wait_go(api_settings: Settings, conn: Connection) -> None:
    already = waiters(conn)
    with served(api_settings) as address:
        one = Waiting(address, "one", seconds=60)
        until(lambda: waiters(conn) == already + 1)
    assert one.result() == []


def test_completions_that_come_together_each_get_their_own_answer(
    address: str, client: Client, conn: Connection
) -> None:
    conn.execute("UPDATE agents SET max_concurrent = NULL WHERE name = 'claude_code'")
    for n in range(24):
        insert_task(conn, f"t{n}")
    claims = client.claim_task("claude_code", "one", max_tasks=24)
    answers: dict[str, Any] = {}

    def complete(position: int, claim: Any) -> None:
        token = "00000000-0000-0000-0000-000000000000" if position % 5 == 0 else claim["claim_token"]
        with Client(address, TOKEN) as own:
            try:
                done = own.complete_task(claim["task_id"], token, output_data={"n": position})
                answers[claim["task_id"]] = done["output_data"]["n"]
            except ServiceError as error:
                answers[claim["task_id"]] = error.code

    threads = [threading.Thread(target=complete, args=pair) for pair in enumerate(claims)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[claim["task_id"]] for claim in claims] == [
        "claim_lost" if position % 5 == 0 else position for position in range(24)
    ]


def test_a_claim_is_told_though_nothing_can_be_read_about_it(
    client: Client, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_connection(*_: Any) -> None:
        raise DatabaseUnavailable("PostgreSQL does not answer.")

    monkeypatch.setattr("access.service.Service.with_connection", no_connection)
    insert_task(conn, "t")
    (claim,) = client.claim_task("claude_code", "one", context=True)
    assert (claim["task_id"], claim["context"]) == ("t", None)


def test_who_waits_with_a_token_that_is_revoked_meanwhile_is_given_nothing(
    address: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("access.authenticating.REMEMBERED_SECONDS", 0.0)
    token = tokens.create(conn, "of somebody", ["claim:claude_code"])["token"]
    waiting = Waiting(address, "one", token=token)
    until(lambda: token_uses(conn) == 1)
    tokens.revoke(conn, "of somebody")
    insert_task(conn, "t")
    assert waiting.result() == "forbidden"
    assert conn.execute("SELECT status, attempts FROM tasks WHERE id = 't'").fetchone() == {
        "status": "pending", "attempts": 0,
    }  # fmt: skip


def token_uses(conn: Connection) -> int:
    row = conn.execute("SELECT count(last_used) AS n FROM tokens").fetchone()
    assert row is not None
    return int(row["n"])


# One event loop, with what the database answers in the test's hands


class Held(Claims):
    """Claims whose statements end when the test says so."""

    def __init__(self) -> None:
        super().__init__("", None, 5)  # type: ignore[arg-type]
        self.asked, self.answer = asyncio.Event(), asyncio.Event()
        self.combiner.done = self.done  # type: ignore[assignment, method-assign]

    def start_listening(self) -> None:
        pass

    async def done(self, claims: Sequence[Claim]) -> list[list[Row]]:
        self.asked.set()
        await self.answer.wait()
        return [[] for _ in claims]


ONE = {"agent_name": "codex", "control_agent": "one"}


@pytest.mark.parametrize("why", ["hangs up", "time is over"])
def test_who_leaves_while_the_database_is_asked_waits_no_longer_than_that(why: str) -> None:
    async def go() -> None:
        claims, left = Held(), asyncio.Event()
        seconds = 60 if why == "hangs up" else 0.001
        waiting = asyncio.create_task(claims.claim(ONE, seconds, left.wait))
        await asyncio.sleep(0)
        (waiter,) = claims.rooms["codex"].waiters
        await claims.asked.wait()
        if why == "hangs up":
            left.set()
        while not waiter.leaving:
            await asyncio.sleep(0)
        claims.answer.set()
        assert await asyncio.wait_for(waiting, 20) == []
        assert (claims.count, list(claims.rooms["codex"].waiters)) == (0, [])

    asyncio.run(go())


def test_a_wait_that_is_cancelled_leaves_nobody_in_the_row() -> None:
    async def go() -> None:
        claims = Held()
        claims.answer.set()
        waiting = asyncio.create_task(claims.claim(ONE, 60, asyncio.Event().wait))
        await claims.asked.wait()
        await asyncio.sleep(0)
        assert len(claims.rooms["codex"].waiters) == 1
        waiting.cancel()
        await asyncio.wait({waiting})
        assert (claims.count, list(claims.rooms["codex"].waiters)) == (0, [])

    asyncio.run(go())


def one_at_a_time(conn: Connection, item: object) -> object:
    if item == "bad":
        raise TypeError("Integer exceeds 64-bit range")
    return item


def all_together(conn: Connection, items: Sequence[object]) -> Sequence[object]:
    return [one_at_a_time(conn, item) for item in items]


def test_whatever_breaks_for_one_breaks_for_no_other(api_settings: Settings) -> None:
    async def go() -> list[object]:
        combiner = Combiner(pool, all_together, one_at_a_time)
        return await asyncio.gather(*(combiner.do(item) for item in ("a", "bad", "b")), return_exceptions=True)

    with open_pool(api_settings.conninfo(), "test", 1) as pool:
        first, bad, last = asyncio.run(go())
    assert (first, last) == ("a", "b")
    assert isinstance(bad, TypeError)


def test_what_nobody_waits_for_any_more_is_not_begun(api_settings: Settings) -> None:
    begun: list[object] = []

    def one(conn: Connection, item: object) -> object:
        begun.append(item)
        return item

    async def go() -> None:
        combiner = Combiner(pool, all_together, one)
        gone, stays = asyncio.create_task(combiner.do("gone")), asyncio.create_task(combiner.do("stays"))
        await asyncio.sleep(0)  # both are in the row
        gone.cancel()
        assert await stays == "stays"

    with open_pool(api_settings.conninfo(), "test", 1) as pool:
        asyncio.run(go())
    assert begun == ["stays"]
