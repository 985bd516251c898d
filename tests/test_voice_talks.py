"""The labelled conversations are as they should be."""

from collections import Counter

from tests.voice_talks import read_talks

TALKS = read_talks()


def test_there_are_at_least_forty_of_all_kinds() -> None:
    assert len(TALKS) >= 40
    assert sum(len(talk.turns) >= 14 for talk in TALKS) >= len(TALKS) // 3
    assert sum(len({turn.speaker for turn in talk.turns if turn.role == "other"}) > 1 for talk in TALKS) >= 10
    assert sum(not talk.labels for talk in TALKS) >= 3


def test_a_third_is_as_speech_recognition_writes_it() -> None:
    plain = [talk for talk in TALKS if talk.form == "unpunctuated"]
    assert {talk.form for talk in TALKS} == {"punctuated", "unpunctuated"}
    assert len(plain) >= len(TALKS) // 3
    for talk in plain:
        spoken = "".join(turn.text for turn in talk.turns if turn.role != "assistant")
        assert not set(spoken) & set(".,?!;:"), talk.name
        assert spoken == spoken.lower(), talk.name


def test_every_label_says_why_and_none_is_given_twice() -> None:
    for talk in TALKS:
        assert len(talk.labels) <= 14, talk.name
        given = Counter((label.turn, label.type, label.words) for label in (*talk.labels, *talk.traps))
        assert set(given.values()) <= {1}, talk.name


def test_no_item_is_an_assistants() -> None:
    for talk in TALKS:
        assert all(talk.turns[label.turn].role != "assistant" for label in talk.labels), talk.name
