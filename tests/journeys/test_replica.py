"""PostgreSQL with a streaming replica: reads go there, people see what they wrote, and it takes over."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import TestClient

from access.actions import ACTIONS
from access.console import passwords
from access.console.login import cookie_name
from access.routes import BY_NAME
from access.service import ONLY_READ
from domain.caller import operator
from domain.errors import DatabaseUnavailable, NotFound
from domain.sealing import UNSEALED
from ingest.enqueueing import open_enqueuer
from ops.doctor import replica as replica_check
from ops.web import create_app
from store import people, tokens
from store.database import Connection, connect, open_pool
from tests.conftest import API_KEY, TOKEN, make_settings
from tests.journeys.processes import check_all_is_there_once, free_port, is_ready, process, sending, wait_until
from tests.journeys.replicated import Replicated, follows_nobody, replicated

OF_THEIRS = {"query": "prices", "question": "prices", "session_id": "walk", "task_id": "t", "memory": 1,
             "artifact": "a", "agent_name": "claude_code", "delivery": "d", "name": "n"}  # fmt: skip


@pytest.fixture
def pair() -> Iterator[Replicated]:
    with replicated() as running:
        yield running


@contextmanager
def web(pair: Replicated, redis_url: str, lag_seconds: str = "60") -> Iterator[TestClient]:
    """One web process that reads from the replica."""
    more = {"AI_WEBHOOK_READ_DATABASE_URL": pair.replica.url(), "AI_WEBHOOK_READ_LAG_SECONDS": lag_seconds}
    settings = make_settings(pair.primary.url(), redis_url, **more)
    app = create_app(settings, open_enqueuer(settings), open_pool(settings.conninfo(), "test", 4))
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.fixture
def primary(pair: Replicated) -> Iterator[Connection]:
    with connect(pair.primary.url(), "test") as conn:
        yield conn


def asked(client: TestClient, method: str, path: str, *, token: str = TOKEN, **body: Any) -> Any:
    headers = {"authorization": f"Bearer {token}"}
    response = client.request(method, f"/api{path}", headers=headers, json=body or None)
    assert response.status_code == 200, response.text
    return response.json()


def titles(client: TestClient, token: str = TOKEN) -> list[str]:
    return [row["title"] for row in asked(client, "GET", "/sessions", token=token)["items"]]


def form_token(html: str) -> str:
    return html.partition('name="form_token" value="')[2].partition('"')[0]


def visitor(primary: Connection, client: TestClient) -> TestClient:
    """Bob's browser, on the same web process."""
    primary.execute(
        "INSERT INTO people (name, password, role) VALUES ('bob', %s, 'reviewer')", [passwords.hashed("bobs-own")]
    )
    browser = TestClient(client.app, follow_redirects=False)
    browser.cookies.set(cookie_name(False), people.begin_login(primary, "bob", "test"))
    return browser


def page(other: TestClient, browser: TestClient) -> str:
    """The session as the same browser is shown it by another web process."""
    other.cookies = browser.cookies
    return other.get("/sessions/walk").text


@contextmanager
def not_replaying(pair: Replicated) -> Iterator[None]:
    """The replica gets the log, so that commits are answered, and does nothing with it."""
    pair.replica.asked("SELECT pg_wal_replay_pause()::text")
    wait_until(lambda: pair.replica.asked("SELECT pg_get_wal_replay_pause_state()") == "paused", "it goes on")
    yield
    pair.replica.asked("SELECT pg_wal_replay_resume()::text")


def test_reads_go_to_the_replica_and_who_wrote_sees_it(pair: Replicated, primary: Connection, redis_url: str) -> None:
    with web(pair, redis_url) as client, web(pair, redis_url) as other:
        reader = tokens.create(primary, "reader", ["read"])["token"]
        asked(client, "POST", "/sessions", id="walk", title="Prices")
        bob = visitor(primary, client)
        wait_until(lambda: titles(client, reader) == ["Prices"], "the replica does not follow")
        assert titles(other, reader) == ["Prices"]
        with not_replaying(pair):
            asked(client, "PATCH", "/sessions/walk", title="Dogs")
            assert titles(client) == ["Dogs"]
            assert titles(client, reader) == ["Prices"]  # so that is where it is read
            wrote = bob.post(
                "/sessions/walk", data={"form_token": form_token(bob.get("/sessions/walk").text), "title": "Cats"}
            )
            assert wrote.status_code == 303, wrote.text
            assert "Cats" in page(other, bob)  # by another process, which has not seen him write
            assert titles(other, reader) == ["Prices"]
            with web(pair, redis_url, "1") as strict:  # knows only how far the primary is by now
                assert titles(strict, reader) == ["Cats"]
            assert replica_check(pair.replica.url(), pair.primary.url()).state == "warning"
        wait_until(lambda: titles(client, reader) == ["Cats"], "the replica does not go on")
        assert replica_check(pair.replica.url(), pair.primary.url()).state == "ok"
        follows_nobody(pair.primary)
        pair.replica.kill()
        assert titles(client, reader) == ["Cats"]  # from the primary


def test_every_read_is_one_that_a_replica_can_do(pair: Replicated, primary: Connection) -> None:
    with connect(pair.replica.url(), "test") as conn:
        for name in sorted(ONLY_READ):
            endpoint = BY_NAME[name]
            wanted = {*endpoint.query.model_fields, endpoint.identity}
            asked: dict[str, Any] = {
                key: value for key, value in OF_THEIRS.items() if key in wanted and key is not None
            }
            if name == "get_delivery_body":
                asked["sealing"] = UNSEALED
            try:
                ACTIONS[name].act(operator(), conn, **asked)
            except NotFound:
                pass
            except DatabaseUnavailable as error:
                pytest.fail(f"{name}: {error.message}")


def test_the_replica_takes_over_and_nothing_is_lost_or_done_twice(pair: Replicated, redis_url: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    endpoint: dict[str, Any] = {"REDIS_URL": redis_url, "WEBHOOK_API_KEY": API_KEY, "AI_WEBHOOK_PORT": str(port)}
    worker: dict[str, Any] = {"REDIS_URL": redis_url, "DATABASE_URL": pair.url(), "AI_WEBHOOK_SWEEP_SECONDS": "1"}
    with process("ingest", **endpoint), process("processors", **worker), process("processors", **worker):
        wait_until(lambda: is_ready(url), "the endpoint is not ready")
        with sending(url) as senders:
            wait_until(lambda: pair.primary.asked("SELECT count(*) > 5 FROM turns") is True, "nothing is processed")
            pair.primary.kill()
            senders.wait_for_more()
            pair.promote()
            senders.wait_for_more()
        assert senders.refusals.total() == 0  # senders are answered by Redis
        with connect(pair.url(), "test") as conn:
            check_all_is_there_once(conn, senders.accepted)
