"""One talk from several deliveries: the same turns in whatever order they came, the fuller telling wins."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.delivery import Extent, Reading
from domain.memory import MemoryDraft
from domain.session import SessionDraft, Turn
from domain.task import ArtifactDraft, TaskDraft
from processors.joining import join

SESSION = SessionDraft("meeting")
HELLO = Turn("Alice", "Hello everybody.", start_seconds=0.0)
TILES = Turn("Bob", "I've decided we take the blue tiles.", start_seconds=4.0)
BYE = Turn("Alice", "Then we are done for today.", start_seconds=9.5)


def told(*turns: Turn, extent: Extent = "live", **more: Any) -> Reading:
    return Reading(SESSION, turns=turns, extent=extent, **more)


def texts(reading: Reading) -> list[str]:
    return [turn.text for turn in reading.turns]


def test_live_segments_are_put_in_the_order_of_their_times() -> None:
    assert join([told(BYE), told(HELLO), told(TILES)]).turns == (HELLO, TILES, BYE)


def test_a_segment_that_is_told_again_is_there_once_in_its_longest_form() -> None:
    begun = replace(TILES, text="I've decided")
    assert join([told(HELLO, TILES), told(begun), told(TILES)]).turns == (HELLO, TILES)


def test_two_who_speak_at_once_are_both_heard() -> None:
    both = [told(replace(HELLO, speaker=name)) for name in ("Bob", "Alice")]
    assert [turn.speaker for turn in join(both).turns] == ["Alice", "Bob"]


def test_segments_without_times_stay_as_they_came() -> None:
    spoken = [Turn("Alice", text) for text in ("Yes.", "No.", "Yes.")]
    assert join([told(turn) for turn in spoken]).turns == tuple(spoken)


def test_the_whole_takes_the_place_of_the_segments() -> None:
    report = told(Turn("Alice", "Hello, everybody."), Turn("Bob", "We take the blue tiles."), extent="whole")
    assert join([told(HELLO), told(TILES), report]).turns == report.turns
    assert join([report, told(HELLO), told(TILES)]).turns == report.turns


def test_a_whole_that_was_cut_off_does_not_take_the_place_of_what_was_heard() -> None:
    cut = told(Turn("Alice", "Hello."), extent="whole", summary="A greeting.")
    joined = join([told(HELLO, TILES, BYE), cut])
    assert (joined.turns, joined.summary) == ((HELLO, TILES, BYE), "A greeting.")


def test_of_two_wholes_the_fuller_one_stays_with_the_longer_summary() -> None:
    report = told(HELLO, TILES, extent="whole", summary="Blue tiles were chosen, after a greeting.")
    analysis = told(HELLO, TILES, BYE, extent="whole", summary="Tiles.")
    for order in ([report, analysis], [analysis, report]):
        joined = join(order)
        assert (joined.turns, joined.summary) == (analysis.turns, report.summary)


def test_of_two_wholes_with_the_same_words_the_one_with_times_and_names_stays() -> None:
    bare = told(*(replace(turn, speaker="", start_seconds=None) for turn in (HELLO, TILES)), extent="whole")
    rich = told(HELLO, TILES, extent="whole")
    assert join([rich, bare]).turns == join([bare, rich]).turns == rich.turns


def test_an_analysis_without_turns_adds_to_the_talk() -> None:
    item = MemoryDraft("decision", "Blue tiles", extractor="sender")
    analysis = told(extent="whole", summary="Tiles.", memories=(item,))
    joined = join([analysis, told(HELLO)])
    assert (joined.turns, joined.summary, joined.memories) == ((HELLO,), "Tiles.", (item,))


def test_memories_find_their_words_in_the_turns_that_stay() -> None:
    def quoted(quote: str, turn: Turn) -> MemoryDraft:
        start = turn.text.index(quote)
        where = {"turn": 0, "char_start": start, "char_end": start + len(quote), "quote": quote}
        return MemoryDraft("decision", quote, extractor="sender", **where)  # type: ignore[arg-type]

    segment = told(TILES, memories=(quoted("blue tiles", TILES),))
    gone = told(HELLO, memories=(quoted("everybody", HELLO),))
    report = told(BYE, Turn("Bob", "So: the blue tiles, I've decided."), extent="whole")
    tiles, hello = join([segment, gone, report]).memories
    assert (tiles.turn, tiles.char_start, tiles.char_end, tiles.quote) == (1, 8, 18, "blue tiles")
    assert (hello.title, hello.turn, hello.quote) == ("everybody", None, None)


def test_tasks_keep_their_memories_and_artifacts_come_along() -> None:
    def with_task(title: str) -> Reading:
        memory = MemoryDraft("action_item", title, extractor="sender")
        task = TaskDraft(title, "codex", "code", memory=0)
        return told(HELLO, memories=(memory,), tasks=(task,), artifacts=(ArtifactDraft(title, "text"),))

    joined = join([with_task("One"), with_task("Two")])
    assert [(task.title, joined.memories[task.memory or 0].title) for task in joined.tasks] == [
        ("One", "One"),
        ("Two", "Two"),
    ]
    assert [artifact.name for artifact in joined.artifacts] == ["One", "Two"]


def test_one_whole_alone_comes_back_as_it_was() -> None:
    memory = MemoryDraft("fact", "Yes", turn=1, char_start=0, char_end=3, quote="Yes", extractor="sender")
    alone = told(Turn("Bob", "Yes."), Turn("Bob", "Yes."), extent="whole", format="transcript", memories=(memory,))
    assert join([alone]) == alone


SPOKEN = st.builds(
    Turn,
    speaker=st.sampled_from(["Alice", "Bob"]),
    text=st.text("ab ", min_size=1, max_size=6),
    start_seconds=st.integers(0, 5).map(float),
)
UNTIMED = st.builds(Turn, speaker=st.sampled_from(["", "Bob"]), text=st.text("ab ", min_size=1, max_size=9))
TALK = st.lists(
    st.builds(
        lambda turns, summary: told(*turns, summary=summary), st.lists(SPOKEN, max_size=3), st.none() | st.text("xy")
    )
    | st.builds(
        lambda turns, summary: told(*turns, extent="whole", summary=summary),
        st.lists(SPOKEN | UNTIMED, max_size=3),
        st.none() | st.text("xy"),
    ),
    min_size=1,
    max_size=6,
)


@given(TALK.flatmap(lambda talk: st.tuples(st.just(talk), st.permutations(talk))))
def test_any_order_of_the_deliveries_of_a_talk_gives_the_same_turns(
    orders: tuple[list[Reading], list[Reading]],
) -> None:
    one, other = map(join, orders)
    assert (one.turns, one.summary, one.extent) == (other.turns, other.summary, other.extent)


@given(TALK)
def test_what_is_told_twice_is_kept_once(talk: list[Reading]) -> None:
    assert join([*talk, *talk]).turns == join(talk).turns
    assert len(set(join(talk).turns)) == len(join(talk).turns) or any(r.extent == "whole" for r in talk)
