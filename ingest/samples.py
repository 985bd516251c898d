"""What a person who sets a sender up is told and can try: how it signs, and a few words posted as it would post."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from domain.delivery import delivery_key
from domain.errors import SettingsError
from domain.settings import Settings
from ingest.accepting import JSON, digest
from ingest.credentials import how_to_come_in
from ingest.request_signatures import LiveKit, Twilio
from ingest.signatures import (
    PUBLIC_KEY,
    STANDARD,
    BodySignature,
    FieldSignature,
    Retell,
    Scheme,
    TimedSignature,
    TimestampHeader,
    Ultravox,
    Zoom,
)
from ingest.signing import sign_as
from ingest.sources import SOURCES, source_named

TEXT = "text/plain"


@dataclass(frozen=True, slots=True)
class Sample:
    """A request to ourselves. `key` is that of the delivery which comes of it, where the answer does not say."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    key: str


def sample_as(source: str, settings: Settings, *, server: str, now: datetime) -> Sample:
    """A few words as this source would post them to us at `server`: signed with its own secret, or with the API key
    where it has none. Each time they are others, so that none passes for a repeat; all go into one session.

    Raises SettingsError when there is nothing to sign with.
    """
    content_type, body = words_of(source, now)
    base_url = settings.public_url or server
    query = {"session": f"test-{source}"}
    key = delivery_key(source, digest(body))
    secret = first_secret(settings.secrets_of(source))
    if secret is not None:
        how = {"base_url": base_url, "content_type": content_type}
        path, headers = sign_as(source, body, secret, query=query, now=now, **how)
        return Sample(path, headers, body, key)
    if not settings.api_keys():
        raise SettingsError("There is neither a secret of this source nor an API key.", hint=how_to_come_in(source))
    headers = {"content-type": content_type, "authorization": f"Bearer {settings.api_keys()[0]}"}
    return Sample(f"/webhook/{source}?session={query['session']}", headers, body, key)


def first_secret(secrets: Sequence[str]) -> str | None:
    """The newest with which one can sign: a public key only verifies."""
    return next((secret for secret in secrets if not secret.startswith(PUBLIC_KEY)), None)


def words_of(source: str, now: datetime) -> tuple[str, bytes]:
    """(content type, body). Text is read whoever sends it; synthflow signs a field, so there has to be one."""
    said = f"This is a test of {source}, sent from the console at {now:%H:%M:%S} UTC ({uuid.uuid4().hex[:8]})."
    if source == "synthflow":
        call = {"call_id": str(uuid.uuid4()), "status": "completed", "duration": 1, "transcript": f"human: {said}"}
        return JSON, orjson.dumps(call)
    return TEXT, f"Test: {said}".encode()


def how_it_signs(source: str) -> str:
    """In a sentence for people: by which header a delivery of this source proves where it comes from."""
    row = source_named(source)
    scheme = row.scheme or (None if source in SOURCES else STANDARD)
    if scheme is not None:
        return told(scheme)
    if row.secret_headers:
        names = " or ".join(header_name(name) for name in row.secret_headers)
        return f"The secret itself, in {names}."
    return "Not at all: the secret stands at the end of the address."


def told(scheme: Scheme) -> str:
    match scheme:
        case BodySignature(header=header):
            return f"{header_name(header)}: HMAC-SHA256 of the body."
        case TimedSignature(header=header):
            return f"{header_name(header)}: a time, and the HMAC-SHA256 of time and body."
        case TimestampHeader(header=header, time_header=time_header):
            return f"{header_name(header)}, over the time in {header_name(time_header)} and the body."
        case FieldSignature(header_names=names, paths=paths):
            return f"{header_name(names[0])}: HMAC-SHA256 of `{paths[0]}` alone."
        case Retell() | Ultravox():
            return f"{header_name(scheme.header)}: HMAC-SHA256 of body and time."
        case Zoom():
            return "X-Zm-Signature, over the time in X-Zm-Request-Timestamp and the body."
        case Twilio():
            return "X-Twilio-Signature, over the address as Twilio calls it, and the form."
        case LiveKit():
            return "A token in Authorization, signed with the API secret, that holds the digest of the body."
        case _:
            return "Standard Webhooks: Webhook-Id, Webhook-Timestamp and Webhook-Signature."


def header_name(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))
