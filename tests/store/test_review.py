"""People review: accept, reject, restore and edit, through functions and as plain SQL; tasks follow."""

from collections.abc import Callable
from typing import Any

import pytest

from domain.errors import InvalidMove, InvalidRequest, NotFound, UnknownTask
from store import memories, search, tasks
from store.database import Connection
from tests.store.conversation import memory, rows, say, statuses, tasks_of


def review_of(conn: Connection, memory_id: int) -> tuple[str, str | None]:
    row = memory(conn, memory_id)
    return row["review"], row["reviewed_by"]


def test_a_memory_is_accepted_by_somebody(conn: Connection) -> None:
    one = say(conn, "Use Postgres")
    assert review_of(conn, one) == ("proposed", None)
    assert memories.accept(conn, one, person="bob") == one
    assert review_of(conn, one) == ("accepted", "bob")
    assert memory(conn, one)["reviewed_at"] is not None


def test_what_is_said_of_evidence_goes_for_the_one_that_stands(conn: Connection) -> None:
    first = say(conn, "Use Postgres")
    again = say(conn, "Use Postgres", into=first)
    assert memories.reject(conn, again, person="bob") == first
    assert [memory(conn, m)["review"] for m in (first, again)] == ["rejected", "rejected"]
    assert memories.restore(conn, again, person="bob") == first
    assert [memory(conn, m)["review"] for m in (first, again)] == ["proposed", "proposed"]


def test_accepting_an_inferred_action_item_approves_its_task(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="proposed")
    memories.accept(conn, first, person="bob")
    (task,) = tasks_of(conn, first)
    assert (task["status"], task["input_data"]["approved_by"]) == ("pending", "bob")
    assert [(e["actor"], e["to_status"]) for e in tasks.events(conn, task["id"])][-1] == ("bob", "pending")


def test_accepting_an_errand_leaves_it_to_people(conn: Connection) -> None:
    first = say(conn, "Buy milk", type="action_item", task="proposed", task_type="errand")
    memories.accept(conn, first, person="bob")
    assert statuses(conn, first) == ["proposed"]


def test_accepting_what_is_done_moves_no_task(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="pending")
    conn.execute("UPDATE tasks SET status = 'completed'")
    memories.accept(conn, first, person="bob")
    assert statuses(conn, first) == ["completed"]


@pytest.mark.parametrize("status", ["proposed", "pending"])
def test_rejecting_an_action_item_cancels_its_task_and_restoring_brings_it_back(conn: Connection, status: str) -> None:
    first = say(conn, "Order tiles", type="action_item", task=status)
    memories.reject(conn, first, person="bob", reason="we have tiles")
    assert statuses(conn, first) == ["cancelled"]
    (task,) = tasks_of(conn, first)
    assert [(e["actor"], e["reason"]) for e in tasks.events(conn, task["id"])][-1] == ("bob", "we have tiles")
    assert memories.restore(conn, first, person="alice") == first
    assert review_of(conn, first) == ("proposed", "alice")
    assert statuses(conn, first) == [status]
    assert tasks_of(conn, first)[0]["error_message"] is None


def test_a_task_that_a_person_cancelled_is_not_brought_back(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="pending")
    tasks.cancel(conn, tasks_of(conn, first)[0]["id"], reason="no longer wanted")
    memories.reject(conn, first, person="bob")
    memories.restore(conn, first, person="bob")
    assert statuses(conn, first) == ["cancelled"]


def test_who_works_on_a_rejected_item_is_told(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="pending")
    (claim,) = tasks.claim(conn, "claude_code", "me")
    memories.reject(conn, first, person="bob")
    assert statuses(conn, first) == ["claimed"]
    task = tasks.renew(conn, claim["task_id"], claim["claim_token"])
    assert task["doubt"] == f"Memory {first} (“Order tiles”) was rejected by bob."
    memories.restore(conn, first, person="bob")
    assert tasks_of(conn, first)[0]["doubt"] is None


def test_what_is_rejected_is_not_told_and_makes_no_task(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="pending")
    memories.reject(conn, first, person="bob")
    again = say(conn, "Order tiles", type="action_item", session="drive", into=first, task="pending")
    assert memory(conn, again)["review"] == "rejected"
    assert statuses(conn, again) == []
    assert memory(conn, first)["times_said"] == 2
    assert memories.query(conn, None, type=None, tags=[], limit=10) == []
    assert search.search(conn, "tiles", kinds=["memories"]) == []
    found = memories.listing(conn, type=None, session_id=None, tag=None, before=None, limit=10, review="rejected")
    assert [row["id"] for row in found] == [first]


def test_what_is_split_from_a_rejected_memory_is_not_rejected(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="pending")
    memories.reject(conn, first, person="bob")
    again = say(conn, "Order tiles for the roof", type="action_item", into=first, task="pending")
    memories.split(conn, again, person="bob")
    assert review_of(conn, again)[0] == "proposed"
    assert statuses(conn, first, again) == ["cancelled", "pending"]


def test_merging_into_a_rejected_memory_rejects(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="pending")
    memories.reject(conn, first, person="bob")
    other = say(conn, "Get tiles", type="action_item")
    memories.merge(conn, other, into=first, person="bob")
    assert memory(conn, other)["review"] == "rejected"


def test_a_review_as_plain_sql_does_the_same(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="proposed")
    (user,) = rows(conn, "SELECT current_user AS name")
    conn.execute("UPDATE memories SET review = 'rejected' WHERE id = %s", [first])
    assert (review_of(conn, first), statuses(conn, first)) == (("rejected", user["name"]), ["cancelled"])
    conn.execute("UPDATE memories SET review = 'accepted' WHERE id = %s", [first])
    assert (review_of(conn, first), statuses(conn, first)) == (("accepted", user["name"]), ["pending"])
    conn.execute("SELECT reject_memory(%s)", [first])
    assert review_of(conn, first) == ("rejected", user["name"])


def test_restoring_gives_back_the_review_from_before(conn: Connection) -> None:
    first = say(conn, "Use Postgres")
    memories.edit(conn, first, person="bob", title="Use Postgres 16")
    memories.reject(conn, first, person="bob")
    memories.restore(conn, first, person="bob")
    assert memory(conn, first)["review"] == "edited"


def test_an_edit_changes_what_is_given_and_leaves_the_rest(conn: Connection) -> None:
    first = say(conn, "Use Postgres")
    before = memory(conn, first)
    assert memories.edit(conn, first, person="bob", title="Use Postgres 16", tags=["database"]) == first
    after = memory(conn, first)
    assert (after["title"], after["tags"], after["type"]) == ("Use Postgres 16", ["database"], "decision")
    assert after["content"] == before["content"] | {"title": "Use Postgres 16"}
    assert review_of(conn, first) == ("edited", "bob")
    assert after["quote"] == before["quote"]
    memories.edit(conn, first, person="bob", type="idea", content={"why": "it is proven"})
    row = memory(conn, first)
    assert row["content"] == {
        "type": "idea",
        "title": "Use Postgres 16",
        "quote": "Use Postgres",
        "why": "it is proven",
    }
    assert [hit["id"] for hit in search.search(conn, "is it proven?", kinds=["memories"])] == [str(first)]


def test_a_task_that_nobody_has_begun_says_what_its_edited_memory_says(conn: Connection) -> None:
    first = say(conn, "Order tails", type="action_item", task="pending")
    own = say(conn, "Order tails", type="action_item", task="pending")
    conn.execute("UPDATE tasks SET title = 'Bob wrote this' WHERE memory = %s", [own])
    memories.edit(conn, first, person="bob", title="Order tiles")
    conn.execute("UPDATE memories SET title = 'Order tiles' WHERE id = %s", [own])
    assert [(task["title"], task["input_data"]["title"]) for task in tasks_of(conn, first)] == [
        ("Order tiles", "Order tiles")
    ]
    assert [task["title"] for task in tasks_of(conn, own)] == ["Bob wrote this"]
    tasks.claim(conn, "claude_code", "me", max_tasks=2)
    memories.edit(conn, first, person="bob", title="Order more tiles")
    assert [task["title"] for task in tasks_of(conn, first)] == ["Order tiles"]


WRONG: dict[str, tuple[type[Exception], Callable[[Connection, int], Any]]] = {
    "restoring what is not rejected": (InvalidRequest, lambda conn, m: memories.restore(conn, m, person="bob")),
    "restoring what is not there": (NotFound, lambda conn, m: memories.restore(conn, 0, person="bob")),
    "accepting what is not there": (NotFound, lambda conn, m: memories.accept(conn, 0, person="bob")),
    "editing what is not there": (NotFound, lambda conn, m: memories.edit(conn, 0, person="bob", title="x")),
    "a type that there is not": (InvalidRequest, lambda conn, m: memories.edit(conn, m, person="bob", type="hunch")),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_makes_no_sense_is_refused(conn: Connection, what: str) -> None:
    kind, act = WRONG[what]
    first = say(conn, "Use Postgres")
    with pytest.raises(kind):
        act(conn, first)
    assert review_of(conn, first) == ("proposed", None)


def test_who_reviewed_last_is_not_put_down_for_what_others_do_later(conn: Connection) -> None:
    first, second = say(conn, "Use Postgres"), say(conn, "Use Vue")
    with conn.transaction():
        memories.accept(conn, first, person="bob")
        conn.execute("UPDATE memories SET review = 'accepted' WHERE id = %s", [second])
    (user,) = rows(conn, "SELECT current_user AS name")
    assert review_of(conn, second) == ("accepted", user["name"])


# Taking it back


def test_an_acceptance_is_taken_back_with_the_approval_that_came_of_it(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="proposed")
    memories.accept(conn, first, person="bob")
    assert [task["status"] for task in tasks_of(conn, first)] == ["pending"]
    memories.restore(conn, first, person="bob")
    [task] = tasks_of(conn, first)
    assert (task["status"], "approved_by" in task["input_data"]) == ("proposed", False)
    assert review_of(conn, first) == ("proposed", "bob")
    told = conn.execute("SELECT event, actor FROM memory_events WHERE memory = %s ORDER BY id", [first]).fetchall()
    assert [row["event"] for row in told] == ["created", "accepted", "restored"]
    with pytest.raises(InvalidRequest):
        memories.restore(conn, first, person="bob")


def test_a_task_that_an_agent_has_taken_stays_with_it(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="proposed")
    memories.accept(conn, first, person="bob")
    tasks.claim(conn, "claude_code", "me")
    memories.restore(conn, first, person="bob")
    [task] = tasks_of(conn, first)
    assert task["status"] == "claimed"
    with pytest.raises(InvalidMove):
        tasks.restore(conn, task["id"], person="bob")


def test_an_edit_waits_for_a_review_again_and_what_it_says_stays(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="proposed")
    memories.edit(conn, first, person="bob", title="Order blue tiles")
    memories.restore(conn, first, person="bob")
    assert (memory(conn, first)["review"], memory(conn, first)["title"]) == ("proposed", "Order blue tiles")


def test_what_was_accepted_after_a_rejection_is_not_rejected_by_taking_it_back(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="proposed")
    memories.accept(conn, first, person="bob")
    memories.reject(conn, first, person="bob")
    memories.restore(conn, first, person="bob")
    assert review_of(conn, first) == ("accepted", "bob")
    with pytest.raises(InvalidRequest):
        memories.restore(conn, first, person="bob")


def test_an_approval_a_cancellation_and_an_answer_are_taken_back(conn: Connection) -> None:
    first = say(conn, "Order tiles", type="action_item", task="proposed")
    [task] = tasks_of(conn, first)
    tasks.approve(conn, task["id"], person="bob")
    assert tasks.restore(conn, task["id"], person="bob")["status"] == "proposed"
    tasks.cancel(conn, task["id"], person="bob")
    assert tasks.restore(conn, task["id"], person="bob")["status"] == "proposed"
    with pytest.raises(InvalidMove):
        tasks.restore(conn, task["id"], person="bob")  # nobody did anything since
    tasks.approve(conn, task["id"], person="bob")
    [claim] = tasks.claim(conn, "claude_code", "me")
    tasks.ask(conn, task["id"], claim["claim_token"], question="Blue?")
    tasks.answer(conn, task["id"], answer="Green", person="bob")
    again = tasks.restore(conn, task["id"], person="bob")
    assert (again["status"], again["question"], again["input_data"]["answers"]) == ("needs_input", "Blue?", [])
    tasks.cancel(conn, task["id"], person="bob")
    assert tasks.restore(conn, task["id"], person="bob")["question"] == "Blue?"
    with pytest.raises(UnknownTask):
        tasks.restore(conn, "none", person="bob")
