"""Distinctive secrets in every secret setting and a distinctive word in what is said: no output holds one of them."""

import json
import secrets
import subprocess
import sys
from pathlib import Path

import httpx2
import psutil

from domain import envelope
from tests.conftest import ROOT, delivery
from tests.journeys.stack import Up, environment, running_up

WORD = "zyzzyvaspoken"
NAMES = (
    "WEBHOOK_API_KEY", "WEBHOOK_SECRET_ZOOM", "AI_WEBHOOK_TOKEN", "AI_WEBHOOK_QUEUE_KEY", "AI_WEBHOOK_ENCRYPTION_KEY",
    "FETCH_TOKEN_FIREFLIES", "AI_WEBHOOK_OUT_SECRET_CRM", "AI_WEBHOOK_LLM_KEY", "AI_WEBHOOK_EMBEDDINGS_KEY",
    "AI_WEBHOOK_METRICS_TOKEN",
)  # fmt: skip
SECRETS = {name: f"canary{number}{secrets.token_hex(20)}" for number, name in enumerate(NAMES)}


def typed(up: Up, *arguments: str, **more: str) -> str:
    line = [sys.executable, "-m", "ops", *arguments]
    settings = environment() | SECRETS | {"AI_WEBHOOK_DATA": str(up.folder), **more}
    done = subprocess.run(line, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def told_to_senders(up: Up) -> list[str]:
    """What senders and clients are answered, the right ones and the wrong ones."""
    key, token = SECRETS["WEBHOOK_API_KEY"], SECRETS["AI_WEBHOOK_TOKEN"]
    said = json.dumps({"session": "walk", "turns": [{"speaker": "Alice", "text": f"The {WORD} is ill."}]})
    with httpx2.Client(base_url=up.url) as client:
        good = client.post("/webhook/generic", content=said, headers={"x-api-key": key})
        assert good.status_code == 200
        answers = [
            good,
            client.post("/webhook/generic", content=f'{{"broken": "{WORD}', headers={"x-api-key": key}),
            client.post("/webhook/generic", content=said, headers={"x-api-key": key[:-1]}),
            client.post("/webhook/zoom", content=said, headers={"x-zm-signature": "v0=00"}),
            client.post(f"/webhook/zoom/{SECRETS['WEBHOOK_SECRET_ZOOM']}x", content=said),
            client.get("/api/sessions", headers={"authorization": f"Bearer {token}x"}),
            client.post("/api/tasks", content=f'{{"title": ["{WORD}"]}}', headers={"authorization": f"Bearer {token}"}),
            client.get("/metrics", headers={"authorization": f"Bearer {SECRETS['AI_WEBHOOK_METRICS_TOKEN']}"}),
            client.get("/metrics"),
            client.get("/readyz"),
        ]
    return [f"{answer.headers} {answer.text}" for answer in answers]


def test_no_output_holds_a_secret_or_what_was_said() -> None:
    with running_up("--workers", "1", AI_WEBHOOK_LOG_LEVEL="DEBUG", **SECRETS) as up:
        state = json.loads((up.folder / "state.json").read_text())
        passwords = {name: state[name]["password"] for name in ("postgresql", "valkey")}
        canaries = {**SECRETS, **passwords, "what was said": WORD}
        outputs = {f"answer {number}": text for number, text in enumerate(told_to_senders(up))}
        forged = delivery(f"The {WORD} is forged.", content_type="text/plain")
        with up.redis() as client:
            client.set(envelope.delivery_name(forged.key), envelope.pack(forged))
            client.rpush(envelope.batch_name("batch-x"), forged.key)
            client.sadd(envelope.BATCHES, "batch-x")
            data = json.dumps(["os.system", None, [WORD], {}])
            client.hset("rq:job:bad", mapping={"data": data, "origin": "deliveries", "status": "queued",
                                               "created_at": "2026-01-01T00:00:00Z"})  # fmt: skip
            client.rpush("rq:queue:deliveries", "bad")
            up.wait_for("PermissionError")
            up.wait_for("set aside")
            client.delete("rq:job:bad")
            outputs["RQ's keys"] = str([client.dump(name) for name in client.scan_iter("rq:*")])
            outputs["refusals"] = str([client.hgetall(name) for name in client.scan_iter("aiw:refused:*")])
        family = [psutil.Process(up.process.pid), *psutil.Process(up.process.pid).children(recursive=True)]
        outputs["arguments"] = str([process.cmdline() for process in family])
        outputs["doctor"] = typed(up, "doctor")
        outputs["help"] = typed(up, "up", "--help") + typed(up, "--help")
        outputs["bad settings"] = typed(up, "doctor", AI_WEBHOOK_PORT="none", AI_WEBHOOK_QUEUE_KEY="canaryshort")
        outputs["wrong token"] = typed(up, "sessions", "list", AI_WEBHOOK_TOKEN="canarywrong")
        for kind in ("postgres", "valkey"):
            psutil.Process(up.pids(kind)[0]).kill()
            outputs[f"without {kind}"] = typed(up, "sessions", "list") + "".join(told_again(up))
        assert up.stop() == 0
        outputs["up"] = "\n".join(up.lines)
        outputs["logs"] = "".join(path.read_text("utf-8", "replace") for path in Path(up.folder).rglob("*.log"))
    assert "set aside" in outputs["up"] and "signing" in outputs["doctor"]
    found = [(name, place) for place, text in outputs.items() for name, secret in canaries.items() if secret in text]
    assert found == []
    assert [place for place, text in outputs.items() if "canaryshort" in text or "canarywrong" in text] == []


def told_again(up: Up) -> list[str]:
    """While a server is away or coming back: what is answered, whatever it is."""
    try:
        with httpx2.Client(base_url=up.url, timeout=20) as client:
            headers = {"x-api-key": SECRETS["WEBHOOK_API_KEY"], "content-type": "text/plain"}
            return [client.post("/webhook/generic", content=f"The {WORD}.", headers=headers).text]
    except httpx2.HTTPError as error:
        return [str(error)]
