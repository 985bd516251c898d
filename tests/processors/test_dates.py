"""When something is due, by what was said and when. All is said on Wednesday, 25 November 2026, at ten in Berlin."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.session import Turn
from processors.extracting import extract
from processors.extracting.dates import due_date, with_dates

BERLIN = ZoneInfo("Europe/Berlin")
SAID = datetime(2026, 11, 25, 10, 0, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("phrase", "day"),
    [
        ("today", "2026-11-25"),
        ("tonight", "2026-11-25"),
        ("by tomorrow", "2026-11-26"),
        ("first thing tomorrow", "2026-11-26"),
        ("tomorrow morning", "2026-11-26"),
        ("by Friday", "2026-11-27"),
        ("by Wednesday", "2026-11-25"),
        ("next Friday", "2026-11-27"),
        ("next Wednesday", "2026-12-02"),
        ("on Monday", "2026-11-30"),
        ("until Thursday evening", "2026-11-26"),
        ("this weekend", "2026-11-28"),
        ("next week", "2026-12-04"),
        ("by the end of the week", "2026-11-27"),
        ("EOW", "2026-11-27"),
        ("end of the month", "2026-11-30"),
        ("by the end of the quarter", "2026-12-31"),
        ("by the end of the year", "2026-12-31"),
        ("next month", "2026-12-31"),
        ("by December 3rd", "2026-12-03"),
        ("by March 3rd", "2027-03-03"),
        ("before the 5th", "2026-12-05"),
        ("in two weeks", "2026-12-09"),
        ("in three days", "2026-11-28"),
    ],
)
def test_a_day_that_is_said_is_reckoned_from_when_it_was_said(phrase: str, day: str) -> None:
    assert due_date(phrase, SAID) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("phrase", "instant"),
    [
        ("by 5 pm", "2026-11-25T17:00"),
        ("at five o'clock", "2026-11-25T17:00"),
        ("at 9 a.m.", "2026-11-26T09:00"),
        ("on Friday at 14:30", "2026-11-27T14:30"),
        ("tomorrow at noon", "2026-11-26T12:00"),
        ("EOD", "2026-11-25T18:00"),
        ("in two hours", "2026-11-25T12:00"),
    ],
)
def test_a_time_of_day_makes_it_an_instant(phrase: str, instant: str) -> None:
    assert due_date(phrase, SAID) == datetime.fromisoformat(instant).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    "phrase",
    [
        "by Sam",
        "before the demo",
        "we",
        "may",
        "by the way",
        "at 25 o'clock",
        "on it",
        "until then",
        "",
        "soon",
        "the sec",
    ],
)
def test_words_that_mean_no_day_give_none(phrase: str) -> None:
    assert due_date(phrase, SAID) is None


@pytest.mark.parametrize("phrase", ["yesterday", "last Friday", "November 1st 2026"])
def test_nothing_is_due_in_the_past(phrase: str) -> None:
    assert due_date(phrase, SAID) is None


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40))
def test_no_text_breaks_it(phrase: str) -> None:
    found = due_date(phrase, SAID)
    assert found is None or isinstance(found, date)


def due(text: str, **when: datetime) -> dict[str, object]:
    turns = [Turn("Alice", text, "user", **when)]
    (item, *_) = with_dates(extract(turns), turns, SAID, BERLIN)
    return {name: item.content[name] for name in ("due", "due_at") if name in item.content}


def test_the_words_stay_beside_the_date() -> None:
    assert due("Add a task: call the bank by Friday.") == {"due": "by Friday", "due_at": "2026-11-27"}


def test_the_time_of_the_turn_counts_before_that_of_the_delivery() -> None:
    spoken = SAID - timedelta(days=14)
    assert due("Add a task: call the bank by Friday.", start_time=spoken)["due_at"] == "2026-11-13"


def test_a_late_evening_is_still_that_day_where_it_was_said() -> None:
    spoken = datetime.fromisoformat("2026-11-25T23:30:00+00:00")
    assert due("Add a task: call the bank tomorrow.", start_time=spoken)["due_at"] == "2026-11-27"


@pytest.mark.parametrize(
    "text",
    [
        "Add a task: write down what Friday's demo showed.",
        "Add a task: use the May branch.",
        "Add a task: ask by mail.",
    ],
)
def test_a_day_that_is_only_mentioned_is_no_due_date(text: str) -> None:
    assert "due_at" not in due(text)
