"""A request body as checked values: JSON to `Fields`, text to str, ids and instants in one form.

Every wrong field ends in `Unreadable` with the path of the field and never its content. What the fields mean is
left to the readers.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from domain.delivery import Delivery
from domain.errors import Unreadable
from domain.session import SESSION_ID_CHARS, ChunkFormat

MAX_DEPTH = 100  # as at the endpoint; jsonb and Python's json would take some more, but not any depth
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"

ESCAPE = re.compile(rb"\\(u0000|.)", re.DOTALL)  # taken in pairs, so that `\\u0000` stays the text \u0000
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
FORMATS: Mapping[str, ChunkFormat] = {"dialogue": "dialogue", "transcript": "transcript", "summary": "summary"}
CLOCK = re.compile(r"(?:([0-9]{1,4}):)?([0-9]{1,3}):([0-9]{2}(?:[.,][0-9]{1,9})?)")
INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}")


def parse_object(body: bytes) -> "Fields":
    """The JSON object in a body, without NUL characters. Raises Unreadable: invalid_utf8, invalid_json, wrong_type."""
    value = parse_json(body)
    if not isinstance(value, dict):
        raise Unreadable(f"The body is {kind_of(value)}; an object is expected.", code="wrong_type")
    return Fields(value)


def parse_json(body: bytes) -> Any:
    """The JSON value in a body, without NUL characters. Raises Unreadable: invalid_utf8, invalid_json."""
    body = body.removeprefix(BOM.encode())
    if b"\\u0000" in body:  # PostgreSQL stores no NUL in text or jsonb
        body = ESCAPE.sub(lambda escape: b"" if escape[1] == b"u0000" else escape[0], body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        decode(body)
        raise Unreadable("The body is not valid JSON.", code="invalid_json") from None
    check_depth(value)
    return value


def parse_text(body: bytes) -> str:
    """A text body with line ends as newlines, without byte order mark and NUL. Raises Unreadable: invalid_utf8."""
    text = decode(body).removeprefix(BOM).replace("\0", "")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decode(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"The body is not UTF-8: byte {error.start} cannot be read."
        raise Unreadable(message, code="invalid_utf8") from None


def check_depth(value: Any) -> None:
    level, depth = [value] if isinstance(value, dict | list) else [], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise Unreadable(f"The body is nested deeper than {MAX_DEPTH} levels.", code="invalid_json")
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]


def kind_of(value: Any) -> str:
    """How a message calls a JSON value: its kind, never its content."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
    return "an object"


def wrong_type(path: str, value: Any, expected: str) -> Unreadable:
    return Unreadable(f"`{path}` is {kind_of(value)}; {expected} is expected.", code="wrong_type")


def missing(path: str) -> Unreadable:
    return Unreadable(f"`{path}` is missing or empty.", code="missing_field")


@dataclass(frozen=True, slots=True)
class Fields:
    """An object of the payload and its path in it. In every getter null and absent are the same."""

    values: Mapping[str, Any]
    path: str = ""

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str) -> Any:
        return self.values.get(name)

    def text(self, *names: str) -> str | None:
        """The first of these fields that holds text, trimmed; None when none does."""
        for name in names:
            value = self.values.get(name)
            if value is None:
                continue
            if not isinstance(value, str):
                raise wrong_type(self.at(name), value, "a string")
            if trimmed := value.strip():
                return trimmed
        return None

    def required_text(self, *names: str) -> str:
        text = self.text(*names)
        if text is None:
            raise missing(self.at(names[0]))
        return text

    def required(self, name: str) -> Any:
        value = self.values.get(name)
        if value is None:
            raise missing(self.at(name))
        return value

    def number(self, name: str) -> float | None:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(self.at(name), value, "a number")
        return float(value)

    def instant(self, name: str) -> datetime | None:
        """An RFC 3339 instant in UTC; one without a zone is taken as UTC."""
        text = self.text(name)
        if text is None:
            return None
        instant = instant_of(text)
        if instant is None:
            raise wrong_type(self.at(name), text, "a time such as 2026-03-02T07:40:00Z")
        return instant

    def each(self, name: str) -> list[tuple[str, Any]]:
        """The elements of a list, each with its path; null elements are left out."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise wrong_type(self.at(name), value, "a list")
        return [(f"{self.at(name)}[{i}]", element) for i, element in enumerate(value) if element is not None]

    def objects(self, name: str) -> list["Fields"]:
        return [fields_of(path, element) for path, element in self.each(name)]

    def object(self, name: str) -> "Fields":
        """The object in a field; an empty one when the field is absent."""
        value = self.values.get(name)
        return Fields({} if value is None else fields_of(self.at(name), value).values, self.at(name))

    def mapping(self, name: str) -> dict[str, Any]:
        return dict(self.object(name).values)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, trimmed, without empty ones and repeats."""
        found: dict[str, None] = {}
        for path, element in self.each(name):
            if not isinstance(element, str):
                raise wrong_type(path, element, "a string")
            if trimmed := element.strip():
                found[trimmed] = None
        return tuple(found)

    def identifier(self, *names: str, limit: int = SESSION_ID_CHARS) -> str | None:
        """An id, key or name that the sender chose, in one line. Raises Unreadable: invalid_id."""
        for name in names:
            text = self.text(name)
            if text is not None:
                if not is_identifier(text, limit):
                    raise Unreadable(f"`{self.at(name)}` is not an id: {id_rule(limit)}.", code="invalid_id")
                return text
        return None

    def participants(self) -> tuple[Any, ...]:
        """`participants`: names, or objects that the sender describes people with, kept as they are."""
        people: list[Any] = []
        for path, person in self.each("participants"):
            if not isinstance(person, str | dict):
                raise wrong_type(path, person, "a string or an object")
            person = person.strip() if isinstance(person, str) else person
            if (
                person and person not in people[:100]
            ):  # a repeat among the first hundred; a longer list is kept as it is
                people.append(person)
        return tuple(people)


def fields_of(path: str, value: Any) -> Fields:
    if not isinstance(value, dict):
        raise wrong_type(path, value, "an object")
    return Fields(value, path)


def is_identifier(text: str, limit: int = SESSION_ID_CHARS) -> bool:
    return 0 < len(text) <= limit and not CONTROL.search(text)


def id_rule(limit: int = SESSION_ID_CHARS) -> str:
    return f"1 to {limit} characters without control characters are expected"


def check_session_id(text: str, path: str) -> str:
    """The id, trimmed. Raises Unreadable: invalid_session_id."""
    if not is_identifier(text.strip()):
        raise Unreadable(f"`{path}` is not a session id: {id_rule()}.", code="invalid_session_id")
    return text.strip()


def session_id_of(delivery: Delivery, given: str | None = None, path: str = "session") -> str:
    """The session of a body that may name none: as given, else from the URL, else made from the delivery."""
    if given is not None:
        return check_session_id(given, path)
    if delivery.session_id and delivery.session_id.strip():
        return check_session_id(delivery.session_id.replace("\0", ""), "session in the URL")
    return f"talk-{delivery.key[:12]}"


def session_of_source(delivery: Delivery, own_id: str | None) -> str:
    """The session of a source that names its talks: the one in the URL, else `SOURCE-ID`, else made from the delivery.

    The source is part of it, since two sources may count their talks alike. An id that is none of ours is digested.
    """
    if own_id is None or (delivery.session_id and delivery.session_id.strip()):
        return session_id_of(delivery)
    named = f"{delivery.source}-{own_id.strip()}"
    if is_identifier(named):
        return named
    return f"{delivery.source}-{hashlib.sha256(own_id.encode()).hexdigest()[:12]}"


def format_of(fields: Fields) -> ChunkFormat:
    """`format`; a word we do not know is taken as dialogue, since it says nothing about the turns."""
    return FORMATS.get(fields.text("format") or "", "dialogue")


def seconds_of(text: str) -> float | None:
    """Seconds from `HH:MM:SS` or `MM:SS`, with or without a fraction; None for any other text."""
    clock = CLOCK.fullmatch(text.strip())
    if clock is None:
        return None
    hours, minutes, seconds = clock.groups()
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))


def instant_of(text: str) -> datetime | None:
    if not INSTANT.match(text):
        return None
    try:
        instant = datetime.fromisoformat(text.upper())
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):  # no such day; or a zone that leads out of the years 1 to 9999
        return None


def shorten(text: str, limit: int) -> str:
    """The text on one line, cut at a space and marked with `…` when it is longer than `limit` characters."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[limit // 2 :] else cut) + "…"
