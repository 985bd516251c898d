"""How senders sign: one class a family, with its verifying and its signing side by side. All of it pure.

A scheme is told apart by its headers; `verify` raises SignatureError for whatever is missing, malformed or wrong, and
nothing else ever escapes. Several secrets are valid at once while one is rotated. Everything compares in constant time,
over the raw bytes: a body that was parsed and written out again does not verify.

Senders whose signature covers more than body and time are in ingest/request_signatures.py.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain.errors import Refused, SettingsError, SignatureError, SignatureExpired
from domain.standard_webhooks import decoded, key_after, signed_headers, signed_text, standard_key
from ingest.request import Headers, Request, at

Keys = Callable[[str], list[bytes]]  # from a configured secret to the keys that it may stand for

PUBLIC_KEY = "whpk_"  # what a key begins with that only verifies
RETELL = re.compile(r"v=([0-9]{1,15}),d=([0-9a-f]{64})")
MILLISECONDS = 100_000_000_000  # a time at or above this counts milliseconds: as seconds it would be in the year 5138


class Scheme(Protocol):
    """How a sender proves who it is."""

    def announced(self, headers: Headers) -> bool:
        """Whether a request claims to be signed like this."""

    def verify(self, request: Request, secrets: Sequence[str]) -> str | None:
        """Raises SignatureError; returns the delivery id that the signature covers, if it does."""

    def sign(self, request: Request, secret: str) -> dict[str, str]:
        """The headers with which this sender would send the request."""

    def check(self, secret: str) -> object:
        """Raises SettingsError for a secret that could never verify anything."""


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """Standard Webhooks v1 and v1a, and Svix's header names. The message id is the same over all retries.

    Over `id.timestamp.body`: HMAC-SHA256 for a secret `whsec_…`, ed25519 for a public key `whpk_…`, base64. The header
    may hold several signatures; those of unknown versions are skipped. Rule: standard-webhooks specification.
    """

    def announced(self, headers: Headers) -> bool:
        return "webhook-signature" in headers or "svix-signature" in headers

    def verify(self, request: Request, secrets: Sequence[str]) -> str:
        family = "webhook" if "webhook-signature" in request.headers else "svix"
        try:
            message_id = request.headers[f"{family}-id"]
            timestamp = request.headers[f"{family}-timestamp"]
            signatures = request.headers[f"{family}-signature"].split(" ")
        except KeyError:
            raise SignatureError(
                f"The headers {family}-id, {family}-timestamp and {family}-signature belong together."
            ) from None
        if not message_id:
            raise SignatureError("The message id is empty.")
        check_time(seconds_of(timestamp), request)
        signed = signed_text(message_id, timestamp, request.body)
        given = [decoded(s.removeprefix("v1,")) for s in signatures if s.startswith("v1,")]
        given_asymmetric = [decoded(s.removeprefix("v1a,")) for s in signatures if s.startswith("v1a,")]
        expected = [sha256(standard_key(s), signed) for s in secrets if not s.startswith(PUBLIC_KEY)]
        publics = [public_key(s) for s in secrets if s.startswith(PUBLIC_KEY)]
        matches = [any_equal(one, expected) for one in given]
        matches += [is_signed_by(public, one, signed) for public in publics for one in given_asymmetric]
        if not any(matches):
            raise mismatch()
        return message_id

    def sign(self, request: Request, secret: str) -> dict[str, str]:
        """The same body gets the same id, so that it is the same delivery."""
        message_id = "msg_" + hashlib.sha256(request.body).hexdigest()[:24]
        return sign_standard_webhooks(secret, message_id, int(request.now), request.body)

    def check(self, secret: str) -> object:
        return public_key(secret) if secret.startswith(PUBLIC_KEY) else standard_key(secret)


def sign_standard_webhooks(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers with which a sender signs a body; `secret` is text, `whsec_…`, or the private key `whsk_…`."""
    if not secret.startswith("whsk_"):
        return signed_headers([secret], message_id, timestamp, body)
    private = Ed25519PrivateKey.from_private_bytes(key_after("whsk_", secret)[:32])
    signature = "v1a," + base64.b64encode(private.sign(signed_text(message_id, timestamp, body))).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


@dataclass(frozen=True, slots=True)
class TimedSignature:
    """`t=SECONDS,v0=HEX` over `t.body`: ElevenLabs, Speechify. Retries bring the first time again, so it may be old."""

    header: str
    past_seconds: int = 30 * 60
    future_seconds: int = 5 * 60

    def announced(self, headers: Headers) -> bool:
        return self.header in headers

    def verify(self, request: Request, secrets: Sequence[str]) -> None:
        parts = [part.strip().partition("=") for part in request.headers.get(self.header, "").split(",")]
        times = [value for name, _, value in parts if name == "t"]
        if len(times) != 1:
            raise SignatureError(f"The header {self.header} is not t=…,v0=….")
        check_within(seconds_of(times[0]), request.now, self.past_seconds, self.future_seconds)
        expected = [hex_sha256(secret.encode(), times[0].encode() + b"." + request.body) for secret in secrets]
        check_any([value for name, _, value in parts if name == "v0"], expected)

    def sign(self, request: Request, secret: str) -> dict[str, str]:
        time = str(int(request.now))
        signature = hex_sha256(secret.encode(), time.encode() + b"." + request.body).decode()
        return {self.header: f"t={time},v0={signature}"}

    def check(self, secret: str) -> None:
        """Any text is a key."""


@dataclass(frozen=True, slots=True)
class Retell:
    """`X-Retell-Signature: v=MILLISECONDS,d=HEX` over the body and then the time, five minutes either way."""

    header = "x-retell-signature"
    window_ms = 300_000

    def announced(self, headers: Headers) -> bool:
        return self.header in headers

    def verify(self, request: Request, secrets: Sequence[str]) -> None:
        match = RETELL.fullmatch(request.headers.get(self.header, ""))
        if match is None:
            raise SignatureError(f"The header {self.header} is not v=…,d=….")
        if abs(round(request.now * 1000) - int(match[1])) > self.window_ms:
            raise SignatureExpired("The timestamp is more than 300 seconds off.")
        expected = [hex_sha256(secret.encode(), request.body + match[1].encode()) for secret in secrets]
        check_any([match[2]], expected)

    def sign(self, request: Request, secret: str) -> dict[str, str]:
        time = str(round(request.now * 1000))
        return {self.header: f"v={time},d={hex_sha256(secret.encode(), request.body + time.encode()).decode()}"}

    def check(self, secret: str) -> None:
        """Any text is a key."""


@dataclass(frozen=True, slots=True)
class Zoom:
    """`x-zm-signature: v0=HEX` over `v0:TIME:body`, the time in `x-zm-request-timestamp`. The window is ours."""

    def announced(self, headers: Headers) -> bool:
        return "x-zm-signature" in headers

    def verify(self, request: Request, secrets: Sequence[str]) -> None:
        timestamp = request.headers.get("x-zm-request-timestamp", "")
        check_time(seconds_of(timestamp), request)
        check_any([request.headers.get("x-zm-signature", "")], [self.signature(request, timestamp, s) for s in secrets])

    def sign(self, request: Request, secret: str) -> dict[str, str]:
        timestamp = str(int(request.now))
        signature = self.signature(request, timestamp, secret).decode()
        return {"x-zm-request-timestamp": timestamp, "x-zm-signature": signature}

    def signature(self, request: Request, timestamp: str, secret: str) -> bytes:
        return b"v0=" + hex_sha256(secret.encode(), b"v0:" + timestamp.encode() + b":" + request.body)

    def check(self, secret: str) -> None:
        """Any text is a key."""


def text_key(secret: str) -> list[bytes]:
    return [secret.encode()]


def base64_or_text_key(secret: str) -> list[bytes]:
    """Read.ai's receivers differ on whether the key is base64: it is tried decoded, then as it is."""
    return [key for key in (decoded(secret), secret.encode()) if key]


def base64_key(secret: str) -> list[bytes]:
    return [key_after("", secret)]


@dataclass(frozen=True, slots=True)
class BodySignature:
    """HEX over the body alone: GitHub, Fireflies, Bland, Read.ai, Circleback. It carries no time, so that the delivery
    id is the only defence against a replay."""

    header: str
    prefix: str = "sha256="
    needs_prefix: bool = False
    id_header: str = ""
    keys: Keys = text_key

    def announced(self, headers: Headers) -> bool:
        return self.header in headers

    def verify(self, request: Request, secrets: Sequence[str]) -> str | None:
        given = request.headers.get(self.header, "")
        if self.needs_prefix and not given.startswith(self.prefix):
            raise mismatch()
        expected = [hex_sha256(key, request.body) for secret in secrets for key in self.keys(secret)]
        check_any([given.removeprefix(self.prefix)], expected)
        return request.headers.get(self.id_header)

    def sign(self, request: Request, secret: str) -> dict[str, str]:
        prefix = self.prefix if self.needs_prefix else ""
        return {self.header: prefix + hex_sha256(self.keys(secret)[0], request.body).decode()}

    def check(self, secret: str) -> object:
        return self.keys(secret)


@dataclass(frozen=True, slots=True)
class TimestampHeader:
    """Hex or base64 over `TIME.body`, the time in a header of its own, in seconds or milliseconds: Vapi, Daily."""

    header: str
    time_header: str
    keys: Keys = text_key

    def announced(self, headers: Headers) -> bool:
        return self.header in headers

    def verify(self, request: Request, secrets: Sequence[str]) -> None:
        timestamp, given = request.headers.get(self.time_header, ""), request.headers.get(self.header, "")
        check_time(time_of(timestamp), request)
        signed = timestamp.encode() + b"." + request.body
        expected = [sha256(key, signed) for secret in secrets for key in self.keys(secret)]
        if not any_equal(from_hex_or_base64(given), expected):
            raise mismatch()

    def sign(self, request: Request, secret: str) -> dict[str, str]:
        timestamp = str(int(request.now))
        signature = sha256(self.keys(secret)[0], timestamp.encode() + b"." + request.body)
        return {self.time_header: timestamp, self.header: base64.b64encode(signature).decode()}

    def check(self, secret: str) -> object:
        return self.keys(secret)


@dataclass(frozen=True, slots=True)
class Ultravox:
    """HEX over the body and then the time's text, several after commas; the time is RFC 3339 or unix."""

    header = "x-ultravox-webhook-signature"
    time_header = "x-ultravox-webhook-timestamp"

    def announced(self, headers: Headers) -> bool:
        return self.header in headers

    def verify(self, request: Request, secrets: Sequence[str]) -> None:
        timestamp = request.headers.get(self.time_header, "")
        check_time(time_of(timestamp), request)
        expected = [hex_sha256(secret.encode(), request.body + timestamp.encode()) for secret in secrets]
        check_any([part.strip() for part in request.headers.get(self.header, "").split(",")], expected)

    def sign(self, request: Request, secret: str) -> dict[str, str]:
        timestamp = request.received_at.astimezone(UTC).isoformat()
        signature = hex_sha256(secret.encode(), request.body + timestamp.encode()).decode()
        return {self.time_header: timestamp, self.header: signature}

    def check(self, secret: str) -> None:
        """Any text is a key."""


@dataclass(frozen=True, slots=True)
class FieldSignature:
    """Base64 over one field of the body, which protects that field and nothing else: Synthflow signs the call's id."""

    header_names: tuple[str, ...]
    paths: tuple[str, ...]

    def announced(self, headers: Headers) -> bool:
        return any(name in headers for name in self.header_names)

    def verify(self, request: Request, secrets: Sequence[str]) -> None:
        field = self.field(request)
        given = next((request.headers[name] for name in self.header_names if name in request.headers), "")
        if not any_equal(decoded(given), [sha256(secret.encode(), field) for secret in secrets]):
            raise mismatch()

    def field(self, request: Request) -> bytes:
        try:
            value = next((found for path in self.paths if (found := at(request.value, path))), None)
        except Refused:
            value = None
        if not isinstance(value, str):
            raise SignatureError(f"The body has no `{self.paths[0]}`, which is what is signed.")
        return value.encode()

    def sign(self, request: Request, secret: str) -> dict[str, str]:
        return {self.header_names[0]: base64.b64encode(sha256(secret.encode(), self.field(request))).decode()}

    def check(self, secret: str) -> None:
        """Any text is a key."""


STANDARD = StandardWebhooks()
GITHUB = BodySignature("x-hub-signature-256", needs_prefix=True, id_header="x-github-delivery")


def seconds_of(timestamp: str) -> int:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureError("The timestamp is not a whole number of seconds.")
    return int(timestamp)


def time_of(timestamp: str) -> float:
    """Unix seconds of a sender whose unit is not known for sure: whole seconds, milliseconds or RFC 3339."""
    if timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 15:
        number = int(timestamp)
        return number / 1000 if number >= MILLISECONDS else number
    try:
        time = datetime.fromisoformat(timestamp)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise SignatureError("The timestamp is not a time.") from None


def check_time(time: float, request: Request) -> None:
    check_within(time, request.now, request.window_seconds, request.window_seconds)


def check_within(time: float, now: float, past_seconds: int, future_seconds: int) -> None:
    """Both directions: a message from the future is as suspect as an old one."""
    if now - time > past_seconds:
        raise SignatureExpired(f"The timestamp is more than {past_seconds} seconds old.")
    if time - now > future_seconds:
        raise SignatureExpired(f"The timestamp is more than {future_seconds} seconds ahead.")


def check_any(given: Sequence[str], expected: Sequence[bytes]) -> None:
    """Raises unless one of the given texts is one of those expected."""
    if not any([any_equal(one.encode(), expected) for one in given]):  # noqa: C419 - a list, so that it looks at all
        raise mismatch()


def any_equal(given: bytes, expected: Sequence[bytes]) -> bool:
    """Compares with every one of them, so that the time taken does not tell which was close."""
    return any([hmac.compare_digest(given, one) for one in expected])  # noqa: C419 - a list, so that it looks at all


def mismatch() -> SignatureError:
    return SignatureError("The signature does not match.")


def sha256(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, hashlib.sha256)


def hex_sha256(key: bytes, signed: bytes) -> bytes:
    return sha256(key, signed).hex().encode()


def is_signed_by(public: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        public.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def public_key(secret: str) -> Ed25519PublicKey:
    key = key_after(PUBLIC_KEY, secret)
    if len(key) != 32:
        raise SettingsError("A public key that begins with whpk_ has to go on in base64 of 32 bytes.")
    return Ed25519PublicKey.from_public_bytes(key)


def from_hex_or_base64(text: str) -> bytes:
    """A digest from its 64 hex digits, else from base64; empty for anything else."""
    try:
        return bytes.fromhex(text) if len(text) == 64 else decoded(text)
    except ValueError:
        return b""
