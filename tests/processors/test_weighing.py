"""Rules and model together, on talk as people talk."""

import pytest

from domain.session import Role, Turn
from processors.extracting import extract


def among(*lines: tuple[str, str], role: Role = "other") -> list[tuple[str, str]]:
    turns = [Turn(speaker, text, role) for speaker, text in lines]
    drafts = extract(turns)
    for draft in drafts:
        assert draft.turn is not None
        assert turns[draft.turn].text[draft.char_start : draft.char_end] == draft.quote
    return [(draft.type, draft.title) for draft in drafts]


def alone(*texts: str) -> list[tuple[str, str]]:
    return among(*(("Alice", text) for text in texts), role="user")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Fine, PWA it is, at least for this year.", "PWA"),
        ("Denmark it is!", "Denmark"),
        ("actually let's do oak yeah oak", "Do oak yeah oak"),
        (
            "We're definitely taking the carpenter from this morning.",
            "We're definitely taking the carpenter from this morning",
        ),
        ("I'm not buying winter tyres.", "I'm not buying winter tyres"),
        ("No coffee after lunch from now on.", "No coffee after lunch from now on"),
        ("The piano stays with me, whatever it costs.", "The piano stays with me, whatever it costs"),
        ("We do the post-mortem on Tuesday at eleven.", "We do the post-mortem on Tuesday at eleven"),
        ("It's going to be Carbon Interface.", "It's going to be Carbon Interface"),
    ],
)
def test_a_decision_is_heard_as_people_take_it(text: str, title: str) -> None:
    assert alone(text) == [("decision", title)]


@pytest.mark.parametrize(
    "text",
    [
        "What a day it is!",
        "It's going to be cold.",
        "It's going to be a long night.",
        "Let's do it.",
        "Let's have a look at it.",
        "I'm taking care of mum today.",
        "How long does that stay in you?",
        "If we start on Tuesday, it rains.",
        "She's taking the train.",
        "I think it is.",
    ],
)
def test_what_only_sounds_like_it_is_no_decision(text: str) -> None:
    assert not [title for type, title in alone(text) if type == "decision"]


def test_a_question_that_somebody_could_answer_is_settled() -> None:
    assert among(("Ann", "How many rooms do we have in the house?"), ("Bob", "Four and a kitchen.")) == []


@pytest.mark.parametrize(
    "answer", ["I don't know.", "No idea, somebody has to ask them.", "I'd have to look.", "Who knows?"]
)
def test_a_question_that_nobody_could_answer_is_kept(answer: str) -> None:
    found = among(("Ann", "How many rooms do we have in the house?"), ("Bob", answer))
    assert ("question", "How many rooms do we have in the house") in found


def test_what_was_said_outright_needs_no_model() -> None:
    assert alone("Add a task: water the plants.") == [("action_item", "Water the plants")]


def test_the_model_hears_requests_for_which_there_is_no_rule() -> None:
    turns = [Turn("Alice", "Please forward the signed contract to the notary before noon.", "user")]
    (draft,) = extract(turns)
    assert (draft.type, draft.extractor, draft.explicit) == ("action_item", "model", False)
    assert draft.confidence < 0.85
    assert extract(turns, ("rules",)) == []


def test_small_talk_leaves_nothing() -> None:
    lines = ("Hi, are you there?", "It was a nice day.", "We watched that film about the lighthouse.", "Good night.")
    assert alone(*lines) == []
