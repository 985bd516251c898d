"""Who may do what: tokens with scopes, and everything refused without them."""

import hashlib
from typing import Any
from urllib.parse import quote

import pytest

from access.actions import ACTIONS
from access.authenticating import REMEMBERED_SECONDS
from access.routes import BY_NAME, ENDPOINTS
from domain.caller import SCOPES, Caller, checked_scopes
from domain.errors import InvalidRequest, MissingScope
from store import tokens
from store.database import Connection
from tests.access.conftest import Api

TASK = {"agent_name": "claude_code", "control_agent": "one"}


@pytest.fixture
def task(conn: Connection) -> str:
    conn.execute("INSERT INTO tasks (id, agent_name, title) VALUES ('look-up', 'claude_code', 'Look up prices')")
    conn.execute("INSERT INTO tasks (id, agent_name, title) VALUES ('review', 'codex', 'Review it')")
    return "look-up"


def test_every_route_calls_an_action_that_names_its_scope() -> None:
    assert {endpoint.name for endpoint in ENDPOINTS} == set(ACTIONS)
    assert {action.scope for action in ACTIONS.values()} == set(SCOPES)
    assert len(BY_NAME) == len(ENDPOINTS)


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_no_action_is_done_without_its_scope(name: str) -> None:
    """Refused before it looks at anything: there is no connection, and what is asked is nonsense."""
    others = frozenset(scope for scope in SCOPES if scope not in (ACTIONS[name].scope, "admin"))
    for caller in (Caller("charlie", frozenset()), Caller("charlie", others)):
        with pytest.raises(MissingScope):
            ACTIONS[name].act(caller, None)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_no_route_opens_to_a_token_of_another_scope(api: Api, conn: Connection, endpoint: Any) -> None:
    scope = ACTIONS[endpoint.name].scope
    charlie = api.with_token(conn, *[other for other in SCOPES if other not in (scope, "admin")])
    path = endpoint.path.replace("{id:path}", "1").replace("{id}", "1")
    for body in (None, b"not JSON", b"x" * 100):  # what is asked is not even looked at
        assert charlie.refused(endpoint.method, path, content=body) == (403, "missing_scope")


def test_a_token_is_shown_once_and_kept_as_a_hash(api: Api, conn: Connection) -> None:
    made = api.post("/tokens", name="laptop", scopes=["read", "write", "read"])
    assert made["token"].startswith("awt_")
    assert made["scopes"] == ["read", "write"]
    row = conn.execute("SELECT * FROM tokens").fetchone()
    assert row is not None
    assert bytes(row["hash"]) == hashlib.sha256(made["token"].encode()).digest()
    assert made["token"] not in str(row)
    (listed,) = api.get("/tokens")["items"]
    assert listed["name"] == "laptop"
    assert not {"token", "hash"} & listed.keys()


def test_a_token_opens_what_its_scopes_say_and_that_it_was_used_is_noted(api: Api, conn: Connection) -> None:
    reader = api.with_token(conn, "read")
    assert reader.get("/sessions") == {"items": [], "next": None}
    assert reader.refused("POST", "/sessions", json={}) == (403, "missing_scope")
    (listed,) = api.get("/tokens")["items"]
    assert listed["last_used"] is not None


def test_a_token_ends_when_it_expires(api: Api, conn: Connection) -> None:
    short = api.with_token(conn, "read", seconds=3600)
    short.get("/sessions")
    conn.execute("UPDATE tokens SET expires_at = clock_timestamp()")
    other = Api(api.client, tokens.create(conn, "expired", ["read"], seconds=0.001)["token"])
    assert other.refused("GET", "/sessions") == (401, "forbidden")
    wait_until_refused(short)


def test_a_revoked_token_opens_nothing_any_more(api: Api, conn: Connection) -> None:
    made = api.post("/tokens", name="phone", scopes=["read"])
    phone = Api(api.client, made["token"])
    phone.get("/sessions")
    assert api.post("/tokens/phone/revoke")["revoked_at"] is not None
    wait_until_refused(phone)
    assert api.refused("POST", "/tokens/phone/revoke") == (404, "not_found")
    assert api.post("/tokens", name="phone", scopes=["read"])["token"] != made["token"]


def wait_until_refused(api: Api) -> None:
    """A token is remembered for a moment; the service itself says when that is over."""
    import time

    deadline = time.monotonic() + 10 * REMEMBERED_SECONDS
    while api.ask("GET", "/sessions").status_code == 200:
        assert time.monotonic() < deadline, "the token still opens"
    assert api.refused("GET", "/sessions") == (401, "forbidden")


@pytest.mark.parametrize("name", ["team/bob", "a b?c#d", "größe", "revoke", "x/revoke"])
def test_a_token_is_revoked_whatever_its_name(api: Api, name: str) -> None:
    api.post("/tokens", name=name, scopes=["read"])
    assert api.post(f"/tokens/{quote(name, safe='')}/revoke")["name"] == name


def test_two_valid_tokens_have_two_names(api: Api) -> None:
    api.post("/tokens", name="laptop", scopes=["read"])
    assert api.refused("POST", "/tokens", json={"name": "laptop", "scopes": ["read"]}) == (422, "invalid_request")


@pytest.mark.parametrize("scopes", [[], ["root"], ["claim:"], ["read:x"], ["claim:" + "x" * 101], ["READ"], [" read"]])
def test_what_is_no_scope_is_refused(api: Api, scopes: list[str]) -> None:
    assert api.refused("POST", "/tokens", json={"name": "x", "scopes": scopes}) == (422, "invalid_request")
    with pytest.raises(InvalidRequest):
        checked_scopes(scopes)


def test_the_database_refuses_what_is_no_scope_too(conn: Connection) -> None:
    import psycopg

    for scopes in ([], ["root"], ["claim:"]):
        with pytest.raises(psycopg.errors.CheckViolation):
            conn.execute("INSERT INTO tokens (name, hash, scopes) VALUES ('x', %s, %s)", [b"x" * 32, scopes])


def test_an_agent_claims_and_moves_its_own_tasks_and_no_other(api: Api, conn: Connection, task: str) -> None:
    claude, codex = api.with_token(conn, "claim:claude_code"), api.with_token(conn, "claim:codex")
    assert codex.refused("POST", "/tasks/claim", json=TASK) == (403, "missing_scope")
    (claim,) = claude.post("/tasks/claim", **TASK)["items"]
    held = {"claim_token": claim["claim_token"]}
    for move, more in {"start": {}, "renew": {}, "complete": {}, "fail": {"error": "x"}, "release": {}}.items():
        assert codex.refused("POST", f"/tasks/{task}/{move}", json=held | more) == (403, "missing_scope"), move
    assert claude.post(f"/tasks/{task}/start", **held)["status"] == "running"
    artifact = claude.post("/artifacts", name="prices.md", content="42", task_id=task)
    assert codex.refused("POST", "/artifacts", json={"name": "x", "content": "x", "task_id": task})[0] == 403
    assert claude.refused("POST", "/artifacts", json={"name": "x", "content": "x"}) == (403, "missing_scope")
    assert claude.post(f"/tasks/{task}/complete", **held, artifacts=[artifact["id"]])["status"] == "completed"


def test_an_agent_replaces_only_what_it_left_with_the_task(api: Api, conn: Connection, task: str) -> None:
    api.post("/artifacts", id="notes", name="notes.md", content="Bob's")
    claude = api.with_token(conn, "claim:claude_code")
    taken = {"id": "notes", "name": "notes.md", "content": "mine", "task_id": task}
    assert claude.refused("POST", "/artifacts", json=taken) == (403, "missing_scope")
    assert api.get("/artifacts/notes")["content"] == "Bob's"


def test_an_agent_leaves_nothing_with_a_task_that_is_no_agents_yet(api: Api, conn: Connection) -> None:
    made = api.post("/tasks", title="Draw", capabilities=["drawing"])["id"]
    codex = api.with_token(conn, "claim:codex")
    left = {"name": "x.md", "content": "x", "task_id": made}
    assert codex.refused("POST", "/artifacts", json=left) == (403, "missing_scope")
    codex.ask("PUT", "/agents/codex", json={"capabilities": ["drawing"]})
    codex.post("/tasks/claim", agent_name="codex", control_agent="one")
    assert codex.post("/artifacts", **left)["task_id"] == made


def test_an_agent_can_neither_approve_nor_answer_what_it_asks(api: Api, conn: Connection, task: str) -> None:
    claude = api.with_token(conn, "claim:claude_code", "read", "write")
    (claim,) = claude.post("/tasks/claim", **TASK)["items"]
    claude.post(f"/tasks/{task}/ask", claim_token=claim["claim_token"], question="Which region?")
    assert claude.refused("POST", f"/tasks/{task}/answer", json={"answer": "All"}) == (403, "missing_scope")
    alice = api.with_token(conn, "review")
    assert alice.post(f"/tasks/{task}/answer", answer="Europe")["input_data"]["answers"][0]["answer"] == "Europe"


def test_an_agent_registers_itself_but_not_what_is_run_for_it(api: Api, conn: Connection) -> None:
    hal = api.with_token(conn, "claim:hal")
    assert hal.answered("PUT", "/agents/hal", json={"capabilities": ["review"]})["name"] == "hal"
    assert hal.post("/agents/hal/heartbeat")["status"] == "available"
    assert hal.refused("PUT", "/agents/codex", json={}) == (403, "missing_scope")
    for program in ({"command": "rm"}, {"metadata": {"runner": {"arguments": ["-rf"]}}}):
        assert hal.refused("PUT", "/agents/hal", json=program) == (403, "missing_scope")
    conn.execute("DELETE FROM agents WHERE name = 'hal'")


def test_what_somebody_does_is_put_down_to_their_token(api: Api, conn: Connection, task: str) -> None:
    Api(api.client, tokens.create(conn, "alice", ["review"])["token"]).post(f"/tasks/{task}/cancel")
    assert api.get(f"/tasks/{task}")["events"][-1]["actor"] == "alice"
