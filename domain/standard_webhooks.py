"""Standard Webhooks with shared secrets: what senders and receivers both compute, as its specification says.

A secret is `whsec_` and base64; any other text is taken as it is. Verifying, and public keys, are in
ingest/signatures.py.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from domain.errors import SettingsError

SECRET = "whsec_"  # noqa: S105 - what a secret begins with


def decoded(text: str) -> bytes:
    """From base64, with or without its padding; empty for anything else."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def key_after(prefix: str, secret: str) -> bytes:
    """The key that stands in base64 after a prefix. Raises SettingsError: secrets are set by the operator."""
    key = decoded(secret.removeprefix(prefix))
    if not key:
        what = f"A signing secret that begins with {prefix} has to go on" if prefix else "This signing secret has to be"
        raise SettingsError(f"{what} in base64.")
    return key


def standard_key(secret: str) -> bytes:
    """`whsec_` and base64; a secret without the prefix is taken as text. Raises SettingsError, not a caller's fault."""
    return key_after(SECRET, secret) if secret.startswith(SECRET) else secret.encode()


def signed_text(message_id: str, timestamp: int | str, body: bytes) -> bytes:
    return b".".join((message_id.encode(), str(timestamp).encode(), body))


def signature(secret: str, signed: bytes) -> str:
    """`v1,…` over what `signed_text` gives."""
    return "v1," + base64.b64encode(hmac.digest(standard_key(secret), signed, hashlib.sha256)).decode()


def signed_headers(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a message, with a signature for each secret: while one is rotated, receivers have either."""
    signed = signed_text(message_id, timestamp, body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, signed) for secret in secrets),
    }
