"""What agents leave, made safe to look at: which kind a content is, and Markdown and code as HTML.

Nothing here trusts a name or a format to say what a content is, only how it is to be shown: what is no picture by its
first bytes is none, and HTML and SVG are text like any other.
"""

import json
import subprocess
import sys
from functools import lru_cache
from pathlib import Path, PurePosixPath
from threading import BoundedSemaphore
from typing import Literal

from markupsafe import Markup

from access.console import formatting
from access.console.rendering import plain, spelt

Kind = Literal["picture", "markdown", "code", "text", "binary"]

PICTURE_BYTES = 5 * 1024 * 1024
SHOWN_CHARS = 50_000  # of a content on its page
PATIENCE_SECONDS = 20  # with the program that formats; its own limit counts only while it runs
KEPT_TEXTS = 100
MARKDOWN_ENDINGS = ("md", "markdown")
at_once = BoundedSemaphore(2)


def picture_type(head: bytes | None) -> str | None:
    """The media type of a picture by its first 16 bytes; None for what is none that we show."""
    head = head or b""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if head.startswith(b"RIFF") and head[8:12] == b"WEBP" else None


def ending(name: str) -> str:
    path = PurePosixPath(name.lower())
    return path.suffix[1:] or path.name


def kind_of(name: str, format: str, *, is_text: bool, head: bytes | None, size: int) -> Kind:
    """How a content is shown."""
    if not is_text:
        return "picture" if picture_type(head) and size <= PICTURE_BYTES else "binary"
    if ending(name) in MARKDOWN_ENDINGS or format.lower() in MARKDOWN_ENDINGS:
        return "markdown"
    return "code" if language_of(name, format) else "text"


def language_of(name: str, format: str) -> str | None:
    return next((word for word in (ending(name), format.lower()) if word in formatting.LEXERS), None)


def markdown(text: str) -> Markup | None:
    """As HTML, or None where that takes too long."""
    return formatted({"markdown": plain(text)})


def code(text: str, language: str) -> Markup:
    """As HTML, in colours unless that takes too long."""
    return formatted({"code": plain(text), "language": language}) or spelt(text)


def formatted(asked: dict[str, str]) -> Markup | None:
    try:
        return run(json.dumps(asked))
    except (subprocess.SubprocessError, OSError):
        return None


@lru_cache(KEPT_TEXTS)
def run(asked: str) -> Markup:
    program = [sys.executable, "-I", str(Path(formatting.__file__))]
    with at_once:
        done = subprocess.run(
            program, input=asked.encode(), capture_output=True, timeout=PATIENCE_SECONDS, check=True, env={}
        )
    return Markup(done.stdout.decode())  # nosec B704 # noqa: S704 - formatting.py writes no markup of it
