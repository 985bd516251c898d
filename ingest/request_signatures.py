"""Twilio and LiveKit, whose signatures cover more than body and time: the address called, or a token's claims."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from domain.errors import Refused, SignatureError, SignatureExpired
from domain.standard_webhooks import decoded
from ingest.request import FORM, Headers, Request
from ingest.signatures import any_equal, check_any, mismatch, sha256

BODY_DIGEST = "bodySHA256"
LEEWAY_SECONDS = 60  # as in LiveKit's own verifier
LIFETIME_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Twilio:
    """`X-Twilio-Signature`: base64 of HMAC-SHA1 over the URL as Twilio called it, then each field of the form.

    Other bodies are covered by their digest, which the URL carries. Twilio may sign with or without the port.
    """

    header = "x-twilio-signature"

    def announced(self, headers: Headers) -> bool:
        return self.header in headers

    def verify(self, request: Request, secrets: Sequence[str]) -> None:
        fields = self.fields(request)
        urls = with_and_without_port(request.url)
        check_any(
            [request.headers.get(self.header, "")],
            [signature(secret, url, fields) for secret in secrets for url in urls],
        )

    def fields(self, request: Request) -> str:
        """The form as it is signed; empty for another body, once its digest is checked."""
        if request.media_type == FORM:
            try:
                return signed_fields(request.form)
            except Refused:
                raise SignatureError("The form cannot be read, so its signature cannot be either.") from None
        given = query_of(request.url).get(BODY_DIGEST, [""])[0]
        check_any([given], [hashlib.sha256(request.body).hexdigest().encode()])
        return ""

    def sign(self, request: Request, secret: str) -> dict[str, str]:
        """For a body that is no form, the URL has to carry `bodySHA256` already."""
        return {self.header: signature(secret, request.url, self.fields(request)).decode()}

    def check(self, secret: str) -> None:
        """Any text is a key."""


def signature(secret: str, url: str, fields: str) -> bytes:
    return base64.b64encode(hmac.digest(secret.encode(), (url + fields).encode(), hashlib.sha1))


def signed_fields(form: Sequence[tuple[str, str]]) -> str:
    """Names in order, each with its values in order, repeats once."""
    return "".join(name + value for name, value in sorted(set(form)))


def query_of(url: str) -> dict[str, list[str]]:
    try:
        return parse_qs(urlsplit(url).query, max_num_fields=100)
    except ValueError:
        return {}


def with_and_without_port(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return [url]
    host = parts.netloc.removesuffix(f":{port}")
    return [url, parts._replace(netloc=host).geturl(), parts._replace(netloc=f"{host}:{port}").geturl()]


@dataclass(frozen=True, slots=True)
class LiveKit:
    """A JWT (HS256, no `Bearer`) in `Authorization` whose claim `sha256` is the digest of the body.

    Only the one algorithm is taken, whatever the token says of itself, and a token without an end is refused.
    """

    def announced(self, headers: Headers) -> bool:
        return token_of(headers).startswith("eyJ")

    def verify(self, request: Request, secrets: Sequence[str]) -> None:
        signed, _, given = token_of(request.headers).rpartition(".")
        if not any_equal(from_base64url(given), [sha256(secret.encode(), signed.encode()) for secret in secrets]):
            raise mismatch()
        head, _, claims = signed.partition(".")
        if json_object(head).get("alg") != "HS256":
            raise SignatureError("The token is not signed by HS256.")
        check_claims(json_object(claims), request)

    def sign(self, request: Request, secret: str) -> dict[str, str]:
        claims = {
            "sha256": base64.b64encode(hashlib.sha256(request.body).digest()).decode(),
            "nbf": int(request.now),
            "exp": int(request.now) + LIFETIME_SECONDS,
        }
        signed = ".".join(to_base64url(orjson.dumps(part)) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return {"authorization": f"{signed}.{to_base64url(sha256(secret.encode(), signed.encode()))}"}

    def check(self, secret: str) -> None:
        """Any text is a key."""


def token_of(headers: Headers) -> str:
    return headers.get("authorization", "").strip()


def check_claims(claims: Mapping[str, Any], request: Request) -> None:
    ends, begins, digest = number_of(claims.get("exp")), number_of(claims.get("nbf", 0)), claims.get("sha256")
    if ends is None or begins is None or not isinstance(digest, str):
        raise SignatureError("The token lacks `exp` or `sha256`.")
    if not any_equal(decoded(digest), [hashlib.sha256(request.body).digest()]):
        raise mismatch()
    if request.now > ends + LEEWAY_SECONDS or request.now < begins - LEEWAY_SECONDS:
        raise SignatureExpired("The token is not valid at this time.")


def number_of(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def json_object(part: str) -> dict[str, Any]:
    try:
        value = orjson.loads(from_base64url(part))
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise SignatureError("The token is not a JWT.")
    return value


def from_base64url(text: str) -> bytes:
    return decoded(text.translate({45: "+", 95: "/"}))


def to_base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
