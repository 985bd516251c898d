"""What a memory is about."""

from domain.session import Turn
from processors.extracting import extract
from processors.extracting.tags import with_tags


def tags(*texts: str) -> list[tuple[str, ...]]:
    turns = [Turn("Alice", text, "user") for text in texts]
    return [draft.tags for draft in with_tags(extract(turns, ("rules",)), turns)]


def test_a_name_of_several_words_is_one_tag() -> None:
    assert tags("I've decided we use the Carbon Interface API.") == [("carbon interface api",)]


def test_a_name_is_known_again_in_lower_case() -> None:
    talk = ("We looked at Carbon Interface and at Climatiq.", "Add a task: compare carbon interface prices.")
    assert tags(*talk)[-1] == ("carbon interface", "compare", "prices")


def test_words_that_stand_together_often_are_one_tag() -> None:
    talk = ("the tax report is late", "who has the tax report", "add a task: send the tax report to Bob")
    assert tags(*talk)[-1][0] == "tax report"


def test_words_that_stand_together_once_are_two() -> None:
    assert tags("Add a task: paint the garden fence.") == [("paint", "garden", "fence")]


def test_what_the_talk_is_about_comes_first() -> None:
    talk = ("The parser is slow.", "Yes, the parser again.", "Add a task: profile and measure the parser.")
    assert tags(*talk)[-1][0] == "parser"


def test_a_capital_at_the_beginning_of_a_sentence_makes_no_name() -> None:
    assert tags("Add a task: sand the fence. Add a task: paint the fence.") == [("fence", "sand"), ("fence", "paint")]


def test_there_are_four_at_most() -> None:
    assert all(len(found) <= 4 for found in tags("Add a task: order white paint, brushes, tape, rollers and a ladder."))
