"""The commands for tokens, tasks, subscriptions and the reading role, as they are typed, against a running service."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

import ops.__main__  # noqa: F401 - registers the commands
from access.client import Client, ServiceError
from domain.errors import InvalidRequest
from domain.settings import Settings
from ops.cli import app
from store.database import Connection
from tests.access.conftest import served
from tests.conftest import TOKEN

Run = Callable[..., Any]


@pytest.fixture
def address(settings: Settings) -> Iterator[str]:
    with served(settings) as address:
        yield address


@pytest.fixture
def run(address: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Types a command with --json, and reads what it prints."""
    monkeypatch.setenv("AI_WEBHOOK_URL", address)
    monkeypatch.setenv("AI_WEBHOOK_TOKEN", TOKEN)
    monkeypatch.setenv("DATABASE_URL", settings.conninfo())

    def typed(*words: str) -> Any:
        app([*words, "--json"], standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    return typed


def test_a_token_is_made_used_listed_and_revoked(run: Run, address: str, conn: Connection) -> None:
    made = run("token", "create", "mac", "--scope", "read", "--scope", "claim:codex", "--for", "90d")
    assert made["scopes"] == ["claim:codex", "read"]
    with Client(address, made["token"]) as agent:
        assert agent.list_sessions()["items"] == []
        with pytest.raises(ServiceError) as refused:
            agent.create_task("More work")
        assert refused.value.code == "missing_scope"
    (listed,) = run("token", "list")
    assert (listed["name"], listed["expires_at"] is None) == ("mac", False)
    assert run("token", "revoke", "mac")["revoked_at"] is not None


@pytest.mark.parametrize("length", ["90", "d", "0d", "-1d", "1y", "1.5h"])
def test_a_length_that_is_none_is_refused(run: Run, length: str) -> None:
    with pytest.raises(InvalidRequest):
        run("token", "create", "mac", "--scope", "read", f"--for={length}")


def test_a_token_alone_is_what_a_script_reads(run: Run, capsys: pytest.CaptureFixture[str], address: str) -> None:
    app(["token", "create", "mac", "--scope", "read"], standalone_mode=False)
    printed = capsys.readouterr()
    assert printed.out.startswith("awt_") and printed.out.count("\n") == 1
    assert "shown this once" in printed.err


def test_a_task_is_added_after_another(run: Run) -> None:
    first = run("tasks", "add", "Compare prices", "--agent", "researcher")
    second = run("tasks", "add", "Order the tiles", "--after", first["id"], "--priority", "80")
    assert (first["agent_name"], second["agent_name"]) == ("researcher", "claude_code")
    assert (second["depends_on"], second["priority"]) == ([first["id"]], 80)


def test_a_subscription_is_added_used_and_removed(run: Run, conn: Connection) -> None:
    made = run("subscriptions", "add", "tiles", "--kind", "github", "--to", "mara/tiles", "--event", "task.pending")
    assert (made["enabled"], made["events"]) == (True, ["task.pending"])
    task = run("tasks", "add", "Order the tiles")
    export = run("tasks", "export", task["id"], "--to", "tiles")
    assert (export["subscription"], export["url"]) == ("tiles", None)
    (sent,) = run("subscriptions", "deliveries", "tiles")
    assert (sent["event"], sent["subject"], sent["state"]) == ("task.exported", task["id"], "waiting")
    assert run("subscriptions", "replay", sent["id"])["state"] == "waiting"
    assert run("subscriptions", "disable", "tiles")["enabled"] is False
    assert run("subscriptions", "enable", "tiles")["enabled"] is True
    assert [(s["name"], s["waiting"]) for s in run("subscriptions", "list")] == [("tiles", 1)]
    assert run("subscriptions", "remove", "tiles") == {"name": "tiles"}
    assert run("subscriptions", "list") == []


def test_roles_are_made_by_migrate_and_let_in_by_name(run: Run, conn: Connection) -> None:
    roles = run("migrate")["roles"]
    try:
        assert roles["made"] == [roles["app"], roles["reader"]]
        assert run("migrate")["roles"] == roles | {"made": []}
        made = run("reader", "--name", "reader_of_a_test")
        with psycopg.connect(made["url"], autocommit=True) as reading:
            assert reading.execute("SELECT count(*) FROM agents").fetchone() == (4,)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                reading.execute("DELETE FROM agents")
        made = run("role", "app")
        assert made["name"] == roles["app"]
        with psycopg.connect(made["url"], autocommit=True) as working:
            assert working.execute("SELECT count(*) FROM claim_task('codex', 'me')").fetchone() == (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                working.execute("DROP TABLE agents")
    finally:
        for name in ("reader_of_a_test", roles["app"], roles["reader"]):
            conn.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(name)))
            conn.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(name)))
