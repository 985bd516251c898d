"""Who may post: pure functions over headers and raw bytes, one for each scheme. All compare in constant time.

A malformed header is a SignatureError like a wrong one; nothing else ever escapes. The raw bytes are what is
signed: a body that was parsed and written out again does not verify.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from domain.errors import InvalidApiKey, SettingsError, SignatureError, SignatureExpired

Headers = Mapping[str, str]  # names in lower case


def verify_api_key(headers: Headers, keys: Sequence[str]) -> None:
    """`Authorization: Bearer KEY`, else `X-API-Key: KEY`; any of `keys` will do."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()
    if not keys:
        raise InvalidApiKey("This service has no API key set, so it accepts none.", hint="Set WEBHOOK_API_KEY.")
    if not given:
        raise InvalidApiKey("The API key is missing.")
    if not any_equal(given.encode(), [key.encode() for key in keys]):
        raise InvalidApiKey("The API key is wrong.")


def verify_standard_webhooks(
    headers: Headers, body: bytes, secrets: Sequence[str], *, now: float, window_seconds: int
) -> str:
    """Standard Webhooks v1 (and Svix's header names); returns the message id, the same over all retries.

    HMAC-SHA256 over `id.timestamp.body`, base64; the header may hold several signatures, and those of unknown
    versions are skipped. Rule: standard-webhooks specification, "Signature scheme" and "Verifying".
    """
    family = "webhook" if "webhook-signature" in headers else "svix"
    try:
        message_id = headers[f"{family}-id"]
        timestamp = headers[f"{family}-timestamp"]
        signatures = headers[f"{family}-signature"].split(" ")
    except KeyError:
        raise SignatureError(
            f"The headers {family}-id, {family}-timestamp and {family}-signature belong together."
        ) from None
    if not message_id:
        raise SignatureError("The message id is empty.")
    check_time(timestamp, now, window_seconds)
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    expected = [hmac.digest(standard_key(secret), signed, hashlib.sha256) for secret in secrets]
    given = [decoded(s.removeprefix("v1,")) for s in signatures if s.startswith("v1,")]
    if not any(any_equal(signature, expected) for signature in given):
        raise SignatureError("The signature does not match the body.")
    return message_id


def sign_standard_webhooks(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers with which a sender signs a body: what verify_standard_webhooks accepts."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    signature = base64.b64encode(hmac.digest(standard_key(secret), signed, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def verify_github(headers: Headers, body: bytes, secrets: Sequence[str]) -> None:
    """`X-Hub-Signature-256: sha256=HEX` over the body. It carries no time: the delivery id is the only defence
    against a replay."""
    scheme, _, given = headers.get("x-hub-signature-256", "").partition("=")
    expected = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode() for secret in secrets]
    if scheme != "sha256" or not any_equal(given.encode(), expected):
        raise SignatureError("The signature does not match the body.")


def check_time(timestamp: str, now: float, window_seconds: int) -> None:
    """Both directions: a message from the future is as suspect as an old one."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureError("The timestamp is not a whole number of seconds.")
    if abs(now - int(timestamp)) > window_seconds:
        raise SignatureExpired(f"The timestamp is more than {window_seconds} seconds off.")


def standard_key(secret: str) -> bytes:
    """`whsec_` and base64; a secret without the prefix is taken as text. Raises SettingsError, not a caller's fault."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        key = decode_base64(secret.removeprefix("whsec_"))
    except ValueError:
        key = b""
    if not key:
        raise SettingsError("A signing secret that begins with whsec_ has to go on in base64.")
    return key


def decoded(text: str) -> bytes:
    try:
        return decode_base64(text)
    except ValueError:
        return b""


def decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def any_equal(given: bytes, expected: Sequence[bytes]) -> bool:
    """Compares with every one of them, so that the time taken does not tell which was close."""
    return any([hmac.compare_digest(given, one) for one in expected])  # noqa: C419 - a list, so that it looks at all
