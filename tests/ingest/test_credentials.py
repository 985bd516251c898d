"""Who may come in as whom: signatures, secrets in the URL, in headers and in bodies, and the API key."""

import base64
import logging
from collections.abc import Mapping
from urllib.parse import quote

import orjson
import pytest
import redis
from starlette.testclient import TestClient

from domain.errors import InvalidApiKey, Refused, SignatureError
from domain.settings import Settings
from ingest.__main__ import build
from ingest.accepting import accept
from ingest.signatures import GITHUB, sign_standard_webhooks
from ingest.sources import SOURCES
from tests.conftest import API_KEY
from tests.ingest.requests import request
from tests.ingest.test_endpoint import keys, raw_values, settings_for
from tests.ingest.test_signature_families import PRIVATE, PUBLIC, SCHEMES, secret_of, signed_by

NAMES = sorted(SOURCES)
BODY = orjson.dumps({"type": "task_command", "operation": "add_task", "title": "Order tiles", "id": "1"})
SECRET = "the senders own secret"


def settings(source: str | None = None, secret: str = SECRET, api_key: str = API_KEY) -> Settings:
    environment = {"WEBHOOK_API_KEY": api_key} if api_key else {}
    if source is not None:
        environment[f"WEBHOOK_SECRET_{source.upper()}"] = secret
    return Settings.from_env(environment, env_file=None)


def comes_in(
    source: str,
    headers: Mapping[str, str],
    config: Settings,
    *,
    path_secret: str | None = None,
    body: bytes = BODY,
) -> bool:
    try:
        accept(request(headers, body, source=source, path_secret=path_secret), config)
    except (InvalidApiKey, SignatureError):
        return False
    return True


@pytest.mark.parametrize("source", NAMES)
def test_the_key_opens_every_source_and_nothing_else_does(source: str) -> None:
    assert comes_in(source, {"x-api-key": API_KEY}, settings())
    assert comes_in(source, {"authorization": f"Bearer {API_KEY}"}, settings(source))
    for headers in ({}, {"x-api-key": "charlies"}, {"authorization": "Bearer "}, {"authorization": "Basic Og=="}):
        assert not comes_in(source, headers, settings())
        assert not comes_in(source, headers, settings(source))
        assert not comes_in(source, headers, settings(source, api_key=""))


@pytest.mark.parametrize("source", NAMES)
def test_a_source_without_a_secret_is_refused_with_the_setting_that_it_lacks(source: str) -> None:
    with pytest.raises(Refused, match="missing") as refusal:
        accept(request({}, BODY, source=source), settings())
    assert refusal.value.status == 401
    assert f"Set WEBHOOK_SECRET_{source.upper()}" in refusal.value.hint
    with pytest.raises(SignatureError) as refusal:
        accept(request({}, BODY, source=source, path_secret="any"), settings())
    assert f"Set WEBHOOK_SECRET_{source.upper()}" in refusal.value.hint


@pytest.mark.parametrize("source", SCHEMES)
def test_a_signature_opens_its_source_while_its_secret_is_set(source: str) -> None:
    sent = signed_by(source)
    assert accept(sent, settings(source, secret_of(source), api_key=""))
    assert accept(sent, settings(source, f"{base64.b64encode(b'the next').decode()},{secret_of(source)}"))
    with pytest.raises(SignatureError, match="no signing secret"):
        accept(sent, settings())


@pytest.mark.parametrize("source", SCHEMES)
def test_a_wrong_signature_is_not_saved_by_a_key_or_a_secret_in_the_url(source: str) -> None:
    sent = signed_by(source, secret=base64.b64encode(b"another").decode())
    headers = {"x-api-key": API_KEY, "x-vapi-secret": secret_of(source), **sent.headers}
    for path_secret in (None, secret_of(source)):
        with pytest.raises(SignatureError):
            accept(
                request(headers, sent.body, source=source, url=sent.url, path_secret=path_secret),
                settings(source, secret_of(source)),
            )


@pytest.mark.parametrize("source", [*NAMES, "another"])
def test_every_source_may_bring_its_secret_in_the_url(source: str) -> None:
    secret = secret_of(source)
    assert comes_in(source, {}, settings(source, secret), path_secret=secret)
    assert comes_in(source, {}, settings(source, f"{secret},c2Vjb25k"), path_secret="c2Vjb25k")
    for wrong in ("", "charlies", secret[:-1], secret + " ", API_KEY, f"{secret},{secret}"):
        assert not comes_in(source, {}, settings(source, secret), path_secret=wrong)
        assert not comes_in(source, {"x-api-key": API_KEY}, settings(source, secret), path_secret=wrong)


def test_the_secret_of_one_source_opens_no_other() -> None:
    assert not comes_in("otter", {}, settings("omi"), path_secret=SECRET)
    assert not comes_in("generic", {"authorization": f"Bearer {SECRET}"}, settings("vapi"))


@pytest.mark.parametrize(
    ("source", "header", "value"),
    [
        ("vapi", "authorization", f"Bearer {SECRET}"),
        ("vapi", "authorization", SECRET),
        ("vapi", "x-vapi-secret", SECRET),
        ("assemblyai", "authorization", SECRET),
        ("assemblyai", "x-api-key", SECRET),
        ("tldv", "authorization", f"bearer {SECRET}"),
        ("tldv", "x-api-key", SECRET),
        ("chatgpt", "authorization", f"Bearer {SECRET}"),
        ("deepgram", "authorization", "Basic " + base64.b64encode(f"deepgram:{SECRET}".encode()).decode()),
        ("deepgram", "authorization", "Basic " + base64.b64encode(SECRET.encode()).decode()),
    ],
)
def test_some_bring_their_secret_in_a_header(source: str, header: str, value: str) -> None:
    assert comes_in(source, {header: value}, settings(source, api_key=""))
    assert comes_in(source, {header: value}, settings(source))
    assert not comes_in(source, {header: value + "x"}, settings(source))
    assert not comes_in(source, {header: value}, settings(source, "another"))
    assert not comes_in("bland", {header: value}, settings("bland"))


@pytest.mark.parametrize("header", ["Basic", "Basic é", "Basic ====", "Basic /w==", "Bearer", "", " ", "Digest x"])
def test_a_header_that_is_no_secret_is_refused(header: str) -> None:
    for source in ("vapi", "deepgram", "tldv", "assemblyai", "chatgpt"):
        assert not comes_in(source, {"authorization": header}, settings(source))


@pytest.mark.parametrize("source", ["fathom", "vapi", "chatgpt", "synthflow", "twilio", "livekit", "bland", "deepgram"])
def test_a_public_key_is_no_secret(source: str) -> None:
    """Everybody may know it, so whoever brings it, or makes an HMAC with it, has proved nothing."""
    config = settings(source, PUBLIC)
    assert not comes_in(source, {}, config, path_secret=PUBLIC)
    for header in ("authorization", "x-api-key", "x-vapi-secret"):
        assert not comes_in(source, {header: PUBLIC}, config)
    assert not comes_in(source, GITHUB.sign(request({}, BODY), PUBLIC), config)
    assert not comes_in(source, {}, config, body=deepgram(PUBLIC))
    with pytest.raises(SignatureError):
        accept(signed_by(source, secret=PUBLIC), config) if source in SCHEMES else accept(
            request({}, BODY, source=source, path_secret=PUBLIC), config
        )
    sent = sign_standard_webhooks(PRIVATE, "msg_1", 1_772_000_000, BODY)
    assert comes_in(source, sent, config)


def test_a_slash_at_the_end_is_no_secret(redis_url: str) -> None:
    with TestClient(build(settings_for(redis_url))) as client:
        assert client.post("/webhook/generic/", content=BODY, headers={"x-api-key": API_KEY}).status_code == 200
        assert client.post("/webhook/generic/", content=BODY).status_code == 401


def test_a_secret_in_the_url_is_in_no_log_and_nowhere_in_redis(
    redis_url: str, redis_client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    config = settings_for(redis_url, WEBHOOK_SECRET_OMI=SECRET, AI_WEBHOOK_LOG_LEVEL="DEBUG")
    caplog.set_level(logging.DEBUG)
    with TestClient(build(config)) as client:
        answers = [
            client.post(f"/webhook/omi/{SECRET}?uid=u7", content=BODY),
            client.post(f"/webhook/omi/{SECRET}?uid=u7", content=b"no JSON"),
            client.get(f"/webhook/omi/{SECRET}?uid=u7"),
            client.post("/webhook/omi/charlies", content=BODY),
            client.get("/webhook/omi/charlies"),
        ]
    assert [answer.status_code for answer in answers] == [200, 400, 200, 401, 401]
    assert answers[2].json() == {"is_setup_completed": True}
    assert "message" not in answers[0].json()  # Omi would show it to the person
    ours = [record for record in caplog.records if record.name.startswith(("ai_webhook", "uvicorn"))]
    assert len(ours) >= 3
    told = "".join(record.getMessage() for record in ours) + "".join(answer.text for answer in answers)
    kept = b"".join(value for name in keys(redis_client) for value in raw_values(redis_client, name))
    for secret in (SECRET, quote(SECRET), "charlies"):
        assert secret not in told
        assert secret.encode() not in kept
    assert SECRET not in repr(request({"x-api-key": SECRET}, SECRET.encode(), url=SECRET, path_secret=SECRET))


def deepgram(secret: object) -> bytes:
    return orjson.dumps({"metadata": {"request_id": "a1", "extra": {"callback_secret": secret}}})


def test_deepgram_brings_its_secret_in_the_body() -> None:
    assert comes_in("deepgram", {}, settings("deepgram"), body=deepgram(SECRET))
    for wrong in ("another", "", None, 7, [SECRET], {"x": SECRET}):
        assert not comes_in("deepgram", {}, settings("deepgram"), body=deepgram(wrong))
    assert not comes_in("deepgram", {"authorization": "Basic eDp5"}, settings("deepgram"), body=deepgram(SECRET))
    assert not comes_in("deepgram", {}, settings(), body=deepgram(""))
    assert not comes_in("deepgram", {}, settings("deepgram"), body=b"no JSON")
    assert not comes_in("assemblyai", {}, settings("assemblyai"), body=deepgram(SECRET))


def test_a_refusal_tells_no_secret() -> None:
    for source in NAMES:
        for path_secret in (None, "charlies"):
            with pytest.raises(Refused) as refusal:
                accept(
                    request({"x-api-key": "charlies"}, BODY, source=source, path_secret=path_secret), settings(source)
                )
            told = refusal.value.message + refusal.value.hint
            assert not any(secret in told for secret in (SECRET, API_KEY, "charlies"))
