"""A decision in the place of an earlier one: both are kept, what stood when can be asked, and tasks are in doubt."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from psycopg import errors as pg

from domain.errors import InvalidRequest, NotFound
from store import memories, search, tasks
from store.database import Connection, connect
from tests.store.conversation import MORNING, memory, rows, say, tasks_of


def stood(conn: Connection, minutes: float) -> list[str]:
    at = MORNING + timedelta(minutes=minutes)
    return [row["title"] for row in rows(conn, "SELECT title FROM memories_as_of(%s) ORDER BY said_at, id", at)]


def doubts(conn: Connection) -> list[str | None]:
    return [row["doubt"] for row in rows(conn, "SELECT doubt FROM tasks ORDER BY created, id")]


def test_both_are_kept_and_what_stood_when_can_be_asked(conn: Connection) -> None:
    old = say(conn, "Use SQLite")
    idea = say(conn, "Sell tiles", type="idea", minutes=1)
    new = say(conn, "Use Postgres", minutes=10)
    assert memories.supersede(conn, {old: new}) == {new}
    row = memory(conn, old)
    assert (row["superseded_by"], row["superseded_at"]) == (new, MORNING + timedelta(minutes=10))
    assert stood(conn, -1) == []
    assert stood(conn, 0) == ["Use SQLite"]
    assert stood(conn, 9) == ["Use SQLite", "Sell tiles"]
    assert stood(conn, 10) == ["Sell tiles", "Use Postgres"]
    memories.reject(conn, idea, person="bob")
    assert stood(conn, 9) == ["Use SQLite"]


def test_what_was_said_again_before_stood_from_then_on(conn: Connection) -> None:
    first = say(conn, "Use SQLite", minutes=5)
    say(conn, "Use SQLite", minutes=1, into=first)  # told later
    assert stood(conn, 2) == ["Use SQLite"]
    assert stood(conn, 9) == ["Use SQLite"]


def test_a_query_tells_what_stands_and_a_search_what_was_replaced_too(conn: Connection) -> None:
    old, new = say(conn, "Use SQLite"), say(conn, "Use Postgres instead of SQLite", minutes=1)
    memories.supersede(conn, {old: new})
    assert [row["id"] for row in memories.query(conn, None, type="decision", tags=[], limit=10)] == [new]
    found = memories.listing(conn, type=None, session_id=None, tag=None, before=None, limit=10)
    assert [(row["id"], row["superseded_by"]) for row in found] == [(new, None), (old, new)]
    hits = search.search(conn, "sqlite", kinds=["memories"])
    assert {hit["id"]: hit["superseded_by"] for hit in hits} == {str(old): new, str(new): None}


def test_what_is_replaced_is_replaced_by_the_one_that_stands(conn: Connection) -> None:
    old, new = say(conn, "Use SQLite"), say(conn, "Use Postgres", minutes=1)
    again = say(conn, "Use Postgres", minutes=2, into=new)
    memories.supersede(conn, {old: again})
    assert memory(conn, old)["superseded_by"] == new


def test_what_is_replaced_already_stays_so(conn: Connection) -> None:
    old, new, newer = (say(conn, title, minutes=n) for n, title in enumerate(("Use SQLite", "Use Postgres", "Use Vue")))
    memories.supersede(conn, {old: new})
    assert memories.supersede(conn, {old: newer}) == set()
    assert memory(conn, old)["superseded_by"] == new


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE memories SET superseded_by = id",
        "ALTER TABLE memories DISABLE TRIGGER keep_superseded; UPDATE memories SET superseded_at = now()",
    ],
)
def test_a_replacement_is_whole(conn: Connection, statement: Any) -> None:
    say(conn, "Use SQLite")
    with pytest.raises(pg.CheckViolation), conn.transaction():
        conn.execute(statement)


def test_a_replacement_typed_as_plain_sql_gets_its_time_and_loses_it(conn: Connection) -> None:
    old, new = say(conn, "Use SQLite"), say(conn, "Use Postgres")
    conn.execute("UPDATE memories SET superseded_by = %s WHERE id = %s", [new, old])
    assert memory(conn, old)["superseded_at"] is not None
    conn.execute("DELETE FROM memories WHERE id = %s", [new])
    assert (memory(conn, old)["superseded_by"], memory(conn, old)["superseded_at"]) == (None, None)


# What may be replaced


def replaceable(conn: Connection, newer: int, *parts: str) -> list[int]:
    return [row["id"] for row in memories.replaceable(conn, {newer: parts})]


def test_what_may_be_replaced_stands_and_was_said_before(conn: Connection) -> None:
    early, late = say(conn, "Use SQLite"), say(conn, "SQLite for all", minutes=1)
    say(conn, "SQLite is slow", type="fact")
    rejected = say(conn, "SQLite everywhere")
    memories.reject(conn, rejected, person="bob")
    say(conn, "Use SQLite", into=early)
    new = say(conn, "Use Postgres", minutes=2)
    say(conn, "SQLite again", minutes=3)
    assert replaceable(conn, new, "sqlite") == [late, early]
    memories.supersede(conn, {late: new})
    assert replaceable(conn, new, "sqlite") == [early]


def test_elsewhere_it_has_to_have_all_the_words(conn: Connection) -> None:
    for title in ("Use SQLite for storage", "Use S3 for storage", "Storage in SQLite"):
        say(conn, title, session="drive")
    here = say(conn, "Paint the fence")
    new = say(conn, "Use Postgres for storage", minutes=2)
    titles = [row["title"] for row in memories.replaceable(conn, {new: ["sqlite storage", "fence"]})]
    assert titles == ["Paint the fence", "Storage in SQLite", "Use SQLite for storage"]
    assert replaceable(conn, new, "") == [here]


def test_what_was_said_at_the_same_time_is_in_the_order_of_its_turns(conn: Connection) -> None:
    first = say(conn, "Use SQLite")
    second = say(conn, "Use Postgres")
    assert replaceable(conn, first, "postgres") == []
    assert replaceable(conn, second, "sqlite") == [first]


def test_a_session_that_somebody_writes_to_is_left_for_later(conn: Connection, database_url: str) -> None:
    old, new = say(conn, "Use SQLite", session="drive"), say(conn, "Use Postgres", minutes=1)
    with connect(database_url, "test") as other, other.transaction():
        other.execute("SELECT FROM sessions WHERE id = 'drive' FOR NO KEY UPDATE")
        assert memories.supersede(conn, {old: new}) == set()
    assert memories.supersede(conn, {old: new}) == {new}


# Tasks in doubt


def test_tasks_about_a_replaced_decision_say_so(conn: Connection) -> None:
    old = say(conn, "Use SQLite")
    again = say(conn, "Use SQLite", session="drive", into=old)
    say(conn, "Set up SQLite", type="action_item", task="pending", decision=old)
    say(conn, "Tune SQLite", type="action_item", session="drive", task="pending", decision=again)
    say(conn, "Call the plumber", type="action_item", task="pending")
    done = say(conn, "Buy a book on SQLite", type="action_item", task="pending", decision=old)
    conn.execute("UPDATE tasks SET status = 'completed' WHERE memory = %s", [done])
    conn.execute("INSERT INTO tasks (id, agent_name, memory) VALUES ('own', 'codex', %s)", [old])
    new = say(conn, "Use Postgres", minutes=1)
    memories.supersede(conn, {old: new})
    doubt = f"Decision {old} (“Use SQLite”) was replaced by {new} (“Use Postgres”)."
    assert doubts(conn) == [doubt, doubt, None, None, doubt]
    listed = tasks.listing(conn, status=None, agent_name=None, session_id=None, before=None, limit=10)
    assert sum(row["doubt"] == doubt for row in listed) == 3
    assert len(rows(conn, "SELECT id FROM task_queue WHERE doubt = %s", doubt)) == 3
    assert {claim["title"]: claim["doubt"] for claim in tasks.claim(conn, "claude_code", "me", max_tasks=3)} == {
        "Set up SQLite": doubt,
        "Tune SQLite": doubt,
        "Call the plumber": None,
    }


def test_a_decision_that_stands_again_puts_its_tasks_out_of_doubt(conn: Connection) -> None:
    old = say(conn, "Use SQLite")
    say(conn, "Set up SQLite", type="action_item", task="pending", decision=old)
    new = say(conn, "Use Postgres", minutes=1)
    memories.supersede(conn, {old: new})
    assert memories.reinstate(conn, old, person="bob") == old
    row = memory(conn, old)
    assert (row["superseded_by"], row["superseded_at"], row["reviewed_by"]) == (None, None, "bob")
    assert doubts(conn) == [None]
    assert replaceable(conn, new, "sqlite") == []  # and is not replaced by the same again
    memories.supersede_one(conn, old, by=new, person="bob")  # but by a person
    assert doubts(conn) != [None]
    memories.reinstate(conn, old, person="bob")
    newer = say(conn, "Use MySQL", minutes=2)
    assert replaceable(conn, newer, "sqlite") == [new, old]


def test_a_rejected_replacement_replaces_nothing(conn: Connection) -> None:
    old = say(conn, "Use SQLite")
    say(conn, "Set up SQLite", type="action_item", task="pending", decision=old)
    new = say(conn, "Use Postgres", minutes=1)
    memories.supersede(conn, {old: new})
    memories.reject(conn, new, person="bob")
    assert memory(conn, old)["superseded_by"] is None
    assert doubts(conn) == [None]


def test_a_replacement_that_goes_away_replaces_nothing(conn: Connection) -> None:
    old = say(conn, "Use SQLite")
    say(conn, "Set up SQLite", type="action_item", task="pending", decision=old)
    new = say(conn, "Use Postgres", session="drive", minutes=1)
    memories.supersede(conn, {old: new})
    conn.execute("DELETE FROM sessions WHERE id = 'drive'")
    assert memory(conn, old)["superseded_by"] is None
    assert doubts(conn) == [None]


def test_another_doubt_is_left_alone(conn: Connection) -> None:
    old = say(conn, "Use SQLite")
    item = say(conn, "Set up SQLite", type="action_item", task="pending", decision=old)
    memories.supersede(conn, {old: say(conn, "Use Postgres", minutes=1)})
    conn.execute("UPDATE tasks SET doubt = 'Bob is not sure.' WHERE memory = %s", [item])
    memories.reinstate(conn, old, person="bob")
    assert tasks_of(conn, item)[0]["doubt"] == "Bob is not sure."


WRONG: dict[str, tuple[type[Exception], Callable[[Connection, int, int], object]]] = {
    "replacing by itself": (InvalidRequest, lambda conn, a, b: memories.supersede_one(conn, b, by=b, person="bob")),
    "replacing by what it replaced": (
        InvalidRequest,
        lambda conn, a, b: memories.supersede_one(conn, b, by=a, person="bob"),
    ),
    "replacing what is not there": (NotFound, lambda conn, a, b: memories.supersede_one(conn, 0, by=a, person="bob")),
    "reinstating what stands": (InvalidRequest, lambda conn, a, b: memories.reinstate(conn, b, person="bob")),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_makes_no_sense_is_refused(conn: Connection, what: str) -> None:
    kind, act = WRONG[what]
    old, new = say(conn, "Use SQLite"), say(conn, "Use Postgres", minutes=1)
    memories.supersede(conn, {old: new})
    with pytest.raises(kind):
        act(conn, old, new)
