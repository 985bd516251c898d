"""What the OpenAPI document says is what the service does."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    unsupported_method,
)
from starlette.testclient import TestClient

from access.openapi import document, error_table, page
from access.routes import ENDPOINTS, Endpoint
from domain.settings import Settings
from store.database import Connection
from tests.access.conftest import Api, served
from tests.conftest import TOKEN

CHECKS = [
    not_a_server_error,
    response_schema_conformance,
    content_type_conformance,
    negative_data_rejection,
    unsupported_method,
]


@pytest.fixture(scope="module")
def address(api_settings: Settings) -> Iterator[str]:
    with served(api_settings) as address:
        yield address


@pytest.fixture
def stock(conn: Connection) -> None:
    """Something of everything."""
    conn.execute("INSERT INTO sessions (id, title) VALUES ('walk', 'Morning walk')")
    conn.execute(
        "INSERT INTO memories (session_id, type, key, title, content) VALUES ('walk', 'fact', 'k', 'It rains', '{}')"
    )
    conn.execute("INSERT INTO tasks (id, agent_name, title) VALUES ('look-up', 'claude_code', 'Look up prices')")
    conn.execute("INSERT INTO artifacts (id, name, content) VALUES ('notes', 'notes.md', 'It rains')")


@pytest.fixture(scope="module")
def schema(address: str) -> Any:
    return schemathesis.openapi.from_dict(without_long_limits(httpx2.get(f"{address}/openapi.json").json()))


def without_long_limits(told: Any) -> Any:
    """A pattern for up to 100,000 characters takes a second to compile, for every example; tests/access/test_hostile.py
    has what is too long."""
    if isinstance(told, list):
        return [without_long_limits(item) for item in told]
    if not isinstance(told, dict):
        return told
    is_long = "pattern" in told and isinstance(told.get("maxLength"), int) and told["maxLength"] >= 1000
    return {name: without_long_limits(item) for name, item in told.items() if not (is_long and name == "maxLength")}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_the_service_does_what_its_document_says(
    schema: Any, address: str, stock: None, conn: Connection, endpoint: Endpoint, mode: GenerationMode
) -> None:
    operation = schema["/api" + endpoint.path.replace("{id:path}", "{id}")][endpoint.method]
    if mode is GenerationMode.NEGATIVE and not (operation.definition.raw["parameters"] or endpoint.body):
        return  # there is nothing that could be wrong

    @settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if isinstance(case.body, dict):
            case.body.pop("wait_seconds", None)  # it would
        if endpoint.name == "list_events":
            case.headers["accept"] = "application/json"  # as a stream it has no end
        case.call_and_validate(base_url=address, headers={"authorization": f"Bearer {TOKEN}"}, checks=CHECKS)

    check()


def test_the_document_is_served_to_anybody(stranger: TestClient) -> None:
    served = stranger.get("/openapi.json").json()
    assert served == document()
    assert served["openapi"] == "3.1.0"
    operations = {op["operationId"] for methods in served["paths"].values() for op in methods.values()}
    assert operations == {endpoint.name for endpoint in ENDPOINTS}


def test_every_shape_that_is_named_is_told() -> None:
    text = str(document())
    named = set(re.findall(r"#/components/schemas/([\w-]+)", text))
    assert named == set(document()["components"]["schemas"])


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.method == "GET"], ids=lambda e: e.name)
def test_what_is_answered_has_the_fields_that_are_told(api: Api, conn: Connection, stock: None, endpoint: Any) -> None:
    """Neither fewer nor others: what is not told is not part of the contract."""
    memory = conn.execute("SELECT id FROM memories").fetchone()
    assert memory is not None
    known = {
        "session_id": "walk",
        "task_id": "look-up",
        "artifact": "notes",
        "agent_name": "codex",
        "memory": memory["id"],
    }
    if endpoint.identity not in {None, *known} or endpoint.answer is bytes:
        return
    answer = api.get(endpoint.path.replace("{id:path}", "{id}").format(id=known.get(endpoint.identity)))
    for row in answer.get("items", [answer]):
        fields = getattr(endpoint.answer, "__annotations__", {})
        if fields and "items" not in answer:
            assert set(fields) <= set(row), endpoint.name


def test_the_page_has_every_route_and_error_and_loads_nothing(stranger: TestClient) -> None:
    answer = stranger.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    html, _ = page()
    assert answer.text == html
    for endpoint in ENDPOINTS:
        assert f'id="{endpoint.name}"' in html
    assert all(f"<code>{row['code']}</code>" in html for row in error_table())
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)
    assert "<script" not in html
