"""The same statement in other words: the sender's beside the talk's, today's beside the known."""

from typing import Any

import pytest

from domain.memory import MemoryDraft, MemoryType
from domain.session import Turn
from processors.extracting import extract
from processors.matching import known_again, told_once


def draft(title: str) -> MemoryDraft:
    return MemoryDraft("action_item", title)


def used(key: str, title: str) -> dict[str, Any]:
    return {"id": 1, "key": key, "type": "action_item", "title": title}


def test_what_people_work_with_is_known_again_in_other_words() -> None:
    known = used("action_item-look-up-prices", "Look up prices")
    reworded, other = known_again([draft("Look up the prices"), draft("Order tiles")], [known])
    assert (reworded.key, other.key) == ("action_item-look-up-prices", None)


def test_a_memory_is_known_again_by_one_draft_only() -> None:
    known = used("action_item-look-up-prices", "Look up prices")
    exact, alike = known_again([draft("Look up prices"), draft("Look up the prices")], [known])
    assert (exact.key, alike.key) == ("action_item-look-up-prices", None)
    assert [d.key for d in known_again([draft("Look up the prices"), draft("Look up prices")], [known])] == [
        None,
        "action_item-look-up-prices",
    ]


def said(text: str) -> list[MemoryDraft]:
    return extract([Turn("Jon", "Fine."), Turn("Mara", text)])


def given(title: str, type: MemoryType = "action_item") -> MemoryDraft:
    return MemoryDraft(type, title, extractor="sender")


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Order the tiles", "Add an action item: Jon orders the tiles by Thursday."),
        ("Look up Carbon Interface prices", "Add a task: look up the prices of the Carbon Interface API."),
    ],
)
def test_an_item_of_the_sender_and_the_words_it_came_from_are_one(title: str, text: str) -> None:
    (memory,) = told_once([given(title)], said(text))
    assert (memory.title, memory.extractor, memory.turn, memory.speaker) == (title, "sender", 1, "Mara")
    assert memory.quote and memory.quote in text
    assert text[memory.char_start : memory.char_end] == memory.quote


@pytest.mark.parametrize(
    ("memory", "text"),
    [
        (given("Order the paint"), "Add a task: order the tiles by Thursday."),  # one word is no match
        (given("Order the tiles", "decision"), "Add a task: order the tiles."),  # another kind
    ],
)
def test_what_says_something_else_stays_beside_it(memory: MemoryDraft, text: str) -> None:
    assert len(told_once([memory], said(text))) == 2


def test_one_statement_stands_for_one_item_only() -> None:
    both = told_once([given("Order the tiles"), given("Order blue tiles")], said("Add a task: order the blue tiles."))
    assert [memory.quote is None for memory in both] == [False, True]


def test_a_place_that_the_sender_gave_is_kept() -> None:
    placed = MemoryDraft("action_item", "Tiles", extractor="sender", turn=0, char_start=0, char_end=5, quote="Fine.")
    kept, found = told_once([placed], said("Add a task: order the tiles."))
    assert kept == placed
    assert found.turn == 1
