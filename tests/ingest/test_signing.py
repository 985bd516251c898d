"""`ai-webhook send --as`: whatever is signed as a sender comes in as that sender, over HTTP and a real Valkey."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import redis
from starlette.testclient import TestClient

from ingest.__main__ import build
from ingest.request import FORM
from ingest.signing import sign_as
from ingest.sources import SOURCES
from tests.conftest import ROOT
from tests.ingest.test_back_pressure import serving
from tests.ingest.test_endpoint import kept, settings_for
from tests.ingest.test_signature_families import secret_of

BODY = b'{"type": "task_command", "operation": "add_task", "title": "Order", "id": "1", "call": {"call_id": "c1"}}'
NAMES = [*SOURCES, "my-own_source"]


def setting_of(source: str) -> str:
    return "WEBHOOK_SECRET_" + source.upper().replace("-", "_")


@pytest.mark.parametrize("source", NAMES)
def test_what_is_signed_as_a_sender_comes_in_as_that_sender(
    redis_url: str, redis_client: "redis.Redis", source: str
) -> None:
    secret = secret_of(source)
    settings = settings_for(redis_url, **{setting_of(source): secret})
    path, headers = sign_as(
        source, BODY, secret, base_url="http://testserver", query={"session": "walk one"}, now=datetime.now(UTC)
    )
    with TestClient(build(settings)) as client:
        answer = client.post(path, content=BODY, headers=headers)
        assert answer.status_code == (204 if source == "ultravox" else 200), answer.text
        again = client.post(path, content=BODY, headers=headers)
        assert again.status_code == answer.status_code
        if source != "ultravox":
            delivery = kept(redis_client, answer.json()["delivery"])
            assert (delivery.source, delivery.session_id, delivery.body) == (source, "walk one", BODY)
        assert client.post(path, content=BODY + b" ", headers={"content-type": "application/json"}).status_code == (
            200 if secret_in(path) else 401
        )


def secret_in(path: str) -> bool:
    return path.count("/") == 3


def test_twilio_signs_the_public_address_behind_a_proxy(redis_url: str) -> None:
    public = "https://hooks.example.org/voice"
    settings = settings_for(redis_url, WEBHOOK_SECRET_TWILIO="12345", AI_WEBHOOK_PUBLIC_URL=public)
    form = urlencode({"TranscriptionSid": "GT1", "TranscriptionData": "{}"}).encode()
    with TestClient(build(settings)) as client:
        for base, status in ((public, 200), ("http://testserver", 401)):
            path, headers = sign_as(
                "twilio", form, "12345", base_url=base, content_type=FORM, query={"a": "b c"}, now=datetime.now(UTC)
            )
            assert client.post(path, content=form, headers=headers).status_code == status


def send(tmp_path: Path, port: int, *arguments: str, **environment: str) -> tuple[int, Any]:
    """The command in a process of its own; its exit code and its JSON, else what it complained of."""
    ran = subprocess.run(
        [sys.executable, "-m", "ops", "send", *arguments, "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "AI_WEBHOOK_URL": f"http://127.0.0.1:{port}", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ran.returncode, json.loads(ran.stdout) if ran.returncode == 0 else ran.stderr


def test_a_file_is_sent_as_a_sender_from_the_command_line(
    tmp_path: Path, redis_url: str, redis_client: "redis.Redis"
) -> None:
    said = b'{"event": "call_analyzed", "call": {"call_id": "call_8"}}'
    (tmp_path / "call.json").write_bytes(said)
    (tmp_path / "live.form").write_bytes(b"TranscriptionSid=GT1&TranscriptionEvent=x&SequenceId=1")
    settings = settings_for(
        redis_url, WEBHOOK_SECRET_RETELL="retells", WEBHOOK_SECRET_TWILIO="twilios", WEBHOOK_SECRET_ULTRAVOX="ultras"
    )
    with serving(build(settings)) as port:
        code, rows = send(tmp_path, port, "call.json", "--as", "retell", WEBHOOK_SECRET_RETELL="retells")
        assert (code, rows[0]["status"]) == (0, "accepted")
        assert kept(redis_client, rows[0]["delivery"]).delivery_id == "call_analyzed:call_8"
        code, rows = send(tmp_path, port, "live.form", "--as", "twilio", "--secret", "twilios", "--session", "walk")
        assert kept(redis_client, rows[0]["delivery"]).session_id == "walk"
        code, rows = send(tmp_path, port, "call.json", "--as", "ultravox", "--secret", "ultras")
        assert (code, rows[0]["status"]) == (0, "accepted")
        code, told = send(tmp_path, port, "call.json", "--as", "retell", "--secret", "charlies")
        assert code == 1
        assert "signature" in told
        assert "charlies" not in told
        code, told = send(tmp_path, port, "call.json", "--as", "retell")
        assert code == 2
        assert "WEBHOOK_SECRET_RETELL" in told
