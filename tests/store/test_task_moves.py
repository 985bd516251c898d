"""Every move of a task: from which states it is allowed, what it asks of its holder, and who gets which task."""

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from domain.errors import (
    AgentAtCapacity,
    AIWebhookError,
    ClaimLost,
    InvalidMove,
    InvalidRequest,
    UnknownAgent,
    UnknownTask,
)
from domain.task import TASK_STATES
from store import tasks
from store.database import Connection, Row, connect, our_errors

ME, OTHER = "control_agent_1", "control_agent_2"
AGENT = "claude_code"


@pytest.fixture(scope="module")
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as conn:
        yield conn


@pytest.fixture
def conn(connection: Connection) -> Iterator[Connection]:
    """A connection without tasks; what a test writes is gone after it."""
    yield connection
    connection.execute("DELETE FROM tasks")
    connection.execute("DELETE FROM sessions")
    connection.execute("UPDATE agents SET max_concurrent = 4 WHERE max_concurrent <> 4")


def add(conn: Connection, task_id: str = "look-up", **columns: Any) -> str:
    """A task, pending unless told otherwise."""
    values = {"id": task_id, "agent_name": AGENT, **columns}
    statement = sql.SQL("INSERT INTO tasks ({}) VALUES ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(sql.Placeholder() * len(values))
    )
    conn.execute(statement, list(values.values()))
    return task_id


def claim(conn: Connection, holder: str = ME, **options: int) -> UUID:
    """The token of the one claim that is given."""
    (given,) = tasks.claim(conn, AGENT, holder, **options)
    token = given["claim_token"]
    assert isinstance(token, UUID)
    return token


def claimed(conn: Connection, **options: int) -> list[str]:
    return [row["task_id"] for row in tasks.claim(conn, AGENT, ME, **options)]


def stored(conn: Connection, task_id: str = "look-up") -> Row:
    row = conn.execute("SELECT * FROM tasks WHERE id = %s", [task_id]).fetchone()
    assert row is not None
    return row


def lapse(conn: Connection, task_id: str = "look-up") -> None:
    conn.execute("UPDATE tasks SET lease_until = clock_timestamp() WHERE id = %s", [task_id])


def now(conn: Connection) -> datetime:
    row = conn.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None
    at = row["now"]
    assert isinstance(at, datetime)
    return at


# How a task gets into each state; answers the token that its holder has, or had last.
def proposed(conn: Connection) -> UUID:
    add(conn, status="proposed")
    return uuid.uuid4()


def pending(conn: Connection) -> UUID:
    add(conn)
    token = claim(conn)
    tasks.release(conn, "look-up", token)
    return token


def held(conn: Connection) -> UUID:
    add(conn)
    return claim(conn)


def running(conn: Connection) -> UUID:
    token = held(conn)
    tasks.start(conn, "look-up", token, process_id=4711)
    return token


def asking(conn: Connection) -> UUID:
    token = held(conn)
    tasks.ask(conn, "look-up", token, question="Which airline?")
    return token


def completed(conn: Connection) -> UUID:
    token = held(conn)
    tasks.complete(conn, "look-up", token, output_data={"price": 3})
    return token


def failed(conn: Connection) -> UUID:
    token = held(conn)
    tasks.fail(conn, "look-up", token, error="No such API.", retry=False)
    return token


def cancelled(conn: Connection) -> UUID:
    token = held(conn)
    tasks.cancel(conn, "look-up", reason="Changed my mind.")
    return token


INTO: dict[str, Callable[[Connection], UUID]] = {
    "proposed": proposed,
    "pending": pending,
    "claimed": held,
    "running": running,
    "needs_input": asking,
    "completed": completed,
    "failed": failed,
    "cancelled": cancelled,
}
MOVES: dict[str, Callable[[Connection, UUID], Row]] = {
    "start": lambda conn, token: tasks.start(conn, "look-up", token),
    "renew": lambda conn, token: tasks.renew(conn, "look-up", token),
    "complete": lambda conn, token: tasks.complete(conn, "look-up", token, output_data={"price": 3}),
    "fail": lambda conn, token: tasks.fail(conn, "look-up", token, error="No answer."),
    "release": lambda conn, token: tasks.release(conn, "look-up", token),
    "ask": lambda conn, token: tasks.ask(conn, "look-up", token, question="Which one?"),
    "answer": lambda conn, token: tasks.answer(conn, "look-up", answer="Lufthansa", person="Alice"),
    "approve": lambda conn, token: tasks.approve(conn, "look-up", person="Alice"),
    "cancel": lambda conn, token: tasks.cancel(conn, "look-up", reason="Not needed."),
}
HOLDERS_MOVES = ("start", "renew", "complete", "fail", "release", "ask")
# What becomes of a task, for every state and move; a move that is not here is refused.
ALLOWED = {
    ("proposed", "approve"): "pending",
    ("proposed", "cancel"): "cancelled",
    ("pending", "cancel"): "cancelled",
    ("claimed", "start"): "running",
    ("claimed", "renew"): "claimed",
    ("claimed", "complete"): "completed",
    ("claimed", "fail"): "pending",
    ("claimed", "release"): "pending",
    ("claimed", "ask"): "needs_input",
    ("claimed", "cancel"): "cancelled",
    ("running", "renew"): "running",
    ("running", "complete"): "completed",
    ("running", "fail"): "pending",
    ("running", "release"): "pending",
    ("running", "ask"): "needs_input",
    ("running", "cancel"): "cancelled",
    ("needs_input", "answer"): "pending",
    ("needs_input", "cancel"): "cancelled",
    ("completed", "complete"): "completed",  # a repeat by who completed it
    ("cancelled", "renew"): "cancelled",  # so a holder learns of it
}


def refusal(state: str, move: str) -> type[AIWebhookError]:
    """The token of a task that is not held is worth nothing; other moves depend on the state alone."""
    if move in HOLDERS_MOVES and (state, move) != ("running", "start"):
        return ClaimLost
    return InvalidMove


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("state", TASK_STATES)
def test_a_move_is_allowed_from_its_states_and_from_no_other(conn: Connection, state: str, move: str) -> None:
    token = INTO[state](conn)
    before = stored(conn)
    assert before["status"] == state
    if (state, move) in ALLOWED:
        assert MOVES[move](conn, token)["status"] == stored(conn)["status"] == ALLOWED[state, move]
    else:
        with pytest.raises(refusal(state, move), match=state if state != "claimed" else None):
            MOVES[move](conn, token)
        assert stored(conn) == before


@pytest.mark.parametrize("move", HOLDERS_MOVES)
@pytest.mark.parametrize("state", ["claimed", "running"])
def test_a_foreign_token_moves_nothing(conn: Connection, state: str, move: str) -> None:
    INTO[state](conn)
    before = stored(conn)
    with pytest.raises(ClaimLost, match=f"claimed by {ME}"):
        MOVES[move](conn, uuid.uuid4())
    assert stored(conn) == before


@pytest.mark.parametrize("move", HOLDERS_MOVES)
@pytest.mark.parametrize("state", ["claimed", "running"])
def test_a_lapsed_lease_moves_nothing(conn: Connection, state: str, move: str) -> None:
    token = INTO[state](conn)
    lapse(conn)
    before = stored(conn)
    with pytest.raises(ClaimLost, match="past its lease"):
        MOVES[move](conn, token)
    assert stored(conn) == before


@pytest.mark.parametrize("move", HOLDERS_MOVES)
@pytest.mark.parametrize("state", ["claimed", "completed"])
def test_no_token_at_all_moves_nothing(conn: Connection, state: str, move: str) -> None:
    INTO[state](conn)
    before = stored(conn)
    with pytest.raises((ClaimLost, InvalidMove)):
        MOVES[move](conn, None)  # type: ignore[arg-type]
    assert stored(conn) == before


@pytest.mark.parametrize("move", MOVES)
def test_a_task_that_is_not_there_is_unknown(conn: Connection, move: str) -> None:
    with pytest.raises(UnknownTask, match="look-up"):
        MOVES[move](conn, uuid.uuid4())


def test_a_late_finisher_cannot_overwrite_the_next_one(conn: Connection) -> None:
    add(conn)
    late = claim(conn, ME)
    lapse(conn)
    token = claim(conn, OTHER)
    for move in HOLDERS_MOVES:
        with pytest.raises(ClaimLost, match=f"claimed by {OTHER}"):
            MOVES[move](conn, late)
    tasks.complete(conn, "look-up", token, output_data={"by": "the second"})
    with pytest.raises(ClaimLost, match="completed"):
        tasks.complete(conn, "look-up", late, output_data={"by": "the first"})
    assert stored(conn)["output_data"] == {"by": "the second"}


def test_completing_twice_with_the_same_token_is_harmless(conn: Connection) -> None:
    token = running(conn)
    first = tasks.complete(conn, "look-up", token, output_data={"price": 3}, artifacts=["table"])
    again = tasks.complete(conn, "look-up", token, output_data={"price": 4}, artifacts=[])
    assert again == first == stored(conn)
    assert (first["output_data"], first["artifacts"], first["error_message"]) == ({"price": 3}, ["table"], None)


def test_a_claim_tells_all_that_an_agent_needs(conn: Connection) -> None:
    conn.execute("INSERT INTO sessions (id, title) VALUES ('walk', 'Morning walk')")
    conn.execute(
        "INSERT INTO memories (session_id, type, key, content, quote, char_start, char_end)"
        " VALUES ('walk', 'action_item', 'prices', '{}', 'look up its prices', 4, 22)"
    )
    row = conn.execute("SELECT id FROM memories").fetchone()
    assert row is not None
    add(
        conn,
        session_id="walk",
        title="Look up prices",
        task_type="research",
        memory=row["id"],
        input_data='{"api": "Carbon Interface"}',
    )
    before = now(conn)
    (given,) = tasks.claim(conn, AGENT, ME, lease_seconds=60)
    task = stored(conn)
    assert given == {
        "task_id": "look-up",
        "session_id": "walk",
        "session_title": "Morning walk",
        "task_type": "research",
        "title": "Look up prices",
        "priority": 50,
        "input_data": {"api": "Carbon Interface"},
        "claim_token": task["claim_token"],
        "lease_until": task["lease_until"],
        "attempt": 1,
        "quote": "look up its prices",
        "doubt": None,
        "command": None,
    }
    assert (task["claimed_by"], task["attempts"]) == (ME, 0)
    assert before <= task["claimed_at"] <= now(conn)
    assert before + timedelta(seconds=60) <= task["lease_until"] <= now(conn) + timedelta(seconds=60)


def test_starting_notes_when_and_by_which_process(conn: Connection) -> None:
    token = running(conn)
    task = stored(conn)
    assert task["process_id"] == 4711
    assert task["claimed_at"] <= task["started"] <= now(conn)
    assert tasks.complete(conn, "look-up", token)["process_id"] == 4711


def test_a_task_completed_at_once_counts_as_started_when_it_was_claimed(conn: Connection) -> None:
    completed(conn)
    task = stored(conn)
    assert task["started"] == task["claimed_at"]
    assert task["completed"] >= task["started"]


def test_renewing_moves_the_lease_on_and_keeps_the_last_word_on_progress(conn: Connection) -> None:
    token = running(conn)
    before = now(conn)
    task = tasks.renew(conn, "look-up", token, lease_seconds=600, progress=0.5, note="Half of the prices.")
    assert task["lease_until"] >= before + timedelta(seconds=600)
    assert (task["progress"], task["progress_note"]) == (0.5, "Half of the prices.")
    task = tasks.renew(conn, "look-up", token, lease_seconds=10)
    assert task["lease_until"] < before + timedelta(seconds=600)
    assert (task["progress"], task["progress_note"]) == (0.5, "Half of the prices.")
    tasks.release(conn, "look-up", token)
    claim(conn)
    assert (stored(conn)["progress"], stored(conn)["progress_note"]) == (None, None)


def test_progress_is_between_nothing_and_all(conn: Connection) -> None:
    token = running(conn)
    with pytest.raises(InvalidRequest):
        tasks.renew(conn, "look-up", token, progress=1.5)


def test_releasing_spends_no_try(conn: Connection) -> None:
    token = running(conn)
    task = tasks.release(conn, "look-up", token)
    assert (task["attempts"], task["not_before"], task["claim_token"]) == (0, None, None)
    assert claimed(conn) == ["look-up"]


def test_a_failed_try_waits_longer_each_time_until_none_is_left(conn: Connection) -> None:
    add(conn, max_attempts=4)
    for attempt, pause in enumerate((10, 20, 40), start=1):
        token = claim(conn)
        before = now(conn)
        task = tasks.fail(conn, "look-up", token, error=f"Try {attempt} broke.")
        assert (task["status"], task["attempts"], task["error_message"]) == (
            "pending",
            attempt,
            f"Try {attempt} broke.",
        )
        assert before + timedelta(seconds=pause) <= task["not_before"] <= now(conn) + timedelta(seconds=pause)
        assert claimed(conn) == []
        conn.execute("UPDATE tasks SET not_before = clock_timestamp()")
    task = tasks.fail(conn, "look-up", claim(conn), error="The last one broke too.")
    assert (task["status"], task["attempts"]) == ("failed", 4)
    assert task["completed"] is not None
    assert claimed(conn) == []


def test_the_pause_after_a_failed_try_is_an_hour_at_most(conn: Connection) -> None:
    row = conn.execute(
        "SELECT retry_delay(9) = interval '2560 s' AS nine, retry_delay(10) = interval '1 hour' AS ten,"
        " retry_delay(2147483647) = interval '1 hour' AS many"
    ).fetchone()
    assert row == {"nine": True, "ten": True, "many": True}


def test_a_failure_that_no_retry_helps_is_the_end(conn: Connection) -> None:
    token = running(conn)
    task = tasks.fail(conn, "look-up", token, error="No such API.", retry=False)
    assert (task["status"], task["attempts"], task["error_message"]) == ("failed", 1, "No such API.")


def test_completing_clears_the_error_of_an_earlier_try(conn: Connection) -> None:
    tasks.fail(conn, "look-up", held(conn), error="Broke.")
    conn.execute("UPDATE tasks SET not_before = NULL")
    assert tasks.complete(conn, "look-up", claim(conn))["error_message"] is None


def test_a_lapsed_lease_can_be_claimed_again(conn: Connection) -> None:
    token = held(conn)
    lapse(conn)
    again = claim(conn, OTHER)
    assert again != token
    task = stored(conn)
    assert (task["claimed_by"], task["attempts"]) == (OTHER, 1)
    assert f"The lease of {ME} lapsed" in task["error_message"]


def test_a_lapsed_claim_holds_no_place_of_its_agent(conn: Connection) -> None:
    conn.execute("UPDATE agents SET max_concurrent = 1")
    add(conn, "first")
    add(conn, "second", priority=10)
    assert claimed(conn) == ["first"]
    lapse(conn, "first")
    assert claimed(conn) == ["first"]


def test_lapsed_leases_go_back_or_end_when_no_try_is_left(conn: Connection) -> None:
    add(conn, "last-try", attempts=2)
    add(conn, "more-tries")
    add(conn, "in-time")
    claimed(conn, max_tasks=3)
    tasks.start(conn, "last-try", stored(conn, "last-try")["claim_token"])
    lapse(conn, "last-try")
    lapse(conn, "more-tries")
    assert tasks.expire_claims(conn) == 2
    assert tasks.expire_claims(conn) == 0
    ended, waiting, kept = (stored(conn, name) for name in ("last-try", "more-tries", "in-time"))
    assert (ended["status"], ended["attempts"], ended["claim_token"]) == ("failed", 3, None)
    assert ended["completed"] is not None
    assert (waiting["status"], waiting["attempts"], waiting["not_before"]) == ("pending", 1, None)
    assert (kept["status"], kept["attempts"]) == ("claimed", 0)


def test_a_question_parks_the_task_and_its_answers_come_along(conn: Connection) -> None:
    asking(conn)
    task = stored(conn)
    assert (task["question"], task["claim_token"], task["attempts"]) == ("Which airline?", None, 0)
    assert claimed(conn) == []
    assert tasks.answer(conn, "look-up", answer="Lufthansa", person="Alice")["question"] is None
    tasks.ask(conn, "look-up", claim(conn), question="Which year?")
    tasks.answer(conn, "look-up", answer="2026", person="Bob")
    (given,) = tasks.claim(conn, AGENT, ME)
    said = [(a["question"], a["answer"], a["person"]) for a in given["input_data"]["answers"]]
    assert said == [("Which airline?", "Lufthansa", "Alice"), ("Which year?", "2026", "Bob")]


@pytest.mark.parametrize("question", ["", "  ", None])
def test_an_empty_question_is_refused(conn: Connection, question: Any) -> None:
    token = running(conn)
    with pytest.raises(InvalidRequest, match="question is empty"):
        tasks.ask(conn, "look-up", token, question=question)
    assert stored(conn)["status"] == "running"


def test_a_guess_waits_until_a_person_approves_it(conn: Connection) -> None:
    proposed(conn)
    assert claimed(conn) == []
    assert tasks.approve(conn, "look-up", person="Alice")["input_data"] == {"approved_by": "Alice"}
    assert claimed(conn) == ["look-up"]


def test_cancelling_takes_the_task_from_its_holder(conn: Connection) -> None:
    token = running(conn)
    task = tasks.cancel(conn, "look-up", reason="Changed my mind.")
    assert (task["error_message"], task["claim_token"]) == ("Changed my mind.", None)
    with pytest.raises(ClaimLost, match="cancelled"):
        tasks.complete(conn, "look-up", token)
    assert claimed(conn) == []


def test_the_most_urgent_is_claimed_first_then_the_oldest(conn: Connection) -> None:
    monday, tuesday = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
    add(conn, "d-young", created=tuesday)
    add(conn, "b-old", created=monday)
    add(conn, "a-urgent", created=tuesday, priority=90)
    assert claimed(conn, max_tasks=2) == ["a-urgent", "b-old"]
    assert claimed(conn, max_tasks=2) == ["d-young"]


def test_tasks_of_one_statement_are_claimed_in_the_order_they_were_given(conn: Connection) -> None:
    conn.execute("INSERT INTO tasks (id, agent_name) VALUES ('z', %(a)s), ('y', %(a)s), ('x', %(a)s)", {"a": AGENT})
    assert claimed(conn, max_tasks=3) == ["z", "y", "x"]


def test_a_task_is_not_claimed_before_its_time(conn: Connection) -> None:
    add(conn, "later", not_before=now(conn) + timedelta(hours=1), priority=90)
    add(conn, "due", not_before=now(conn) - timedelta(hours=1))
    assert claimed(conn, max_tasks=4) == ["due"]


@pytest.mark.parametrize("state", sorted(set(TASK_STATES) - {"completed"}))
def test_a_task_waits_until_all_that_it_depends_on_is_completed(conn: Connection, state: str) -> None:
    INTO[state](conn)
    conn.execute("UPDATE tasks SET agent_name = 'codex'")
    add(conn, "done", agent_name="codex", status="completed")
    add(conn, "report", depends_on=["look-up", "done"])
    assert claimed(conn) == []
    conn.execute("UPDATE tasks SET status = 'completed' WHERE id = 'look-up'")
    assert claimed(conn) == ["report"]


def test_a_task_that_depends_on_one_nobody_knows_is_refused(conn: Connection) -> None:
    with pytest.raises(InvalidRequest, match="does not exist"), our_errors():
        add(conn, depends_on=["not-yet-there"])


def test_an_agent_is_given_its_own_tasks_only(conn: Connection) -> None:
    add(conn, agent_name="codex")
    assert claimed(conn) == []
    assert [row["task_id"] for row in tasks.claim(conn, "codex", ME)] == ["look-up"]


def test_an_agent_never_holds_more_than_it_may(conn: Connection) -> None:
    conn.execute("UPDATE agents SET max_concurrent = 2 WHERE name = %s", [AGENT])
    for name in "abcd":
        add(conn, name)
    assert claimed(conn, max_tasks=4) == ["a", "b"]
    with pytest.raises(AgentAtCapacity, match=AGENT):
        claimed(conn)
    tasks.release(conn, "b", stored(conn, "b")["claim_token"])
    assert claimed(conn, max_tasks=4) == ["b"]


def test_an_agent_that_may_hold_nothing_is_at_capacity(conn: Connection) -> None:
    conn.execute("UPDATE agents SET max_concurrent = 0 WHERE name = %s", [AGENT])
    with pytest.raises(AgentAtCapacity):
        claimed(conn)


def test_an_agent_that_nobody_registered_is_unknown(conn: Connection) -> None:
    with pytest.raises(UnknownAgent, match="hal_9000"):
        tasks.claim(conn, "hal_9000", ME)


def test_nothing_to_do_is_no_error(conn: Connection) -> None:
    assert claimed(conn) == []


@pytest.mark.parametrize("seconds", [0, -1, 86_401, 365 * 86_400, 10**10, 10**30])
def test_a_lease_is_from_a_second_to_a_day(conn: Connection, seconds: int) -> None:
    token = held(conn)
    before = stored(conn)
    add(conn, "next")
    with pytest.raises(InvalidRequest):
        claimed(conn, lease_seconds=seconds)
    with pytest.raises(InvalidRequest):
        tasks.renew(conn, "look-up", token, lease_seconds=seconds)
    assert stored(conn) == before
    assert stored(conn, "next")["status"] == "pending"


@pytest.mark.parametrize("number", [0, -1, 1001, 10_000_000, 10**10])
def test_the_number_of_tasks_to_claim_is_one_to_a_thousand(conn: Connection, number: int) -> None:
    add(conn)
    with pytest.raises(InvalidRequest):
        claimed(conn, max_tasks=number)
    assert stored(conn)["status"] == "pending"


@pytest.mark.parametrize("statement", ["SELECT claim_task(%s, %s, NULL)", "SELECT claim_task(%s, %s, 300, NULL)"])
def test_a_lease_or_number_of_null_is_refused(conn: Connection, statement: LiteralString) -> None:
    add(conn)
    with pytest.raises(psycopg.DatabaseError) as refusal:
        conn.execute(statement, [AGENT, ME])
    assert refusal.value.sqlstate == "AW006"
    assert stored(conn)["status"] == "pending"


@pytest.mark.parametrize("holder", ["", None])
def test_a_claim_says_who_claims(conn: Connection, holder: Any) -> None:
    add(conn)
    with pytest.raises(InvalidRequest, match="control_agent"):
        tasks.claim(conn, AGENT, holder)


@pytest.mark.parametrize("state", TASK_STATES)
def test_every_change_by_plain_sql_notes_when(conn: Connection, state: str) -> None:
    INTO[state](conn)
    before = now(conn)
    conn.execute("UPDATE tasks SET priority = 60, updated = '2000-01-01'")
    assert before <= stored(conn)["updated"] <= now(conn)


def test_a_task_that_somebody_holds_a_lock_on_is_skipped(conn: Connection, url: str) -> None:
    add(conn, "locked", priority=90)
    add(conn, "free")
    with connect(url) as person, person.transaction():
        person.execute("SELECT FROM tasks WHERE id = 'locked' FOR UPDATE")
        assert claimed(conn, max_tasks=2) == ["free"]
    assert claimed(conn, max_tasks=2) == ["locked"]


def test_a_claim_in_an_open_transaction_holds_up_no_other_agent(conn: Connection, url: str) -> None:
    add(conn, "mine")
    add(conn, "theirs", agent_name="codex")
    with connect(url) as slow, slow.transaction():
        assert claimed(slow) == ["mine"]
        assert [row["task_id"] for row in tasks.claim(conn, "codex", OTHER)] == ["theirs"]


def test_a_claim_that_is_rolled_back_never_was(conn: Connection, url: str) -> None:
    add(conn)
    with connect(url) as slow, slow.transaction(force_rollback=True):
        assert claimed(slow) == ["look-up"]
    assert claimed(conn) == ["look-up"]


def test_two_claims_of_one_agent_at_once_get_different_tasks(conn: Connection, url: str) -> None:
    add(conn, "first")
    add(conn, "second")
    asked: list[str] = []
    with connect(url) as other:
        second = threading.Thread(target=lambda: asked.extend(claimed(other)))
        with conn.transaction():
            mine = claimed(conn)
            second.start()
        second.join()
    assert sorted(mine + asked) == ["first", "second"]


def test_many_claims_at_once_share_the_tasks_and_never_pass_the_limit(conn: Connection, url: str) -> None:
    conn.execute("UPDATE agents SET max_concurrent = 5 WHERE name = %s", [AGENT])
    for number in range(20):
        add(conn, f"task-{number}")
    together = threading.Barrier(8)
    given: list[str] = []
    refused: list[AgentAtCapacity] = []

    def ask() -> None:
        with connect(url) as own:
            together.wait()
            try:
                given.extend(claimed(own))
            except AgentAtCapacity as error:
                refused.append(error)

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(given) == len(set(given)) == 5
    assert len(refused) == 3


def test_a_lapsed_task_that_somebody_is_moving_is_left_to_them(conn: Connection, url: str) -> None:
    held(conn)
    lapse(conn)
    with connect(url) as person, person.transaction():
        person.execute("UPDATE tasks SET status = 'completed'")
        assert tasks.expire_claims(conn) == 0
    assert tasks.expire_claims(conn) == 0
    assert stored(conn)["status"] == "completed"
