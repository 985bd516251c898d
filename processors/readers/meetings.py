"""What recorders of meetings have in common: ids, people, clocks, items, and transcripts of undocumented form."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from domain.delivery import Delivery, Reading
from domain.errors import Unreadable
from domain.session import SessionDraft, Turn
from processors.readers.dialogue import Labels, bounded, clean_speaker, parse_line, role_of
from processors.readers.generic import read_text, turn_of_line
from processors.readers.items import TITLE_CHARS, Items, read_extracted_items
from processors.readers.payload import Fields, parse_json, seconds_of, session_of_source, shorten, wrong_type
from processors.readers.quotes import Quotes
from processors.readers.words import details

# Epochs of our time are below this in seconds and above it in milliseconds (the year 5138, or 1973).
FIRST_MILLISECONDS = 1e11
FIRST_EPOCH = 1e8  # smaller numbers count from somewhere else

TEXT_FIELDS = ("text", "content", "words")
SPEAKER_FIELDS = ("speaker", "speaker_name", "name")
START_FIELDS = ("start", "start_time", "startTime", "timestamp", "time")
END_FIELDS = ("end", "end_time", "endTime")
LISTS = ("data", "segments", "turns", "content", "text")  # where a transcript lies in an object of its own

Item = Mapping[str, Any]


def id_of(fields: Fields, *names: str) -> str | None:
    """The first of these fields that holds an id; some senders count their talks."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if text := fields.text(name):
            return text
    return None


def session_of(
    delivery: Delivery,
    own_id: str | None,
    *,
    title: str | None = None,
    people: Sequence[Any] = (),
    metadata: Mapping[str, Any] | None = None,
) -> SessionDraft:
    """The session of a talk that is over."""
    return SessionDraft(
        session_of_source(delivery, own_id),
        title=shorten(title, TITLE_CHARS) if title else None,
        participants=tuple(people),
        status="completed",
        metadata=dict(metadata or {}),
    )


def reading_of(
    session: SessionDraft,
    turns: tuple[Turn, ...],
    *,
    summary: str | None = None,
    items: Items = ((), ()),
    may_follow: bool = False,
) -> Reading:
    """A whole talk. Raises Unreadable: no_turns when neither turns nor anything of the sender's own is there.

    `may_follow`: the sender announces a talk without telling whether its transcript is ready, so it is tried again.
    """
    memories, tasks = items
    if not (turns or summary or memories):
        message = "There is nothing to keep: no transcript, no summary, no items."
        raise Unreadable(message, code="no_turns", retry=may_follow)
    named = any(turn.speaker for turn in turns) or not turns
    return Reading(
        session,
        turns=turns,
        format="dialogue" if named else "transcript",
        summary=summary,
        memories=memories,
        tasks=tasks,
        extent="whole",
    )


def turn_of(
    speaker: str | None,
    text: str | None,
    *,
    seconds: tuple[float | None, float | None] = (None, None),
    times: tuple[datetime | None, datetime | None] = (None, None),
) -> Turn | None:
    """A turn, or None when nothing was said. An end before the start is left out."""
    if text is None:
        return None
    name = clean_speaker(speaker or "")
    start_time, end_time = times
    return Turn(
        name,
        text,
        role_of(name),
        start_seconds=seconds[0],
        end_seconds=end_of(*seconds),
        start_time=start_time,
        end_time=None if start_time and end_time and end_time < start_time else end_time,
    )


def end_of(start: float | None, end: float | None) -> float | None:
    return None if start is not None and end is not None and end < start else end


def turns_of(turns: Iterable[Turn | None]) -> tuple[Turn, ...]:
    return bounded(turn for turn in turns if turn is not None)


def clock(fields: Fields, name: str) -> float | None:
    """Seconds, from a number, a text that is one, or `HH:MM:SS`."""
    value = fields.get(name)
    if not isinstance(value, str):
        return fields.number(name)
    if not value.strip():
        return None
    seconds = number_of(value) if seconds_of(value) is None else seconds_of(value)
    if seconds is None:
        raise wrong_type(fields.at(name), value, "a number of seconds or HH:MM:SS")
    return seconds


def epoch(fields: Fields, name: str) -> datetime | None:
    """The instant in a number of seconds or milliseconds since 1970, or a text that is one."""
    value = fields.get(name)
    given = isinstance(value, str) and bool(value.strip())
    number = number_of(value) if isinstance(value, str) else fields.number(name)
    if given and number is None:
        raise wrong_type(fields.at(name), value, "a number of milliseconds")
    if number is None or number < FIRST_EPOCH:
        return None
    try:
        return datetime.fromtimestamp(number if number < FIRST_MILLISECONDS else number / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise wrong_type(fields.at(name), value, "a time of the calendar") from None


def number_of(text: str) -> float | None:
    """The number in a text of plain digits; float() alone would also take `nan` and `1_0`."""
    digits = text.strip().replace(".", "", 1)
    return float(text) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else None


def person_of(fields: Fields) -> Any:
    """A person as their name, or name and address; None when neither is given."""
    name, email = fields.text("name", "displayName", "display_name"), fields.text("email")
    if name and email:
        return {"name": name, "email": email}
    return name or ({"email": email} if email else None)


def people_of(*groups: Iterable[Fields]) -> tuple[Any, ...]:
    """The people of these lists, each once: by address, else by name."""
    found: dict[str, Any] = {}
    for fields in (fields for group in groups for fields in group):
        person = person_of(fields)
        if person is not None:
            found.setdefault((fields.text("email") or str(person)).casefold(), person)
    return tuple(found.values())


def item_of(text: str | None, **others: Any) -> Item:
    """An item of the sender's, without what is not known of it."""
    return {"text": text, **{name: value for name, value in others.items() if value not in (None, "", {}, [])}}


def items_of(turns: Sequence[Turn], *, action_items: Iterable[Item] = (), questions: Iterable[Item] = ()) -> Items:
    """The sender's own items as memories, with a task for each action item that is not `completed`."""
    given = {
        "action_items": [dict(item) for item in action_items if item.get("text")],
        "questions": [dict(item) for item in questions if item.get("text")],
    }
    memories, tasks = read_extracted_items(Fields(given), Quotes(turns))
    still = (
        task for task in tasks if task.memory is None or memories[task.memory].content.get("completed") is not True
    )
    return memories, tuple(still)


def loose_items(path: str, value: Any) -> list[Item]:
    """Items in a form that is not documented: text with an item a line, or a list of texts or of {text, assignee?}."""
    if value is None:
        return []
    if isinstance(value, str):
        return [item_of(line.strip(" \t-*•[]")) for line in value.split("\n")]
    if not isinstance(value, list):
        raise wrong_type(path, value, "a list or a string")
    return [loose_item(f"{path}[{i}]", element) for i, element in enumerate(value) if element is not None]


def loose_item(path: str, element: Any) -> Item:
    if isinstance(element, str):
        return item_of(element.strip())
    if not isinstance(element, dict):
        raise wrong_type(path, element, "a string or an object")
    fields = Fields(element, path)
    status = element.get("status")
    done = status.get("completed") if isinstance(status, dict) else element.get("completed")
    return item_of(
        fields.text("text", "title", "description", "task"),
        assignee=assignee_of(fields),
        completed=True if done is True else None,
    )


def assignee_of(fields: Fields, name: str = "assignee") -> Any:
    """Who an item is for: a name, or name and address."""
    value = fields.get(name)
    return value.strip() if isinstance(value, str) else person_of(fields.object(name))


def loose_transcript(path: str, value: Any, people: Sequence[Any] = ()) -> tuple[Turn, ...]:
    """The turns of a transcript whose form is not documented.

    Text (lines such as `Jon: …`, headings such as `Jon Ek  0:07`, captions), or a list of such lines or of
    {text, speaker?, start?, end?} in seconds, or an object that holds either.
    """
    for _ in range(3):
        if not isinstance(value, dict):
            break
        name = next((name for name in LISTS if value.get(name)), LISTS[0])
        path, value = f"{path}.{name}", value.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        return read_text(value, people)
    if not isinstance(value, list):
        raise wrong_type(path, value, "a list or a string")
    entries = Fields({"": value}).each("")
    lines = {place: parse_line(entry) for place, entry in entries if isinstance(entry, str)}
    labels = Labels([line.label for line in lines.values()], people)
    return turns_of(
        turn_of_line(lines[place], labels) if place in lines else loose_turn(path + place, entry)
        for place, entry in entries
    )


def loose_turn(path: str, entry: Any) -> Turn | None:
    if not isinstance(entry, dict):
        raise wrong_type(path, entry, "an object or a string")
    fields = Fields(entry, path)
    start, end = (
        next((n for n in names if entry.get(n) is not None), names[0]) for names in (START_FIELDS, END_FIELDS)
    )
    return turn_of(loose_speaker(fields), fields.text(*TEXT_FIELDS), seconds=(clock(fields, start), clock(fields, end)))


def loose_speaker(fields: Fields) -> str | None:
    for name in SPEAKER_FIELDS:
        if isinstance(fields.get(name), dict):
            return fields.object(name).text("name", "display_name", "displayName")
    return fields.text(*SPEAKER_FIELDS)


def answer_of(delivery: Delivery, number: int) -> Any:
    """The JSON that the sender's API gave to a fetch. Raises Unreadable: invalid_utf8, invalid_json."""
    try:
        return parse_json(delivery.fetched[number])
    except Unreadable as error:
        raise Unreadable(f"What was fetched: {error.message}", code=error.code) from None


def answered(delivery: Delivery, number: int) -> Fields:
    """The object that the sender's API gave to a fetch."""
    value, path = answer_of(delivery, number), f"fetched[{number}]"
    if not isinstance(value, dict):
        raise wrong_type(path, value, "an object")
    return Fields(value, path)


def short_details(fields: Fields, *names: str) -> dict[str, Any]:
    """`details` that are short: what a person wants to see beside the title."""
    found = details(fields, *names)
    return {name: value for name, value in found.items() if not isinstance(value, str) or 0 < len(value) <= 500}


def not_there(what: str) -> Unreadable:
    """For an answer of an API without what was announced; it is asked again later."""
    return Unreadable(f"{what} is announced, but not there yet.", code="fetch_pending", retry=True)
