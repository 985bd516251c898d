"""When two memories say the same: equal words or nearly all of them, and nothing that makes them differ."""

import pytest

from processors.merging import Saying, says_again
from processors.sameness import meaning

SAME = [
    ("Use Postgres", "use postgres!"),
    ("Use Postgres", "We use Postgres"),
    ("Use Postgres", "Postgres"),
    ("We will use the Carbon Interface API", "Use the Carbon Interface API"),
    ("Use the Carbon Interface API", "Um, use the Carbon Interface API, okay"),
    ("Look up the prices of the Carbon Interface API", "Look up the Carbon Interface API prices"),
    ("Look up Carbon Interface prices", "Look up Carbon Interface API prices"),
    ("Write two tests for the parser", "Write 2 tests for the parser"),
    ("Don't use Redis", "Do not use Redis"),
    ("Don’t use Redis", "Don't use Redis"),
    ("Order the tiles", "Order tiles please"),
    ("Ship on Monday", "We ship on Monday"),
    ("What is the budget", "What's the budget"),
]
DIFFERENT = [
    ("Label rack 0, slot 1", "Label rack 1, slot 0"),
    ("Write up worker-0-1", "Write up worker-1-0"),
    ("Use Postgres 15", "Use Postgres 16"),
    ("Use Postgres", "Use Postgres 16"),
    ("Ship on Monday", "Ship on Tuesday"),
    ("Ship the release", "Ship the release on Monday"),
    ("Use Redis", "Don't use Redis"),
    ("Use Redis for the session store", "Stop using Redis for the session store"),
    ("Use Redis", "Use Valkey"),
    ("Order the blue tiles", "Order the green tiles"),
    ("Postgres over SQLite", "SQLite over Postgres"),
    ("Move the data from Berlin to Paris", "Move the data from Paris to Berlin"),
    ("Write tests for the parser", "Write integration tests for the parser"),
    ("Turn on the lights", "Turn off the lights"),
    ("Deploy before the launch", "Deploy after the launch"),
    ("When is the launch", "Where is the launch"),
    ("Send the report to Maria", "Send the report to Mario"),
    ("Look up prices for the new kitchen floor", "Look up prices for the new kitchen floor with Bob"),
    ("Use version 2.1", "Use version 2.2"),
    ("Add login", "Add logout"),
    ("Enable the cache", "Disable the cache"),
    ("Call Anna in two days", "Call Anna in three days"),
]


def says(
    one: str, other: str, type: str = "decision", speakers: tuple[str, str] = ("Ann", "Ann"), **more: bool
) -> bool:
    first, second = (Saying(type, title, speaker) for title, speaker in zip((one, other), speakers, strict=True))
    here = more.get("here", False)
    assert says_again(first, second, here=here) == says_again(second, first, here=here)
    return says_again(first, second, here=here)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_in_other_words_is_the_same(one: str, other: str) -> None:
    assert says(one, other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_a_number_a_name_a_day_or_a_negation_makes_another_statement(one: str, other: str) -> None:
    assert not says(one, other)


@pytest.mark.parametrize("title", ["Look up its prices", "Do that", "Fix it before noon", "Ask them about the invoice"])
def test_what_points_at_something_is_the_same_only_in_its_session(title: str) -> None:
    assert not says(title, title, "action_item")
    assert says(title, title, "action_item", here=True)


@pytest.mark.parametrize("title", ["Show a bar that gets longer", "Note the tickets that we closed"])
def test_a_word_that_only_joins_points_at_nothing(title: str) -> None:
    assert says(title, title, "action_item")


def test_what_one_person_says_of_themselves_is_not_what_another_says() -> None:
    assert not says("Call my mother", "Call my mother", "action_item", ("Ann", "Bob"))
    assert says("Call my mother", "Call my mother", "action_item", ("Ann", "Ann"))
    assert says("Call the plumber", "Call the plumber", "action_item", ("Ann", "Bob"))


def test_two_people_may_prefer_the_same() -> None:
    assert not says("Tea in the morning", "Tea in the morning", "preference", ("Ann", "Bob"))
    assert says("Tea in the morning", "Tea in the morning", "preference")


def test_what_two_people_are_each_to_do_is_not_the_same() -> None:
    anna, bob, somebody, speaker = (
        Saying("action_item", "Review the plan", "Ann", owner) for owner in ("Anna", "Bob", None, "I")
    )
    assert not says_again(anna, bob, here=True)
    assert says_again(anna, somebody, here=True)
    assert says_again(bob, speaker, here=True)


def test_a_title_without_a_telling_word_says_nothing_elsewhere() -> None:
    assert meaning("We will").points
    assert not says("We will", "we will")
