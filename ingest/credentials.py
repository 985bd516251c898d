"""Who may post. In this order: a signature that is there, a secret in the URL, a secret of the source's own in a header
or in the body, the API key. What is there and wrong is not saved by what else is there.

A source without a secret is refused, not trusted.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import InvalidApiKey, InvalidJson, SignatureError
from domain.settings import SOURCE_SECRET_PREFIX, Settings
from ingest.request import Headers, Request, at
from ingest.signatures import GITHUB, PUBLIC_KEY, STANDARD, Scheme, any_equal
from ingest.sources import Source


@dataclass(frozen=True, slots=True)
class Proof:
    """That a sender is who it says. `delivery_id` is the one that its signature covers, if it does."""

    signed: bool = False
    delivery_id: str | None = None


def authenticate(request: Request, source: Source, settings: Settings) -> Proof:
    """Raises InvalidApiKey or SignatureError unless the sender may post as this source.

    A public key verifies signatures of its own kind and is no secret anywhere else: everybody may know it.
    """
    keys = settings.secrets_of(request.source)
    secrets = [key for key in keys if not key.startswith(PUBLIC_KEY)]
    scheme = announced_scheme(source, request.headers)
    if request.path_secret is not None:
        check_path_secret(request, secrets)
    if scheme is not None:
        verifying = keys if scheme is STANDARD else secrets
        if not verifying:
            raise SignatureError("This source has no signing secret here.", hint=how_to_come_in(request.source))
        return Proof(signed=True, delivery_id=scheme.verify(request, verifying))
    if request.path_secret is None and not (secrets and brings_own_secret(request, source, secrets)):
        hint = None if keys else how_to_come_in(request.source)
        verify_api_key(request.headers, settings.api_keys(), hint=hint)
    return Proof()


def announced_scheme(source: Source, headers: Headers) -> Scheme | None:
    """How the request claims to be signed: as the source does, or in one of the two ways that every source may."""
    schemes = (STANDARD, GITHUB) if source.scheme is None else (source.scheme, STANDARD, GITHUB)
    return next((scheme for scheme in schemes if scheme.announced(headers)), None)


def check_path_secret(request: Request, secrets: Sequence[str]) -> None:
    if not secrets:
        raise SignatureError("This source has no secret here.", hint=how_to_come_in(request.source))
    if not is_one_of(request.path_secret or "", secrets):
        raise SignatureError("The secret in the URL is wrong.", hint="Post to /webhook/{source}/{secret}.")


def brings_own_secret(request: Request, source: Source, secrets: Sequence[str]) -> bool:
    """Whether the source's secret is in one of the headers, or at the place in the body, where this sender puts it."""
    given = [text for name in source.secret_headers for text in values_of(request.headers.get(name, ""))]
    if any([is_one_of(text, secrets) for text in given]):  # noqa: C419 - a list, so that it looks at all
        return True
    if source.secret_path is None or given or not request.body:
        return False
    try:
        found = at(request.value, source.secret_path)
    except InvalidJson:
        return False
    return isinstance(found, str) and is_one_of(found, secrets)


def values_of(header: str) -> list[str]:
    """What a header may mean as a secret: its text, what follows `Bearer`, or the password after `Basic`."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() == "bearer":
        return [rest.strip()]
    if scheme.lower() != "basic":
        return [header.strip()] if header else []
    try:
        pair = base64.b64decode(rest.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return []
    return [pair, pair.partition(":")[2]]


def verify_api_key(headers: Headers, keys: Sequence[str], *, hint: str | None = None) -> None:
    """`Authorization: Bearer KEY`, else `X-API-Key: KEY`; any of `keys` will do."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()
    if not keys:
        raise InvalidApiKey("This service has no API key set, so it accepts none.", hint=hint or "Set WEBHOOK_API_KEY.")
    if not given:
        raise InvalidApiKey("The API key is missing.", hint=hint)
    if not is_one_of(given, keys):
        raise InvalidApiKey("The API key is wrong.", hint=hint)


def is_one_of(given: str, secrets: Sequence[str]) -> bool:
    return any_equal(given.encode(), [secret.encode() for secret in secrets])


def how_to_come_in(source: str) -> str:
    return f"Set {secret_setting(source)} to the secret that this sender has, or send the API key."


def secret_setting(source: str) -> str:
    return SOURCE_SECRET_PREFIX + source.upper().replace("-", "_")
