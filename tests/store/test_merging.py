"""The same said again: evidence that points to the memory that stands, found by index, merged and split."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import LiteralString

import psycopg
import pytest
from psycopg import errors as pg

from domain.errors import InvalidRequest, NotFound
from store import memories, search, sessions, tasks
from store.database import Connection, connect, our_errors
from tests.store.conversation import MORNING, memory, rows, say, statuses, tasks_of

# What points where


@pytest.fixture
def said_thrice(conn: Connection) -> tuple[int, int, int]:
    first = say(conn, "Use Postgres")
    second = say(conn, "We use Postgres", minutes=5, into=first, speaker="Bob")
    third = say(conn, "Use Postgres", session="drive", minutes=90, into=first)
    return first, second, third


def test_what_was_said_again_is_evidence_for_the_one_that_stands(
    conn: Connection, said_thrice: tuple[int, int, int]
) -> None:
    first, second, third = said_thrice
    assert [memory(conn, m)["merged_into"] for m in said_thrice] == [None, first, first]
    assert memory(conn, first)["times_said"] == 3
    evidence = rows(conn, "SELECT * FROM memory_evidence WHERE memory = %s ORDER BY said_at", first)
    assert [(e["evidence"], e["session_id"], e["turn_seq"], e["quote"], e["speaker"]) for e in evidence] == [
        (first, "walk", 1, "Use Postgres", "Alice"),
        (second, "walk", 2, "We use Postgres", "Bob"),
        (third, "drive", 1, "Use Postgres", "Alice"),
    ]
    assert [e["said_at"] - MORNING for e in evidence] == [timedelta(minutes=m) for m in (0, 5, 90)]
    assert [e["id"] for e in memories.evidence(conn, first)] == [first, second, third]


def test_lists_and_queries_tell_it_once_with_how_often_it_was_said(
    conn: Connection, said_thrice: tuple[int, int, int]
) -> None:
    first, _, third = said_thrice
    other = say(conn, "Use Vue")

    def listed(session: str | None) -> list[tuple[int, int]]:
        found = memories.listing(conn, type=None, session_id=session, tag=None, before=None, limit=10)
        return [(row["id"], row["times_said"]) for row in found]

    assert listed(None) == [(other, 1), (first, 3)]
    assert listed("walk") == [(other, 1), (first, 3)]
    assert listed("drive") == [(third, 3)]  # the session's own words for it
    asked = memories.query(conn, None, type="decision", tags=[], limit=10)
    assert [(row["id"], row["times_said"]) for row in asked] == [(other, 1), (first, 3)]
    assert [row["id"] for row in memories.query(conn, "drive", type=None, tags=[], limit=10)] == [third]


def test_a_session_tells_what_another_stands_for_once(conn: Connection) -> None:
    first = say(conn, "Use Postgres")
    second = say(conn, "Use Postgres", session="drive", into=first)
    say(conn, "Postgres it is", session="drive", into=first)
    found = memories.listing(conn, type=None, session_id="drive", tag=None, before=None, limit=10)
    assert [row["id"] for row in found] == [second]


def test_search_finds_it_once_in_whichever_words_it_was_said(
    conn: Connection, said_thrice: tuple[int, int, int]
) -> None:
    first, _, _ = said_thrice
    say(conn, "Postgres carries the whole shop", minutes=7, into=first, speaker="Charlie")
    hits = search.search(conn, "postgres", kinds=["memories"])
    assert [(hit["id"], hit["times_said"], hit["superseded_by"]) for hit in hits] == [(str(first), 4, None)]
    (hit,) = search.search(conn, "what carries the shop?", kinds=["memories"])
    assert (hit["id"], hit["snippet"]) == (str(first), "Postgres carries the whole shop")
    assert [h["id"] for h in search.search(conn, "postgres", kinds=["memories"], speaker="bob")] == [str(first)]
    assert [h["session_id"] for h in search.search(conn, "postgres", kinds=["memories"], session_id="drive")] == [
        "drive"
    ]


REFUSED: dict[str, tuple[type[Exception], Callable[[int, int, int], str]]] = {
    "into itself": (pg.CheckViolation, lambda a, b, c: f"UPDATE memories SET merged_into = id WHERE id = {c}"),
    "into what is merged": (InvalidRequest, lambda a, b, c: f"UPDATE memories SET merged_into = {b} WHERE id = {c}"),
    "what others are merged into": (
        InvalidRequest,
        lambda a, b, c: f"UPDATE memories SET merged_into = {c} WHERE id = {a}",
    ),
    "into another type": (
        InvalidRequest,
        lambda a, b, c: f"UPDATE memories SET merged_into = {a}, type = 'idea' WHERE id = {c}",
    ),
    "into nothing": (pg.ForeignKeyViolation, lambda a, b, c: f"UPDATE memories SET merged_into = 0 WHERE id = {c}"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_nothing_is_merged(conn: Connection, what: str) -> None:
    kind, statement = REFUSED[what]
    first = say(conn, "Use Postgres")
    second = say(conn, "Use Postgres", into=first)
    third = say(conn, "Postgres it is")
    with pytest.raises(kind), our_errors() if kind is InvalidRequest else conn.transaction():
        conn.execute(statement(first, second, third))  # type: ignore[call-overload]
    assert memory(conn, third)["merged_into"] is None


def test_a_type_that_a_person_changes_goes_for_all_of_them(conn: Connection, said_thrice: tuple[int, int, int]) -> None:
    first, second, _ = said_thrice
    conn.execute("UPDATE memories SET type = 'idea' WHERE id = %s", [first])
    assert [memory(conn, m)["type"] for m in said_thrice] == ["idea"] * 3
    assert [memory(conn, m)["review"] for m in said_thrice] == ["edited", "proposed", "proposed"]
    conn.execute("UPDATE memories SET type = 'fact' WHERE id = %s", [second])
    assert [memory(conn, m)["merged_into"] for m in said_thrice] == [None, None, first]


def test_when_the_one_that_stands_is_deleted_the_next_stands(
    conn: Connection, said_thrice: tuple[int, int, int]
) -> None:
    first, second, third = said_thrice
    conn.execute("DELETE FROM memories WHERE id = %s", [first])
    assert [memory(conn, m)["merged_into"] for m in (second, third)] == [None, second]
    conn.execute("DELETE FROM sessions WHERE id = 'walk'")
    assert memory(conn, third)["merged_into"] is None


def test_a_replaced_memory_that_is_deleted_leaves_its_place_to_one_that_is_replaced(conn: Connection) -> None:
    old = say(conn, "Use SQLite")
    again = say(conn, "Use SQLite", session="drive", minutes=1, into=old)
    new = say(conn, "Use Postgres", minutes=2)
    memories.supersede_one(conn, old, by=new, person="bob")
    conn.execute("DELETE FROM memories WHERE id = %s", [old])
    assert memory(conn, again)["superseded_by"] == new


# Looking for it


def near(conn: Connection, title: str, type: str = "decision") -> list[str]:
    return [row["title"] for row in rows(conn, "SELECT * FROM near_memories(%s, %s)", type, title)]


def test_what_is_nearly_the_same_is_found(conn: Connection) -> None:
    for title in ("Use the Carbon Interface API", "Use Climatiq", "Cache the prices of the API by route and vehicle"):
        say(conn, title)
    assert near(conn, "we are using the carbon interface api!") == ["Use the Carbon Interface API"]
    assert near(conn, "Cache API prices by route, vehicle") == ["Cache the prices of the API by route and vehicle"]
    assert near(conn, "Cache API prices by route, vehicle and day") == [
        "Cache the prices of the API by route and vehicle"
    ]
    assert near(conn, "Use the Carbon Interface API", "idea") == []
    assert near(conn, "Cache the sessions") == []
    assert near(conn, "We will") == []


def test_what_was_merged_or_replaced_is_not_looked_at(conn: Connection) -> None:
    first = say(conn, "Use Postgres")
    say(conn, "Use Postgres", into=first)
    assert near(conn, "Use Postgres") == ["Use Postgres"]
    memories.supersede_one(conn, first, by=say(conn, "Use MySQL"), person="bob")
    assert near(conn, "Use Postgres") == []
    found = rows(conn, "SELECT * FROM near_memories('decision', 'Use Postgres', %s)", MORNING + timedelta(minutes=1))
    assert [row["id"] for row in found] == [first]  # it stood then


READS: LiteralString = """
SELECT seq_scan::int AS walks, (seq_tup_read + idx_tup_fetch)::int AS rows
  FROM pg_stat_xact_user_tables WHERE relname = 'memories'
"""
FILL: LiteralString = """
INSERT INTO sessions (id) VALUES ('many');
INSERT INTO memories (session_id, type, key, title, content)
SELECT 'many', (ARRAY['decision', 'action_item', 'idea'])[1 + n % 3], 'k' || n,
       format('Paint part %s of the %s %s with %s', n, (ARRAY['old', 'new', 'big', 'red'])[1 + n % 4],
              (ARRAY['barn', 'boat', 'house', 'shed', 'fence'])[1 + n % 5],
              (ARRAY['oil', 'lime', 'tar'])[1 + n % 3]), '{}'
  FROM generate_series(1, 20000) AS n
"""


def test_looking_for_it_reads_a_few_rows_by_index(conn: Connection) -> None:
    conn.execute(FILL)
    wanted = say(conn, "Use the Carbon Interface API for flights and trains")
    conn.execute("ANALYZE memories")
    for title in (
        "Carbon Interface API for trains and flights",
        "Use the Carbon Interface API for flights and trains, Bob",
        "Use Redis",
    ):
        with conn.transaction():
            before = conn.execute(READS).fetchone() or {"walks": 0, "rows": 0}
            found = rows(conn, "SELECT * FROM near_memories('decision', %s)", title)
            after = conn.execute(READS).fetchone()
            assert after is not None
            assert [row["id"] for row in found] == ([] if title == "Use Redis" else [wanted])
            assert after["walks"] == before["walks"]
            assert after["rows"] - before["rows"] <= 10


# Tasks


def test_what_is_said_again_makes_no_task_while_the_first_is_to_be_done(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="pending")
    again = say(conn, "Order tiles", type="action_item", minutes=1, into=first, task="pending")
    assert statuses(conn, first, again) == ["pending"]


@pytest.mark.parametrize("end", ["completed", "cancelled", "failed"])
def test_what_is_said_again_after_its_task_has_ended_is_a_task_of_its_own(conn: Connection, end: str) -> None:
    first = say(conn, "Order tiles", type="action_item", task="pending")
    conn.execute("UPDATE tasks SET status = %s, completed = %s", [end, MORNING + timedelta(minutes=5)])
    before = say(conn, "Order tiles", type="action_item", minutes=4, into=first, task="pending")
    assert statuses(conn, before) == []  # when it was said it was to be done still
    after = say(conn, "Order tiles", type="action_item", minutes=6, into=first, task="pending")
    assert statuses(conn, after) == ["pending"]
    third = say(conn, "Order tiles", type="action_item", minutes=7, into=first, task="pending")
    assert statuses(conn, third) == []


def test_what_was_guessed_and_is_then_said_outright_is_approved(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="proposed")
    say(conn, "Order tiles", type="action_item", into=first, task="proposed")
    assert statuses(conn, first) == ["proposed"]
    say(conn, "Order tiles", type="action_item", into=first, task="pending", speaker="Bob")
    (task,) = tasks_of(conn, first)
    assert (task["status"], task["input_data"]["approved_by"]) == ("pending", "Bob")


# People


def test_a_person_merges_what_the_rules_did_not_and_splits_it_again(conn: Connection) -> None:
    first = say(conn, "Use Postgres")
    second = say(conn, "The database will be PostgreSQL", minutes=1)
    third = say(conn, "The database will be PostgreSQL", minutes=2, into=second)
    assert memories.merge(conn, second, into=first, person="bob") == first
    assert [memory(conn, m)["merged_into"] for m in (first, second, third)] == [None, first, first]
    assert memory(conn, second)["merged_by"] == "bob"
    assert memories.split(conn, third, person="bob") == third
    assert memory(conn, third)["merged_into"] is None
    assert rows(conn, "SELECT id, apart_from FROM memories ORDER BY id") == [
        {"id": first, "apart_from": [third]},
        {"id": second, "apart_from": []},
        {"id": third, "apart_from": [first]},
    ]
    memories.merge(conn, third, into=second, person="bob")  # into whatever stands for it
    assert memory(conn, third)["merged_into"] == first
    assert rows(conn, "SELECT 1 FROM memories WHERE apart_from <> '{}'") == []


def test_merging_in_sql_says_who(conn: Connection) -> None:
    first, second = say(conn, "Use Postgres"), say(conn, "Postgres it is")
    conn.execute("SELECT merge_memory(%s, %s)", [second, first])
    (user,) = rows(conn, "SELECT current_user AS name")
    assert memory(conn, second)["merged_by"] == user["name"]


WRONG: dict[str, tuple[type[Exception], Callable[[Connection, int, int], object]]] = {
    "merging into itself": (InvalidRequest, lambda conn, a, b: memories.merge(conn, a, into=a, person="bob")),
    "merging what stands into its own evidence": (
        InvalidRequest,
        lambda conn, a, b: memories.merge(conn, a, into=b, person="bob"),
    ),
    "merging what is not there": (NotFound, lambda conn, a, b: memories.merge(conn, 0, into=a, person="bob")),
    "merging into what is not there": (NotFound, lambda conn, a, b: memories.merge(conn, a, into=0, person="bob")),
    "merging another type": (
        InvalidRequest,
        lambda conn, a, b: memories.merge(conn, say(conn, "Postgres", type="idea"), into=a, person="bob"),
    ),
    "splitting what stands": (InvalidRequest, lambda conn, a, b: memories.split(conn, a, person="bob")),
    "splitting what is not there": (NotFound, lambda conn, a, b: memories.split(conn, 0, person="bob")),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_makes_no_sense_is_refused_with_a_sentence(conn: Connection, what: str) -> None:
    kind, act = WRONG[what]
    first = say(conn, "Use Postgres")
    second = say(conn, "Use Postgres", into=first)
    with pytest.raises(kind) as refusal:
        act(conn, first, second)
    assert refusal.value.message.endswith(".")  # type: ignore[attr-defined]
    assert "Postgres" not in refusal.value.message  # type: ignore[attr-defined]


def test_merging_leaves_one_task_and_splitting_brings_the_other_back(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="pending")
    second = say(conn, "Get the tiles", type="action_item", task="proposed")
    memories.merge(conn, second, into=first, person="bob")
    assert statuses(conn, first, second) == ["pending", "cancelled"]
    (cancelled,) = tasks_of(conn, second)
    assert cancelled["error_message"].startswith("Said again: ")
    assert [event["actor"] for event in tasks.events(conn, cancelled["id"])][-1] == "bob"
    memories.split(conn, second, person="bob")
    assert statuses(conn, first, second) == ["pending", "proposed"]


def test_merging_does_not_take_work_away_from_who_has_begun_it(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="pending", agent="codex")
    second = say(conn, "Get the tiles", type="action_item", task="pending")
    tasks.claim(conn, "claude_code", "me")
    memories.merge(conn, second, into=first, person="bob")
    assert statuses(conn, first, second) == ["pending", "claimed"]


def test_merging_into_what_is_done_leaves_the_task(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="pending")
    conn.execute("UPDATE tasks SET status = 'completed'")
    second = say(conn, "Get the tiles", type="action_item", task="pending")
    memories.merge(conn, second, into=first, person="bob")
    assert statuses(conn, second) == ["pending"]


def test_an_item_that_is_split_off_gets_the_task_that_it_never_had(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="pending", agent="codex")
    again = say(conn, "Order tiles for Bob", type="action_item", into=first, task="pending")
    memories.split(conn, again, person="bob")
    (task,) = tasks_of(conn, again)
    assert (task["title"], task["agent_name"], task["status"]) == ("Order tiles for Bob", "codex", "pending")
    assert task["input_data"] == {"title": "Order tiles for Bob", "quote": "Order tiles for Bob", "speaker": "Alice"}


def test_what_a_merged_decision_had_replaced_is_replaced_by_the_one_that_stands(conn: Connection) -> None:
    old = say(conn, "Use SQLite")
    first, second = say(conn, "Use Postgres", minutes=1), say(conn, "Postgres it is", minutes=2)
    memories.supersede_one(conn, old, by=second, person="bob")
    memories.merge(conn, second, into=first, person="bob")
    assert memory(conn, old)["superseded_by"] == first


# At the same moment


def test_people_who_merge_in_opposite_directions_wait_for_each_other_and_not_in_a_ring(
    conn: Connection, database_url: str
) -> None:
    one, other = say(conn, "Use Postgres"), say(conn, "Postgres it is", session="drive")
    outcomes: list[str] = []

    def merge(memory: int, into: int) -> None:
        with connect(database_url, "test") as mine:
            try:
                memories.merge(mine, memory, into=into, person="bob")
                outcomes.append("merged")
            except InvalidRequest:
                outcomes.append("refused")

    threads = [threading.Thread(target=merge, args=pair) for pair in ((one, other), (other, one))]
    with conn.transaction():
        sessions.lock_all(conn, ["drive", "walk"])
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["merged", "refused"]
    assert len(memories.listing(conn, type=None, session_id=None, tag=None, before=None, limit=10)) == 1


def test_what_somebody_is_merging_is_left_out_of_what_can_be_held(conn: Connection, database_url: str) -> None:
    one, other = say(conn, "Use Postgres"), say(conn, "Use Vue")
    with connect(database_url, "test") as another, another.transaction(), conn.transaction():
        memories.lock(another, [one])
        assert memories.hold_standing(conn, [one, other]) == {other}
    with conn.transaction():
        assert memories.hold_standing(conn, [one, other]) == {one, other}


def test_what_is_held_cannot_be_merged_away(conn: Connection, database_url: str) -> None:
    one, other = say(conn, "Use Postgres"), say(conn, "Postgres it is")
    with connect(database_url, "test") as another, conn.transaction():
        memories.hold_standing(conn, [one])
        another.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            another.execute("SELECT merge_memory(%s, %s)", [one, other])
