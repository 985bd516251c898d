"""The body of a delivery as text to look at: bounded, JSON in lines. What came, byte for byte, is a download."""

import json
from dataclasses import dataclass

from starlette.responses import Response

from access.console.rendering import HEADERS
from domain.errors import NotFound, SealedElsewhere
from domain.sealing import Sealing
from store import console
from store.database import Connection

READ_BYTES = 256 * 1024  # a longer one is not read as JSON
SHOWN_CHARS = 30_000
ENDINGS = {
    "application/json": "json",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/vtt": "vtt",
    "text/srt": "srt",
    "application/x-subrip": "srt",
    "application/x-www-form-urlencoded": "form",
}


@dataclass(frozen=True, slots=True)
class Shown:
    text: str
    is_all: bool
    bytes: int
    content_type: str


def shown(conn: Connection, delivery: str, sealing: Sealing) -> Shown:
    try:
        row = console.body(conn, delivery, READ_BYTES, sealing)
    except SealedElsewhere as error:  # the page tells the rest
        return Shown(f"{error.message} {error.hint}", False, 0, "text/plain")
    if row is None:
        raise NotFound("There is no such delivery.")
    head, size = bytes(row["head"]), int(row["bytes"])
    text = None
    if row["content_type"] == "application/json" and size <= READ_BYTES:
        text = with_lines(head)
    if text is None:
        text = head.decode("utf-8", "replace")
    text = text.replace("\r\n", "\n")
    is_all = size <= READ_BYTES and len(text) <= SHOWN_CHARS
    return Shown(text[:SHOWN_CHARS], is_all, size, row["content_type"])


def with_lines(body: bytes) -> str | None:
    """JSON with one value a line, or None for what is none. Lone surrogates, which no page can hold, become `?`."""
    try:
        lines = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return lines.encode("utf-8", "replace").decode()


def download(delivery: str, content_type: str, body: bytes) -> Response:
    """As a file, never as a page: a browser is not to look for HTML in it."""
    name = f"delivery-{delivery[:12]}.{ENDINGS.get(content_type, 'bin')}"
    headers = HEADERS | {"content-disposition": f'attachment; filename="{name}"'}
    return Response(body, media_type="application/octet-stream", headers=headers)
