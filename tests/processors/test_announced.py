"""Deliveries that only announce their transcript: it is fetched from the sender's API, once, and kept."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from access import actions
from domain import tracing
from domain.caller import operator
from domain.delivery import Delivery, Fetch, Reading
from domain.errors import Unreadable
from domain.settings import Settings
from processors import jobs, readers, telling
from processors.__main__ import open_workshop
from processors.jobs import FETCH_ATTEMPTS, MOST_FETCHES, Workshop
from store.database import Connection
from tests.conftest import delivery, make_settings
from tests.processors.sender_api import TOKEN, Api, answering
from tests.processors.workshop import accept, read_acme, states, talk, work, work_again

TRANSCRIPT = {"session": "call", "extent": "whole", "turns": [["Alice", 0.0, "Let's go with Postgres."]]}


def read_bell(delivery: Delivery) -> Reading | Fetch | None:
    """`bell` rings when a call is over: {"path"}. A page of its API is {"next": path or null, …, "turns"}."""
    path = orjson.loads(delivery.body).get("path")
    pages = [orjson.loads(page) for page in delivery.fetched]
    for page in pages:
        if page.get("status") == "working":
            raise Unreadable("The transcript is not finished.", code="not_ready", retry=True)
        path = page.get("next")
    if path:
        return Fetch(path)
    turns = [turn for page in pages for turn in page["turns"]]
    told = orjson.dumps({**TRANSCRIPT, "turns": turns})
    return read_acme(replace(delivery, body=told, event="whole")) if pages else None


@pytest.fixture
def shop(
    api: Api,
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Workshop]:
    monkeypatch.setattr(readers, "READERS", {**readers.READERS, "bell": read_bell})
    monkeypatch.setattr(jobs, "ANNOUNCING", frozenset({"bell"}))
    own = {"FETCH_URL_BELL": api.url, "FETCH_TOKEN_BELL": TOKEN}
    workshop = open_workshop(make_settings(database_url, redis_url, **own), "worker-under-test")
    yield workshop
    workshop.pool.close()


def ring(path: str | None = "/calls/1") -> Delivery:
    return delivery(orjson.dumps({"path": path}), source="bell", event="call.ended")


def page(**content: Any) -> Any:
    return answering(orjson.dumps({**TRANSCRIPT, **content}))


def told(conn: Connection) -> dict[str, Any]:
    row = conn.execute(
        "SELECT state, attempts, error_code, error, cardinality(fetched) AS pages FROM deliveries"
    ).fetchone()
    assert row
    return row


def test_what_is_announced_is_fetched_and_read(
    settings: Settings,
    shop: Workshop,
    conn: Connection,
    api: Api,
) -> None:
    api.routes["/calls/1"] = page()
    accept(settings, ring())
    work(shop)
    assert states(conn) == {"processed": 1}
    assert conn.execute("SELECT speaker, text FROM turns").fetchall() == [
        {"speaker": "Alice", "text": "Let's go with Postgres."}
    ]
    assert api.asked[0][2]["authorization"] == f"Bearer {TOKEN}"


def test_fetching_is_part_of_the_deliverys_trace(
    settings: Settings, shop: Workshop, conn: Connection, api: Api, spans: InMemorySpanExporter
) -> None:
    api.routes["/calls/1"] = page()
    with tracing.span("accept"):
        accept(settings, replace(ring(), trace=tracing.here()))
    work(shop)
    told = {one.name: one for one in spans.get_finished_spans()}
    assert set(told["fetch"].attributes or {}) == {"source", "delivery_id"}
    assert len({told[name].context.trace_id for name in ("accept", "fetch", "process")}) == 1
    assert api.url not in told["fetch"].to_json()


def test_a_transcript_in_pages_is_fetched_page_by_page(
    settings: Settings,
    shop: Workshop,
    conn: Connection,
    api: Api,
) -> None:
    api.routes |= {"/calls/1": page(next="/calls/1?page=2"), "/calls/1?page=2": page(turns=[["Bob", 2.0, "Yes."]])}
    accept(settings, ring())
    work(shop)
    assert [row["text"] for row in conn.execute("SELECT text FROM turns ORDER BY seq")] == [
        "Let's go with Postgres.",
        "Yes.",
    ]
    assert told(conn)["pages"] == 2


def test_pages_without_end_are_given_up(
    settings: Settings,
    shop: Workshop,
    conn: Connection,
    api: Api,
) -> None:
    api.routes["/calls/1"] = page(next="/calls/1")
    accept(settings, ring())
    work(shop)
    assert (told(conn)["state"], told(conn)["error_code"]) == ("failed", "too_many_fetches")
    assert len(api.asked) == MOST_FETCHES


def test_in_a_batch_it_gets_a_job_of_its_own_and_holds_up_nobody(
    settings: Settings,
    shop: Workshop,
    conn: Connection,
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api.routes["/calls/1"] = page()
    jobs_done: list[dict[str, int]] = []
    finish = type(shop.queue).finish

    def note(queue: Any, batch: Any) -> None:
        jobs_done.append(states(conn))
        finish(queue, batch)

    monkeypatch.setattr(type(shop.queue), "finish", note)
    accept(settings, ring(), ring(None), delivery(talk("walk", "Words.")))
    work(shop)
    assert jobs_done == [{"received": 1, "processed": 1, "ignored": 1}, {"processed": 2, "ignored": 1}]


def test_a_transcript_that_is_late_is_fetched_again_later(
    settings: Settings,
    shop: Workshop,
    conn: Connection,
    api: Api,
) -> None:
    accept(settings, ring())
    work(shop)
    assert told(conn) | {"error": ""} == {
        "state": "received",
        "attempts": 1,
        "error_code": "fetch_not_found",
        "error": "",
        "pages": 0,
    }
    api.routes["/calls/1"] = page(status="working")
    work_again(shop, conn)
    assert (told(conn)["state"], told(conn)["error_code"], told(conn)["pages"]) == ("received", "not_ready", 1)
    api.routes["/calls/1"] = page()
    work_again(shop, conn)
    assert told(conn) == {"state": "processed", "attempts": 3, "error_code": None, "error": None, "pages": 1}


def test_a_transcript_that_never_comes_ends_as_failed(
    settings: Settings,
    shop: Workshop,
    conn: Connection,
    api: Api,
) -> None:
    accept(settings, ring())
    work(shop)
    for _ in range(FETCH_ATTEMPTS - 1):
        assert told(conn)["state"] == "received"
        work_again(shop, conn)
    assert (told(conn)["state"], told(conn)["attempts"]) == ("failed", FETCH_ATTEMPTS)
    assert len(api.asked) == FETCH_ATTEMPTS


def test_a_refused_token_fails_at_once_and_a_replay_mends_it(
    settings: Settings,
    shop: Workshop,
    conn: Connection,
    api: Api,
) -> None:
    api.routes["/calls/1"] = answering(b"", 401)
    accept(settings, ring())
    work(shop)
    assert (told(conn)["state"], told(conn)["error_code"]) == ("failed", "fetch_unauthorized")
    assert TOKEN not in told(conn)["error"]
    api.routes["/calls/1"] = page()
    actions.replay_deliveries(operator(), conn, code="fetch_unauthorized")
    work_again(shop, conn)
    assert states(conn) == {"processed": 1}


def test_what_was_fetched_is_kept_and_read_again_without_the_api(
    settings: Settings,
    shop: Workshop,
    conn: Connection,
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api.routes["/calls/1"] = page()
    accept(settings, ring())
    with monkeypatch.context() as patch:
        patch.setattr(telling, "chunk", lambda turns, **how: 1 / 0)
        work(shop)
    assert (told(conn)["state"], told(conn)["pages"]) == ("received", 1)
    api.routes.clear()
    work_again(shop, conn)
    assert states(conn) == {"processed": 1}
    actions.replay_deliveries(operator(), conn, states=["processed"])
    work_again(shop, conn)
    assert states(conn) == {"processed": 1}
    assert len(api.asked) == 1


def test_a_bug_in_fetching_is_counted_like_any_other(
    settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> bytes:
        raise ValueError("canary")

    monkeypatch.setattr(jobs, "fetch", broken)
    accept(settings, ring())
    work(shop)
    assert (told(conn)["state"], told(conn)["attempts"], told(conn)["error_code"]) == ("received", 1, "internal_error")
    assert "canary" not in told(conn)["error"]
