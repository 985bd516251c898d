"""Real servers for every test that needs one: embedded, or those of TEST_DATABASE_URL and TEST_REDIS_URL.

`conn` is a connection to a database of the test's own, copied from a migrated template; `redis_client` is an empty
Redis. The cast: Alice talks to an assistant, Bob reviews, Charlie must not get in; claude_code and codex work.
"""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import redis
import trustme
from psycopg import sql

from domain.delivery import Delivery
from domain.settings import Settings
from ops.embedded import EmbeddedServers, Servers
from store.database import Connection, connect
from store.migrate import migrate

ROOT = Path(__file__).parent.parent
SHARING = ("console", "journeys")  # folders whose modules share what they start
API_KEY = "alices-key"
TOKEN = "bobs-token"
GENERIC_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def pytest_xdist_auto_num_workers() -> int | None:
    """One process where a server is given, as they would empty it for each other; else one a core, with its own."""
    return 1 if "TEST_REDIS_URL" in os.environ or "TEST_DATABASE_URL" in os.environ else None


def pytest_configure(config: pytest.Config) -> None:
    """Tests reach no servers but their own: to load the authorities of the machine costs every HTTP client 30 ms."""
    folder = tempfile.TemporaryDirectory(prefix="ai-webhook-test-")
    config.add_cleanup(folder.cleanup)
    one = Path(folder.name) / "authority.pem"
    trustme.CA().cert_pem.write_to_path(str(one))
    os.environ["SSL_CERT_FILE"] = str(one)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a whole service or a browser runs in one process, lest each process start its own."""
    for item in items:
        if item.path.parent.name in SHARING and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def reachable_folder() -> Path:
    """A temporary folder that an unprivileged server user can enter, as pytest's own is not when root runs it."""
    path = Path(tempfile.mkdtemp(prefix="ai-webhook-test-"))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    database_url, redis_url = os.environ.get("TEST_DATABASE_URL"), os.environ.get("TEST_REDIS_URL")
    folder = reachable_folder()
    try:
        with EmbeddedServers(folder, postgres=not database_url, valkey=not redis_url) as embedded:
            if embedded.database_url:
                make_quick(embedded.database_url)
            yield Servers(database_url or embedded.database_url or "", redis_url or embedded.redis_url or "")
    finally:
        shutil.rmtree(folder)


def make_quick(database_url: str) -> None:
    """Nobody misses a test's database after the power went."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        for setting in ("fsync", "full_page_writes"):
            admin.execute(f"ALTER SYSTEM SET {setting} = off")
        admin.execute("SELECT pg_reload_conf()")


def with_database(url: str, name: str) -> str:
    return psycopg.conninfo.make_conninfo(url, dbname=name)


@pytest.fixture(scope="session")
def template(servers: Servers) -> Iterator[str]:
    name = f"template_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        migrate(with_database(servers.database_url, name))
        yield name
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def fresh_database(servers: Servers, template: str) -> Iterator[str]:
    """A migrated database as a conninfo string, gone after it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY WAL_LOG").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        try:
            yield with_database(servers.database_url, name)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(servers: Servers, template: str) -> Iterator[str]:
    """A migrated database of this test's own."""
    with fresh_database(servers, template) as url:
        yield url


@pytest.fixture(scope="module")
def url(servers: Servers, template: str) -> Iterator[str]:
    """A migrated database of the module's own."""
    with fresh_database(servers, template) as url:
        yield url


@pytest.fixture
def conn(database_url: str) -> Iterator[Connection]:
    with connect(database_url, "test") as connection:
        yield connection


def wait_for_waiter(conn: Connection) -> None:
    """Until some connection to this database waits for a lock of another."""
    query = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 20
    while not conn.execute(query).rowcount:
        assert time.monotonic() < deadline, "nobody waits"


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
    return servers.redis_url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def make_settings(database_url: str, redis_url: str, **more: str) -> Settings:
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "WEBHOOK_API_KEY": API_KEY,
        "WEBHOOK_SECRET_GENERIC": GENERIC_SECRET,
        "AI_WEBHOOK_TOKEN": TOKEN,
        **more,
    }
    return Settings.from_env(environment, env_file=None)


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return make_settings(database_url, redis_url)


def delivery(
    body: bytes | str,
    *,
    source: str = "generic",
    delivery_id: str | None = None,
    event: str = "transcript",
    content_type: str = "application/json",
    received_at: datetime | None = None,
    session_id: str | None = None,
) -> Delivery:
    """A delivery as the endpoint would hand it on."""
    return Delivery(
        source=source,
        delivery_id=delivery_id or uuid.uuid4().hex,
        event=event,
        received_at=received_at or datetime.now(UTC),
        content_type=content_type,
        body=body.encode() if isinstance(body, str) else body,
        session_id=session_id,
    )
