"""Deliveries of the senders in tests/payloads, whole and broken in every place."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.delivery import Delivery, Fetch, Reading
from domain.errors import Unreadable
from domain.outgoing import ExternalChange
from processors.readers import read
from tests.conftest import ROOT

PAYLOADS = ROOT / "tests" / "payloads"
FORM = "application/x-www-form-urlencoded"
RECEIVED = datetime(2026, 3, 2, 10, tzinfo=UTC)
WRONG = [None, "", " ", "x\ny", "🚲 שלום", 0, -1, 1e308, 10**30, True, [], {}, [None], [[]], [{}], {"a": []}]

Row = tuple[str, str, str, float | None, float | None]


def payload(source: str, name: str) -> bytes:
    return (PAYLOADS / source / name).read_bytes()


def value(source: str, name: str) -> Any:
    return json.loads(payload(source, name))


def deliver(
    source: str,
    body: Any,
    fetched: tuple[Any, ...] = (),
    *,
    content_type: str = "application/json",
    event: str = "transcript",
    session_id: str | None = None,
) -> Delivery:
    answers = tuple(map(as_bytes, fetched))
    return Delivery(source, "d-1", event, RECEIVED, content_type, as_bytes(body), session_id, fetched=answers)


def as_bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def reading_of(delivery: Delivery) -> Reading:
    reading = read(delivery)
    assert isinstance(reading, Reading)
    return reading


def refusal(delivery: Delivery) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read(delivery)
    return caught.value


def rows(reading: Reading) -> list[Row]:
    return [(t.speaker, t.role, t.text, t.start_seconds, t.end_seconds) for t in reading.turns]


def said(reading: Reading) -> list[tuple[str, str]]:
    return [(turn.speaker, turn.text) for turn in reading.turns]


def sensible(delivery: Delivery, *, ends_follow: bool = True) -> Reading | None:
    """The reading, if it can be read; an Unreadable is fine when its message quotes nothing, any other error is not.

    `ends_follow`: no turn ends before it starts.
    """
    try:
        outcome = read(delivery)
    except Unreadable as error:
        assert error.code and not any(text in error.message for text in texts_of(delivery))
        return None
    if not isinstance(outcome, Reading):
        assert outcome is None or isinstance(outcome, Fetch | ExternalChange)
        return None
    assert outcome.session.id
    assert outcome.turns or outcome.summary
    for turn in outcome.turns:
        assert turn.text.strip() and "\0" not in turn.text
        if ends_follow and turn.start_seconds is not None and turn.end_seconds is not None:
            assert turn.start_seconds <= turn.end_seconds
    return outcome


def texts_of(delivery: Delivery) -> Iterator[str]:
    """Every longer text that was said in a JSON delivery and its answers."""
    for body in (delivery.body, *delivery.fetched):
        if body.lstrip().startswith((b"{", b"[")):
            yield from (text for text in leaves(json.loads(body)) if len(text) > 12 and " " in text)


def leaves(inner: Any) -> Iterator[str]:
    if isinstance(inner, str):
        yield inner
    elif isinstance(inner, dict | list):
        for part in inner.values() if isinstance(inner, dict) else inner:
            yield from leaves(part)


def broken(whole: Any) -> Iterator[Any]:
    """The value with each of its parts taken away, and put wrong in every way; of long lists the first two parts."""
    whole = shortened(whole)
    for path in paths(whole):
        for wrong in (*WRONG, KeyError):
            damaged = copy.deepcopy(whole)
            *way, last = path
            place = damaged
            for step in way:
                place = place[step]
            if wrong is KeyError:
                del place[last]
            else:
                place[last] = wrong
            yield damaged
    yield from WRONG


def shortened(inner: Any) -> Any:
    if isinstance(inner, list):
        return [shortened(part) for part in inner[:2]]
    return {name: shortened(part) for name, part in inner.items()} if isinstance(inner, dict) else inner


def paths(inner: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = inner.items() if isinstance(inner, dict) else enumerate(inner) if isinstance(inner, list) else ()
    for name, part in parts:
        yield (*before, name)
        yield from paths(part, (*before, name))


def foreign(source: str) -> Iterator[bytes]:
    """The recorded bodies of all other senders."""
    yield from (path.read_bytes() for path in sorted(PAYLOADS.glob("*/*.*")) if path.parent.name != source)
