"""The test that a person sends from the console: every source takes its own, and a worker reads it."""

from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from starlette.testclient import TestClient

from domain.delivery import Reading
from domain.errors import SettingsError
from domain.settings import Settings
from ingest.__main__ import build
from ingest.samples import how_it_signs, sample_as
from ingest.signatures import STANDARD, Scheme
from ingest.sources import SOURCES
from processors.readers import read
from tests.conftest import API_KEY
from tests.ingest.test_endpoint import kept, settings_for
from tests.ingest.test_signature_families import secret_of
from tests.ingest.test_signing import NAMES, setting_of

SERVER = "http://testserver"


def post(settings: Settings, source: str) -> tuple[Any, str]:
    sample = sample_as(source, settings, server=SERVER, now=datetime.now(UTC))
    with TestClient(build(settings)) as client:
        answer = client.post(sample.path, content=sample.body, headers=dict(sample.headers))
    assert answer.status_code in (200, 204), answer.text
    return answer, sample.key if answer.status_code == 204 else answer.json()["delivery"]


@pytest.mark.parametrize("source", NAMES)
def test_every_source_takes_its_own_and_it_says_something(
    redis_url: str, redis_client: "redis.Redis", source: str
) -> None:
    settings = settings_for(redis_url, **{setting_of(source): secret_of(source)})
    _, key = post(settings, source)
    delivery = kept(redis_client, key)
    assert (delivery.source, delivery.session_id) == (source, f"test-{source}")
    reading = read(delivery)
    assert isinstance(reading, Reading)
    assert f"a test of {source}" in reading.turns[0].text
    assert (reading.memories, reading.tasks) == ((), ())
    assert post(settings, source)[1] != key


def test_behind_a_proxy_it_is_signed_for_the_public_address(redis_url: str) -> None:
    public = "https://hooks.example.org/voice"
    post(settings_for(redis_url, WEBHOOK_SECRET_TWILIO="12345", AI_WEBHOOK_PUBLIC_URL=public), "twilio")


def test_a_source_without_a_secret_is_tried_with_the_api_key(redis_url: str) -> None:
    settings = settings_for(redis_url)
    sample = sample_as("zoom", settings, server=SERVER, now=datetime.now(UTC))
    assert sample.headers["authorization"] == f"Bearer {API_KEY}"
    post(settings, "zoom")


def test_a_public_key_signs_nothing() -> None:
    settings = Settings.from_env({"WEBHOOK_SECRET_OPENAI": "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="}, None)
    with pytest.raises(SettingsError, match="neither a secret"):
        sample_as("openai", settings, server=SERVER, now=datetime.now(UTC))


def test_it_is_told_of_every_source_how_it_signs() -> None:
    told = {source: how_it_signs(source) for source in NAMES}
    assert all(text.endswith(".") for text in told.values())
    schemes: dict[str, Scheme | None] = {source: row.scheme for source, row in SOURCES.items()}
    standard = {source for source, text in told.items() if text.startswith("Standard Webhooks")}
    assert standard == {source for source, scheme in schemes.items() if scheme is STANDARD} | {"my-own_source"}
    assert told["omi"] == "Not at all: the secret stands at the end of the address."
    assert told["assemblyai"] == "The secret itself, in Authorization or X-Api-Key."
