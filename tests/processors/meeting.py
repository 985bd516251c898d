"""What every reader of meetings has to stand: its recorded deliveries whole, broken, foreign, huge, in any script."""

from collections.abc import Callable
from typing import Any

from domain.delivery import Delivery, Fetch, Reading
from domain.errors import Unreadable
from domain.memory import MemoryDraft
from processors.extracting import extract
from processors.readers import read
from tests.processors.sent import broken, deliver, foreign, payload, reading_of, texts_of, value


def fetched(source: str, *names: str) -> tuple[Any, ...]:
    return tuple(payload(source, f"fetched/{name}.json") for name in names)


def recorded(source: str, name: str, *answers: str) -> Reading:
    return reading_of(deliver(source, payload(source, f"{name}.json"), fetched(source, *answers)))


def outcome(source: str, name: str) -> Any:
    return read(deliver(source, payload(source, f"{name}.json")))


def found(reading: Reading, kind: str) -> list[tuple[str, str]]:
    """Title and speaker of what is extracted from the talk."""
    return [(memory.title, memory.speaker or "") for memory in extract(reading.turns) if memory.type == kind]


def items(reading: Reading) -> list[tuple[str, dict[str, Any]]]:
    assert all(memory.extractor == "sender" for memory in reading.memories)
    return [(memory.type, memory.content) for memory in reading.memories]


def planned(reading: Reading) -> list[tuple[str, MemoryDraft]]:
    """The tasks, each with the memory that it came from."""
    return [(task.title, reading.memories[task.memory]) for task in reading.tasks if task.memory is not None]


def check_any_part_may_be_wrong(source: str, name: str, *answers: str) -> None:
    """Every part of the body and of the answers, taken away or put wrong, is read or refused."""
    body = value(source, f"{name}.json")
    parts = [value(source, f"fetched/{answer}.json") for answer in answers]
    for damaged in broken(body):
        sensible(deliver(source, damaged, tuple(parts)))
    for number, part in enumerate(parts):
        for damaged in broken(part):
            sensible(deliver(source, body, (*parts[:number], damaged, *parts[number + 1 :])))


def check_bodies_of_others(source: str) -> None:
    """Deliveries of all other senders, also where they are the answer of the API."""
    for body in foreign(source):
        sensible(deliver(source, body))


def sensible(delivery: Delivery) -> None:
    """Read or refused; what is read holds together, and a refusal quotes nothing."""
    try:
        outcome = read(delivery)
    except Unreadable as error:
        assert error.code and not any(text in error.message for text in texts_of(delivery))
        return
    if not isinstance(outcome, Reading):
        assert outcome is None or isinstance(outcome, Fetch)
        return
    assert outcome.session.id
    for turn in outcome.turns:
        assert turn.text.strip() and "\0" not in turn.text
        assert turn.start_seconds is None or turn.end_seconds is None or turn.start_seconds <= turn.end_seconds
        assert turn.start_time is None or turn.end_time is None or turn.start_time <= turn.end_time
    for memory in outcome.memories:
        assert memory.title
        if memory.turn is not None:
            assert outcome.turns[memory.turn].text[memory.char_start : memory.char_end] == memory.quote


def check_many_turns(delivery: Callable[[list[tuple[str, str]]], Delivery], count: int = 50_000) -> Reading:
    """A talk of many turns, right to left and with emoji, comes whole and in order."""
    talk = [("דנה" if number % 2 else "Zoë 🦊", f"שלום 👋🏽 {number}") for number in range(count)]
    given = delivery(talk)
    reading = reading_of(given)
    assert [(turn.speaker, turn.text) for turn in reading.turns] == talk
    return reading
