"""The web process as `up` runs it, on a database of the module's own, and who asks it."""

import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import httpx2
import pytest
import uvicorn
from psycopg import sql
from starlette.testclient import TestClient

from domain.settings import Settings
from ingest.enqueueing import Enqueuer
from ingest.enqueueing import connect as connect_redis
from ingest.serving import Server
from ops.embedded import Servers
from ops.web import create_app
from store import tokens
from store.database import Connection, connect, open_pool
from tests.conftest import TOKEN, make_settings


@pytest.fixture(scope="module")
def api_settings(servers: Servers, url: str) -> Settings:
    return make_settings(url, servers.redis_url)


@pytest.fixture(scope="module")
def stranger(api_settings: Settings) -> Iterator[TestClient]:
    """The web process, asked by somebody without a token."""
    assert api_settings.redis_url is not None
    enqueuer = Enqueuer(
        connect_redis(api_settings.redis_url.get_secret_value()), batch_deliveries=50, job_timeout_seconds=60
    )
    app = create_app(api_settings, enqueuer, open_pool(api_settings.conninfo(), "test", 4))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@contextmanager
def served(settings: Settings, **more: Any) -> Iterator[str]:
    """The web process on a real socket; answers its address."""
    settings = settings.model_copy(update=more)
    assert settings.redis_url is not None
    enqueuer = Enqueuer(
        connect_redis(settings.redis_url.get_secret_value()), batch_deliveries=50, job_timeout_seconds=60
    )
    app = create_app(settings, enqueuer, open_pool(settings.conninfo(), "test", 4))
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=3)
    server = Server(config, app.state.let_go)
    thread = Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="module")
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as conn:
        yield conn


@pytest.fixture
def conn(connection: Connection) -> Iterator[Connection]:
    """A connection to the service's database; what a test writes is gone after it."""
    yield connection
    for table in ("artifacts", "tasks", "sessions", "deliveries", "tokens", "repeatable_requests"):
        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    connection.execute("UPDATE agents SET max_concurrent = 4 WHERE max_concurrent IS DISTINCT FROM 4")


class Api:
    """Somebody's requests: JSON in, JSON out."""

    def __init__(self, client: TestClient, token: str = TOKEN) -> None:
        self.client = client
        self.token = token

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        return self.client.request(method, "/api" + path, headers=headers, **options)

    def get(self, path: str, **params: Any) -> Any:
        return self.answered("GET", path, params=params)

    def post(self, path: str, **body: Any) -> Any:
        return self.answered("POST", path, json=body)

    def answered(self, method: str, path: str, **options: Any) -> Any:
        response = self.ask(method, path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def refused(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """(status, code) of an error, which has the one shape."""
        response = self.ask(method, path, **options)
        assert response.json().keys() == {"error"}, response.text
        error = response.json()["error"]
        assert error.keys() == {"code", "message", "hint"}
        assert error["message"].endswith(".")
        return response.status_code, error["code"]

    def with_token(self, conn: Connection, *scopes: str, seconds: float | None = None) -> "Api":
        """Somebody else, who has a token with these scopes."""
        return Api(self.client, tokens.create(conn, f"of {uuid.uuid4().hex}", scopes, seconds=seconds)["token"])


@pytest.fixture
def api(stranger: TestClient, conn: Connection) -> Api:
    """Bob, who may do everything."""
    return Api(stranger)
