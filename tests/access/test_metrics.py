"""What /metrics tells, to whom, and that what is built upon it names what is there."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
import promql_parser
import pytest
import redis
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from starlette.testclient import TestClient

from domain import envelope
from domain.settings import Settings
from ingest import measuring
from tests.access.conftest import Api, served
from tests.conftest import API_KEY, ROOT, TOKEN

BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "KEPT_SECONDS", 0)


@pytest.fixture
def scrape(stranger: TestClient, redis_client: "redis.Redis") -> dict[str, float]:
    """Every sample of one answer by its name and labels, after something has happened."""
    headers = {"x-api-key": API_KEY}
    for source in ("generic", "generic", "made-up-by-somebody"):
        stranger.post(f"/webhook/{source}", content=b'{"session": "walk", "turns": []}', headers=headers)
    fields = {"job done le 0.05": 3, "job done le +Inf": 1, "job done sum": 200.5, "delivery zoom processed": 4}
    redis_client.hset(envelope.MEASURES, mapping=fields)
    redis_client.hset(envelope.ASIDE, "a" * 32, "2026-01-01T00:00:00+00:00 Forged.")
    return dict(samples(stranger.get("/metrics", headers=BEARER).text))


def samples(text: str) -> Iterator[tuple[str, float]]:
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            yield (f"{sample.name}{{{labels}}}" if labels else sample.name), sample.value


def test_who_has_no_token_learns_nothing(stranger: TestClient) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
        response = stranger.get("/metrics", headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "forbidden")


def test_what_has_happened_is_told(scrape: dict[str, float]) -> None:
    assert scrape["ai_webhook_redis_up"] == scrape["ai_webhook_database_up"] == 1
    assert scrape["ai_webhook_queue_deliveries"] >= 1
    assert scrape["ai_webhook_queue_batches"] == scrape["ai_webhook_jobs_waiting"] == 1
    assert 0 <= scrape["ai_webhook_queue_oldest_seconds"] < 600
    assert scrape["ai_webhook_queue_set_aside"] == 1
    assert scrape["ai_webhook_requests_total{outcome=accepted,source=generic}"] >= 1
    assert scrape["ai_webhook_requests_total{outcome=duplicate,source=generic}"] >= 1
    assert scrape["ai_webhook_deliveries_total{source=zoom,state=processed}"] == 4


def test_sources_that_nobody_knows_make_no_series_of_their_own(scrape: dict[str, float]) -> None:
    assert not any("made-up" in name for name in scrape)
    assert any(name.startswith("ai_webhook_requests_total{") and "source=other" in name for name in scrape)


def test_jobs_are_a_histogram_of_all_workers(scrape: dict[str, float]) -> None:
    name = "ai_webhook_job_seconds"
    assert scrape[f"{name}_bucket{{le=0.025,outcome=done}}"] == 0
    assert scrape[f"{name}_bucket{{le=0.05,outcome=done}}"] == scrape[f"{name}_bucket{{le=180.0,outcome=done}}"] == 3
    assert scrape[f"{name}_bucket{{le=+Inf,outcome=done}}"] == scrape[f"{name}_count{{outcome=done}}"] == 4
    assert scrape[f"{name}_sum{{outcome=done}}"] == 200.5


def test_searches_claims_and_tasks_are_told(stranger: TestClient, api: Api) -> None:
    api.post("/tasks", agent_name="codex", title="Measure it")
    api.get("/search", q="measure")
    api.post("/tasks/claim", agent_name="codex", control_agent="c1")
    told = dict(samples(stranger.get("/metrics", headers=BEARER).text))
    assert told["ai_webhook_search_seconds_count"] >= 1
    assert told["ai_webhook_claim_seconds_count"] >= 1
    assert told["ai_webhook_event_streams"] == 0
    assert told["ai_webhook_pool_connections_limit"] == 4


def test_one_answer_serves_all_who_ask_within_a_moment(api_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "KEPT_SECONDS", 60)
    settings = api_settings.model_copy(update={"metrics_token": SecretStr("for-the-scraper")})
    with served(settings) as address:
        told = [
            httpx2.get(f"{address}/metrics", headers={"authorization": "Bearer for-the-scraper"}).text for _ in range(3)
        ]
        assert "process_cpu_seconds_total" in told[0]  # which every answer raises
        assert told[1:] == told[:1] * 2
        assert httpx2.get(f"{address}/api/tasks", headers={"authorization": "Bearer for-the-scraper"}).is_error


@pytest.mark.parametrize("file", ["grafana-dashboard.json", "alerts.yml"])
def test_what_the_dashboard_and_the_alerts_name_is_there(file: str, scrape: dict[str, float]) -> None:
    there = {name.partition("{")[0] for name in scrape}
    expressions = list(expressions_of(file))
    assert len(expressions) > 10
    for text in expressions:
        promql_parser.parse(text)
    named = {name for text in expressions for name in re.findall(r"\bai_webhook_\w+", text)}
    assert named - there == set()


def expressions_of(file: str) -> Iterator[str]:
    text = (ROOT / "deploy" / file).read_bytes()
    if file.endswith(".json"):
        yield from (target["expr"] for panel in orjson.loads(text)["panels"] for target in panel["targets"])
        return
    rules: list[dict[str, Any]] = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    for rule in rules:
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+m", rule["for"])
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")
        yield rule["expr"]


def test_every_alert_has_its_remedy_in_the_documentation() -> None:
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    alerts = re.findall(r"alert: (\w+)", (ROOT / "deploy/alerts.yml").read_text("utf-8"))
    assert alerts
    assert [alert for alert in alerts if f"`{alert}`" not in page] == []
