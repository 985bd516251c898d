"""What a custom GPT learns from our schema, and what it is told when it forgets something."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from starlette.testclient import TestClient

from domain.errors import InvalidRequest
from ingest.__main__ import build
from ingest.chatgpt import OPERATIONS, check_fields, openapi
from tests.conftest import API_KEY
from tests.ingest.test_endpoint import check_refusal, kept, settings_for

BEARER = {"authorization": f"Bearer {API_KEY}"}
SCHEMA = openapi("https://hooks.example.test")
EXAMPLES: dict[str, Any] = {
    "save_conversation": {"text": "User: We take the blue tiles.\nAssistant: Noted.", "title": "Tiles"},
    "remember": {"text": "The shop closes at six.", "type": "fact"},
    "add_task": {"title": "Order the tiles", "priority": "high", "details": "Four square metres."},
    "what_was_decided": {"question": "tiles", "limit": 5},
}


def operations() -> dict[str, Any]:
    return {path.rpartition("/")[2]: item["post"] for path, item in SCHEMA["paths"].items()}


def described(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every description, with its place."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "description" and isinstance(inner, str):
                yield path, inner
            yield from described(inner, f"{path}.{name}")


def test_the_schema_is_one_that_chatgpt_takes() -> None:
    assert SCHEMA["openapi"].startswith("3.1")
    assert SCHEMA["servers"] == [{"url": "https://hooks.example.test"}]
    assert list(operations()) == ["save_conversation", "remember", "add_task", "what_was_decided"] == list(EXAMPLES)
    for name, operation in operations().items():
        assert operation["operationId"] == name
        assert len(operation["description"]) <= 300
        assert len(operation["summary"]) <= 300
        for status, response in operation["responses"].items():
            assert (
                response["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                in (SCHEMA["components"]["schemas"])
            ), status
    texts = list(described(SCHEMA))
    assert len(texts) > 20
    assert [path for path, text in texts if len(text) > 700] == []
    assert len(orjson.dumps(SCHEMA)) < 100_000


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_schema_of_a_body_says_what_is_checked(name: str) -> None:
    schema = operations()[name]["requestBody"]["content"]["application/json"]["schema"]
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    validator.validate(EXAMPLES[name])
    check_fields(name, EXAMPLES[name])
    wrong: list[Any] = [{**EXAMPLES[name], field: "many" if field == "limit" else 7} for field in schema["properties"]]
    wrong += [{k: v for k, v in EXAMPLES[name].items() if k != field} for field in schema.get("required", [])]
    for body in wrong:
        assert not validator.is_valid(body)
        with pytest.raises(InvalidRequest):
            check_fields(name, body)


@pytest.fixture
def client(redis_url: str) -> Iterator[TestClient]:
    settings = settings_for(redis_url, AI_WEBHOOK_SYNC_SECONDS="0", WEBHOOK_SECRET_CHATGPT="gpts own key")
    with TestClient(build(settings), raise_server_exceptions=False) as client:
        yield client


def test_anybody_may_read_the_schema_and_it_names_the_address_called(client: TestClient, redis_url: str) -> None:
    told = client.get("/webhook/chatgpt/openapi.json")
    assert told.status_code == 200
    assert told.json() == openapi("http://testserver")
    public = settings_for(redis_url, AI_WEBHOOK_PUBLIC_URL="https://hooks.example.org/")
    with TestClient(build(public)) as elsewhere:
        told = elsewhere.get("/webhook/chatgpt/openapi.json")
        assert told.json()["servers"] == [{"url": "https://hooks.example.org"}]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_operation_is_an_address_or_a_field(client: TestClient, redis_client: Any, name: str) -> None:
    answer = client.post(f"/webhook/chatgpt/{name}", json=EXAMPLES[name], headers=BEARER)
    asks = name == "what_was_decided"
    assert (answer.status_code, answer.json()["status"]) == (202 if asks else 200, "accepted")
    delivery = kept(redis_client, answer.json()["delivery"])
    assert (delivery.source, delivery.event, delivery.sync) == ("chatgpt", name, asks)
    named = client.post("/webhook/chatgpt", json={"operation": name, **EXAMPLES[name]}, headers=BEARER)
    assert kept(redis_client, named.json()["delivery"]).event == name


def test_a_gpt_may_have_a_key_of_its_own(client: TestClient) -> None:
    body = EXAMPLES["remember"]
    own = {"authorization": "Bearer gpts own key"}
    assert client.post("/webhook/chatgpt/remember", json=body, headers=own).status_code == 200
    assert client.post("/webhook/chatgpt/gpts%20own%20key", json={"operation": "remember", **body}).status_code == 200
    check_refusal(client.post("/webhook/chatgpt/remember", json=body), 401, "invalid_api_key")
    check_refusal(client.post("/webhook/chatgpt/remenber", json=body, headers=own), 401, "invalid_signature")
    check_refusal(client.post("/webhook/generic", json=body, headers=own), 401, "invalid_api_key")


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("save_conversation", {}, "`text` is missing or empty."),
        ("save_conversation", {"text": [" "]}, "`text` is missing or empty."),
        ("remember", {"text": " "}, "`text` is missing or empty."),
        ("remember", {"text": "Blue.", "type": "thought"}, "`type` is none of decision, idea"),
        ("add_task", {"title": "Order", "session": {"id": "x"}}, "`session` is no string."),
        ("what_was_decided", {"limit": "ten"}, "`limit` is no integer."),
        ("what_was_decided", {"limit": True}, "`limit` is no integer."),
    ],
)
def test_a_model_is_told_what_to_mend(
    client: TestClient, redis_client: Any, name: str, body: Any, message: str
) -> None:
    answer = client.post(f"/webhook/chatgpt/{name}", json=body, headers=BEARER)
    check_refusal(answer, 422, "invalid_request")
    assert answer.json()["error"]["message"].startswith(message)
    assert {key for key in redis_client.scan_iter() if b":refused:" not in key} == set()  # that it was refused is kept


def test_every_operation_of_the_schema_has_a_check() -> None:
    assert set(OPERATIONS) == set(EXAMPLES)
