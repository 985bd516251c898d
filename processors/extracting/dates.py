"""Words such as "by Friday" to the day they mean, reckoned from when they were said."""

import re
from calendar import monthrange
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from domain.memory import MemoryDraft
from domain.session import Turn

# Without these words in front, or it is no date: "by Sam", "before the demo".
_LEAD = re.compile(r"^(?:(?:by|before|until|till|due|on|at|for|in time for|no later than|latest)\s+)+", re.IGNORECASE)
_PART_OF_DAY = re.compile(r"\b(?:first thing|(?:in the )?(?:morning|afternoon|evening|night))\b", re.IGNORECASE)
_CLOCK = re.compile(
    r"\b(?:(\d{1,2})(?::(\d\d))? ?(?:([ap])\.?m\b\.?|o'clock)|(\d{1,2}):(\d\d)"
    r"|(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve) o'clock|(noon|midnight))",
    re.IGNORECASE,
)
_HOURS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_IN_HOURS = re.compile(r"^in .{1,12}\b(?:minute|hour)s?$", re.IGNORECASE)
_WEEKDAY = re.compile(r"^(?:(this|next) )?((?:mon|tues|wednes|thurs|fri|satur|sun)day)$", re.IGNORECASE)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ORDINAL = re.compile(r"^(?:the )?(\d{1,2})(?:st|nd|rd|th)$", re.IGNORECASE)
_SHORTEST = 4  # letters: dateparser takes "we" for Wednesday and "may" for the month
_WORKDAY_ENDS = 18  # the hour that "end of the day" means


def _end_of_month(day: date, months: int = 0) -> date:
    month = day.month - 1 + months
    year, month = day.year + month // 12, month % 12 + 1
    return date(year, month, monthrange(year, month)[1])


def _weekday(day: date, number: int, *, after: int = 0) -> date:
    """The first such day (Monday is 0) that is at least `after` days on."""
    first = day + timedelta(days=after)
    return first + timedelta(days=(number - first.weekday()) % 7)


def _day_of_month(day: date, number: int) -> date | None:
    """The next day of this number; a month that is too short for it is passed over."""
    for months in range(3):
        end = _end_of_month(day, months)
        if 0 < number <= end.day and (months or number >= day.day):
            return end.replace(day=number)
    return None


# What the library misses. Each from the day on which it was said.
_NAMED: dict[str, Callable[[date], date]] = {
    "today": lambda day: day,
    "tonight": lambda day: day,
    "tomorrow": lambda day: day + timedelta(days=1),
    "the day after tomorrow": lambda day: day + timedelta(days=2),
    "eod": lambda day: day,
    "end of day": lambda day: day,
    "eow": lambda day: _weekday(day, 4),
    "end of week": lambda day: _weekday(day, 4),
    "this week": lambda day: _weekday(day, 4),
    "the weekend": lambda day: _weekday(day, 5),
    "weekend": lambda day: _weekday(day, 5),
    "this weekend": lambda day: _weekday(day, 5),
    "next weekend": lambda day: _weekday(_weekday(day, 5), 5, after=1),
    "next week": lambda day: _weekday(day, 0, after=1) + timedelta(days=4),
    "eom": _end_of_month,
    "end of month": _end_of_month,
    "this month": _end_of_month,
    "next month": lambda day: _end_of_month(day, 1),
    "end of quarter": lambda day: _end_of_month(day, -day.month % 3),
    "this quarter": lambda day: _end_of_month(day, -day.month % 3),
    "end of year": lambda day: date(day.year, 12, 31),
    "this year": lambda day: date(day.year, 12, 31),
    "next year": lambda day: date(day.year + 1, 12, 31),
    "in a fortnight": lambda day: day + timedelta(days=14),
}
_ENDS = re.compile(r"^(?:the )?end of (?:the |this )?(day|week|month|quarter|year)$", re.IGNORECASE)


def with_dates(
    drafts: Sequence[MemoryDraft], turns: Sequence[Turn], received_at: datetime, zone: tzinfo
) -> list[MemoryDraft]:
    """The drafts with `due_at` beside `due`: a date or, where a time of day was said, an instant; RFC 3339.

    Reckoned from when the turn was spoken, else from when the delivery was received.
    """
    return [_dated(draft, turns, received_at, zone) if "due" in draft.content else draft for draft in drafts]


def _dated(draft: MemoryDraft, turns: Sequence[Turn], received_at: datetime, zone: tzinfo) -> MemoryDraft:
    spoken = turns[draft.turn].start_time if draft.turn is not None else None
    found = due_date(str(draft.content["due"]), (spoken or received_at).astimezone(zone))
    return replace(draft, content=draft.content | {"due_at": found.isoformat()}) if found else draft


def due_date(phrase: str, said_at: datetime) -> date | datetime | None:
    """The day, or the instant, that a phrase means when it is said at this (aware) time; None when it means none.

    "next Friday" is the Friday of this week when said before it, which not everybody means: keep the phrase.
    """
    words = _LEAD.sub("", " ".join(phrase.replace("’", "'").split())).strip(" ,.;")
    clock = _CLOCK.search(words)
    bare = " ".join(_PART_OF_DAY.sub("", _CLOCK.sub("", words)).split()).removesuffix(" at").removeprefix("at ").strip()
    if clock and bare in ("", "at"):
        return _at(said_at.date(), clock, said_at, may_be_tomorrow=True)
    if _IN_HOURS.match(bare):
        found = _parsed(bare, said_at)
        return found.replace(second=0, microsecond=0) if found else None
    day = _day(bare.lower(), said_at)
    if day is None or day < said_at.date():
        return None
    if clock:
        return _at(day, clock, said_at)
    return _at_hour(day, _WORKDAY_ENDS, said_at) if bare.lower() in ("eod", "end of day") else day


def _day(words: str, said_at: datetime) -> date | None:
    ends = _ENDS.match(words)
    named = _NAMED.get(f"end of {ends[1]}" if ends else words)
    if named:
        return named(said_at.date())
    if weekday := _WEEKDAY.match(words):
        return _weekday(said_at.date(), _WEEKDAYS.index(weekday[2].lower()), after=1 if weekday[1] else 0)
    if sum(character.isalpha() for character in words) < _SHORTEST and not any(map(str.isdigit, words)):
        return None
    if ordinal := _ORDINAL.match(words):
        return _day_of_month(said_at.date(), int(ordinal[1]))
    return _parsed_day(words, said_at.date())


@lru_cache(1024)
def _parsed_day(words: str, day: date) -> date | None:
    found = _parsed(words, datetime.combine(day, time()))
    return found.date() if found else None


def _parsed(words: str, said_at: datetime) -> datetime | None:
    import dateparser  # a quarter of a second, for who needs it

    settings: dict[str, Any] = {
        "RELATIVE_BASE": said_at.replace(tzinfo=None),
        "PREFER_DATES_FROM": "future",
        "PREFER_DAY_OF_MONTH": "first",
        "RETURN_AS_TIMEZONE_AWARE": False,
        "REQUIRE_PARTS": ["day"],
    }
    try:
        found = dateparser.parse(words, languages=["en"], settings=settings)
    except (ValueError, OverflowError, RecursionError):
        return None  # the library lets them escape on some texts
    return found.replace(tzinfo=said_at.tzinfo) if found else None


def _at(day: date, clock: re.Match[str], said_at: datetime, *, may_be_tomorrow: bool = False) -> datetime | None:
    hour, minute = _hour_of(clock)
    if hour > 23 or minute > 59:
        return None
    found = datetime(day.year, day.month, day.day, hour, minute, tzinfo=said_at.tzinfo)
    if may_be_tomorrow and found <= said_at:
        found += timedelta(days=1)
    return found if found > said_at else None


def _hour_of(clock: re.Match[str]) -> tuple[int, int]:
    hour, minute, half, hour24, minute24, word, named = clock.groups()
    if named:
        return (12 if named.lower() == "noon" else 0), 0
    if hour24:
        return int(hour24), int(minute24)
    number = _HOURS.index(word.lower()) + 1 if word else int(hour)
    if half:
        number = number % 12 + (12 if half.lower() == "p" else 0)
    elif number < 7:  # "at five o'clock" is in the afternoon
        number += 12
    return number, int(minute or 0)


def _at_hour(day: date, hour: int, said_at: datetime) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=said_at.tzinfo)
