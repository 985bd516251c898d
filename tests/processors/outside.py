"""What the tests of outgoing messages share: a database with subscriptions, and a receiver on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import orjson

from domain.settings import Settings
from ingest.request import Request
from ingest.signatures import STANDARD
from processors.outgoing import deliver_due
from store import outgoing, tasks
from store.database import Connection, Pool, Row, open_pool
from tests.conftest import make_settings
from tests.processors.sender_api import Answer, Api, answering

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"
NOON = datetime(2030, 3, 2, 12, tzinfo=UTC)  # past everything that the database's clock has written
LOCAL = {"AI_WEBHOOK_OUT_PRIVATE": "127.0.0.1"}


def out_settings(**more: str) -> Settings:
    """Settings of a sender that may reach this machine; neither database nor Redis is read from them."""
    return make_settings("", "", **{**LOCAL, "AI_WEBHOOK_OUT_SECRET_CRM": SECRET, **more})


@contextmanager
def pool_of(database_url: str) -> Iterator[Pool]:
    pool = open_pool(database_url, "test", 3)
    yield pool
    pool.close()


def send(pool: Pool, settings: Settings | None = None, now: datetime | None = NOON, **more: Any) -> int:
    """Sends what is due at noon, without jitter."""
    return deliver_due(pool, settings or out_settings(), now=now, chance=lambda: 0.0, **more)


def insert_task(conn: Connection, task_id: str = "t1", title: str = "Look up its prices", **columns: Any) -> None:
    given = {"status": "pending", "session_id": None, "memory": None, **columns}
    conn.execute(
        "INSERT INTO tasks (id, agent_name, task_type, title, status, session_id, memory)"
        " VALUES (%s, 'codex', 'code', %s, %s, %s, %s)",
        [task_id, title, given["status"], given["session_id"], given["memory"]],
    )


def insert_memory(conn: Connection, title: str = "We use Postgres", quote: str = "So we use Postgres.") -> int:
    conn.execute("INSERT INTO sessions (id) VALUES ('walk') ON CONFLICT DO NOTHING")
    row = conn.execute(
        "INSERT INTO memories (session_id, type, key, title, content, quote, char_start, char_end, speaker)"
        " VALUES ('walk', 'decision', %(title)s, %(title)s, '{}', %(quote)s, 0, length(%(quote)s), 'Mara')"
        " RETURNING id",
        {"title": title, "quote": quote},
    ).fetchone()
    assert row is not None
    return int(row["id"])


def complete(conn: Connection, task_id: str = "t1") -> None:
    (claim,) = tasks.claim(conn, "codex", "me")
    assert claim["task_id"] == task_id
    tasks.complete(conn, task_id, claim["claim_token"])


def subscribe(conn: Connection, target: str, name: str = "crm", **more: Any) -> Row:
    given = {"kind": "webhook", "events": ["*"], **more}
    return outgoing.add(conn, name, target=target, **given)


def only(conn: Connection, name: str = "crm") -> Row:
    (row,) = outgoing.log(conn, name)
    return row


def outcome(conn: Connection, name: str = "crm") -> tuple[str, str | None, int | None]:
    row = only(conn, name)
    return row["state"], row["error_code"], row["status_code"]


def verified(headers: dict[str, str], body: bytes, secrets: list[str], now: datetime) -> str:
    """The id of a message that verifies as any receiver would verify it; raises SignatureError."""
    return STANDARD.verify(Request("crm", headers, {}, body, now), secrets)


def answers(*given: Answer) -> Answer:
    """One answer after another, the last for ever."""
    waiting = list(given)

    def answer(request: BaseHTTPRequestHandler) -> None:
        (waiting.pop(0) if len(waiting) > 1 else waiting[0])(request)

    return answer


def json(value: Any, status: int = 200) -> Answer:
    return answering(orjson.dumps(value), status, content_type="application/json")


def sent(api: Api) -> list[tuple[str, str, Any]]:
    """What was asked of a server: method, path and JSON."""
    return [(method, path, orjson.loads(body) if body else None) for method, path, _, body in api.asked]
