"""From a request to a delivery: who sent it, under which id, and of which kind. Pure; reads no more than it must.

Every source may bring the API key. A source with a signing secret (WEBHOOK_SECRET_<SOURCE>) may sign instead,
by Standard Webhooks or like GitHub; a signature that is there is checked, and a wrong one is not saved by a key.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from domain.delivery import NATIVE, SOURCE_NAME, Delivery
from domain.errors import (
    EmptyBody,
    InvalidJson,
    InvalidRequest,
    SettingsError,
    SignatureError,
    UnknownKind,
    UnknownSource,
)
from domain.settings import Settings
from ingest import signatures

TEXT_TYPES = ("text/plain", "text/markdown", "text/vtt", "text/srt", "application/x-subrip")
NATIVE_KINDS = ("collaborative_session_command", "llm_conversation_insight", "task_command")
# Commands that add the same words again when they are repeated. The others put something in its place under a
# name of its own, so a repeat of the same bytes can be meant (pause, resume, pause).
APPENDING = ("append_conversation", "conversation_chunk", "batch")
MAX_LEVELS = 100
BOM = b"\xef\xbb\xbf"
ID_CHARS = 500


@dataclass(frozen=True, slots=True)
class Request:
    """What of an HTTP request matters here. Header names are lower case."""

    source: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    received_at: datetime


def accept(request: Request, settings: Settings) -> Delivery:
    """Verifies and identifies a request; raises one of domain.errors.Refused."""
    if not SOURCE_NAME.match(request.source):
        raise UnknownSource("The name of the source in the URL is not one.")
    signed_id = verify(request, settings)
    if not request.body.strip():
        raise EmptyBody("The body is empty.")
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content_type in TEXT_TYPES:
        event, own_id = "transcript." + content_type.rpartition("/")[2], digest(request.body)
    else:
        content_type = "application/json"
        event, own_id = identify(request.source, parse(request.body), request.body)
    delivery_id = signed_id or request.headers.get("idempotency-key") or own_id
    session_id = request.query.get("session")
    if len(delivery_id) > ID_CHARS:
        raise InvalidRequest(f"The delivery id is longer than {ID_CHARS} characters.")
    if "\x00" in delivery_id or "\x00" in (session_id or ""):  # PostgreSQL could never record it
        raise InvalidRequest("The delivery id or the session in the URL holds a NUL character.")
    return Delivery(
        source=request.source,
        delivery_id=delivery_id,
        event=event,
        received_at=request.received_at.astimezone(UTC),
        content_type=content_type,
        body=request.body,
        session_id=session_id,
    )


def verify(request: Request, settings: Settings) -> str | None:
    """Raises unless the sender is who it says; returns the delivery id that the signature covers, if it does."""
    standard = "webhook-signature" in request.headers or "svix-signature" in request.headers
    if not standard and "x-hub-signature-256" not in request.headers:
        signatures.verify_api_key(request.headers, settings.api_keys())
        return None
    secrets = settings.secrets_of(request.source)
    if not secrets:
        name = "WEBHOOK_SECRET_" + request.source.upper().replace("-", "_")
        raise SignatureError("This source has no signing secret here.", hint=f"Set {name}, or send the API key.")
    if standard:
        return signatures.verify_standard_webhooks(
            request.headers,
            request.body,
            secrets,
            now=request.received_at.timestamp(),
            window_seconds=settings.signature_window_seconds,
        )
    signatures.verify_github(request.headers, request.body, secrets)
    return request.headers.get("x-github-delivery")


def parse(body: bytes) -> dict[str, Any]:
    """The body as a JSON object that can be kept; raises InvalidJson."""
    try:
        value = orjson.loads(body.removeprefix(BOM))  # as the readers do
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"The body is not JSON: {plain_reason(error)}.") from None
    if not isinstance(value, dict):
        raise InvalidJson(f"The body is a JSON {type(value).__name__}; an object is expected.")
    if body.count(b"[") + body.count(b"{") > MAX_LEVELS and levels(value) > MAX_LEVELS:
        raise InvalidJson(f"The body is nested deeper than {MAX_LEVELS} levels.")
    return value


def plain_reason(error: orjson.JSONDecodeError) -> str:
    """orjson's reason without the text around the place, which may be what was said."""
    return f"{error.msg.partition(':')[0].strip()} (line {error.lineno}, column {error.colno})"


def levels(value: Any) -> int:
    """How deep a JSON value is nested, counted level by level: recursion would end before the nesting does."""
    depth, level = 0, [value]
    while level:
        depth += 1
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(v for v in item.values() if isinstance(v, dict | list))
            elif isinstance(item, list):
                below.extend(v for v in item if isinstance(v, dict | list))
        level = below
    return depth


def identify(source: str, value: dict[str, Any], body: bytes) -> tuple[str, str]:
    """(event, delivery id) of a JSON body that carries no id of its own in a header."""
    if source == NATIVE:
        return identify_native(value, body)
    given = value.get("delivery_id")
    event = event_name(value.get("type")) or event_name(value.get("event")) or "transcript"
    return event, given if isinstance(given, str) and given else digest(body)


def identify_native(value: dict[str, Any], body: bytes) -> tuple[str, str]:
    kind, command = value.get("type"), value.get("command")
    if kind not in NATIVE_KINDS:
        raise UnknownKind("The body's `type` is missing." if kind is None else "The body's `type` is none we know.")
    given = value.get("delivery_id")
    if isinstance(given, str) and given:
        delivery_id = given
    elif kind == "llm_conversation_insight" or command in APPENDING:
        delivery_id = digest(body)
    else:
        delivery_id = str(uuid.uuid4())
    return event_name(command) or kind, delivery_id


def event_name(value: Any) -> str | None:
    """A sender's word for the kind of a delivery, in a form that PostgreSQL can record; None for anything else."""
    return value.replace("\x00", "")[:100] or None if isinstance(value, str) else None


def digest(body: bytes) -> str:
    """The id of a delivery whose sender gives none: the same bytes are the same delivery."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def check_secrets(settings: Settings) -> None:
    """Raises SettingsError at start-up for a secret that could never verify anything, and when there is none at all."""
    for source in settings.source_secrets:
        for secret in settings.secrets_of(source):
            signatures.standard_key(secret)
    if not settings.api_keys() and not settings.source_secrets:
        raise SettingsError(
            "No sender could be trusted: neither WEBHOOK_API_KEY nor any WEBHOOK_SECRET_<SOURCE> is set.",
            hint="Set WEBHOOK_API_KEY to a long random text; `ai-webhook up` makes one by itself.",
        )
