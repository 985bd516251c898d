"""A part of a talk in which extraction breaks is recorded and tried again alone; the rest stands."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from domain.memory import MemoryDraft
from domain.session import Turn
from processors.extracting import dates, hearing
from processors.extracting.pieces import PIECE_WORDS, pieces
from processors.jobs import Workshop, sweep
from store.database import Connection
from tests.conftest import delivery
from tests.processors.workshop import accept, states, talk, work

BREAKS = "and then the parser sneezed"
LONG = "so " * PIECE_WORDS
TALK = ("Add a task: order samples.", LONG, f"{BREAKS}. I've decided to stop.", LONG, "Add a task: call the factory.")


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A rule with a bug that one sentence brings to light."""
    whole = hearing.extract

    def extract(turns: Sequence[Turn]) -> list[MemoryDraft]:
        if any(BREAKS in turn.text for turn in turns):
            raise IndexError(f"a bug that quotes {BREAKS}")
        return whole(turns)

    monkeypatch.setattr(hearing, "extract", extract)
    return monkeypatch


def titles(conn: Connection) -> list[str]:
    return [row["title"] for row in conn.execute("SELECT title FROM memories ORDER BY turn").fetchall()]


def gap(conn: Connection) -> Any:
    return conn.execute("SELECT extractor, error_code, attempts FROM extraction_gaps").fetchone()


def again(shop: Workshop, conn: Connection) -> None:
    conn.execute("UPDATE extraction_gaps SET next_attempt_at = now() WHERE next_attempt_at < 'infinity'")
    sweep(shop)
    work(shop)


def test_a_part_that_breaks_costs_no_other_part(
    shop: Workshop, conn: Connection, faulty: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept(shop.settings, delivery(talk("walk", *TALK)))
    work(shop)
    assert titles(conn) == ["Order samples", "Call the factory"]
    assert states(conn) == {"processed": 1}
    assert gap(conn) == {"extractor": "rules", "error_code": "extraction_error:IndexError", "attempts": 1}
    turns = conn.execute("SELECT count(*) AS n FROM turns").fetchone()
    assert turns == {"n": 5}
    assert "sneezed" not in caplog.text


def test_a_part_that_broke_is_tried_again_and_found_when_the_bug_is_gone(
    shop: Workshop, conn: Connection, faulty: pytest.MonkeyPatch
) -> None:
    accept(shop.settings, delivery(talk("walk", *TALK)))
    work(shop)
    first = conn.execute("SELECT id, title FROM tasks ORDER BY id").fetchall()
    again(shop, conn)
    assert gap(conn)["attempts"] == 2
    faulty.undo()
    again(shop, conn)
    assert titles(conn) == ["Order samples", "Stop", "Call the factory"]
    assert gap(conn) is None
    assert conn.execute("SELECT id, title FROM tasks ORDER BY id").fetchall() == first


def test_a_part_that_always_breaks_is_given_up_and_stays_listed(
    shop: Workshop, conn: Connection, faulty: pytest.MonkeyPatch
) -> None:
    accept(shop.settings, delivery(talk("walk", *TALK)))
    work(shop)
    for _ in range(shop.settings.max_attempts + 2):
        again(shop, conn)
    assert gap(conn)["attempts"] == shop.settings.max_attempts
    assert titles(conn) == ["Order samples", "Call the factory"]


def test_a_date_that_breaks_its_reader_costs_no_memory(
    shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = dates.due_date

    def due_date(phrase: str, said_at: datetime) -> Any:
        if "Friday" in phrase:
            raise IndexError(f"a bug that quotes {phrase}")
        return whole(phrase, said_at)

    monkeypatch.setattr(dates, "due_date", due_date)
    said = "Add a task: order samples by Friday. Add a task: call the factory by tomorrow."
    accept(shop.settings, delivery(talk("walk", said)))
    work(shop)
    assert states(conn) == {"processed": 1}
    rows = conn.execute("SELECT content ? 'due_at' AS dated FROM memories ORDER BY char_start").fetchall()
    assert [row["dated"] for row in rows] == [False, True]
    assert gap(conn) == {"extractor": "rules", "error_code": "extraction_error:IndexError", "attempts": 1}
    assert "Friday" not in caplog.text
    monkeypatch.setattr(dates, "due_date", whole)
    again(shop, conn)
    assert gap(conn) is None


def test_the_same_bug_takes_no_other_delivery_of_the_batch_with_it(
    shop: Workshop, conn: Connection, faulty: pytest.MonkeyPatch
) -> None:
    accept(shop.settings, delivery(talk("walk", BREAKS)), delivery(talk("other", "Add a task: feed the cat.")))
    work(shop)
    assert states(conn) == {"processed": 2}
    assert titles(conn) == ["Feed the cat"]


def test_pieces_are_whole_turns_and_those_before_do_not_change_when_more_is_said() -> None:
    said = [Turn("Alice", LONG, "user"), Turn("Bob", "Yes.", "user"), Turn("Alice", LONG, "user")]
    before, after = list(pieces(said, "x")), list(pieces([*said, Turn("Bob", LONG, "user")], "x"))
    assert [(piece.first, piece.last) for piece in after] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert [piece.digest for piece in before] == [piece.digest for piece in after[: len(before)]]
    assert list(pieces([], "x")) == []
    assert not {piece.digest for piece in pieces(said, "x")} & {piece.digest for piece in pieces(said, "y")}
