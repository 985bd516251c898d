"""Every sender: by which id and event its deliveries are known, what it greets with, and what it is answered."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from domain.delivery import Delivery
from domain.errors import EmptyBody, InvalidJson, SettingsError, SignatureError, UnknownKind
from domain.settings import Settings
from ingest.accepting import Greeting, accept, accept_setup
from ingest.request import FORM
from ingest.sources import SOURCES, check_secrets
from tests.conftest import API_KEY
from tests.ingest.requests import request
from tests.ingest.test_signature_families import ZOOM_BODY, ZOOM_HEADERS, ZOOM_SECRET

KEY = {"x-api-key": API_KEY}
SETTINGS = Settings.from_env({"WEBHOOK_API_KEY": API_KEY, "REDIS_URL": "redis://none"}, env_file=None)
NAMES = [
    "native", "generic", "openai", "chatgpt", "elevenlabs", "vapi", "retell", "omi", "fathom", "readai", "bland",
    "synthflow", "speechify", "circleback", "recall", "otter", "assemblyai", "deepgram", "fireflies", "granola",
    "zoom", "grain", "tldv", "twilio", "livekit", "daily", "ultravox", "github",
]  # fmt: skip


def settings_with(**secrets: str) -> Settings:
    environment = {"WEBHOOK_API_KEY": API_KEY, **{f"WEBHOOK_SECRET_{n.upper()}": s for n, s in secrets.items()}}
    return Settings.from_env(environment, env_file=None)


def taken(source: str, body: Any, *, headers: Mapping[str, str] | None = None, query: Any = None) -> Delivery:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    accepted = accept(request({**KEY, **(headers or {})}, raw, source=source, query=query), SETTINGS)
    assert isinstance(accepted, Delivery)
    return accepted


def test_the_table_names_every_sender() -> None:
    assert sorted(SOURCES) == sorted(NAMES)


ZOOM_RECORDING = {
    "event": "recording.transcript_completed",
    "event_ts": 1772446500000,
    "payload": {"account_id": "A1", "object": {"id": 1234567890, "uuid": "u1=="}},
}
RECALL_LIVE = {"event": "transcript.data", "data": {"data": {"words": []}, "bot": {"id": "b1"}}}
RECALL_DONE = {
    "event": "bot.done",
    "data": {"data": {"code": "done", "updated_at": "2026-03-02T09:00:00Z"}, "bot": {"id": "b1"}},
}
VAPI_REPORT = {"message": {"type": "end-of-call-report", "timestamp": 17, "call": {"id": "call-1"}}}
# What each sender says of itself: the body, the event, and the id that has to come of it; None where it is the digest.
KNOWN: list[tuple[str, Any, str, str | None]] = [
    ("openai", {"id": "evt_1", "type": "realtime.call.incoming"}, "realtime.call.incoming", "evt_1"),
    (
        "elevenlabs",
        {"type": "post_call_transcription", "event_timestamp": 1772437925, "data": {"conversation_id": "conv_5"}},
        "post_call_transcription",
        "post_call_transcription:conv_5:1772437925",
    ),
    ("elevenlabs", {"type": "post_call_audio", "data": {}}, "post_call_audio", None),
    ("vapi", VAPI_REPORT, "end-of-call-report", "end-of-call-report:call-1"),
    (
        "vapi",
        {"message": {"type": "end-of-call-report", "timestamp": 17}},
        "end-of-call-report",
        "end-of-call-report:17",
    ),
    ("vapi", {"message": {"type": "transcript", "call": {"id": "call-1"}}}, "transcript", None),
    ("vapi", {"message": "hello"}, "transcript", None),
    ("retell", {"event": "call_analyzed", "call": {"call_id": "call_8"}}, "call_analyzed", "call_analyzed:call_8"),
    ("retell", {"event": "transcript_updated", "call": {"call_id": "call_8"}}, "transcript_updated", None),
    ("retell", {"event": "chat_ended", "chat": {"chat_id": "c1"}}, "chat_ended", "chat_ended:c1"),
    ("omi", {"id": "conv_77", "transcript_segments": []}, "conversation", "conv_77"),
    ("omi", [{"text": "Blue."}], "live_transcript", None),
    ("omi", {"segments": [], "session_id": "u"}, "live_transcript", None),
    ("omi", {"uid": "u", "summary": "", "summary_json": {}}, "day_summary", None),
    ("fathom", {"recording_id": 94413100, "share_url": "https://s"}, "meeting", "94413100"),
    ("fathom", {"title": "Tiles", "url": "https://u"}, "meeting", "https://u"),
    ("readai", {"trigger": "meeting_end", "session_id": "01", "request_id": "req-9"}, "meeting_end", "req-9"),
    ("bland", {"call_id": "9b1c"}, "call", "9b1c"),
    ("synthflow", {"status": "completed", "call": {"call_id": "550e"}}, "call", "550e"),
    ("synthflow", {"call_id": "550e"}, "call", "550e"),
    (
        "speechify",
        {"event": "conversation.completed", "conversation": {"id": "conv_1"}},
        "conversation.completed",
        "conversation.completed:conv_1",
    ),
    ("circleback", {"id": 4711}, "meeting", "4711"),
    ("recall", RECALL_LIVE, "transcript.data", None),
    ("recall", RECALL_DONE, "bot.done", "bot.done:b1:2026-03-02T09:00:00Z"),
    (
        "otter",
        {"meta": {"webhook": {"event": "conversation_completed"}}, "data": {"id": "ot-1"}},
        "conversation_completed",
        "ot-1",
    ),
    ("otter", {"id": "ot-1", "title": "Tiles"}, "conversation_completed", "ot-1"),
    ("assemblyai", {"session_id": "6c1f", "messages": []}, "session", "6c1f"),
    ("assemblyai", {"transcript_id": "t1", "status": "completed"}, "transcript.completed", "t1:completed"),
    ("deepgram", {"metadata": {"request_id": "a1b2"}, "results": {}}, "transcript", "a1b2"),
    ("deepgram", {"request_id": "a1b2"}, "transcript", "a1b2"),
    (
        "fireflies",
        {"event": "meeting.transcribed", "meeting_id": "FF01"},
        "meeting.transcribed",
        "meeting.transcribed:FF01",
    ),
    (
        "fireflies",
        {"meetingId": "FF01", "eventType": "Transcription completed"},
        "Transcription completed",
        "Transcription completed:FF01",
    ),
    ("granola", {"event_id": "evt_1", "event_type": "note.generated"}, "note.generated", "evt_1"),
    ("granola", {"title": "Tiles", "note_content": "# Tiles"}, "note", None),
    ("zoom", ZOOM_RECORDING, "recording.transcript_completed", "recording.transcript_completed:u1==:1772446500000"),
    ("grain", {"type": "recording_added", "data": {"id": "g1"}}, "recording_added", "recording_added:g1"),
    ("grain", {"type": "recording_updated", "data": {"id": "g1"}}, "recording_updated", None),
    ("tldv", {"event": "TranscriptReady", "id": "m1"}, "TranscriptReady", "TranscriptReady:m1"),
    ("tldv", {"anything": "else"}, "transcript", None),
    ("twilio", {"transcript_sid": "GT1", "service_sid": "GA1"}, "transcript", "GT1"),
    (
        "twilio",
        {"transcript_sid": "GT1", "event_type": "transcript_available"},
        "transcript_available",
        "GT1:transcript_available",
    ),
    ("twilio", [{"type": "com.twilio.transcript.finished", "id": "EZ1"}], "com.twilio.transcript.finished", "EZ1"),
    ("twilio", [{"type": "a", "id": "EZ1"}, {"type": "b", "id": "EZ2"}], "a", None),
    ("twilio", {"CallSid": "CA1", "CallStatus": "completed"}, "transcript", None),
    ("livekit", {"event": "room_finished", "id": "EV_1"}, "room_finished", "EV_1"),
    ("daily", {"type": "transcript.ready-to-download", "id": "ev-1"}, "transcript.ready-to-download", "ev-1"),
    ("ultravox", {"event": "call.ended", "call": {"callId": "6f1d"}}, "call.ended", "call.ended:6f1d"),
]


@pytest.mark.parametrize(("source", "body", "event", "delivery_id"), KNOWN)
def test_a_delivery_is_known_by_what_its_sender_says(
    source: str, body: Any, event: str, delivery_id: str | None
) -> None:
    delivery = taken(source, body)
    assert delivery.event == event
    if delivery_id is None:
        assert delivery.delivery_id.startswith("sha256:")
    else:
        assert delivery.delivery_id == delivery_id


@pytest.mark.parametrize(
    ("source", "body", "event", "delivery_id"),
    [row for row in KNOWN if row[3] is not None and isinstance(row[1], dict)],
)
def test_a_retry_that_is_not_byte_for_byte_the_same_is_the_same_delivery(
    source: str, body: Any, event: str, delivery_id: str
) -> None:
    assert taken(source, {**body, "recording_link": "https://example.test/another"}).key == taken(source, body).key


def test_what_is_said_live_is_not_the_same_because_the_call_is() -> None:
    def live(text: str) -> Any:
        return {"message": {"type": "transcript", "transcript": text, "call": {"id": "call-1"}}}

    assert taken("vapi", live("Blue.")).key != taken("vapi", live("Grey.")).key
    assert taken("vapi", live("Blue.")).key == taken("vapi", live("Blue.")).key


def test_bare_segments_of_omi_belong_to_the_talk_that_the_url_names() -> None:
    segments = [{"text": "Blue.", "is_user": True, "start": 1.0, "end": 2.0}]
    assert taken("omi", segments, query={"uid": "u7"}).session_id == "omi-u7"
    assert taken("omi", segments, query={"uid": "u7", "session_id": "s1"}).session_id == "omi-s1"
    assert taken("omi", segments, query={"uid": "u7", "session": "walk"}).session_id == "walk"
    assert taken("omi", {"id": "conv_77"}, query={"uid": "u7"}).session_id is None
    assert taken("omi", segments, headers={"idempotency-key": "uuid-1"}).delivery_id == "uuid-1"


def test_twilio_posts_a_form() -> None:
    form = {
        "TranscriptionSid": "GT0001",
        "CallSid": "CA0001",
        "TranscriptionEvent": "transcription-content",
        "SequenceId": "3",
        "TranscriptionData": '{"transcript":"Blue it is.","confidence":0.9}',
    }
    delivery = taken("twilio", urlencode(form).encode(), headers={"content-type": FORM})
    assert delivery.delivery_id == "GT0001:transcription-content:3"
    assert (delivery.event, delivery.content_type) == ("transcription-content", FORM)
    assert delivery.body == urlencode(form).encode()


def test_livekit_has_a_content_type_of_its_own() -> None:
    delivery = taken(
        "livekit", {"event": "room_started", "id": "EV_2"}, headers={"content-type": "application/webhook+json"}
    )
    assert (delivery.delivery_id, delivery.content_type) == ("EV_2", "application/json")


def test_github_names_its_events_in_a_header() -> None:
    headers = {"x-github-event": "issues", "x-github-delivery": "guid-1"}
    delivery = taken("github", {"action": "opened"}, headers=headers)
    assert (delivery.event, delivery.delivery_id) == ("issues.opened", "guid-1")
    assert taken("github", {"zen": "Keep it simple."}, headers={"x-github-event": "ping"}).event == "ping"
    assert taken("github", {"zen": "Keep it simple."}).event == "transcript"
    form = taken("github", b"payload=%7B%7D", headers={**headers, "content-type": FORM})
    assert (form.event, form.content_type) == ("issues", FORM)


def test_a_header_that_is_not_signed_makes_no_new_delivery_of_a_signed_one() -> None:
    body = orjson.dumps({"event": "call_analyzed", "call": {"call_id": "call_8"}})
    scheme = SOURCES["retell"].scheme
    assert scheme is not None
    headers = scheme.sign(request({}, body), "retell's") | {"idempotency-key": "a-new-one"}
    delivery = accept(request(headers, body, source="retell"), settings_with(retell="retell's"))
    assert isinstance(delivery, Delivery)
    assert delivery.delivery_id == "call_analyzed:call_8"


@pytest.mark.parametrize("source", [name for name in NAMES if name not in ("omi", "twilio")])
def test_only_omi_and_twilio_send_lists(source: str) -> None:
    with pytest.raises(InvalidJson):
        taken(source, [{"text": "Blue."}])


@pytest.mark.parametrize("source", [name for name in NAMES if name not in ("grain", "twilio")])
def test_an_empty_body_says_nothing(source: str) -> None:
    with pytest.raises(EmptyBody):
        taken(source, b" ")


@pytest.mark.parametrize(
    ("body", "content_type", "kept"),
    [
        (b'{"id": "conv_1", "transcript_segments": []}', "text/plain;charset=UTF-8", "application/json"),
        (b'[{"text": "Blue."}]', "text/plain", "application/json"),
        (b"[Mara]: Blue.", "text/plain", "text/plain"),
        (b"{Mara}: Blue.", "text/plain", "text/plain"),
        (b"WEBVTT", "text/vtt", "text/vtt"),
    ],
)
def test_json_that_is_called_text_is_json(body: bytes, content_type: str, kept: str) -> None:
    assert taken("omi", body, headers={"content-type": content_type}).content_type == kept


# Handshakes


def greeted(
    source: str, body: bytes, headers: Mapping[str, str], settings: Settings, now: float = 1_772_000_000
) -> Any:
    accepted = accept(request(headers, body, source=source, now=now), settings)
    return accepted.answer if isinstance(accepted, Greeting) else accepted


def test_zoom_gets_its_token_back_signed() -> None:
    both = settings_with(zoom=f"the next one,{ZOOM_SECRET}")
    answer = greeted("zoom", ZOOM_BODY, ZOOM_HEADERS, both, now=1720705455)
    assert answer == {
        "plainToken": "xys8n8PGS7mAU0m5-YJjRA",
        "encryptedToken": "2fffc6a967dde4f68024025a5bd991c5ae1e5313b4e6365be4883e3e81d479b3",
    }


def zoom_validation(token: Any) -> bytes:
    return orjson.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": token}})


@pytest.mark.parametrize("token", [None, 7, "", ["x"], "v0:1772000000:{}", "x" * 201, "a b", "a:b"])
def test_zooms_handshake_signs_nothing_but_a_token(token: Any) -> None:
    scheme = SOURCES["zoom"].scheme
    assert scheme is not None
    body = zoom_validation(token)
    with pytest.raises(SignatureError):
        greeted("zoom", body, scheme.sign(request({}, body), ZOOM_SECRET), settings_with(zoom=ZOOM_SECRET))


def test_zooms_handshake_needs_zooms_signature() -> None:
    for headers in (KEY, {**KEY, **ZOOM_HEADERS}):
        with pytest.raises(SignatureError):
            greeted("zoom", zoom_validation("abc"), headers, settings_with(zoom=ZOOM_SECRET), now=1720705455)


@pytest.mark.parametrize("headers", [{}, {"x-webhook-signature": "x", "x-webhook-timestamp": "1"}])
def test_daily_checks_an_address_before_there_is_a_secret(headers: dict[str, str]) -> None:
    assert greeted("daily", b'{"test": "test"}', headers, SETTINGS) == {"status": "ok"}
    for body in (b'{"test":"test","id":"ev-1"}', b'{"test":"text"}'):
        with pytest.raises(Exception, match=r"secret|missing"):
            greeted("daily", body, headers, SETTINGS)


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b'{"hook_id": "h1"}'])
def test_grain_checks_a_hook_with_nothing_or_without_a_type(body: bytes) -> None:
    secret = settings_with(grain="grains secret")
    sent = request({}, body, source="grain", path_secret="grains secret")
    assert accept(sent, secret) == Greeting({"status": "ok"})
    with pytest.raises(SignatureError):
        accept(request({}, body, source="grain", path_secret="another"), secret)


def test_grains_real_deliveries_are_kept() -> None:
    assert taken("grain", {"data": {"id": "g1"}}).event == "transcript"


def test_omis_sound_is_acknowledged_and_not_kept() -> None:
    headers = {**KEY, "content-type": "application/octet-stream"}
    assert greeted("omi", b"\x00\x01\xff", headers, SETTINGS) == {"status": "ignored"}


def test_omi_asks_whether_it_is_set_up() -> None:
    secret = settings_with(omi="omis secret")
    asked = request({}, b"", source="omi", path_secret="omis secret", query={"uid": "u7"})
    assert accept_setup(asked, secret) == Greeting({"is_setup_completed": True})
    with pytest.raises(SignatureError):
        accept_setup(request({}, b"", source="omi", path_secret="another"), secret)
    assert accept_setup(request(KEY, b"", source="zoom"), secret) is None


# Who waits for an answer


@pytest.mark.parametrize(
    ("source", "body", "waits"),
    [
        ("native", {"type": "collaborative_session_command", "command": "query_memories"}, True),
        ("native", {"type": "collaborative_session_command", "command": "list_sessions"}, True),
        ("native", {"type": "collaborative_session_command", "command": "pause_session"}, False),
        ("native", {"type": "collaborative_session_command", "command": "pause_session", "sync": True}, True),
        ("native", {"type": "collaborative_session_command", "command": "pause_session", "sync": "yes"}, False),
        ("native", {"type": "task_command", "sync": True}, True),
        ("chatgpt", {"operation": "what_was_decided"}, True),
        ("chatgpt", {"operation": "remember", "text": "Blue.", "sync": True}, False),
        ("generic", {"text": "Hello.", "sync": True}, False),
    ],
)
def test_who_waits_for_what_comes_of_it(source: str, body: Any, waits: bool) -> None:
    assert taken(source, body).sync is waits


def test_chatgpts_words_are_one_delivery_a_day_and_its_questions_are_new_each_time() -> None:
    task = {"operation": "add_task", "title": "Order tiles"}
    assert taken("chatgpt", task).key == taken("chatgpt", task).key
    later = accept(request(KEY, orjson.dumps(task), source="chatgpt", now=1_772_000_000 + 86_400), SETTINGS)
    assert isinstance(later, Delivery)
    assert later.key != taken("chatgpt", task).key
    question = {"operation": "what_was_decided"}
    assert taken("chatgpt", question).key != taken("chatgpt", question).key
    for unknown in ("telepathy", None, ["remember"]):
        with pytest.raises(UnknownKind):
            taken("chatgpt", {"operation": unknown})


# At the start


def test_a_listed_source_without_a_secret_keeps_the_service_from_starting() -> None:
    environment = {"WEBHOOK_API_KEY": API_KEY, "WEBHOOK_SOURCES": "zoom, my-own, omi", "WEBHOOK_SECRET_OMI": "secret"}
    with pytest.raises(SettingsError, match="set WEBHOOK_SECRET_ZOOM, WEBHOOK_SECRET_MY_OWN"):
        check_secrets(Settings.from_env(environment, env_file=None))
    environment |= {"WEBHOOK_SECRET_ZOOM": "zoom's", "WEBHOOK_SECRET_MY_OWN": "mine"}
    check_secrets(Settings.from_env(environment, env_file=None))


@pytest.mark.parametrize("url", ["hooks.example.org", "ftp://x", "https://", "https://x?a=b"])
def test_a_public_address_that_is_none_is_told_at_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match="AI_WEBHOOK_PUBLIC_URL"):
        Settings.from_env({"AI_WEBHOOK_PUBLIC_URL": url}, env_file=None)


@pytest.mark.parametrize(
    ("source", "secret"),
    [
        ("daily", "not base64"),
        ("fathom", "whsec_é"),
        ("zoom", "whsec_not base64"),
        ("openai", "whpk_AAAA"),
        ("mine", "whsec_"),
    ],
)
def test_a_secret_that_could_never_verify_is_named_at_the_start(source: str, secret: str) -> None:
    with pytest.raises(SettingsError, match=f"WEBHOOK_SECRET_{source.upper()}.*base64") as refusal:
        check_secrets(settings_with(**{source: secret}))
    assert secret == "whsec_" or secret not in refusal.value.message
