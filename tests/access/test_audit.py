"""The audit log: every way in leaves who did what, by ids alone, and nothing takes it back."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import ops.__main__  # noqa: F401 - registers the commands
from access import auditing
from access.actions import ACTIONS
from access.auditing import IN_TASK_EVENTS, UNAUDITED, Audit
from access.client import Client
from access.service import Service
from domain.caller import Caller, operator
from domain.errors import InvalidRequest, NotFound
from domain.settings import Settings
from ops.cli import app
from store import audit
from store.audit import Entry
from store.database import Connection, connect, open_pool
from tests.access.conftest import served
from tests.conftest import TOKEN

SECRET = "zebrafinch"


@pytest.fixture
def conn(database_url: str) -> Iterator[Connection]:
    """Of a database of the test's own: the log is not emptied between tests."""
    with connect(database_url) as connection:
        yield connection


@pytest.fixture
def service(settings: Settings, conn: Connection) -> Iterator[Service]:
    pool = open_pool(settings.conninfo(), "test", 4)
    yield (made := Service(settings, pool))
    made.audit.close()
    pool.close()


def kept(conn: Connection, **wanted: Any) -> list[tuple[Any, ...]]:
    """(actor, action, kind, object, outcome, times), first to last."""
    rows = audit.listing(conn, limit=1000, **wanted)[::-1]
    return [tuple(row[name] for name in ("actor", "action", "kind", "object", "outcome", "times")) for row in rows]


def test_deeds_and_reads_are_kept_by_ids_alone(service: Service, conn: Connection) -> None:
    bob = Caller("bob", operator().scopes, "token_1")
    service.act(bob, "create_session", {"session_id": "walk", "title": SECRET})
    memory = service.act(bob, "store_memory", {"session_id": "walk", "type": "fact", "title": SECRET})["id"]
    service.act(bob, "accept_memory", {"memory": memory})
    task = service.act(bob, "create_task", {"title": SECRET, "session_id": "walk"})["id"]
    artifact = service.act(bob, "create_artifact", {"name": f"{SECRET}.md", "content": SECRET, "task_id": task})["id"]
    service.act(bob, "download_artifact", {"artifact": artifact})
    service.act(bob, "search", {"query": SECRET})
    service.act(bob, "create_token", {"name": "mac", "scopes": ["read"]})
    service.act(bob, "revoke_token", {"name": "mac"})
    service.act(bob, "forget_person", {"person": SECRET})
    service.act(bob, "forget_session", {"session_id": "walk", "dry_run": True})
    service.act(bob, "forget_session", {"session_id": "walk"})
    service.audit.flush(everything=True)
    person = auditing.digest(SECRET)
    assert sorted(kept(conn)) == sorted(
        ("bob", action, kind, about, outcome, 1)
        for action, kind, about, outcome in (
            ("create_session", "session", "walk", "done"),
            ("store_memory", "memory", str(memory), "done"),
            ("accept_memory", "memory", str(memory), "done"),
            ("create_task", "task", task, "done"),
            ("create_artifact", "artifact", artifact, "done"),
            ("download_artifact", "artifact", artifact, "done"),
            ("search", None, None, "done"),
            ("create_token", "token", "mac", "done"),
            ("revoke_token", "token", "mac", "done"),
            ("forget_person", "person", person, "done"),
            ("forget_session", "session", "walk", "counted"),
            ("forget_session", "session", "walk", "done"),
        )
    )
    assert SECRET not in str(conn.execute("SELECT * FROM audit_log").fetchall())
    assert {row["via"] for row in conn.execute("SELECT via FROM audit_log")} == {"token_1"}


def test_what_is_refused_is_kept_and_a_deed_that_is_not_kept_is_not_done(
    service: Service, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    charlie = Caller("charlie", frozenset({"read"}), "token_2")
    with pytest.raises(NotFound):
        service.act(charlie, "get_session", {"session_id": "walk"})
    with pytest.raises(Exception, match="scope"):
        service.act(charlie, "forget_session", {"session_id": "walk"})
    with pytest.raises(InvalidRequest):
        service.act(operator(), "create_token", {"name": "mac", "scopes": ["everything"]})
    service.audit.flush(everything=True)
    assert sorted(kept(conn)) == [
        ("charlie", "forget_session", "session", "walk", "missing_scope", 1),
        ("charlie", "get_session", "session", "walk", "not_found", 1),
        ("operator", "create_token", "token", "mac", "invalid_request", 1),
    ]
    monkeypatch.setattr(audit, "add", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        service.act(operator(), "create_session", {"session_id": "walk"})
    assert conn.execute("SELECT FROM sessions").rowcount == 0


def test_every_action_is_kept_but_what_task_events_have(service: Service, conn: Connection) -> None:
    assert set(ACTIONS) >= UNAUDITED
    assert {name for name in UNAUDITED if ACTIONS[name].scope != "claim"} == set()
    task = service.act(operator(), "create_task", {"title": "Look up", "agent_name": "codex"})["id"]
    claimed = {"agent_name": "codex", "control_agent": "me"}
    (claim,) = service.act(operator(), "claim_task", claimed)["items"]
    service.act(operator(), "fail_task", {"task_id": task, "claim_token": claim["claim_token"], "error": "no"})
    service.audit.flush(everything=True)
    assert [row[1] for row in kept(conn)] == ["create_task"]
    moves = conn.execute("SELECT actor, to_status FROM task_events ORDER BY id").fetchall()
    assert [move["to_status"] for move in moves] == ["pending", "claimed", "pending"]
    assert len(IN_TASK_EVENTS) == 7


def test_reads_of_the_same_within_a_minute_are_one_row(
    settings: Settings, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, now = open_pool(settings.conninfo(), "test", 2), [1000.0]
    monkeypatch.setattr(auditing.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Audit, "keep_writing", lambda self: None)  # by hand
    log, entry = Audit(pool), Entry("alice", "console", "get_session", "session", "walk")
    log.read(entry)
    log.flush()
    for _ in range(3):
        log.read(entry)
    log.flush()
    log.read(Entry("alice", "console", "get_session", "session", "ride"))
    log.flush()
    times = "SELECT object, times FROM audit_log ORDER BY id"
    assert [tuple(row.values()) for row in conn.execute(times)] == [("walk", 1), ("ride", 1)]
    now[0] += auditing.AGAIN_SECONDS
    log.flush()
    log.read(entry)
    log.close()
    assert [row["times"] for row in conn.execute(times)] == [1, 1, 3, 1]
    pool.close()


def test_it_is_added_to_and_never_rewritten(conn: Connection, database_url: str) -> None:
    audit.add(conn, Entry("alice", "console", "log_in"))
    for statement in ("UPDATE audit_log SET actor = 'bob'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        with pytest.raises(psycopg.Error, match="append-only"):
            conn.execute(statement)
    conn.execute(
        "INSERT INTO audit_log (at, actor, via, action) VALUES (now() - interval '40 days', 'a', 'b', 'log_in')"
    )
    assert audit.outlive(conn, 365) == 0
    assert audit.outlive(conn, 30) == 1
    assert kept(conn) == [("alice", "log_in", None, None, "done", 1)]
    # Somebody else's role may add, and take away nothing but what is old.
    role = f"writer_{uuid.uuid4().hex[:8]}"
    conn.execute(f"CREATE ROLE {role}")  # type: ignore[call-overload]
    try:
        conn.execute(f"GRANT ALL ON audit_log TO {role}")  # type: ignore[call-overload]
        conn.execute(f"SET ROLE {role}")  # type: ignore[call-overload]
        conn.execute("SET ai_webhook.forgets_audit_log = 'on'")
        with pytest.raises(psycopg.Error, match="append-only"):
            conn.execute("DELETE FROM audit_log")
    finally:
        conn.execute("RESET ROLE")
        conn.execute(f"DROP OWNED BY {role}")  # type: ignore[call-overload]
        conn.execute(f"DROP ROLE {role}")  # type: ignore[call-overload]


def test_it_is_told_to_admins_and_as_it_is_typed(
    settings: Settings, conn: Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(settings) as address:
        with Client(address, TOKEN) as bob:
            bob.call("create_session", session_id="walk")
            bob.call("create_session", session_id="ride")
            agent = bob.call("create_token", name="mac", scopes=["read"])
        with Client(address, agent["token"]) as mac:
            with pytest.raises(Exception, match="scope"):
                mac.call("list_audit")
            mac.call("get_session", "walk")
        monkeypatch.setenv("AI_WEBHOOK_URL", address)
        monkeypatch.setenv("AI_WEBHOOK_TOKEN", TOKEN)

        def typed(*words: str) -> str:
            app(["audit", *words], standalone_mode=False)
            return capsys.readouterr().out

        assert [row["object"] for row in json.loads(typed("--action", "create_session", "--json"))] == ["ride", "walk"]
        assert [row["object"] for row in json.loads(typed("--object", "ride", "--json"))] == ["ride"]
        assert json.loads(typed("--since", "2100-01-01", "--json")) == []
        header, line, *_ = typed("--action", "create_token").splitlines()
        assert header.split() == ["at", "actor", "via", "action", "kind", "object", "outcome", "times"]
        assert line.split()[2:] == ["operator", "settings", "create_token", "token", "mac", "done", "1"]
    # The process has ended, and what was read in it is there.
    assert {
        ("mac", "get_session", "session", "walk", "done", 1),
        ("mac", "list_audit", None, None, "missing_scope", 1),
    } <= set(kept(conn, actor="mac"))
