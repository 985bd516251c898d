"""One shape for every line, with the delivery it is about, from the endpoint to PostgreSQL."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from domain.log_lines import about, formatter, log_to
from domain.settings import Settings
from processors import jobs
from processors.jobs import Workshop
from store.database import Connection
from tests.conftest import delivery
from tests.processors.workshop import accept, talk, work


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the process prints as JSON."""
    root, stream = logging.getLogger(), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter("json"))
    before = root.level
    root.addHandler(handler)
    root.setLevel("INFO")
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def read(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_every_line_of_a_job_names_its_delivery(shop: Workshop, settings: Settings, lines: io.StringIO) -> None:
    sent = [delivery(talk(f"walk {number}", "We use the heliotrope API.")) for number in range(2)]
    accept(settings, *sent)
    work(shop)
    told = [line for line in read(lines) if line["event"].startswith("processed")]
    assert {line["delivery_id"] for line in told} == {one.key for one in sent}
    assert all(line.keys() >= {"timestamp", "level", "logger", "event", "batch"} for line in told)
    assert "heliotrope" not in lines.getvalue()


def test_libraries_write_in_the_same_shape(lines: io.StringIO) -> None:
    for name in ("uvicorn.error", "rq.worker", "ai_webhook.web"):
        with about(delivery_id="d1"):
            logging.getLogger(name).warning("it is %s", "so")
    assert [(line["logger"], line["event"], line["level"], line["delivery_id"]) for line in read(lines)] == [
        (name, "it is so", "warning", "d1") for name in ("uvicorn.error", "rq.worker", "ai_webhook.web")
    ]


def test_what_an_error_says_is_in_no_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("heliotrope")
    except ValueError:
        logging.getLogger("ai_webhook.web").exception("it broke")
    (line,) = read(lines)
    assert line["exception"].startswith("ValueError\n")
    assert "heliotrope" not in lines.getvalue()


def test_nothing_is_about_a_delivery_that_is_over() -> None:
    with about(delivery_id="d1"):
        assert structlog.contextvars.get_contextvars() == {"delivery_id": "d1"}
    assert structlog.contextvars.get_contextvars() == {}


def test_the_database_tells_which_delivery_a_worker_is_at(
    shop: Workshop, settings: Settings, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    conclude = jobs.conclude

    def watched(writing: Connection, *rest: Any) -> Any:
        row = conn.execute(
            "SELECT application_name FROM pg_stat_activity WHERE pid = %s", [writing.info.backend_pid]
        ).fetchone()
        seen.append(row and row["application_name"])
        return conclude(writing, *rest)

    monkeypatch.setattr(jobs, "conclude", watched)
    sent = delivery(talk("walk", "We use Postgres."))
    accept(settings, sent)
    work(shop)
    assert seen == [f"ai-webhook worker {sent.key}"]
    left = conn.execute("SELECT count(*) AS n FROM pg_stat_activity WHERE application_name LIKE %s", [f"%{sent.key}"])
    assert left.fetchone() == {"n": 0}


def test_text_is_for_terminals_and_json_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    told = {}
    for is_terminal, form in ((True, None), (False, None), (True, "json"), (False, "text")):
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda here=is_terminal: here)
        log_to(stream, "INFO", form)
        logging.getLogger("ai_webhook.web").warning("web is here")
        told[is_terminal, form] = stream.getvalue().startswith("{")
    assert told == {(True, None): False, (False, None): True, (True, "json"): True, (False, "text"): False}
