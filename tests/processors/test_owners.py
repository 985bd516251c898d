"""Whose an action item is."""

import pytest

from domain.session import Role, Turn
from processors.extracting import extract
from processors.extracting.owners import with_owners


def owner(*lines: tuple[str, Role, str]) -> tuple[object, object]:
    turns = [Turn(name, text, role) for name, role, text in lines]
    (item,) = [draft for draft in with_owners(extract(turns, ("rules",)), turns) if draft.type == "action_item"]
    return item.content.get("owner"), item.content.get("owner_words")


def test_who_says_i_is_the_owner_by_name() -> None:
    assert owner(("Mara", "user", "I need to write the changelog.")) == ("Mara", "I")


@pytest.mark.parametrize("speaker", ["User", "Speaker 1", "SPEAKER_01", "spk_0", "A", ""])
def test_a_speaker_without_a_name_stays_i(speaker: str) -> None:
    assert owner((speaker, "user", "I need to write the changelog.")) == ("I", None)


def test_you_is_the_other_of_two() -> None:
    lines = (("Lena", "other", "I need you to check the prices."), ("Omar", "other", "Sure."))
    assert owner(*lines) == ("Omar", "you")


def test_you_is_the_assistant_that_is_spoken_to() -> None:
    lines = (("Lena", "user", "Can you compare the two plans?"), ("Pilot", "assistant", "Yes."))
    assert owner(*lines) == ("Pilot", "you")


def test_you_among_three_is_nobody_certain() -> None:
    lines = (
        ("Lena", "other", "I need you to check the prices."),
        ("Omar", "other", "Who, me?"),
        ("Ida", "other", "No."),
    )
    assert owner(*lines) == ("you", None)


def test_a_participant_is_known_by_the_first_name_and_in_lower_case() -> None:
    lines = (
        ("Lena Berg", "other", "okay so we need to test the import omar will you do that"),
        ("Omar Said", "other", "yes"),
        ("Ida", "other", "good"),
    )
    assert owner(*lines)[0] == "Omar Said"


def test_a_name_that_does_not_take_part_is_kept_as_it_was_said() -> None:
    assert owner(("Lena", "user", "Sam will update the docs.")) == ("Sam", None)


def test_a_name_that_is_only_mentioned_owns_nothing() -> None:
    lines = (
        ("Lena", "other", "Add a task: write down what Omar said."),
        ("Omar", "other", "Hm."),
        ("Ida", "other", "."),
    )
    assert owner(*lines) == (None, None)


def test_we_is_no_owner() -> None:
    assert owner(("Lena", "other", "We need to test the import."), ("Omar", "other", "Yes.")) == (None, None)
