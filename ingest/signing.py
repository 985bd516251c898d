"""Posts as a sender would: the address and the headers that prove who it is. For trying a source by hand, and tests."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlencode

from ingest.request import FORM, Request
from ingest.request_signatures import BODY_DIGEST, Twilio
from ingest.signatures import STANDARD
from ingest.sources import SOURCES, Source, source_named


def sign_as(
    source: str,
    body: bytes,
    secret: str,
    *,
    base_url: str,
    content_type: str = "application/json",
    query: Mapping[str, str] | None = None,
    now: datetime,
) -> tuple[str, dict[str, str]]:
    """(path with its query, headers) with which this source would post the body to the service at `base_url`.

    A source that signs nothing puts its secret where it can; one that the table does not name signs by Standard
    Webhooks.
    """
    row = source_named(source)
    scheme = row.scheme or (None if source in SOURCES else STANDARD)
    headers = {"content-type": content_type}
    path = f"/webhook/{source}"
    if scheme is None and not row.secret_headers:
        path += "/" + quote(secret, safe="")
    query = dict(query or {})
    if isinstance(scheme, Twilio) and content_type != FORM:
        query[BODY_DIGEST] = hashlib.sha256(body).hexdigest()
    path += "?" + urlencode(query) if query else ""
    if scheme is None:
        return path, headers | shown(row, secret)
    unsigned = Request(source, headers, query, body, now, url=base_url.rstrip("/") + path)
    return path, headers | scheme.sign(unsigned, secret)


def shown(row: Source, secret: str) -> dict[str, str]:
    """The secret as it is, in the header that its sender uses; none when it is in the URL."""
    if "x-api-key" in row.secret_headers:
        return {"x-api-key": secret}
    if row.secret_headers:
        return {"authorization": "Basic " + base64.b64encode(f"sender:{secret}".encode()).decode()}
    return {}
