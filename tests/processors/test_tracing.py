"""One trace from the request to the memories, through the queue, without a word of what was said."""

from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

from domain import envelope, tracing
from domain.settings import Settings
from ingest.__main__ import build
from processors.jobs import Workshop
from store.database import Connection
from tests.conftest import API_KEY, delivery
from tests.processors.workshop import talk, work


def post(settings: Settings, text: str) -> str:
    with TestClient(build(settings)) as client:
        answer = client.post("/webhook/generic", content=talk("walk", text), headers={"x-api-key": API_KEY})
        return str(answer.json()["delivery"])


def test_one_trace_from_the_request_to_the_memory(
    settings: Settings, shop: Workshop, conn: Connection, spans: InMemorySpanExporter
) -> None:
    key = post(settings, "I've decided we use the heliotrope API.")
    work(shop)
    assert conn.execute("SELECT type FROM memories").fetchone() == {"type": "decision"}
    told = spans.get_finished_spans()
    assert {"accept", "enqueue", "record", "process", "deliveries.finish"} <= {one.name for one in told}
    assert len({one.context.trace_id for one in told if one.context}) == 1
    (processed,) = [one for one in told if one.name == "process"]
    assert dict(processed.attributes or {}) == {"delivery_id": key}
    assert "heliotrope" not in "".join(one.to_json() for one in told)


def test_an_error_is_told_by_its_kind(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError), tracing.span("process"):
        raise ValueError("heliotrope")
    (told,) = spans.get_finished_spans()
    assert told.status.description == "ValueError"
    assert "heliotrope" not in told.to_json()


def test_nothing_is_traced_and_nothing_more_is_sent_unless_it_is_asked_for(settings: Settings) -> None:
    tracing.set_up_tracing(settings, "web")
    with tracing.span("process"):
        assert not tracing.is_traced()
        assert tracing.here() == ""
    one = delivery("{}", received_at=datetime.now(UTC))
    assert b"trace" not in envelope.pack(one)
