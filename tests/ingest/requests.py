"""Requests as the endpoint would hand them on, for tests of what is pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from ingest.request import Request


def request(
    headers: Mapping[str, str],
    body: bytes,
    *,
    source: str = "generic",
    now: float = 1_772_000_000,
    url: str = "https://hooks.example.test/webhook/generic",
    query: Mapping[str, str] | None = None,
    path_secret: str | None = None,
    window_seconds: int = 300,
) -> Request:
    return Request(
        source=source,
        headers=headers,
        query=query or {},
        body=body,
        received_at=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=now),
        url=url,
        path_secret=path_secret,
        window_seconds=window_seconds,
    )
