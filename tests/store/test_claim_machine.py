"""The queue as a machine: any order of moves by three agents and a person, held against a small model of it.

The model knows of each task its state, its holder and token, and the moves it made; the database has to agree after
every step. Time never passes by itself: leases are long, and lapse (or pauses end) when a rule says so.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import LiteralString
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.types.json import Jsonb

from domain.errors import AgentAtCapacity, ClaimLost, InvalidMove, UnknownTask
from store import agents, tasks
from store.database import Connection, Row, connect

ABILITIES = {
    "claude_code": ("code", "docs"),
    "codex": ("code",),
    "gemini_cli": ("docs", "research"),
}
AGENTS = tuple(ABILITIES)
SESSIONS = ("planning", "review")
HELD = ("claimed", "running")
ENDED = ("completed", "failed", "cancelled")
HOUR = 3600

LATE_MOVES: dict[str, Callable[[Connection, str, UUID], Row]] = {
    "start": tasks.start,
    "renew": tasks.renew,
    "complete": tasks.complete,
    "fail": lambda conn, task_id, token: tasks.fail(conn, task_id, token, error="late"),
    "release": tasks.release,
    "ask": lambda conn, task_id, token: tasks.ask(conn, task_id, token, question="Late?"),
}


@dataclass
class Known:
    """What the model knows of a task."""

    id: str
    number: int
    agent: str | None
    capabilities: tuple[str, ...]
    priority: int
    session: str | None
    depends_on: list[str]
    max_attempts: int
    status: str
    pause: str | None = None  # "later", "due": not_before lies ahead, or has passed and nobody looked
    holder: str | None = None
    token: UUID | None = None
    last_token: UUID | None = None
    lapsed: bool = False
    attempts: int = 0
    moves: list[str] = field(default_factory=list)
    end: Row | None = None

    def move(self, status: str) -> None:
        self.status = status
        self.moves.append(status)
        if status not in HELD:
            self.holder, self.token, self.lapsed = None, None, False

    def lose_try(self, *, retry: bool) -> None:
        self.attempts += 1
        self.move("pending" if retry and self.attempts < self.max_attempts else "failed")

    def is_for(self, agent: str) -> bool:
        return set(self.capabilities) <= set(ABILITIES[agent]) if self.capabilities else self.agent == agent


class Queue(RuleBasedStateMachine):
    def __init__(self, connections: dict[str, Connection]) -> None:
        super().__init__()
        self.connections = connections
        self.person = connections["person"]
        self.known: dict[str, Known] = {}
        self.given: list[tuple[str, UUID]] = []
        self.places: dict[str, int | None] = {}
        for statement in ("DELETE FROM tasks", "DELETE FROM sessions"):
            self.person.execute(statement)
        self.person.execute("INSERT INTO sessions (id) SELECT unnest(%s::text[])", [list(SESSIONS)])

    @initialize(places=st.tuples(*[st.sampled_from([None, 1, 2, 3])] * 3))
    def agents_come(self, places: tuple[int | None, ...]) -> None:
        for agent, number in zip(AGENTS, places, strict=True):
            self.set_places(agent, number)

    # What the rules choose from.

    def those(self, *states: str) -> list[Known]:
        return [task for task in self.known.values() if task.status in states]

    def live(self) -> list[Known]:
        return [task for task in self.those(*HELD) if not task.lapsed]

    def held_by(self, agent: str) -> list[Known]:
        return [task for task in self.known.values() if task.holder == agent]

    def waits_for(self, task: Known) -> int:
        return sum(self.known[other].status != "completed" for other in task.depends_on)

    def set_places(self, agent: str, number: int | None) -> None:
        agents.register(
            self.connections[agent], agent, max_concurrent=number, capabilities=ABILITIES[agent], type="cli"
        )
        self.places[agent] = number

    # Tasks come.

    @rule(data=st.data(), priority=st.sampled_from([10, 50, 50, 90]), session=st.sampled_from([None, *SESSIONS]),
          max_attempts=st.integers(1, 3), proposed=st.sampled_from([False, False, True]),
          later=st.sampled_from([False, False, False, True]), number=st.integers(1, 3))  # fmt: skip
    def create(
        self,
        data: st.DataObject,
        priority: int,
        session: str | None,
        max_attempts: int,
        proposed: bool,
        later: bool,
        number: int,
    ) -> None:
        for _ in range(number):
            agent = data.draw(st.sampled_from([*AGENTS, None]))
            wanted = [] if agent else data.draw(st.sampled_from([["code"], ["docs"], ["docs", "code"], ["research"]]))
            others = st.lists(st.sampled_from(sorted(self.known)), max_size=3) if self.known else st.just([])
            depends_on = data.draw(st.one_of(st.just([]), others))
            task = Known(
                id=f"t{len(self.known):04}",
                number=len(self.known),
                agent=agent,
                capabilities=tuple(wanted),
                priority=priority,
                session=session,
                depends_on=depends_on,
                max_attempts=max_attempts,
                status="proposed" if proposed else "pending",
                pause="later" if later else None,
            )
            self.person.execute(
                "INSERT INTO tasks"
                " (id, agent_name, capabilities, priority, session_id, depends_on, max_attempts, status,"
                " not_before) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now() + make_interval(days => %s))",
                [task.id, agent, Jsonb(wanted), priority, session, depends_on, max_attempts, task.status,
                 1 if later else None],
            )  # fmt: skip
            task.move(task.status)
            self.known[task.id] = task

    # What agents do.

    def expire(self) -> int:
        """What expire_claims() should do, done to the model."""
        lapsed = [task for task in self.known.values() if task.lapsed]
        for task in lapsed:
            task.lose_try(retry=True)
        for task in self.those("pending"):
            if task.pause == "due":
                task.pause = None
        return len(lapsed)

    @rule(agent=st.sampled_from(AGENTS), most=st.integers(1, 3), fair=st.booleans())
    def claim(self, agent: str, most: int, fair: bool) -> None:
        conn = self.connections[agent]
        places = self.places[agent]
        staying = sum(not task.lapsed for task in self.held_by(agent))
        if places is not None and staying >= places:
            before = self.everything()
            with pytest.raises(AgentAtCapacity):
                tasks.claim(conn, agent, agent, lease_seconds=HOUR, max_tasks=most)
            assert self.everything() == before
            return
        self.expire()
        crowd = {name: sum(task.session == name for task in self.those(*HELD)) for name in SESSIONS}
        queue = [
            task
            for task in self.those("pending")
            if task.pause is None and task.is_for(agent) and not self.waits_for(task)
        ]
        queue.sort(key=lambda task: (crowd.get(task.session or "", 0) if fair else 0, -task.priority, task.number))
        expected = queue[: most if places is None else min(most, places - staying)]
        if fair:
            claims = conn.execute(
                "SELECT * FROM claim_task(%s, %s, %s, %s, true)", [agent, agent, HOUR, most]
            ).fetchall()
        else:
            claims = tasks.claim(conn, agent, agent, lease_seconds=HOUR, max_tasks=most)
        assert [row["task_id"] for row in claims] == [task.id for task in expected]
        for task, row in zip(expected, claims, strict=True):
            token = row["claim_token"]
            assert row["attempt"] == task.attempts + 1
            assert token not in {given for _, given in self.given}
            task.move("claimed")
            task.holder, task.token, task.last_token = agent, token, token
            self.given.append((task.id, token))

    def one_of(self, data: st.DataObject, choices: list[Known]) -> tuple[Known, Connection, UUID]:
        """A live claim, with the connection of its holder."""
        task = self.known[data.draw(st.sampled_from([task.id for task in choices]))]
        assert task.holder is not None and task.token is not None
        return task, self.connections[task.holder], task.token

    @precondition(lambda self: any(task.status == "claimed" for task in self.live()))
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        task, conn, token = self.one_of(data, [task for task in self.live() if task.status == "claimed"])
        assert tasks.start(conn, task.id, token)["status"] == "running"
        task.move("running")
        with pytest.raises(InvalidMove):
            tasks.start(conn, task.id, token)

    @precondition(lambda self: self.live())
    @rule(data=st.data(), progress=st.sampled_from([None, 0.5, 1.0]))
    def renew(self, data: st.DataObject, progress: float | None) -> None:
        task, conn, token = self.one_of(data, self.live())
        row = tasks.renew(conn, task.id, token, lease_seconds=HOUR, progress=progress)
        assert (row["status"], row["claim_token"]) == (task.status, token)

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        task, conn, token = self.one_of(data, self.live())
        assert tasks.complete(conn, task.id, token, output_data={"by": task.holder})["status"] == "completed"
        task.move("completed")

    @precondition(lambda self: self.live())
    @rule(data=st.data(), retry=st.booleans())
    def fail(self, data: st.DataObject, retry: bool) -> None:
        task, conn, token = self.one_of(data, self.live())
        task.lose_try(retry=retry)
        row = tasks.fail(conn, task.id, token, error="no network", retry=retry)
        assert (row["status"], row["not_before"] is not None) == (task.status, task.status == "pending")
        if task.status == "pending":
            task.pause = "later"
            self.person.execute("UPDATE tasks SET not_before = now() + interval '1 day' WHERE id = %s", [task.id])

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        task, conn, token = self.one_of(data, self.live())
        assert tasks.release(conn, task.id, token)["status"] == "pending"
        task.move("pending")

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        task, conn, token = self.one_of(data, self.live())
        assert tasks.ask(conn, task.id, token, question="Which region?")["status"] == "needs_input"
        task.move("needs_input")

    @rule(agent=st.sampled_from(AGENTS))
    def deregister(self, agent: str) -> None:
        held = self.held_by(agent)
        assert agents.deregister(self.connections[agent], agent) == len(held)
        for task in held:
            task.move("pending")

    # Only while it holds nothing: see test_an_agent_given_fewer_places_never_holds_more_than_those.
    @rule(agent=st.sampled_from(AGENTS), number=st.sampled_from([None, 1, 2, 3]))
    def register(self, agent: str, number: int | None) -> None:
        self.set_places(agent, self.places[agent] if self.held_by(agent) else number)

    # What people do.

    @precondition(lambda self: self.those("needs_input"))
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.those("needs_input")))
        tasks.answer(self.person, task.id, answer="Europe", person="bob")
        task.move("pending")

    @precondition(lambda self: self.those("proposed"))
    @rule(data=st.data())
    def approve(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.those("proposed")))
        tasks.approve(self.person, task.id, person="bob")
        task.move("pending")

    @precondition(lambda self: len(self.known) > len(self.those(*ENDED)))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from([task for task in self.known.values() if task.status not in ENDED]))
        tasks.cancel(self.person, task.id, reason="not wanted")
        task.move("cancelled")

    @precondition(lambda self: self.known)
    @rule(data=st.data(), session=st.sampled_from([None, *SESSIONS]))
    def move_to_another_session(self, data: st.DataObject, session: str | None) -> None:
        task = self.known[data.draw(st.sampled_from(sorted(self.known)))]
        self.person.execute("UPDATE tasks SET session_id = %s WHERE id = %s", [session, task.id])
        task.session = session

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def moves_that_the_state_forbids_change_nothing(self, data: st.DataObject) -> None:
        task = self.known[data.draw(st.sampled_from(sorted(self.known)))]
        before = self.everything()
        if task.status != "needs_input":
            with pytest.raises(InvalidMove):
                tasks.answer(self.person, task.id, answer="Europe", person="bob")
        if task.status != "proposed":
            with pytest.raises(InvalidMove):
                tasks.approve(self.person, task.id, person="bob")
        if task.status in ENDED:
            with pytest.raises(InvalidMove):
                tasks.cancel(self.person, task.id)
        assert self.everything() == before

    # What time does.

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def lapse(self, data: st.DataObject) -> None:
        task, _, _ = self.one_of(data, self.live())
        self.person.execute("UPDATE tasks SET lease_until = now() - interval '1 s' WHERE id = %s", [task.id])
        task.lapsed = True

    @precondition(lambda self: any(task.pause == "later" for task in self.those("pending", "proposed")))
    @rule(data=st.data())
    def come_due(self, data: st.DataObject) -> None:
        paused = [task for task in self.those("pending", "proposed") if task.pause == "later"]
        task = data.draw(st.sampled_from(paused))
        self.person.execute("UPDATE tasks SET not_before = now() - interval '1 s' WHERE id = %s", [task.id])
        task.pause = "due"

    @rule()
    def sweep(self) -> None:
        assert tasks.expire_claims(self.person) == self.expire()

    # Who comes too late.

    @precondition(lambda self: self.given)
    @rule(data=st.data(), by=st.sampled_from(AGENTS), move=st.sampled_from(sorted(LATE_MOVES)))
    def move_late(self, data: st.DataObject, by: str, move: str) -> None:
        index = data.draw(st.integers(0, len(self.given) - 1))
        task_id, token = self.given[index]
        task, conn = self.known[task_id], self.connections[by]
        if task.token == token and not task.lapsed:
            token = uuid.UUID(int=index + 1)  # nobody ever had this one
        before = self.everything()
        told_again = {"complete": "completed", "renew": "cancelled"}.get(move)
        if token == task.last_token and task.status == told_again:
            assert LATE_MOVES[move](conn, task_id, token)["status"] == told_again
        else:
            with pytest.raises((ClaimLost, InvalidMove)):
                LATE_MOVES[move](conn, task_id, token)
        with pytest.raises(UnknownTask):
            LATE_MOVES[move](conn, "nowhere", token)
        assert self.everything() == before

    def everything(self) -> list[list[Row]]:
        every: list[LiteralString] = [
            "SELECT * FROM tasks ORDER BY id",
            "SELECT * FROM task_events ORDER BY id",
            "SELECT * FROM sessions ORDER BY id",
            "SELECT * FROM agents ORDER BY name",
        ]
        return [self.person.execute(statement).fetchall() for statement in every]

    # What holds after every step.

    def rows(self) -> list[Row]:
        return self.person.execute("SELECT * FROM tasks ORDER BY id").fetchall()

    @invariant()
    def no_task_is_lost(self) -> None:
        assert [row["id"] for row in self.rows()] == sorted(self.known)

    @invariant()
    def the_database_agrees_about_state_holder_and_token(self) -> None:
        for row in self.rows():
            task = self.known[row["id"]]
            held = row["status"] in HELD
            assert (row["status"], row["attempts"], row["claim_token"]) == (task.status, task.attempts, task.token)
            assert row["last_token"] == task.last_token
            assert (row["claimed_by"] if held else None) == task.holder
            assert (row["agent_name"] if held else None) == task.holder
            assert (row["not_before"] is None) == (task.pause is None)

    @invariant()
    def no_task_has_two_holders(self) -> None:
        tokens = [row["claim_token"] for row in self.rows() if row["status"] in HELD]
        assert None not in tokens
        assert len(set(tokens)) == len(tokens)
        assert all(row["claim_token"] is None for row in self.rows() if row["status"] not in HELD)

    @invariant()
    def every_change_is_in_the_history(self) -> None:
        history: dict[str, list[Row]] = {task_id: [] for task_id in self.known}
        for event in self.person.execute("SELECT * FROM task_events ORDER BY id").fetchall():
            history[event["task_id"]].append(event)
        for row in self.rows():
            events = history[row["id"]]
            reached = [event["to_status"] for event in events]
            assert [event["from_status"] for event in events] == [None, *reached[:-1]]
            assert reached[-1] == row["status"]
            assert reached == self.known[row["id"]].moves
            assert events[-1]["attempts"] == row["attempts"]

    @invariant()
    def no_agent_holds_more_than_its_places(self) -> None:
        for agent, places in self.places.items():
            held = [row for row in self.rows() if row["status"] in HELD and row["agent_name"] == agent]
            if places is None:
                assert {row["slot"] for row in held} <= {None}
            else:
                assert len(held) <= places
                slots = [row["slot"] for row in held]
                assert len(set(slots)) == len(slots)
                assert set(slots) <= set(range(1, places + 1))

    @invariant()
    def sessions_count_what_they_have(self) -> None:
        counted = self.person.execute("SELECT id, task_count FROM sessions ORDER BY id").fetchall()
        assert [(row["id"], row["task_count"]) for row in counted] == [
            (name, sum(task.session == name for task in self.known.values())) for name in SESSIONS
        ]

    @invariant()
    def each_task_waits_for_what_is_not_completed(self) -> None:
        by_id = {row["id"]: row for row in self.rows()}
        for row in by_id.values():
            uncompleted = {other for other in row["depends_on"] if by_id[other]["status"] != "completed"}
            assert row["waiting_for"] == len(uncompleted)

    @invariant()
    def an_end_is_final(self) -> None:
        columns = ("status", "completed", "attempts", "output_data", "error_message", "last_token", "started")
        for row in self.rows():
            task = self.known[row["id"]]
            if row["status"] in ENDED:
                end = {name: row[name] for name in columns}
                task.end = task.end or end
                assert end == task.end
            assert task.end is None or row["status"] in ENDED


@pytest.fixture(scope="module")
def connections(url: str) -> Iterator[dict[str, Connection]]:
    """One for each agent and one for people."""
    opened = {name: connect(url, name) for name in (*AGENTS, "person")}
    yield opened
    for conn in opened.values():
        conn.close()


def test_no_order_of_moves_gives_a_task_two_holders_or_loses_it(connections: dict[str, Connection]) -> None:
    run_state_machine_as_test(
        lambda: Queue(connections),
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


@pytest.mark.parametrize("before", [None, 3])
def test_an_agent_given_fewer_places_never_holds_more_than_those(conn: Connection, before: int | None) -> None:
    agents.register(conn, "painter", max_concurrent=before)
    conn.execute("INSERT INTO tasks (id, agent_name) SELECT 'wall' || n, 'painter' FROM generate_series(1, 6) AS n")
    first, *others = tasks.claim(conn, "painter", "me", max_tasks=3)
    agents.register(conn, "painter", max_concurrent=2)
    tasks.release(conn, first["task_id"], first["claim_token"])
    assert len(others) == 2
    with pytest.raises(AgentAtCapacity):
        tasks.claim(conn, "painter", "me")
