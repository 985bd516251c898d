"""Items that two speakers make together, and what only looks like one."""

import pytest

from domain.session import Role, Turn
from processors.extracting import extract
from processors.extracting.agreeing import agreed

ALICE: tuple[str, Role] = ("Alice", "other")
BOB: tuple[str, Role] = ("Bob", "other")
PILOT: tuple[str, Role] = ("Pilot", "assistant")


def talk(*lines: tuple[tuple[str, Role], str]) -> list[Turn]:
    return [Turn(name, text, role) for (name, role), text in lines]


def concluded(*lines: tuple[tuple[str, Role], str]) -> list[tuple[str, str]]:
    return [(draft.type, draft.title) for draft in agreed(talk(*lines))]


@pytest.mark.parametrize(
    ("question", "answer", "title"),
    [
        ("Should we use Postgres?", "Yes, do it.", "Use Postgres"),
        ("So, um, should we use Postgres then?", "Yeah, let's.", "Use Postgres"),
        ("Shall we meet on Tuesday?", "Okay.", "Meet on Tuesday"),
        ("Do we want to drop the old importer?", "Absolutely.", "Drop the old importer"),
        ("Why don't we cache the tiles?", "Sure, go ahead.", "Cache the tiles"),
        ("should we keep the cheap plan", "yeah let's do that", "Keep the cheap plan"),
        ("Postgres or SQLite?", "Postgres.", "Postgres instead of SQLite"),
        ("So is it the blue one or the green one?", "The green one.", "The green one instead of the blue one"),
    ],
)
def test_what_one_proposes_and_another_agrees_to_is_decided(question: str, answer: str, title: str) -> None:
    assert concluded((ALICE, question), (BOB, answer)) == [("decision", title)]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Should we use Postgres?", "No, let's not."),
        ("Should we use Postgres?", "Yes, but only for search."),
        ("Should we use Postgres?", "I don't know yet."),
        ("Should we be worried?", "Yes."),
        ("Shall we start with the bathroom?", "Yes, let's."),
        ("Is it raining?", "Yes."),
        ("Did you like the film?", "Yes, absolutely."),
        ("Postgres or SQLite?", "I'd have to think about it."),
        ("Tea or coffee?", "Yes please."),
        ("We should talk about Postgres.", "Yes."),
    ],
)
def test_an_answer_that_agrees_to_nothing_decides_nothing(question: str, answer: str) -> None:
    assert concluded((ALICE, question), (BOB, answer)) == []


def test_nobody_agrees_with_themselves() -> None:
    assert concluded((ALICE, "Should we use Postgres?"), (ALICE, "Yes, do it.")) == []


def test_an_assistant_decides_nothing() -> None:
    assert concluded((ALICE, "Should we use Postgres?"), (PILOT, "Yes, do it.")) == []


def test_a_person_agrees_to_what_an_assistant_offers() -> None:
    (item,) = agreed(talk((PILOT, "Shall I add a task to look up its prices?"), (ALICE, "Yes please.")))
    assert (item.type, item.title, item.explicit) == ("action_item", "Look up its prices", True)


def test_what_an_assistant_only_offers_to_do_waits_for_approval() -> None:
    (item,) = agreed(talk((PILOT, "Should I compare the two plans?"), (ALICE, "Sure.")))
    assert (item.type, item.title, item.explicit) == ("action_item", "Compare the two plans", False)


def test_an_answer_may_come_after_somebody_elses() -> None:
    lines = ((ALICE, "Should we use Postgres?"), (PILOT, "It would do."), (BOB, "Agreed."))
    assert concluded(*lines) == [("decision", "Use Postgres")]


def test_what_was_agreed_upon_is_no_question_any_more_and_keeps_the_words_it_came_from() -> None:
    turns = talk((ALICE, "Right. Should we use Postgres?"), (BOB, "Yes, do it."))
    (item,) = extract(turns)
    assert (item.type, item.turn, item.quote) == ("decision", 0, "Should we use Postgres?")
    assert turns[0].text[item.char_start : item.char_end] == item.quote
