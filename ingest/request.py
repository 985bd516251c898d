"""What of an HTTP request matters here, and its body read once: JSON, or a form where the sender sends forms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import orjson

from domain.errors import InvalidJson, InvalidRequest

Headers = Mapping[str, str]  # names in lower case

FORM = "application/x-www-form-urlencoded"
MAX_LEVELS = 100
NESTING = (dict, list)  # a tuple: `dict | list` would be made anew for each value that is looked at
MAX_FIELDS = 1000
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Request:
    """A request of a sender. `url` is the address that it called; at the end of that there may be a secret
    (`path_secret`), or an `operation` where a source has several.

    `window_seconds` is how far a signed timestamp may be off where the sender's rules leave that open.
    """

    source: str
    headers: Headers = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime
    url: str = field(default="", repr=False)
    path_secret: str | None = field(default=None, repr=False)
    operation: str | None = None
    window_seconds: int = 300

    @property
    def now(self) -> float:
        return self.received_at.timestamp()

    @cached_property
    def media_type(self) -> str:
        return self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()

    @cached_property
    def value(self) -> Any:
        """The body as JSON. Raises InvalidJson."""
        return parse(self.body)

    @cached_property
    def form(self) -> list[tuple[str, str]]:
        """The body as the fields of a form, in order. Raises InvalidRequest."""
        try:
            return parse_qsl(self.body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:  # not UTF-8, or too many fields
            raise InvalidRequest(f"The form is not UTF-8 or has more than {MAX_FIELDS} fields.") from None


def parse(body: bytes) -> Any:
    """The body as JSON that can be kept; raises InvalidJson."""
    try:
        value = orjson.loads(body.removeprefix(BOM))  # as the readers do
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"The body is not JSON: {plain_reason(error)}.") from None
    if body.count(b"[") + body.count(b"{") > MAX_LEVELS and levels(value) > MAX_LEVELS:
        raise InvalidJson(f"The body is nested deeper than {MAX_LEVELS} levels.")
    return value


def plain_reason(error: orjson.JSONDecodeError) -> str:
    """orjson's reason without the text around the place, which may be what was said."""
    return f"{error.msg.partition(':')[0].strip()} (line {error.lineno}, column {error.colno})"


def levels(value: Any) -> int:
    """How deep a JSON value is nested, counted level by level: recursion would end before the nesting does."""
    depth, level = 0, [value]
    while level:
        depth += 1
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(v for v in item.values() if isinstance(v, NESTING))
            elif isinstance(item, list):
                below.extend(v for v in item if isinstance(v, NESTING))
        level = below
    return depth


def at(value: Any, path: str) -> Any:
    """What lies at `a.b.0.c` in a JSON value; None where the way there ends."""
    for name in path.split("."):
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value
