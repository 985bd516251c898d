"""Whatever is posted, as whatever source: never a 500, never a crash, and what is accepted can be recorded."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import orjson
import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st
from starlette.testclient import TestClient

from domain import envelope
from domain.delivery import Delivery
from domain.errors import Refused, SignatureError
from ingest.__main__ import build
from ingest.request import FORM
from ingest.sources import SOURCES, source_named
from store import deliveries
from store.database import Connection
from tests.ingest.requests import request
from tests.ingest.test_chatgpt import EXAMPLES
from tests.ingest.test_endpoint import KEY, settings_for
from tests.ingest.test_signature_families import SCHEMES, secret_of
from tests.ingest.test_sources import KNOWN

NAMES = [*SOURCES, "another"]
SPEECH = st.sampled_from(
    [
        "שלום עולם",
        "\u202eقلب\u202c مرحبا",
        "🚲🧱👩‍👩‍👧‍👦",
        "e\u0301",
        "\ufeff",
        "\x00",
        "\u2028",
        "Ǆ",
        "\U0010ffff",
        "v0:1:{}",
    ]
)
TEXT = SPEECH | st.text(max_size=20)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.just(10**18)
# The names by which the table finds event and id, so that it meets all kinds of values there.
FIELDS = st.sampled_from(
    [
        "type",
        "event",
        "event_type",
        "trigger",
        "message",
        "call",
        "call_id",
        "callId",
        "data",
        "id",
        "delivery_id",
        "command",
        "sync",
        "operation",
        "text",
        "title",
        "limit",
        "session",
        "conversation",
        "conversation_id",
        "event_timestamp",
        "payload",
        "object",
        "uuid",
        "event_ts",
        "plainToken",
        "segments",
        "summary_json",
        "recording_id",
        "metadata",
        "extra",
        "callback_secret",
        "request_id",
        "transcript_id",
        "status",
        "meta",
        "webhook",
        "bot",
        "TranscriptionSid",
        "TranscriptionEvent",
        "SequenceId",
        "test",
        "recordings",
        "timestamp",
    ]
)
WORDS = st.sampled_from(
    [
        "collaborative_session_command",
        "append_conversation",
        "query_memories",
        "end-of-call-report",
        "transcript",
        "call_analyzed",
        "endpoint.url_validation",
        "transcript.done",
        "recording_added",
        "remember",
        "what_was_decided",
        "test",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | TEXT, inner, max_size=6),
    max_leaves=25,
)
# What any of the senders posts, to whichever address.
EVERYBODYS = [orjson.dumps(body) for _, body, _, _ in KNOWN] + [orjson.dumps(body) for body in EXAMPLES.values()]
HUGE = [
    b'{"id": 1' + b"0" * 500 + b"}",
    b'{"event_timestamp": 1e999, "type": "x", "data": {"conversation_id": -1e-999}}',
    b'{"id": "' + b"x" * 600 + b'"}',
    b'{"message": {"type": "hang", "call": {"id": 99999999999999999999999999}}}',
    b"[" * 5000,
    b'{"a":' * 5000,
]
BODIES = st.one_of(
    VALUES.map(lambda value: orjson.dumps(value)),
    st.dictionaries(FIELDS, VALUES, max_size=6).map(lambda value: orjson.dumps(value)),
    st.sampled_from(EVERYBODYS),
    st.builds(lambda body, end: body[:end], st.sampled_from(EVERYBODYS), st.integers(0, 80)),
    st.sampled_from(HUGE),
    st.binary(max_size=80),
    st.dictionaries(FIELDS, TEXT, max_size=4).map(lambda form: "&".join(f"{k}={v}" for k, v in form.items()).encode()),
)
TYPES = st.sampled_from(
    [
        "application/json",
        "application/webhook+json",
        "text/plain",
        "text/vtt",
        FORM,
        "application/octet-stream",
        "",
        "\xff;",
    ]
)
MORE_HEADERS = st.dictionaries(
    st.sampled_from(["idempotency-key", "x-github-event", "x-github-delivery", "webhook-id"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=20),
    max_size=2,
)
FINE = {200, 202, 204, 400, 401, 404, 422}


@pytest.mark.parametrize("source", NAMES)
def test_nothing_that_is_posted_breaks_anything(
    source: str, redis_url: str, redis_client: "redis.Redis", conn: Connection
) -> None:
    secrets = {f"WEBHOOK_SECRET_{name.upper()}": secret_of(name) for name in NAMES}
    settings = settings_for(redis_url, AI_WEBHOOK_SYNC_SECONDS="0", **secrets)
    accepted: set[str] = set()

    @given(
        body=BODIES,
        kind=TYPES,
        more=MORE_HEADERS,
        proof=st.sampled_from(["key", "signature", "url", "none"]),
        query=st.dictionaries(st.sampled_from(["session", "uid", "session_id", "a"]), TEXT, max_size=2),
    )
    @rules(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    def post(body: bytes, kind: str, more: dict[str, str], proof: str, query: dict[str, str]) -> None:
        headers = {**more, "content-type": kind}
        path = f"/webhook/{source}"
        if proof == "key":
            headers |= KEY
        elif proof == "signature":
            headers |= signature(source, body, headers)
        elif proof == "url":
            path += "/" + secret_of(source)
        sent = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = client.post(path, content=body, headers=cast("dict[str, str]", sent), params=query)
        assert answer.status_code in FINE, answer.text
        if answer.status_code >= 400:
            assert answer.json()["error"].keys() == {"code", "message", "hint"}
        elif answer.content and "delivery" in answer.json():
            accepted.add(answer.json()["delivery"])

    with TestClient(build(settings)) as client:
        post()
        assert client.post("/webhook/generic", json={"text": "Still there."}, headers=KEY).status_code == 200
    kept = recorded(redis_client, conn)
    assert {delivery.source for delivery in kept if delivery.key in accepted} <= {source}
    assert accepted <= {delivery.key for delivery in kept}
    assert "generic" in {delivery.source for delivery in kept}


def signature(source: str, body: bytes, headers: dict[str, str]) -> dict[str, str]:
    """As the sender would sign this body, where it can; some sign a field that the body may not have."""
    unsigned = request(headers, body, source=source, url=f"http://testserver/webhook/{source}")
    unsigned = replace(unsigned, received_at=datetime.now(UTC))
    try:
        return SCHEMES[source].sign(unsigned, secret_of(source)) if source in SCHEMES else {}
    except SignatureError:
        return {}


def recorded(client: "redis.Redis", conn: Connection) -> list[Delivery]:
    """Every delivery that was accepted, each recorded in PostgreSQL as a worker would."""
    names = list(client.scan_iter(envelope.delivery_name("*"), count=1000))
    packed = cast("list[bytes]", client.mget(names))
    found = [envelope.unpack(one) for one in packed]
    deliveries.record(conn, found)
    row = conn.execute("SELECT count(*) AS n FROM deliveries").fetchone()
    assert row == {"n": len(found)}
    return found


@given(value=VALUES)
@rules(max_examples=200, deadline=None)
@pytest.mark.parametrize("source", NAMES)
def test_identifying_never_fails_but_by_refusing(source: str, value: Any) -> None:
    row = source_named(source)
    if not isinstance(value, dict) and not (row.lists and isinstance(value, list)):
        return
    sent = request({}, orjson.dumps(value), source=source)
    try:
        identity = row.identify(value, sent)
        assert identity.id is None or isinstance(identity.id, str)
        assert row.waits is None or isinstance(row.waits(value, identity), bool)
        assert row.session(value, sent) is None
    except Refused as refusal:
        assert source in ("native", "chatgpt")
        assert refusal.status == 422
