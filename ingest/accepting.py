"""From a request to a delivery: who sent it, under which id, and of which kind. Pure; reads no more than it must."""

import hashlib
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from domain.delivery import SOURCE_NAME, Delivery
from domain.errors import EmptyBody, InvalidJson, InvalidRequest, UnknownSource
from domain.settings import Settings
from ingest.credentials import Proof, authenticate
from ingest.request import FORM, Request
from ingest.sources import Identity, Source, Value, source_named

JSON = "application/json"
TEXT_TYPES = ("text/plain", "text/markdown", "text/vtt", "text/srt", "application/x-subrip")
ID_CHARS = 500
EVENT_CHARS = 100


@dataclass(frozen=True, slots=True)
class Greeting:
    """A handshake: what is answered to it. There is nothing to keep."""

    answer: dict[str, Any]


def accept(request: Request, settings: Settings) -> Delivery | Greeting:
    """Verifies and identifies a request; raises one of domain.errors.Refused."""
    if not SOURCE_NAME.match(request.source):
        raise UnknownSource("The name of the source in the URL is not one.")
    source = source_named(request.source)
    if (answer := source.probe(request, ())) is not None:
        return Greeting(answer)
    proof = authenticate(request, source, settings)
    if (answer := source.handshake(request, settings.secrets_of(request.source))) is not None:
        return Greeting(answer)
    content_type, value = read_body(request, source)
    identity = identify(request, source, content_type, value)
    return checked(
        Delivery(
            source=request.source,
            delivery_id=delivery_id_of(request, proof, identity),
            event=event_name(identity.event),
            received_at=request.received_at.astimezone(UTC),
            content_type=content_type,
            body=request.body,
            session_id=request.query.get("session") or source.session(value, request),
            sync=value is not None and source.waits is not None and source.waits(value, identity),
        )
    )


def accept_setup(request: Request, settings: Settings) -> Greeting | None:
    """What a source answers to GET: whether it is set up, once it has proved who it is. None when it asks no such."""
    source = source_named(request.source)
    if source.setup is None:
        return None
    authenticate(request, source, settings)
    return Greeting(source.setup)


def read_body(request: Request, source: Source) -> tuple[str, Value]:
    """The content type to keep and the body as JSON; None for a body that is text."""
    if not request.body.strip():
        raise EmptyBody("The body is empty.")
    if source.forms and request.media_type == FORM:
        return FORM, dict(request.form)
    if request.media_type in TEXT_TYPES and not is_json_all_the_same(request, source):
        return request.media_type, None
    if not is_expected(request.value, source):
        raise InvalidJson(f"The body is a JSON {type(request.value).__name__}; an object is expected.")
    return JSON, request.value


def is_json_all_the_same(request: Request, source: Source) -> bool:
    """fetch() and curl call JSON text/plain when nobody tells them better."""
    if request.media_type != "text/plain" or request.body.lstrip()[:1] not in (b"{", b"["):
        return False
    try:
        return is_expected(request.value, source)
    except InvalidJson:
        return False


def is_expected(value: Value, source: Source) -> bool:
    return isinstance(value, dict) or (source.lists and isinstance(value, list))


def identify(request: Request, source: Source, content_type: str, value: Value) -> Identity:
    if value is None:
        return Identity("transcript." + content_type.rpartition("/")[2])
    return source.identify(value, request)


def delivery_id_of(request: Request, proof: Proof, identity: Identity) -> str:
    """A header that no signature covers counts only where nothing is signed: it would let a replay pass as new."""
    unsigned = None if proof.signed else request.headers.get("idempotency-key")
    return proof.delivery_id or unsigned or identity.id or digest(request.body)


def checked(delivery: Delivery) -> Delivery:
    """The delivery, if PostgreSQL can record it."""
    if len(delivery.delivery_id) > ID_CHARS:
        raise InvalidRequest(f"The delivery id is longer than {ID_CHARS} characters.")
    if "\x00" in delivery.delivery_id or "\x00" in (delivery.session_id or ""):
        raise InvalidRequest("The delivery id or the session in the URL holds a NUL character.")
    return delivery


def event_name(value: Any) -> str:
    """A sender's word for the kind of a delivery, in a form that PostgreSQL can record."""
    named = value.replace("\x00", "")[:EVENT_CHARS] if isinstance(value, str) else ""
    return named or "transcript"


def digest(body: bytes) -> str:
    """The id of a delivery whose sender gives none: the same bytes are the same delivery."""
    return "sha256:" + hashlib.sha256(body).hexdigest()
