"""The table of senders: how each signs, where its secret may be, how a delivery is known, and what is answered.

A row says only where a sender differs from our own form. The facts are the senders' own documentation; what a body
says is left to the readers of the workers.
"""

import hashlib
import hmac
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.delivery import NATIVE
from domain.errors import SettingsError, SignatureError, UnknownKind
from domain.settings import SOURCE_SECRET_PREFIX, Settings
from ingest import chatgpt
from ingest.request import Request, at
from ingest.request_signatures import LiveKit, Twilio
from ingest.signatures import (
    GITHUB,
    STANDARD,
    BodySignature,
    FieldSignature,
    Retell,
    Scheme,
    TimedSignature,
    TimestampHeader,
    Ultravox,
    Zoom,
    base64_key,
    base64_or_text_key,
)

Value = Any  # a body as JSON: an object, or a list where the source sends lists
Json = dict[str, Any]
Path = str | tuple[str, ...]  # where a value lies, `a.b.c`; several are looked at in turn


@dataclass(frozen=True, slots=True)
class Identity:
    """What kind of delivery this is and by which id it is known. Without an id the body's digest is taken."""

    event: Any
    id: str | None = None


Identify = Callable[[Value, Request], Identity]
Handshake = Callable[[Request, Sequence[str]], Json | None]


def never(request: Request, secrets: Sequence[str]) -> Json | None:
    """No handshake."""
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """A sender. `scheme` is its own way to sign; Standard Webhooks and GitHub's are open to everybody.

    secret_headers  where it may bring its secret as it is; secret_path: where in the body
    probe           a check of the address that is answered to anybody; it tells nothing and keeps nothing
    handshake       one that is answered when the sender has proved who it is
    setup           answers GET with this
    status          of the answer to what was accepted; 204 has no body
    answer          what its clients expect in it besides
    waits           whether the sender wants what comes of a delivery in the answer; None: never
    session         the session of a body that cannot name it
    operations      what may stand at the end of the address, in place of a secret
    """

    identify: Identify
    scheme: Scheme | None = None
    secret_headers: tuple[str, ...] = ()
    secret_path: str | None = None
    lists: bool = False
    forms: bool = False
    probe: Handshake = never
    handshake: Handshake = never
    setup: Json | None = None
    status: int = 200
    answer: Callable[[Request], Json] = lambda request: {}
    waits: Callable[[Value, Identity], bool] | None = None
    session: Callable[[Value, Request], str | None] = lambda value, request: None
    operations: tuple[str, ...] = ()


def first(value: Value, path: Path) -> Any:
    """The first of these places where something lies."""
    paths = (path,) if isinstance(path, str) else path
    return next((found for one in paths if (found := at(value, one)) is not None), None)


def joined(*parts: Any) -> str | None:
    """Texts and whole numbers as one id; None when one of them is missing or something else."""
    if not all(isinstance(part, str | int) and not isinstance(part, bool) and part != "" for part in parts):
        return None
    return ":".join(str(part) for part in parts)


def by(event: Path | None, *id_parts: Path, word: str = "transcript") -> Identify:
    """Known by what lies at these places; `word` is the event of a sender that names none."""

    def identify(value: Value, request: Request) -> Identity:
        named = first(value, event) if event is not None else None
        return Identity(named or word, joined(*(first(value, part) for part in id_parts)) if id_parts else None)

    return identify


NATIVE_KINDS = ("collaborative_session_command", "llm_conversation_insight", "task_command")
# Commands that add the same words again when they are repeated. The others put something in its place under a
# name of its own, so a repeat of the same bytes can be meant (pause, resume, pause).
APPENDING = ("append_conversation", "conversation_chunk", "batch")
QUERIES = ("query_memories", "retrieve_memory", "list_sessions", "get_session_summary")


def identify_native(value: Value, request: Request) -> Identity:
    kind, command, given = value.get("type"), value.get("command"), value.get("delivery_id")
    if kind not in NATIVE_KINDS:
        raise UnknownKind("The body's `type` is missing." if kind is None else "The body's `type` is none we know.")
    event = command if isinstance(command, str) and command else kind
    if isinstance(given, str) and given:
        return Identity(event, given)
    repeatable = kind != "llm_conversation_insight" and command not in APPENDING
    return Identity(event, str(uuid.uuid4()) if repeatable else None)


def waits_native(value: Value, identity: Identity) -> bool:
    return value.get("sync") is True or identity.event in QUERIES


def native_answer(request: Request) -> Json:
    """What clients read that know the service from before it had deliveries."""
    event, delivery_id = request.headers.get("x-github-event"), request.headers.get("x-github-delivery")
    return {"event": event, "delivery_id": delivery_id, "clients_notified": 0}


def identify_generic(value: Value, request: Request) -> Identity:
    given = value.get("delivery_id")
    kinds = [kind for kind in (value.get("type"), value.get("event")) if isinstance(kind, str) and kind]
    return Identity(kinds[0] if kinds else "transcript", given if isinstance(given, str) else None)


def identify_chatgpt(value: Value, request: Request) -> Identity:
    """A model sends no id. What it says twice on one day is a retry; a question is asked anew each time."""
    operation = request.operation or value.get("operation")
    if not isinstance(operation, str) or operation not in chatgpt.OPERATIONS:
        known = ", ".join(chatgpt.OPERATIONS)
        raise UnknownKind(
            "The `operation` is missing or none we know.", hint=f"Post to /webhook/chatgpt/ and one of {known}."
        )
    chatgpt.check_fields(operation, value)
    if operation == "what_was_decided":
        return Identity(operation, str(uuid.uuid4()))
    words = hashlib.sha256(request.body).hexdigest()
    return Identity(operation, joined(operation, request.received_at.date().isoformat(), words))


def identify_vapi(value: Value, request: Request) -> Identity:
    """Live events of one call share everything but their content. Reports are not told apart by content, since each
    try has other links in it."""
    message = at(value, "message")
    kind, call = at(message, "type"), first(message, ("call.id", "timestamp"))
    once = kind in ("end-of-call-report", "hang", "assistant-request")
    return Identity(kind, joined(kind, call) if once else None)


def identify_retell(value: Value, request: Request) -> Identity:
    """The four events of a talk come once each; those in between come as often as something happens."""
    event = at(value, "event")
    once = event in ("call_started", "call_ended", "call_analyzed", "chat_started", "chat_ended", "chat_analyzed")
    return Identity(event, joined(event, first(value, ("call.call_id", "chat.chat_id"))) if once else None)


def identify_omi(value: Value, request: Request) -> Identity:
    if isinstance(value, list) or "segments" in value:
        return Identity("live_transcript")
    if "summary_json" in value:
        return Identity("day_summary")
    return Identity("conversation", joined(value.get("id")))


def omi_session(value: Value, request: Request) -> str | None:
    """Bare segments name their talk in the URL alone; the name is what it would be if the body held it."""
    named = request.query.get("session_id") or request.query.get("uid")
    return f"{request.source}-{named}" if isinstance(value, list) and named else None


def identify_recall(value: Value, request: Request) -> Identity:
    """Live words come many times for one bot; unsigned, only what happens once has an id."""
    event = at(value, "event")
    once = event == "transcript.done" or (isinstance(event, str) and not event.startswith("transcript."))
    subject = first(value, ("data.transcript.id", "data.recording.id", "data.bot.id"))
    return Identity(event, joined(event, subject, first(value, ("data.data.updated_at", "event"))) if once else None)


def identify_assemblyai(value: Value, request: Request) -> Identity:
    if at(value, "transcript_id") is not None:
        status = at(value, "status")
        return Identity(f"transcript.{status}", joined(value["transcript_id"], status))
    return Identity("session", joined(at(value, "session_id")))


def identify_grain(value: Value, request: Request) -> Identity:
    """A recording is added once, and updated as often as it likes."""
    event = at(value, "type")
    once = isinstance(event, str) and not event.endswith("_updated")
    return Identity(event, joined(event, at(value, "data.id")) if once else None)


def identify_twilio(value: Value, request: Request) -> Identity:
    """A callback about a call, a voice message or a finished transcript; event streams put their events in a list."""
    if isinstance(value, list):
        return Identity(at(value, "0.type"), joined(at(value, "0.id")) if len(value) == 1 else None)
    event = first(value, ("TranscriptionEvent", "event_type", "TranscriptionStatus"))
    parts = (first(value, ("TranscriptionSid", "transcript_sid")), event, at(value, "SequenceId"))
    return Identity(event, joined(*(part for part in parts if part is not None)) if parts[0] is not None else None)


def identify_github(value: Value, request: Request) -> Identity:
    event, action = request.headers.get("x-github-event"), at(value, "action")
    named = f"{event}.{action}" if event and isinstance(action, str) else event
    return Identity(named, request.headers.get("x-github-delivery"))


def zoom_validation(request: Request, secrets: Sequence[str]) -> Json | None:
    """Zoom asks, now and then, whether we have the secret: it wants a token back, signed with the one it has."""
    if b"endpoint.url_validation" not in request.body or at(request.value, "event") != "endpoint.url_validation":
        return None
    token = at(request.value, "payload.plainToken")
    # Whatever is signed here must never read as `v0:TIME:body`, which is what Zoom's deliveries are signed over.
    if not (isinstance(token, str) and len(token) <= 200 and token.replace("-", "").replace("_", "").isalnum()):
        raise SignatureError("The token of the validation is not one.")
    secret = next((one for one in secrets if is_signed_with(one, request)), None)
    if secret is None:
        raise SignatureError("The validation has to be signed.")
    encrypted = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
    return {"plainToken": token, "encryptedToken": encrypted}


def is_signed_with(secret: str, request: Request) -> bool:
    try:
        Zoom().verify(request, [secret])
    except SignatureError:
        return False
    return True


def daily_probe(request: Request, secrets: Sequence[str]) -> Json | None:
    """Sent when a webhook is made, before we can have its secret."""
    return {"status": "ok"} if request.body.strip()[:40].replace(b" ", b"") == b'{"test":"test"}' else None


def grain_check(request: Request, secrets: Sequence[str]) -> Json | None:
    """Sent when a hook is made: nothing, or something without a type."""
    if not request.body.strip():
        return {"status": "ok"}
    if b'"type"' in request.body or not request.body.lstrip().startswith(b"{"):
        return None
    return None if "data" in request.value else {"status": "ok"}


def omi_audio(request: Request, secrets: Sequence[str]) -> Json | None:
    """Raw sound is not ours; Omi would switch a hook off that refuses it."""
    return {"status": "ignored"} if request.media_type == "application/octet-stream" else None


ANY_HEADER = ("authorization", "x-api-key")

UNKNOWN = "other"

SOURCES: Mapping[str, Source] = {
    NATIVE: Source(identify_native, GITHUB, answer=native_answer, waits=waits_native),
    "generic": Source(identify_generic, STANDARD),
    "chatgpt": Source(
        identify_chatgpt,
        operations=tuple(chatgpt.OPERATIONS),
        secret_headers=ANY_HEADER,
        waits=lambda value, identity: identity.event == "what_was_decided",
    ),
    "openai": Source(by("type", "id"), STANDARD),
    "elevenlabs": Source(
        by("type", "type", "data.conversation_id", "event_timestamp"), TimedSignature("elevenlabs-signature")
    ),
    "vapi": Source(
        identify_vapi,
        TimestampHeader("x-signature", "x-timestamp"),
        secret_headers=("authorization", "x-vapi-secret"),
    ),
    "retell": Source(identify_retell, Retell()),
    "omi": Source(
        identify_omi, lists=True, handshake=omi_audio, setup={"is_setup_completed": True}, session=omi_session
    ),
    "fathom": Source(by(None, ("recording_id", "share_url", "url"), word="meeting"), STANDARD),
    "readai": Source(by("trigger", "request_id"), BodySignature("x-read-signature", keys=base64_or_text_key)),
    "bland": Source(by(None, "call_id", word="call"), BodySignature("x-webhook-signature")),
    "synthflow": Source(
        by(None, ("call.call_id", "call_id"), word="call"),
        FieldSignature(
            ("synthflow-signature", "http-synthflow-signature", "http_synthflow_signature"), ("call.call_id", "call_id")
        ),
    ),
    "speechify": Source(by("event", "event", "conversation.id"), TimedSignature("speechify-signature")),
    "circleback": Source(by(None, "id", word="meeting"), BodySignature("x-signature")),
    "recall": Source(identify_recall, STANDARD),
    "otter": Source(by("meta.webhook.event", ("data.id", "id"), word="conversation_completed")),
    "assemblyai": Source(identify_assemblyai, secret_headers=ANY_HEADER),
    "deepgram": Source(
        by(None, ("metadata.request_id", "request_id")),
        secret_headers=("authorization",),
        secret_path="metadata.extra.callback_secret",  # noqa: S106 - where one lies
    ),
    "fireflies": Source(
        by(("event", "eventType"), ("event", "eventType"), ("meeting_id", "meetingId")),
        BodySignature("x-hub-signature"),
    ),
    "granola": Source(by("event_type", "event_id", word="note"), STANDARD),
    "zoom": Source(
        by(
            "event",
            "event",
            (
                "payload.object.uuid",
                "payload.object.meeting_uuid",
                "payload.object.engagement_id",
                "payload.object.recordings.0.call_id",
            ),
            "event_ts",
        ),
        Zoom(),
        handshake=zoom_validation,
    ),
    "grain": Source(identify_grain, handshake=grain_check),
    "tldv": Source(by("event", "event", "id"), secret_headers=ANY_HEADER),
    "twilio": Source(identify_twilio, Twilio(), lists=True, forms=True),
    "livekit": Source(by("event", "id"), LiveKit()),
    "daily": Source(
        by("type", "id"),
        TimestampHeader("x-webhook-signature", "x-webhook-timestamp", keys=base64_key),
        probe=daily_probe,
    ),
    "ultravox": Source(by("event", "event", "call.callId"), Ultravox(), status=204),
    "github": Source(identify_github, GITHUB, forms=True),
}
OTHER = Source(identify_generic)  # a source that the table does not name posts our own form


def source_named(name: str) -> Source:
    return SOURCES.get(name, OTHER)


def label(name: str, settings: Settings) -> str:
    """The name of a source for records and figures; UNKNOWN for all that neither the table nor the settings know, as
    anybody may write anything into an address."""
    is_known = name in SOURCES or name in settings.listed_sources() or settings.secrets_of(name)
    return name if is_known else UNKNOWN


def check_secrets(settings: Settings) -> None:
    """Raises SettingsError at start-up for a secret that could never verify anything, for a source that is listed in
    WEBHOOK_SOURCES and has none, and when there is no secret at all."""
    for name in settings.source_secrets:
        scheme = source_named(name).scheme
        for secret in settings.secrets_of(name):
            check_secret(name, secret, scheme or STANDARD)
    without = [name for name in settings.listed_sources() if not settings.secrets_of(name)]
    if without:
        names = ", ".join(SOURCE_SECRET_PREFIX + name.upper().replace("-", "_") for name in without)
        raise SettingsError(
            f"WEBHOOK_SOURCES lists sources that have no secret: set {names}.",
            hint="It is the signing secret that the sender shows, or one of your own for the URL.",
        )
    if not settings.api_keys() and not settings.source_secrets:
        raise SettingsError(
            "No sender could be trusted: neither WEBHOOK_API_KEY nor any WEBHOOK_SECRET_<SOURCE> is set.",
            hint="Set WEBHOOK_API_KEY to a long random text; `ai-webhook up` makes one by itself.",
        )


def check_secret(name: str, secret: str, scheme: Scheme) -> None:
    """Standard Webhooks is open to every source, so a secret in its form has to be right in that too."""
    setting = SOURCE_SECRET_PREFIX + name.upper()
    try:
        scheme.check(secret)
        STANDARD.check(secret)
    except SettingsError as error:
        raise SettingsError(f"{setting}: {error.message}", hint=error.hint) from None
