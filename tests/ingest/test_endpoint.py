"""The endpoint against a real Valkey: what it refuses and how, what it accepts and where that lies afterwards."""

import asyncio
import gzip
import json
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, cast

import httpx2
import orjson
import pytest
import redis
from rq.job import Job
from starlette.testclient import TestClient

from domain import envelope
from domain.delivery import BATCH_JOB, QUEUE_NAME, Delivery, delivery_key
from domain.errors import SettingsError
from domain.settings import Settings
from ingest.__main__ import build
from ingest.request import FORM
from ingest.signatures import sign_standard_webhooks
from processors.queueing import DeliveryQueue
from tests.conftest import API_KEY, GENERIC_SECRET, TOKEN, make_settings

KEY = {"x-api-key": API_KEY}
TALK = orjson.dumps({"session": "walk", "turns": [{"speaker": "Alice", "text": "Let's build it as a PWA."}]})
CANARY = "the purple heron lands at dawn"
LIMIT = 10 * 1024 * 1024


def settings_for(redis_url: str, **more: str) -> Settings:
    return make_settings("postgresql://the-endpoint-has-none", redis_url, **more)


@pytest.fixture
def client(redis_url: str) -> Iterator[TestClient]:
    with TestClient(build(settings_for(redis_url)), raise_server_exceptions=False) as client:
        yield client


def kept_at_all(client: "redis.Redis") -> list[bytes]:
    """Every key but the record of what was refused, in which nothing of it stands."""
    return [name for name in cast("list[bytes]", client.keys()) if not name.startswith((b"aiw:refused:", b"aiw:ready"))]


def deep(levels: int) -> bytes:
    """An object with this many levels, itself counted."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def native(command: str, **more: Any) -> bytes:
    return orjson.dumps({"type": "collaborative_session_command", "command": command, "session_id": "walk", **more})


def signed(
    body: bytes, message_id: str = "msg_1", at: float | None = None, secret: str = GENERIC_SECRET
) -> dict[str, str]:
    return sign_standard_webhooks(secret, message_id, int(time.time() if at is None else at), body)


def keys(client: "redis.Redis") -> list[str]:
    return [key.decode() for key in cast("list[bytes]", client.keys("*"))]


def kept(client: "redis.Redis", key: str) -> Delivery:
    packed = cast("bytes | None", client.get(envelope.delivery_name(key)))
    assert packed is not None
    return envelope.unpack(packed)


def batches(client: "redis.Redis") -> dict[str, list[str]]:
    """The delivery keys of every batch."""
    members = cast("set[bytes]", client.smembers(envelope.BATCHES))
    return {
        batch: [key.decode() for key in cast("list[bytes]", client.lrange(envelope.batch_name(batch), 0, -1))]
        for batch in (member.decode() for member in members)
    }


def waiting_jobs(client: "redis.Redis") -> list[str]:
    return [job.decode() for job in cast("list[bytes]", client.lrange(f"rq:queue:{QUEUE_NAME}", 0, -1))]


def check_refusal(response: httpx2.Response, status: int, code: str) -> None:
    """The one shape of an error."""
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"error"}
    error = response.json()["error"]
    assert error.keys() == {"code", "message", "hint"}
    assert error["message"].endswith(".")
    assert error["hint"]


def check_alive(client: TestClient) -> None:
    response = client.post("/webhook/generic", content=TALK, headers=KEY)
    assert (response.status_code, response.json()["status"]) == (200, "accepted")


NATIVE, GENERIC = "/webhook", "/webhook/generic"
Headers = dict[str, str] | Callable[[], dict[str, str]]  # those with a time in them are made when they are sent
REFUSALS: dict[str, tuple[str, bytes, Headers, int, str]] = {
    "no JSON": (GENERIC, b"Let's build it as a PWA.", KEY, 400, "invalid_json"),
    "half of a JSON": (GENERIC, TALK[:-5], KEY, 400, "invalid_json"),
    "two JSONs": (GENERIC, TALK + TALK, KEY, 400, "invalid_json"),
    "a form": (GENERIC, b"session=walk&text=hello", {**KEY, "content-type": "application/x-www-form-urlencoded"}, 400,
               "invalid_json"),
    "a compressed body": (GENERIC, gzip.compress(TALK), {**KEY, "content-encoding": "gzip"}, 400, "invalid_json"),
    "a list": (GENERIC, b"[" + TALK + b"]", KEY, 400, "invalid_json"),
    "a string": (GENERIC, b'"Hello"', KEY, 400, "invalid_json"),
    "a number": (GENERIC, b"7", KEY, 400, "invalid_json"),
    "null": (GENERIC, b"null", KEY, 400, "invalid_json"),
    "not a number": (GENERIC, b'{"turns": NaN}', KEY, 400, "invalid_json"),
    "nothing": (GENERIC, b"", KEY, 400, "empty_body"),
    "white space": (GENERIC, b" \r\n\t ", KEY, 400, "empty_body"),
    "an empty text": (GENERIC, b"  \n", {**KEY, "content-type": "text/plain"}, 400, "empty_body"),
    "bytes that are no UTF-8": (GENERIC, b'{"text": "Gr\xfc\xdfe"}', KEY, 400, "invalid_json"),
    "half of a surrogate pair": (GENERIC, b'{"text": "\\ud83d"}', KEY, 400, "invalid_json"),
    "an object 101 levels deep": (GENERIC, deep(101), KEY, 400, "invalid_json"),
    "an object 1,000 levels deep": (GENERIC, deep(1000), KEY, 400, "invalid_json"),
    "an object 100,000 levels deep": (GENERIC, deep(100_000), KEY, 400, "invalid_json"),
    "a native body without a kind": (NATIVE, b'{"command": "pause"}', KEY, 422, "unknown_kind"),
    "a native body of a kind nobody knows": (NATIVE, b'{"type": "telepathy"}', KEY, 422, "unknown_kind"),
    "a native body whose kind is no word": (NATIVE, b'{"type": ["task_command"]}', KEY, 422, "unknown_kind"),
    "no key": (GENERIC, TALK, {}, 401, "invalid_api_key"),
    "no key for a native body": (NATIVE, native("pause_session"), {}, 401, "invalid_api_key"),
    "a wrong key": (GENERIC, TALK, {"x-api-key": "charlies-key"}, 401, "invalid_api_key"),
    "a wrong bearer": (GENERIC, TALK, {"authorization": "Bearer charlies-key"}, 401, "invalid_api_key"),
    "a key that is no key": (GENERIC, TALK, {"authorization": f"Basic {API_KEY}"}, 401, "invalid_api_key"),
    "a wrong signature": (GENERIC, TALK, lambda: signed(TALK + b" "), 401, "invalid_signature"),
    "a wrong one beside a right key": (GENERIC, TALK, lambda: KEY | signed(TALK + b" "), 401, "invalid_signature"),
    "one by another secret": (GENERIC, TALK, lambda: signed(TALK, secret="another"), 401, "invalid_signature"),
    "one without its id": (GENERIC, TALK, {"webhook-signature": "v1,AAAA"}, 401, "invalid_signature"),
    "one of yesterday": (GENERIC, TALK, lambda: signed(TALK, at=time.time() - 86_400), 401, "signature_expired"),
    "one of tomorrow": (GENERIC, TALK, lambda: signed(TALK, at=time.time() + 86_400), 401, "signature_expired"),
    "one for a source without a secret": ("/webhook/vapi", TALK, lambda: signed(TALK), 401, "invalid_signature"),
    "a wrong signature of GitHub's kind": (GENERIC, TALK, {"x-hub-signature-256": "sha256=00"}, 401,
                                           "invalid_signature"),
    "a source whose name is none": ("/webhook/Bad!", TALK, KEY, 404, "unknown_source"),
    "a source with an endless name": ("/webhook/" + "x" * 65, TALK, KEY, 404, "unknown_source"),
    "a source that leads elsewhere": ("/webhook/%2e%2e%2fapi", TALK, KEY, 404, "unknown_source"),
    "a wrong secret in the URL": (f"{GENERIC}/more", TALK, KEY, 401, "invalid_signature"),
    "a secret in the URL of a source without one": ("/webhook/vapi/more", TALK, KEY, 401, "invalid_signature"),
    "a secret in the URL that is no text": (f"{GENERIC}/%00%ff%F0%9F%9A%B2", TALK, {}, 401, "invalid_signature"),
    "a secret in the URL with slashes": (f"{GENERIC}/a/b//c%2Fd?x=%ff", TALK, {}, 401, "invalid_signature"),
    "a form of a source that sends none": ("/webhook/zoom", b"a=b", {**KEY, "content-type": FORM}, 400, "invalid_json"),
    "a form that is no text": ("/webhook/twilio", b"a=\xff", {**KEY, "content-type": FORM}, 422, "invalid_request"),
    "a form of 1,001 fields": ("/webhook/twilio", b"a&" * 1001, {**KEY, "content-type": FORM}, 422, "invalid_request"),
    "a delivery id that is too long": (GENERIC, TALK, {**KEY, "idempotency-key": "x" * 501}, 422, "invalid_request"),
    "a signed id that is too long": (GENERIC, TALK, lambda: signed(TALK, "x" * 501), 422, "invalid_request"),
    "a delivery id in the body that is too long": (GENERIC, orjson.dumps({"delivery_id": "x" * 501}), KEY, 422,
                                                   "invalid_request"),
    "a delivery id with a NUL": (GENERIC, b'{"delivery_id": "a\\u0000b"}', KEY, 422, "invalid_request"),
    "a session in the URL with a NUL": (f"{GENERIC}?session=a%00b", TALK, KEY, 422, "invalid_request"),
    "11 MiB": (GENERIC, b'{"text": "' + b"x" * (11 * 1024 * 1024) + b'"}', KEY, 413, "body_too_large"),
    "11 MiB from a stranger": (GENERIC, b"x" * (11 * 1024 * 1024), {}, 413, "body_too_large"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSALS)
def test_it_refuses(client: TestClient, redis_client: "redis.Redis", what: str) -> None:
    path, body, headers, status, code = REFUSALS[what]
    headers = headers if isinstance(headers, dict) else headers()
    check_refusal(client.post(path, content=body, headers=headers), status, code)
    assert kept_at_all(redis_client) == []
    check_alive(client)


def test_a_body_that_does_not_tell_its_length_is_cut_off_at_the_limit(
    client: TestClient, redis_client: "redis.Redis"
) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(11):
            yield b" " * 1024 * 1024

    check_refusal(client.post(GENERIC, content=pieces(), headers=KEY), 413, "body_too_large")
    assert kept_at_all(redis_client) == []
    check_alive(client)


def test_a_sender_that_hangs_up_leaves_nothing_behind(redis_client: "redis.Redis", redis_url: str) -> None:
    app = build(settings_for(redis_url))
    heard: list[Any] = [{"type": "http.disconnect"}, {"type": "http.request", "body": TALK[:9], "more_body": True}]
    scope = {"type": "http", "method": "POST", "path": GENERIC, "query_string": b"", "headers": [(b"x-api-key", b"k")]}

    async def receive() -> Any:
        return heard.pop()

    async def send(message: Any) -> None:
        assert message["type"].startswith("http.response")

    asyncio.run(app(scope, receive, send))  # raises nothing
    assert heard == []
    assert kept_at_all(redis_client) == []


def test_a_body_of_exactly_the_limit_is_accepted(client: TestClient) -> None:
    head, tail = b'{"session": "walk", "turns": [{"text": "', b'"}]}'
    body = head + b"x" * (LIMIT - len(head) - len(tail)) + tail
    assert client.post(GENERIC, content=body, headers=KEY).status_code == 200
    check_refusal(client.post(GENERIC, content=body + b" ", headers=KEY), 413, "body_too_large")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", [NATIVE, GENERIC])
def test_another_method_is_told_which_one_to_use(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path, headers=KEY)
    check_refusal(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/", "/webhooks", "/api/sessions", "/.env"])
def test_an_unknown_path_is_told_in_the_same_shape(client: TestClient, redis_client: "redis.Redis", path: str) -> None:
    check_refusal(client.post(path, content=TALK, headers=KEY), 404, "not_found")
    assert kept_at_all(redis_client) == []


@pytest.mark.parametrize("what", ["no JSON", "half of a JSON", "bytes that are no UTF-8", "a wrong key"])
def test_a_refusal_quotes_neither_the_body_nor_a_key(client: TestClient, what: str) -> None:
    path, body, headers, _, _ = REFUSALS[what]
    assert isinstance(headers, dict)
    answer = client.post(path, content=body, headers=headers).text
    assert not any(secret in answer for secret in ("PWA", "Alice", "Gr", API_KEY, "charlies-key"))


def test_without_any_secret_the_endpoint_does_not_start(redis_url: str) -> None:
    nobody = Settings.from_env({"REDIS_URL": redis_url}, env_file=None)
    with pytest.raises(SettingsError, match="WEBHOOK_API_KEY"):
        build(nobody)


def test_a_secret_that_could_never_verify_is_told_at_the_start(redis_url: str) -> None:
    with pytest.raises(SettingsError, match="base64"):
        build(settings_for(redis_url, WEBHOOK_SECRET_VAPI="whsec_not base64"))


def test_without_redis_set_the_endpoint_does_not_start() -> None:
    with pytest.raises(SettingsError, match="REDIS_URL"):
        build(Settings.from_env({"WEBHOOK_API_KEY": API_KEY}, env_file=None))


# What it accepts


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": API_KEY},
        {"authorization": f"Bearer {API_KEY}"},
        {"Authorization": f"bearer {API_KEY}", "content-type": "application/json; charset=utf-8"},
        {**KEY, "content-type": "application/vnd.api+json"},
    ],
)
def test_the_key_opens_under_either_name(client: TestClient, headers: dict[str, str]) -> None:
    response = client.post(GENERIC, content=TALK, headers=headers)
    assert (response.status_code, response.json()["status"]) == (200, "accepted")


@pytest.mark.parametrize("path", [NATIVE, "/webhook/some-new_source2"])
def test_the_key_opens_every_source(client: TestClient, path: str) -> None:
    assert client.post(path, content=native("pause_session"), headers=KEY).json()["status"] == "accepted"


@pytest.mark.parametrize(
    ("body", "content_type", "event"),
    [
        (TALK, "application/json", "transcript"),
        (
            b'  {"type": "call.ended", "text": "Gr\xc3\xbc\xc3\x9fe \xf0\x9f\x9a\xb2 \\u0000"}\r\n',
            "application/json",
            "call.ended",
        ),
        (deep(100), "application/json", "transcript"),
        (b'\xef\xbb\xbf{"type": "with.a.byte.order.mark"}', "application/json", "with.a.byte.order.mark"),
        (b'{"type": "call\\u0000.ended"}', "application/json", "call.ended"),
        (b'{"type": {"said": "secret"}, "event": "said"}', "application/json", "said"),
        (b'{"type": ["secret"], "event": 7}', "application/json", "transcript"),
        (b"Alice: Hello.\r\nBob: Gr\xfc\xdfe \x00", "text/plain", "transcript.plain"),
        (b"WEBVTT\n\n00:00.000 --> 00:01.000\nHello.", "text/vtt", "transcript.vtt"),
    ],
)
def test_what_is_accepted_lies_in_redis_byte_for_byte(
    client: TestClient, redis_client: "redis.Redis", body: bytes, content_type: str, event: str
) -> None:
    before = datetime.now(UTC)
    headers = {**KEY, "content-type": f"{content_type}; charset=utf-8"}
    response = client.post(f"{GENERIC}?session=walk", content=body, headers=headers)
    assert response.json() == {"status": "accepted", "delivery": response.json()["delivery"]}
    delivery = kept(redis_client, response.json()["delivery"])
    assert delivery.body == body
    assert (delivery.source, delivery.event, delivery.content_type) == ("generic", event, content_type)
    assert delivery.session_id == "walk"
    assert before <= delivery.received_at <= datetime.now(UTC)
    assert response.json()["delivery"] == delivery.key == delivery_key("generic", delivery.delivery_id)


def test_a_large_body_is_kept_byte_for_byte_too(client: TestClient, redis_client: "redis.Redis") -> None:
    turns = [{"speaker": "Alice", "text": f"Sentence number {number}."} for number in range(20_000)]
    body = orjson.dumps({"session": "walk", "turns": turns})
    assert len(body) > 512 * 1024
    answer = client.post(GENERIC, content=body, headers=KEY).json()
    assert kept(redis_client, answer["delivery"]).body == body


def test_one_job_waits_and_knows_nothing_but_its_batch(client: TestClient, redis_client: "redis.Redis") -> None:
    key = client.post(GENERIC, content=TALK, headers=KEY).json()["delivery"]
    ((batch, carried),) = batches(redis_client).items()
    assert carried == [key]
    assert waiting_jobs(redis_client) == [batch]
    job = Job.fetch(batch, connection=redis_client, serializer="json")
    assert (job.func_name, job.args, job.kwargs, job.description) == (BATCH_JOB, [batch], {}, f"{BATCH_JOB}({batch})")
    assert (job.origin, job.get_status(), job.timeout) == (QUEUE_NAME, "queued", 180)
    assert redis_client.smembers("rq:queues") == {f"rq:queue:{QUEUE_NAME}".encode()}


def raw_values(client: "redis.Redis", key: str) -> list[bytes]:
    """Every byte under a key, also as it is before zlib packed it."""
    read = {
        b"string": lambda: [client.get(key)],
        b"hash": lambda: [part for pair in client.hgetall(key).items() for part in pair],
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1),
    }[cast("bytes", client.type(key))]
    values = [key.encode(), *cast("list[bytes]", read())]
    for value in list(values):
        try:
            values.append(zlib.decompress(value))
        except zlib.error:
            continue
    return values


@pytest.mark.parametrize(
    "path_and_body",
    [
        (GENERIC, orjson.dumps({"session": CANARY, "turns": [{"speaker": CANARY, "text": CANARY}]})),
        (NATIVE, native("append_conversation", data={"content": CANARY})),
    ],
    ids=["generic", "native"],
)
def test_what_was_said_lies_under_the_key_of_its_delivery_and_nowhere_else(
    client: TestClient, redis_client: "redis.Redis", path_and_body: tuple[str, bytes]
) -> None:
    path, body = path_and_body
    key = client.post(path, content=body, headers=KEY).json()["delivery"]
    holding = [name for name in keys(redis_client) if any(CANARY.encode() in v for v in raw_values(redis_client, name))]
    assert holding == [envelope.delivery_name(key)]
    assert any(name.startswith("rq:job:") for name in keys(redis_client))


def test_a_repeat_is_a_duplicate_and_changes_nothing(client: TestClient, redis_client: "redis.Redis") -> None:
    first = client.post(GENERIC, content=TALK, headers=KEY).json()
    before = {name: raw_values(redis_client, name) for name in keys(redis_client)}
    again = client.post(GENERIC, content=TALK, headers=KEY)
    assert (again.status_code, again.json()) == (200, {"status": "duplicate", "delivery": first["delivery"]})
    assert {name: raw_values(redis_client, name) for name in keys(redis_client)} == before


def test_a_repeat_is_a_duplicate_also_after_the_worker_has_finished(
    client: TestClient, redis_client: "redis.Redis"
) -> None:
    key = client.post(GENERIC, content=TALK, headers=KEY).json()["delivery"]
    queue = DeliveryQueue(redis_client, worker="bob", job_timeout_seconds=60, seen_seconds=60)
    batch = queue.begin(waiting_jobs(redis_client)[0])
    assert [delivery.body for delivery in queue.payloads(batch)[1]] == [TALK]
    queue.finish(batch)
    assert redis_client.exists(envelope.delivery_name(key)) == 0
    again = client.post(GENERIC, content=TALK, headers=KEY).json()
    assert again == {"status": "duplicate", "delivery": key}
    assert batches(redis_client) == {}


def test_a_batch_that_a_worker_has_begun_takes_no_more(client: TestClient, redis_client: "redis.Redis") -> None:
    client.post(GENERIC, content=TALK, headers=KEY)
    (first,) = waiting_jobs(redis_client)
    queue = DeliveryQueue(redis_client, worker="bob", job_timeout_seconds=60, seen_seconds=60)
    begun = queue.begin(first)
    client.post(GENERIC, content=TALK + b" ", headers=KEY)
    assert batches(redis_client)[first] == begun.keys
    assert sorted(len(carried) for carried in batches(redis_client).values()) == [1, 1]


def test_a_batch_whose_job_somebody_deleted_takes_no_more(client: TestClient, redis_client: "redis.Redis") -> None:
    client.post(GENERIC, content=TALK, headers=KEY)
    (first,) = waiting_jobs(redis_client)
    Job.fetch(first, connection=redis_client, serializer="json").delete()
    client.post(GENERIC, content=TALK + b" ", headers=KEY)
    (second,) = waiting_jobs(redis_client)
    assert second != first
    assert [len(batches(redis_client)[batch]) for batch in (first, second)] == [1, 1]


def test_hundreds_of_posts_at_once_coalesce_and_each_is_carried_once(
    redis_client: "redis.Redis", redis_url: str
) -> None:
    app = build(settings_for(redis_url, AI_WEBHOOK_BATCH_DELIVERIES="7"))

    async def post_all() -> list[dict[str, str]]:
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test", headers=KEY) as sender,
        ):
            posts = [
                sender.post(GENERIC, content=TALK, headers={"idempotency-key": f"send-{number % 290}"})
                for number in range(300)
            ]
            return [answer.json() for answer in await asyncio.gather(*posts)]

    answers = asyncio.run(post_all())
    accepted = [answer["delivery"] for answer in answers if answer["status"] == "accepted"]
    assert len(accepted) == len(set(accepted)) == 290
    assert sum(answer["status"] == "duplicate" for answer in answers) == 10
    carried = batches(redis_client)
    assert sorted(key for some in carried.values() for key in some) == sorted(accepted)
    assert max(len(some) for some in carried.values()) == 7
    assert len(carried) == -(-290 // 7)
    assert sorted(waiting_jobs(redis_client)) == sorted(carried)
    assert all(kept(redis_client, key).body == TALK for key in accepted)


# Which delivery it is


def status_of(client: TestClient, path: str, body: bytes, headers: dict[str, str]) -> str:
    response = client.post(path, content=body, headers=headers)
    assert response.status_code == 200, response.text
    return str(response.json()["status"])


def test_the_same_bytes_are_the_same_delivery(client: TestClient) -> None:
    assert status_of(client, GENERIC, TALK, KEY) == "accepted"
    assert status_of(client, GENERIC, TALK, KEY) == "duplicate"
    assert status_of(client, GENERIC, TALK + b"\n", KEY) == "accepted"
    assert status_of(client, "/webhook/vapi", TALK, KEY) == "accepted"


@pytest.mark.parametrize("family", ["webhook", "svix"])
def test_the_signed_id_names_the_delivery_over_all_retries(
    client: TestClient, redis_client: "redis.Redis", family: str
) -> None:
    def headers(body: bytes, at: float) -> dict[str, str]:
        return {name.replace("webhook", family): value for name, value in signed(body, "msg_7", at).items()}

    now = time.time()
    key = client.post(GENERIC, content=TALK, headers=headers(TALK, now)).json()["delivery"]
    assert kept(redis_client, key).delivery_id == "msg_7"
    assert status_of(client, GENERIC, TALK, headers(TALK, now + 60)) == "duplicate"
    assert status_of(client, GENERIC, TALK + b" ", headers(TALK + b" ", now)) == "duplicate"


def test_a_signed_id_counts_more_than_one_that_anybody_could_write(
    client: TestClient, redis_client: "redis.Redis"
) -> None:
    headers = {**signed(TALK, "msg_8"), "idempotency-key": "mine"}
    key = client.post(GENERIC, content=TALK, headers=headers).json()["delivery"]
    assert kept(redis_client, key).delivery_id == "msg_8"


def test_an_idempotency_key_names_the_delivery(client: TestClient, redis_client: "redis.Redis") -> None:
    mine = {**KEY, "idempotency-key": "send-1"}
    key = client.post(GENERIC, content=orjson.dumps({"delivery_id": "in-the-body"}), headers=mine).json()["delivery"]
    assert kept(redis_client, key).delivery_id == "send-1"
    assert status_of(client, GENERIC, TALK, mine) == "duplicate"
    assert status_of(client, GENERIC, TALK, {**KEY, "idempotency-key": "send-2"}) == "accepted"


@pytest.mark.parametrize("path", [NATIVE, GENERIC])
def test_an_id_in_the_body_names_the_delivery(client: TestClient, redis_client: "redis.Redis", path: str) -> None:
    body = native("append_conversation", delivery_id="pause-1", data={"content": "Hello."})
    key = client.post(path, content=body, headers=KEY).json()["delivery"]
    assert kept(redis_client, key).delivery_id == "pause-1"
    assert status_of(client, path, native("pause_session", delivery_id="pause-1"), KEY) == "duplicate"


@pytest.mark.parametrize("delivery_id", ["", None, 7, ["x"]])
def test_an_id_in_the_body_that_is_none_names_nothing(client: TestClient, delivery_id: Any) -> None:
    for text in ("One.", "Two."):
        body = json.dumps({"delivery_id": delivery_id, "text": text}).encode()
        assert status_of(client, GENERIC, body, KEY) == "accepted"


@pytest.mark.parametrize("command", ["pause_session", "resume_session", "store_memory"])
def test_a_native_command_given_twice_is_meant_twice(client: TestClient, command: str) -> None:
    assert status_of(client, NATIVE, native(command), KEY) == "accepted"
    assert status_of(client, NATIVE, native(command), KEY) == "accepted"


@pytest.mark.parametrize("command", ["append_conversation", "conversation_chunk", "batch"])
def test_a_native_command_that_adds_words_adds_them_once(client: TestClient, command: str) -> None:
    assert status_of(client, NATIVE, native(command, data={"content": "Hello."}), KEY) == "accepted"
    assert status_of(client, NATIVE, native(command, data={"content": "Hello."}), KEY) == "duplicate"


def test_github_signs_with_its_own_header_and_id(
    client: TestClient, redis_url: str, redis_client: "redis.Redis"
) -> None:
    import hashlib
    import hmac

    with TestClient(build(settings_for(redis_url, WEBHOOK_SECRET_GITHUB="It's a Secret"))) as github:
        signature = hmac.new(b"It's a Secret", TALK, hashlib.sha256).hexdigest()
        headers = {"x-hub-signature-256": f"sha256={signature}", "x-github-delivery": "guid-1"}
        key = github.post("/webhook/github", content=TALK, headers=headers).json()["delivery"]
        assert kept(redis_client, key).delivery_id == "guid-1"
        assert status_of(github, "/webhook/github", TALK, headers) == "duplicate"


# When Redis is in trouble


def test_while_redis_is_down_the_sender_is_asked_to_come_again() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        settings = settings_for(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        with TestClient(build(settings)) as client:
            for _ in range(2):
                response = client.post(GENERIC, content=TALK, headers=KEY)
                check_refusal(response, 503, "queue_unavailable")
                assert int(response.headers["retry-after"]) > 0
            check_refusal(client.post(GENERIC, content=TALK, headers={}), 401, "invalid_api_key")
            assert client.get("/healthz").json() == {"status": "ok"}
            ready = client.get("/readyz")
            assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "redis": False})
            metrics = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).text
            assert "ai_webhook_redis_up 0.0" in metrics
            assert 'ai_webhook_requests_total{outcome="unavailable",source="generic"}' in metrics


def test_while_redis_is_full_the_sender_is_asked_to_come_again(client: TestClient, redis_client: "redis.Redis") -> None:
    check_alive(client)
    before = sorted(keys(redis_client))
    memory = cast("dict[str, str]", redis_client.config_get("maxmemory", "maxmemory-policy"))
    redis_client.config_set("maxmemory-policy", "noeviction")
    redis_client.config_set("maxmemory", 1)
    try:
        response = client.post(GENERIC, content=TALK + b" ", headers=KEY)
        check_refusal(response, 503, "queue_unavailable")
        assert int(response.headers["retry-after"]) > 0
        assert client.get("/readyz").status_code == 503
        assert sorted(keys(redis_client)) == before
    finally:
        for name, value in memory.items():
            redis_client.config_set(name, value)
    assert status_of(client, GENERIC, TALK + b" ", KEY) == "accepted"


def test_a_connection_that_redis_closed_is_a_503_at_worst_and_then_made_anew(
    client: TestClient, redis_client: "redis.Redis"
) -> None:
    check_alive(client)
    redis_client.client_kill_filter(_type="normal", skipme=True)
    answers = [client.post(GENERIC, content=TALK + b" " * number, headers=KEY) for number in (1, 2)]
    assert answers[0].status_code in (200, 503)
    assert answers[1].status_code == 200


def test_a_redis_that_forgot_the_script_is_taught_it_again(client: TestClient, redis_client: "redis.Redis") -> None:
    check_alive(client)
    redis_client.script_flush()
    assert status_of(client, GENERIC, TALK + b" ", KEY) == "accepted"


def test_a_redis_that_takes_no_writes_is_not_ready(client: TestClient, redis_client: "redis.Redis") -> None:
    redis_client.replicaof("127.0.0.1", "1")  # a replica is read-only, and answers pings
    try:
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
    finally:
        redis_client.replicaof("NO", "ONE")
    assert client.get("/readyz").status_code == 200


def test_it_is_ready_when_redis_answers(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready", "redis": True}
