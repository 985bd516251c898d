"""What makes the queue safe: history, places, dependencies, acceptance, agents that come and go, waking."""

import threading
from collections.abc import Iterator
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from domain.errors import AgentAtCapacity, InvalidMove, InvalidRequest, NotAccepted, UnknownAgent
from store import agents, tasks
from store.database import Connection, connect, our_errors
from tests.conftest import wait_for_waiter

ME, AGENT = "control_agent_1", "claude_code"


def add(conn: Connection, task_id: str, **columns: Any) -> None:
    row = {"id": task_id, "agent_name": AGENT, **columns}
    names: LiteralString = "(SELECT string_agg(quote_ident(k), ', ') FROM jsonb_object_keys(%(row)s) AS k)"
    found = conn.execute("SELECT " + names + " AS names", {"row": Jsonb(row)}).fetchone()
    assert found is not None
    with our_errors():
        conn.execute(
            f"INSERT INTO tasks ({found['names']}) SELECT {found['names']} FROM jsonb_populate_record(NULL::tasks, %s)",
            [Jsonb(row)],
        )


def take(conn: Connection, agent: str = AGENT, **options: Any) -> list[str]:
    return [row["task_id"] for row in tasks.claim(conn, agent, ME, **options)]


def token_of(conn: Connection, task_id: str) -> UUID:
    row = tasks.get(conn, task_id)
    assert row is not None
    return UUID(str(row["claim_token"]))


def column(conn: Connection, task_id: str, name: str) -> Any:
    row = tasks.get(conn, task_id)
    assert row is not None
    return row[name]


def test_every_move_is_written_down_with_who_and_why(conn: Connection) -> None:
    add(conn, "a", status="proposed")
    tasks.approve(conn, "a", person="bob")
    take(conn)
    tasks.start(conn, "a", token_of(conn, "a"))
    tasks.fail(conn, "a", token_of(conn, "a"), error="no network")
    conn.execute("UPDATE tasks SET not_before = now() - interval '1 s'")
    take(conn)
    conn.execute("UPDATE tasks SET lease_until = now() - interval '1 s'")
    tasks.expire_claims(conn)
    tasks.cancel(conn, "a", reason="not wanted")
    events = [(e["from_status"], e["to_status"], e["reason"]) for e in tasks.events(conn, "a")]
    assert events == [
        (None, "proposed", None),
        ("proposed", "pending", "approved"),
        ("pending", "claimed", None),
        ("claimed", "running", None),
        ("running", "pending", "no network"),
        ("pending", "claimed", None),
        ("claimed", "pending", "the lease lapsed"),
        ("pending", "cancelled", "not wanted"),
    ]
    actors = [e["actor"] for e in tasks.events(conn, "a")]
    assert actors[1:7] == ["bob", ME, ME, ME, ME, "lease"]


def test_a_move_typed_as_plain_sql_is_written_down_too(conn: Connection) -> None:
    add(conn, "a")
    conn.execute("UPDATE tasks SET status = 'completed' WHERE id = 'a'")
    last = tasks.events(conn, "a")[-1]
    user = conn.execute("SELECT current_user::text AS name").fetchone()
    assert user is not None
    assert (last["to_status"], last["actor"]) == ("completed", user["name"])


@pytest.mark.parametrize("statement", ["UPDATE task_events SET actor = 'nobody'", "DELETE FROM task_events"])
def test_history_cannot_be_rewritten(conn: Connection, statement: LiteralString) -> None:
    add(conn, "a")
    with pytest.raises(InvalidMove, match="append-only"), our_errors():
        conn.execute(statement)


def test_history_goes_with_its_task(conn: Connection) -> None:
    add(conn, "a")
    conn.execute("DELETE FROM tasks")
    assert conn.execute("SELECT FROM task_events").fetchall() == []


def test_a_claim_held_open_in_a_transaction_keeps_no_other_claim_waiting(conn: Connection, database_url: str) -> None:
    for name in "abc":
        add(conn, name)
    conn.execute("SET lock_timeout = '1s'")
    with connect(database_url) as other, other.transaction():
        assert take(other) == ["a"]
        assert take(conn, max_tasks=2) == ["b", "c"]


def test_places_are_never_taken_twice_however_many_claim_at_once(conn: Connection, database_url: str) -> None:
    conn.execute("UPDATE agents SET max_concurrent = 3 WHERE name = %s", [AGENT])
    for number in range(40):
        add(conn, f"t{number}")
    start, taken, refused = threading.Barrier(8), [], []

    def claim() -> None:
        with connect(database_url) as mine:
            start.wait()
            for _ in range(5):
                try:
                    taken.extend(take(mine))
                except AgentAtCapacity:
                    refused.append(1)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 3
    assert refused
    slots = conn.execute("SELECT slot FROM tasks WHERE status = 'claimed' ORDER BY slot").fetchall()
    assert [row["slot"] for row in slots] == [1, 2, 3]


def test_without_a_limit_an_agent_may_hold_any_number(conn: Connection) -> None:
    conn.execute("UPDATE agents SET max_concurrent = NULL WHERE name = %s", [AGENT])
    for number in range(50):
        add(conn, f"t{number}")
    assert len(take(conn, max_tasks=1000)) == 50


def test_a_failed_dependency_blocks_and_is_shown(conn: Connection) -> None:
    add(conn, "first")
    add(conn, "second", depends_on=["first"])
    conn.execute("UPDATE tasks SET status = 'failed' WHERE id = 'first'")
    assert take(conn) == []
    row = conn.execute("SELECT blocked_by, blocked_for_good FROM task_queue WHERE id = 'second'").fetchone()
    assert row == {"blocked_by": ["first"], "blocked_for_good": True}


def test_a_ring_of_dependencies_is_refused(conn: Connection) -> None:
    add(conn, "a")
    add(conn, "b", depends_on=["a"])
    add(conn, "c", depends_on=["b"])
    with pytest.raises(InvalidRequest, match="depend on itself"), our_errors():
        conn.execute("UPDATE tasks SET depends_on = '{c}' WHERE id = 'a'")
    with pytest.raises(InvalidRequest), our_errors():
        conn.execute("UPDATE tasks SET depends_on = '{a}' WHERE id = 'a'")


def test_a_dependency_cannot_complete_unseen_while_a_task_is_made_for_it(conn: Connection, database_url: str) -> None:
    add(conn, "first")
    take(conn)
    token = token_of(conn, "first")
    with connect(database_url) as maker:
        with maker.transaction():
            add(maker, "second", depends_on=["first"])
            finishing = threading.Thread(target=tasks.complete, args=(conn, "first", token))
            finishing.start()  # waits for the row that the maker has locked
        finishing.join()
        assert column(maker, "second", "waiting_for") == 0
        assert take(maker) == ["second"]


def test_a_task_for_capabilities_goes_to_an_agent_that_has_them_all(conn: Connection) -> None:
    add(conn, "paint", agent_name=None, capabilities=["code", "docs"])
    assert take(conn, "codex") == []
    assert take(conn, AGENT) == ["paint"]


@pytest.mark.parametrize("lapsed", [True, False])
def test_a_task_for_capabilities_is_claimed_when_its_time_has_come(conn: Connection, lapsed: bool) -> None:
    add(conn, "a", agent_name=None, capabilities=["code"])
    if lapsed:
        assert take(conn, "codex") == ["a"]
        conn.execute("UPDATE tasks SET lease_until = now() - interval '1 s'")
    else:
        conn.execute("UPDATE tasks SET not_before = now() - interval '1 s'")
    assert take(conn) == ["a"]


def test_tasks_by_name_and_by_capability_are_one_queue(conn: Connection) -> None:
    add(conn, "mine", priority=50)
    add(conn, "anyones", agent_name=None, capabilities=["code"], priority=90)
    add(conn, "low", agent_name=None, capabilities=["code"], priority=10)
    assert take(conn, max_tasks=3) == ["anyones", "mine", "low"]


def test_a_task_for_nobody_is_refused(conn: Connection) -> None:
    with pytest.raises(InvalidRequest):
        add(conn, "lost", agent_name=None)


def test_a_fair_claim_prefers_sessions_of_which_less_is_held(conn: Connection) -> None:
    conn.execute("INSERT INTO sessions (id) VALUES ('long'), ('short')")
    for number in range(3):
        add(conn, f"long{number}", session_id="long", priority=60)
    add(conn, "short0", session_id="short", priority=50)
    assert take(conn) == ["long0"]
    row = conn.execute("SELECT task_id FROM claim_task(%s, %s, 300, 1, true)", [AGENT, ME]).fetchone()
    assert row == {"task_id": "short0"}


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        ({"exit_code": 0}, {"exit_code": 1}, {"exit_code": 0}),
        ({"output_matches": "passed"}, {"text": "2 failed"}, {"text": "2 passed"}),
    ],
)
def test_a_completion_without_the_evidence_asked_for_is_refused(
    conn: Connection, rule: dict[str, Any], bad: dict[str, Any], good: dict[str, Any]
) -> None:
    add(conn, "a", acceptance=rule)
    take(conn)
    token = token_of(conn, "a")
    with pytest.raises(NotAccepted, match="has to"):
        tasks.complete(conn, "a", token, output_data=bad)
    with pytest.raises(NotAccepted):
        tasks.complete(conn, "a", token)
    assert column(conn, "a", "status") == "claimed"
    assert tasks.complete(conn, "a", token, output_data=good)["status"] == "completed"


def test_a_completion_needs_artifacts_of_the_types_asked_for(conn: Connection) -> None:
    add(conn, "a", acceptance={"artifact_types": ["report"]})
    take(conn)
    token = token_of(conn, "a")
    conn.execute(
        "INSERT INTO artifacts (id, type, name, content) VALUES ('r', 'report', 'r', ''), ('n', 'note', 'n', '')"
    )
    with pytest.raises(NotAccepted, match="report"):
        tasks.complete(conn, "a", token, artifacts=["n"])
    assert tasks.complete(conn, "a", token, artifacts=["n", "r"])["status"] == "completed"


def test_five_megabytes_of_output_are_refused(conn: Connection) -> None:
    add(conn, "a")
    take(conn)
    with pytest.raises(InvalidRequest, match="artifact"):
        tasks.complete(conn, "a", token_of(conn, "a"), output_data="x" * 5_000_000)
    assert column(conn, "a", "status") == "claimed"


def test_a_holder_learns_at_its_next_renew_that_the_task_was_cancelled(conn: Connection) -> None:
    add(conn, "a")
    take(conn)
    token = token_of(conn, "a")
    tasks.cancel(conn, "a", reason="changed my mind")
    assert tasks.renew(conn, "a", token)["status"] == "cancelled"


def test_alive_without_progress_is_visible(conn: Connection) -> None:
    add(conn, "a")
    take(conn)
    token = token_of(conn, "a")
    tasks.renew(conn, "a", token, progress=0.5, note="half way")
    conn.execute("UPDATE tasks SET progressed_at = now() - interval '10 minutes'")
    tasks.renew(conn, "a", token, progress=0.5)  # alive, and no further
    row = conn.execute("SELECT without_progress_for > interval '9 minutes' AS stuck FROM task_queue").fetchone()
    assert row == {"stuck": True}
    tasks.renew(conn, "a", token, progress=0.6)
    row = conn.execute("SELECT without_progress_for < interval '1 minute' AS moving FROM task_queue").fetchone()
    assert row == {"moving": True}


def test_a_task_for_capabilities_is_an_agents_only_while_it_holds_it(conn: Connection) -> None:
    agents.register(conn, "painter", capabilities=["paint"], max_concurrent=1)
    for name in ("wall", "door"):
        add(conn, name, agent_name=None, capabilities=["paint"])
    assert take(conn, "painter", max_tasks=2) == ["wall"]
    with pytest.raises(AgentAtCapacity):
        take(conn, "painter")
    assert column(conn, "wall", "agent_name") == "painter"
    tasks.release(conn, "wall", token_of(conn, "wall"))
    assert column(conn, "wall", "agent_name") is None


def test_status_follows_heartbeats_and_live_claims(conn: Connection) -> None:
    agents.register(conn, "painter", max_concurrent=1)
    assert status(conn, "painter") == "available"
    add(conn, "door", agent_name="painter")
    assert take(conn, "painter") == ["door"]
    assert status(conn, "painter") == "busy"
    conn.execute("UPDATE agents SET last_heartbeat = now() - interval '3 minutes' WHERE name = 'painter'")
    assert status(conn, "painter") == "offline"
    agents.refresh(conn)
    row = conn.execute("SELECT status, current_tasks FROM agents WHERE name = 'painter'").fetchone()
    assert row == {"status": "offline", "current_tasks": 1}
    agents.heartbeat(conn, "painter")
    assert status(conn, "painter") == "busy"
    assert agents.deregister(conn, "painter") == 1
    assert (status(conn, "painter"), column(conn, "door", "status")) == ("offline", "pending")
    with pytest.raises(UnknownAgent):
        agents.heartbeat(conn, "nobody")


def status(conn: Connection, name: str) -> str:
    return next(a["status"] for a in agents.listing(conn) if a["name"] == name)


@pytest.fixture
def listener(database_url: str) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("LISTEN ai_webhook_tasks")
        yield connection


def woken(listener: "psycopg.Connection[Any]") -> list[str]:
    return [note.payload for note in listener.notifies(timeout=5, stop_after=1)]


def test_who_waits_for_work_is_woken(conn: Connection, listener: "psycopg.Connection[Any]") -> None:
    add(conn, "a")
    assert woken(listener) == [AGENT]
    add(conn, "b", depends_on=["a"])
    take(conn)
    assert woken(listener) == [AGENT]  # of b, which is pending but blocked: a look more does no harm
    tasks.complete(conn, "a", token_of(conn, "a"))
    assert woken(listener) == [AGENT]  # b is free now
    add(conn, "c", agent_name=None, capabilities=["code"])
    assert woken(listener) == ["*"]


@pytest.mark.parametrize("hears", [True, False], ids=["by NOTIFY", "by looking, where LISTEN hears nothing"])
def test_waiting_ends_when_work_comes(conn: Connection, database_url: str, hears: bool) -> None:
    found: list[bool] = []
    listening = threading.Event()

    def wait() -> None:
        with connect(database_url) as mine:
            if not hears:
                mine.notifies = lambda timeout, stop_after: (listening.set(), iter(()))[1]  # type: ignore[method-assign, assignment]
            else:
                listening.set()
            found.append(tasks.wait_for_work(mine, AGENT, timeout_seconds=30, poll_seconds=20 if hears else 0.01))

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert listening.wait(10)
    add(conn, "a")
    waiting.join(10)
    assert found == [True]


def test_waiting_ends_without_work_when_the_time_is_up(conn: Connection) -> None:
    add(conn, "later", not_before="2999-01-01T00:00:00Z")
    assert tasks.wait_for_work(conn, AGENT, timeout_seconds=0.05) is False


@pytest.mark.parametrize("together", [False, True], ids=["alone", "with others"])
def test_a_task_that_comes_while_a_claim_begins_is_told_to_who_got_it(
    conn: Connection, database_url: str, together: bool
) -> None:
    """The claim's statement has begun, and sees what was there then; inside it the newer task is given."""
    given: list[str] = []

    def claim() -> None:
        with connect(database_url) as late:
            one = {"agent_name": AGENT, "control_agent": ME, "lease_seconds": 300, "max_tasks": 1, "fair": False}
            rows = tasks.claim_many(late, [one])[0] if together else tasks.claim(late, AGENT, ME)
            given.extend(row["task_id"] for row in rows)

    claiming = threading.Thread(target=claim)
    with connect(database_url) as other, conn.transaction():
        conn.execute("LOCK TABLE agents IN ACCESS EXCLUSIVE MODE")  # the first that claim_task() looks at
        claiming.start()
        wait_for_waiter(other)
        add(conn, "new")
    claiming.join()
    assert given == ["new"]


def test_a_place_that_is_taken_while_a_claim_looks_at_it_is_passed_over(conn: Connection, database_url: str) -> None:
    """It is held up after it saw the place free and before it locks it, by a function found before PostgreSQL's."""
    conn.execute("UPDATE agents SET max_concurrent = 2 WHERE name = %s", [AGENT])
    for task_id in ("a", "b"):
        add(conn, task_id)
    conn.execute("CREATE SCHEMA held_up")
    conn.execute(
        "CREATE FUNCTION held_up.hashtext(text) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_advisory_lock_shared(1); PERFORM pg_advisory_unlock_shared(1);"
        " RETURN pg_catalog.hashtext($1); END $$"
    )
    given: list[str] = []

    def claim() -> None:
        with connect(database_url) as late:
            late.execute("SET search_path TO held_up, pg_catalog, public")
            given.extend(take(late))

    claiming = threading.Thread(target=claim)
    with connect(database_url) as other, conn.transaction():
        assert take(conn) == ["a"]
        conn.execute("SELECT pg_advisory_lock(1)")
        claiming.start()
        wait_for_waiter(other)
    conn.execute("SELECT pg_advisory_unlock(1)")
    claiming.join()
    assert given == ["b"]
