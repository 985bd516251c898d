"""From what was said to an issue and a signed message, and from the closed issue back to the task: real processes."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import httpx2
import pytest

from store import outgoing, tasks
from store.database import connect
from tests.conftest import ROOT
from tests.journeys.stack import running_up
from tests.processors.outside import SECRET, verified
from tests.processors.sender_api import Api, answering

WALK = "Me: Add an action item: write the schema."
ISSUE = {
    "number": 12,
    "html_url": "https://github.com/Mara/Tiles/issues/12",
    "state": "open",
    "updated_at": "2026-03-02T08:00:00Z",
}
CLOSED = ROOT / "tests" / "payloads" / "github" / "issues" / "closed.not_planned.json"


class Outside(Api):
    """GitHub and a receiver of webhooks, in one; `heard` are the types of the messages that came."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()
        self.heard: list[str] = []
        issues = "/repos/mara/tiles/issues"
        self.routes[f"{issues}?state=all&sort=created&direction=desc&per_page=50"] = answering(b"[]")
        self.routes[issues] = answering(json.dumps(ISSUE).encode(), 201)
        self.routes["/hook"] = self.hear

    def hear(self, request: BaseHTTPRequestHandler) -> None:
        _, _, headers, body = next(asked for asked in reversed(self.asked) if asked[1] == "/hook")
        verified(headers, body, [SECRET], datetime.now(UTC))
        answering(b"")(request)
        with self.changed:
            self.heard.append(json.loads(body)["type"])
            self.changed.notify_all()

    def wait_for(self, event: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: event in self.heard, 60), self.heard


@pytest.fixture
def outside() -> Iterator[Outside]:
    server = Outside()
    yield server
    server.close()


def test_what_is_said_goes_out_and_what_is_closed_there_comes_back(outside: Outside) -> None:
    settings = {
        "AI_WEBHOOK_OUT_PRIVATE": "127.0.0.1",
        "AI_WEBHOOK_OUT_SECRET_CRM": SECRET,
        "AI_WEBHOOK_OUT_SECRET_TILES": "token",
        "AI_WEBHOOK_OUT_URL_GITHUB": outside.url,
        "WEBHOOK_SECRET_GITHUB": "github-secret",
    }
    with running_up(**settings) as up, connect(up.database_url()) as conn:
        outgoing.add(conn, "crm", kind="webhook", target=f"{outside.url}/hook", events=["task.*"])
        outgoing.add(conn, "tiles", kind="github", target="mara/tiles", events=["task.pending"])
        httpx2.post(f"{up.url}/webhook/generic?session=walk", content=WALK, headers=up.headers("text/plain"))
        outside.wait_for("task.pending")
        (task,) = tasks.listing(conn, status=None, agent_name=None, session_id="walk", before=None, limit=9)
        up.wait_for("to=tiles event=task.pending")
        (export,) = outgoing.exports_of(conn, task["id"])
        assert export["external_id"] == "mara/tiles#12"
        body = CLOSED.read_bytes()
        headers = {
            "x-github-event": "issues",
            "x-github-delivery": "guid-1",
            "content-type": "application/json",
            "x-hub-signature-256": "sha256=" + hmac.new(b"github-secret", body, hashlib.sha256).hexdigest(),
        }
        assert httpx2.post(f"{up.url}/webhook/github", content=body, headers=headers).status_code == 200
        outside.wait_for("task.cancelled")
        ended = tasks.get(conn, task["id"])
        assert ended is not None
        assert ended["error_message"] == "Closed as not planned: https://github.com/Mara/Tiles/issues/12"
