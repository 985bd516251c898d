"""Everything at once and nothing as it should be: the web process stands, says what is wrong and logs none of it."""

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from access.client import Client
from domain.log_lines import formatter
from domain.settings import Settings
from store import tokens
from store.database import Connection
from tests.access.test_waiting import Waiting, insert_task, until
from tests.conftest import API_KEY, ROOT, TOKEN

POLLS = 10_000
FEWEST_POLLS = 2_000
MAX_WAITING = 50
SPARE = 200  # descriptors for everything else
OURS = 20  # connections to the servers that it opens as it needs them: the pool's, the listener's, Redis'
CANARY = "Kanarienvogel"  # stands in all that is said here
BEARER = {"authorization": f"Bearer {TOKEN}"}
MCP = BEARER | {"accept": "application/json, text/event-stream"}


@dataclass
class Web:
    """The web process by itself, as `up` starts it, with its log at its most talkative."""

    address: str
    pid: int
    log: Path

    @property
    def place(self) -> tuple[str, int]:
        host, port = self.address.removeprefix("http://").split(":")
        return host, int(port)

    def sockets(self) -> int:
        links = (self.link(name) for name in os.listdir(f"/proc/{self.pid}/fd"))
        return sum(link.startswith("socket:") for link in links)

    def link(self, name: str) -> str:
        try:
            return os.readlink(f"/proc/{self.pid}/fd/{name}")
        except FileNotFoundError:  # closed between the two looks
            return ""

    def peak_mib(self) -> int:
        (line,) = (line for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if "VmHWM" in line)
        return int(line.split()[1]) // 1024


@pytest.fixture(scope="module")
def web(api_settings: Settings, url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    assert api_settings.redis_url is not None
    log = tmp_path_factory.mktemp("hostile") / "log"
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": url,
        "REDIS_URL": api_settings.redis_url.get_secret_value(),
        "WEBHOOK_API_KEY": API_KEY,
        "AI_WEBHOOK_TOKEN": TOKEN,
        "AI_WEBHOOK_MAX_WAITING": str(MAX_WAITING),
        "AI_WEBHOOK_LOG_LEVEL": "DEBUG",
    }
    with socket.create_server(("127.0.0.1", 0)) as listening, log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.child", "web", str(listening.fileno())],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            pass_fds=(listening.fileno(),),
        )
        try:
            web = Web(f"http://127.0.0.1:{listening.getsockname()[1]}", process.pid, log)
            assert httpx2.get(f"{web.address}/readyz", timeout=30).status_code == 200
            yield web
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert process.stdin is not None
            process.stdin.close()


def answered(web: Web, method: str, path: str, **options: Any) -> httpx2.Response:
    return httpx2.request(method, web.address + path, timeout=30, **({"headers": BEARER} | options))


# Ten thousand who wait


class Poll(asyncio.Protocol):
    """One long poll on a socket of its own; keeps what is answered."""

    def __init__(self) -> None:
        self.answer = b""
        self.answered = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(POLL)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        self.answered.set()


BODY = b'{"agent_name": "codex", "control_agent": "hostile", "wait_seconds": 60}'
POLL = (
    f"POST /api/tasks/claim HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY


@contextmanager
def descriptors(wanted: int) -> Iterator[int]:
    """Raises how many this process may have open, and answers how many they are then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    try:
        yield max(soft, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def poll_all_at_once(web: Web, count: int) -> tuple[list[bytes], list[int]]:
    """What the refused were answered; and what others were, while all of them were connected."""
    loop = asyncio.get_running_loop()
    at_a_time = asyncio.Semaphore(500)  # the kernel's queue of those who knock is short

    async def begin() -> Poll:
        async with at_a_time:
            return (await loop.create_connection(Poll, *web.place))[1]

    polls = await asyncio.gather(*(begin() for _ in range(count)))
    refused: set[asyncio.Task[Any]] = set()
    waiting = {asyncio.create_task(poll.answered.wait()) for poll in polls}
    while len(refused) < count - MAX_WAITING:
        done, waiting = await asyncio.wait(waiting, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        assert done, f"{len(refused)} of {count} were refused, and no more"
        refused |= done
    async with httpx2.AsyncClient(base_url=web.address, headers=BEARER, timeout=30) as others:
        paths = ("/healthz", "/readyz", "/api/tasks", "/api/agents", "/api/search?q=prices")
        statuses = [(await others.get(path)).status_code for path in paths]
        at_once = {"agent_name": "codex", "control_agent": "other"}
        statuses.append((await others.post("/api/tasks/claim", json=at_once)).status_code)
    for task in waiting:
        task.cancel()
    answers = [poll.answer for poll in polls if poll.answer]
    for poll in polls:
        assert poll.transport is not None
        poll.transport.abort()
    return answers, statuses


def test_ten_thousand_may_knock_and_only_some_wait(web: Web, conn: Connection) -> None:
    with descriptors(POLLS + SPARE) as most:
        count = min(POLLS, most - SPARE)
        if count < FEWEST_POLLS:
            pytest.skip(f"this process may open {most} files, too few for {FEWEST_POLLS} connections")
        sockets, peak = web.sockets(), web.peak_mib()
        answers, others = asyncio.run(poll_all_at_once(web, count))
    assert len(answers) == count - MAX_WAITING
    for answer in set(answers):
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5" in head.lower()
        assert json.loads(body)["error"]["code"] == "too_many_waiting"
    assert others == [200] * 6
    assert web.peak_mib() - peak < 50 + count * 24 // 1024  # 24 KiB for each, and some
    until(lambda: web.sockets() < sockets + OURS)

    one = Waiting(web.address, "afterwards", agent="codex")  # there is room again, and no ghost is given the task
    insert_task(conn, "after", agent="codex")
    assert one.result() == ["after"]


# Bad input


HOSTILE: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", f"/api/sessions/{CANARY}", {}, 404, "not_found"),
    ("GET", f"/api/tasks/{CANARY}%0d%0aset-cookie:%20x", {}, 404, "not_found"),
    ("GET", f"/api/agents/..%2f..%2f{CANARY}", {}, 404, "not_found"),
    ("GET", f"/api/sessions/{CANARY}%00", {}, 422, "invalid_request"),
    ("GET", f"/api/{CANARY}", {}, 404, "not_found"),
    ("GET", f"/api/search?q={CANARY * 1000}", {}, 422, "invalid_request"),
    ("GET", f"/api/search?{CANARY}=1", {}, 422, "invalid_request"),
    ("GET", f"/api/search?q=x&since={CANARY}", {}, 422, "invalid_request"),
    ("GET", f"/api/events?after={CANARY}", {}, 422, "invalid_request"),
    ("DELETE", "/api/sessions", {}, 405, "method_not_allowed"),
    ("POST", "/api/sessions", {"content": f'{{"title": "{CANARY}"'}, 422, "invalid_request"),
    ("POST", "/api/sessions", {"content": f'{{"title": "\\ud800{CANARY}"}}'}, 422, "invalid_request"),
    ("POST", "/api/sessions", {"json": {CANARY: 1}}, 422, "invalid_request"),
    ("POST", "/api/sessions", {"json": {"metadata": {"a": f"{CANARY}\x00"}}}, 422, "invalid_request"),
    ("POST", "/api/sessions", {"content": '{"metadata":' + '{"a":' * 5000 + "1" + "}" * 5001}, 422, "invalid_request"),
    ("POST", "/api/sessions", {"content": b"{}", "headers": BEARER | {"content-type": CANARY}}, 415,
     "unsupported_media_type"),
    ("POST", "/api/sessions", {"json": {"title": CANARY}, "headers": {"authorization": f"Bearer awt_{CANARY}"}}, 401,
     "forbidden"),
    ("POST", "/api/artifacts", {"json": {"name": f"../{CANARY}", "content": CANARY}}, 422, "invalid_request"),
    ("POST", "/api/artifacts", {"json": {"name": f"{CANARY}\r\nx: y", "content": CANARY}}, 422, "invalid_request"),
    ("POST", "/api/artifacts", {"content": b" " * (8 * 2**20 + 1)}, 413, "body_too_large"),
    ("POST", "/api/tasks/claim", {"json": {"agent_name": CANARY, "control_agent": CANARY}}, 404, "unknown_agent"),
    ("POST", "/api/tasks/claim", {"content": '{"agent_name": "codex", "control_agent": "x", "wait_seconds": NaN}'}, 422,
     "invalid_request"),
    ("POST", f"/api/tasks/{CANARY}/complete", {"json": {"claim_token": "0" * 32}}, 404, "unknown_task"),
    ("POST", f"/api/tasks/{CANARY}/complete", {"json": {"claim_token": CANARY}}, 422, "invalid_request"),
    ("POST", f"/webhook/{CANARY}", {"json": {"text": CANARY}}, 404, "unknown_source"),
    ("POST", "/webhook", {"content": f'{{"text": "{CANARY}'}, 401, "invalid_api_key"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "options", "status", "code"), HOSTILE, ids=range(len(HOSTILE)))
def test_bad_input_is_told_in_the_one_shape(
    web: Web, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    answer = answered(web, method, path, **options)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].keys() == {"code", "message", "hint"}


def test_a_length_that_is_a_lie_leaves_nothing_and_breaks_nothing(web: Web, conn: Connection) -> None:
    for path, accept in (("/api/sessions", "*/*"), ("/mcp", "application/json, text/event-stream")):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nAccept: {accept}\r\n"
        with socket.create_connection(web.place) as liar:
            liar.sendall(f"{head}Content-Length: 1000\r\n\r\n".encode() + f'{{"title": "{CANARY}"}}'.encode())
        with socket.create_connection(web.place) as giant:
            giant.sendall(f"{head}Content-Length: 99999999999\r\n\r\n".encode() + b"{")
            assert giant.recv(1000).split()[1] == b"413"
        with socket.create_connection(web.place) as endless:
            endless.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
            assert status_while_sending(endless, piece) == b"413"
    assert answered(web, "GET", "/api/sessions").json()["items"] == []


def status_while_sending(sender: socket.socket, piece: bytes) -> bytes:
    """The status that comes though the body never ends."""
    sender.settimeout(20)
    try:
        for _ in range(1000):
            sender.sendall(piece)
    except ConnectionError:
        pass
    return sender.recv(1000).split()[1]


def test_mcp_refuses_without_breaking(web: Web) -> None:
    calls: list[Any] = [
        ("tools/call", {"name": CANARY, "arguments": {}}),
        ("tools/call", {"name": "get_session", "arguments": {"session_id": CANARY}}),
        ("tools/call", {"name": "create_task", "arguments": {"title": CANARY, "agent_name": CANARY}}),
        ("tools/call", {"name": "create_task", "arguments": {"title": f"{CANARY}\x00"}}),
        ("tools/call", {"name": "complete_task", "arguments": {"task_id": CANARY, "claim_token": CANARY}}),
        ("tools/call", {"name": "store_memory", "arguments": {"session_id": "x", "type": CANARY, "title": CANARY}}),
        ("resources/read", {"uri": f"session://{CANARY}"}),
        ("resources/read", {"uri": f"file:///{CANARY}"}),
        ("prompts/get", {"name": CANARY}),
        ("prompts/get", {"name": "plan_from_session", "arguments": {"session_id": CANARY}}),
        (CANARY, {CANARY: CANARY}),
    ]
    for number, (method, params) in enumerate(calls):
        call = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        answer = answered(web, "POST", "/mcp", headers=MCP, json=call).json()
        assert "error" in answer or answer["result"]["isError"], call
    for body in (f"[{CANARY}", f'[{{"jsonrpc": "2.0", "id": 1, "method": "{CANARY}"}}]', f'{{"jsonrpc": "{CANARY}"}}'):
        assert answered(web, "POST", "/mcp", headers=MCP, content=body).status_code == 400
    odd = MCP | {"mcp-protocol-version": CANARY, "mcp-session-id": CANARY}
    assert answered(web, "POST", "/mcp", headers=odd, json=calls[0]).status_code == 400


# What the log tells


def test_the_log_has_no_token_and_nothing_of_what_was_said(web: Web, conn: Connection) -> None:
    token = tokens.create(conn, "of an agent", ["read", "write", "claim:codex"])["token"]
    with Client(web.address, token) as agent, httpx2.Client(base_url=web.address, headers=BEARER) as bob:
        bob.post("/api/sessions", json={"id": "walk", "title": CANARY, "context": CANARY})
        bob.post("/api/memories", json={"session_id": "walk", "type": "fact", "title": CANARY})
        with bob.stream("GET", "/api/events", headers={"accept": "text/event-stream", "last-event-id": "0-0"}) as told:
            bob.post("/api/tasks", json={"title": CANARY, "agent_name": "codex", "session_id": "walk"})
            assert any(CANARY in line for line in told.iter_lines())
        (claim,) = agent.claim_task("codex", "one", context=True)
        bob.get("/api/search", params={"q": CANARY})
        bob.post("/api/artifacts", json={"name": "a.md", "content": CANARY})
        refusal = {"claim_token": claim["claim_token"], "artifacts": [CANARY * 50]}
        assert bob.post(f"/api/tasks/{claim['task_id']}/complete", json=refusal).status_code == 422
        call = {"name": "context", "arguments": {"question": CANARY}}
        answer = bob.post("/mcp", headers=MCP, json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
        assert CANARY in answer.text
    bad = {"jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": {"name": CANARY}}
    answered(web, "POST", "/mcp", headers=MCP, json=bad)
    until(lambda: "ValueError" in web.log.read_text())  # what broke is told, by its kind and place
    log = web.log.read_text()
    for secret in (CANARY, TOKEN, token, claim["claim_token"], API_KEY):
        assert secret not in log


def test_an_error_is_logged_by_its_kind_and_place() -> None:
    def broken() -> None:
        try:
            raise ExceptionGroup(CANARY, [ValueError(CANARY)])
        except ExceptionGroup as error:
            raise KeyError(CANARY) from error

    try:
        broken()
    except KeyError:
        record = logging.LogRecord("web", logging.ERROR, "", 0, "It broke.", None, sys.exc_info())
    told = formatter("text").format(record)
    assert CANARY not in told
    assert [line for line in told.splitlines() if not line.startswith(" ")] == [
        "It broke.", "KeyError", "ExceptionGroup", "ValueError",
    ]  # fmt: skip
    assert "test_hostile.py" in told and "broken" in told
