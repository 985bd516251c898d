"""Forgetting over HTTP and as it is typed: who may, what is counted first, and what is asked."""

import json
from collections.abc import Callable
from typing import Any

import pytest

import ops.__main__  # noqa: F401 - registers the commands
from access.forgetting import AT_ONCE
from domain.errors import InvalidRequest
from domain.settings import Settings
from ops import cli_forget
from ops.cli import app
from store.database import Connection
from tests.access.conftest import Api, served
from tests.conftest import TOKEN

Type = Callable[..., str]


def add(conn: Connection, session_id: str, *turns: tuple[str, str]) -> None:
    conn.execute("INSERT INTO sessions (id, title) VALUES (%s, 'Walk')", [session_id])
    for seq, (speaker, text) in enumerate(turns, 1):
        conn.execute(
            "INSERT INTO turns (session_id, seq, speaker, text) VALUES (%s, %s, %s, %s)",
            [session_id, seq, speaker, text],
        )


def sessions(conn: Connection) -> list[str]:
    return [row["id"] for row in conn.execute("SELECT id FROM sessions ORDER BY id")]


def test_a_session_is_counted_and_then_forgotten(api: Api, conn: Connection) -> None:
    add(conn, "a/walk", ("Mara", "Hello."))
    counted = api.answered("DELETE", "/sessions/a%2Fwalk", params={"dry_run": True})
    assert counted == dict.fromkeys(("chunks", "memories", "tasks", "artifacts", "deliveries"), 0) | {
        "sessions": 1,
        "turns": 1,
        "dry_run": True,
        "next": None,
    }
    assert sessions(conn) == ["a/walk"]
    assert api.answered("DELETE", "/sessions/a%2Fwalk") == counted | {"dry_run": False}
    assert sessions(conn) == []
    assert api.refused("DELETE", "/sessions/a%2Fwalk") == (404, "not_found")
    assert api.answered("DELETE", "/sessions/a%2Fwalk", params={"unseen": True})["sessions"] == 0


def test_who_is_no_admin_forgets_nothing(api: Api, conn: Connection) -> None:
    add(conn, "walk", ("Mara", "Hello."))
    charlie = api.with_token(conn, "read", "write", "review", "claim")
    assert charlie.refused("DELETE", "/sessions/walk") == (403, "missing_scope")
    assert charlie.refused("POST", "/forget/person", json={"person": "Mara"}) == (403, "missing_scope")
    assert sessions(conn) == ["walk"]


def test_a_person_is_forgotten_some_sessions_at_a_time(api: Api, conn: Connection) -> None:
    for number in range(AT_ONCE + 2):
        add(conn, f"walk {number:02}", ("Mara", "Hello."))
    add(conn, "ride", ("Tom", "Hello."))
    first = api.post("/forget/person", person="mara", dry_run=True)
    assert (first["sessions"], first["next"]) == (AT_ONCE, f"walk {AT_ONCE - 1:02}")
    first = api.post("/forget/person", person="mara")
    second = api.post("/forget/person", person="mara", after=first["next"])
    assert (second["sessions"], second["next"]) == (2, None)
    assert sessions(conn) == ["ride"]


@pytest.fixture
def typed(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    with served(settings) as address:
        monkeypatch.setenv("AI_WEBHOOK_URL", address)
        monkeypatch.setenv("AI_WEBHOOK_TOKEN", TOKEN)

        def run(*words: str) -> str:
            app([*words], standalone_mode=False)
            return capsys.readouterr().out

        yield run


@pytest.fixture
def own(database_url: str) -> Any:
    from store.database import connect

    with connect(database_url) as conn:
        yield conn


def test_nothing_goes_before_a_yes(typed: Type, own: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    add(own, "walk", ("Mara", "Hello."), ("Tom", "Hello."))
    assert typed("forget", "session", "walk", "--dry-run") == "1 session, 2 turns would go.\n"
    with pytest.raises(InvalidRequest, match="Nobody is there"):
        typed("forget", "session", "walk")
    monkeypatch.setattr(cli_forget.sys.stdin, "isatty", lambda: True, raising=False)
    for answer in ("y", ""):
        monkeypatch.setattr(cli_forget.typer, "prompt", lambda *given, answer=answer, **more: answer)
        with pytest.raises(InvalidRequest, match="Nothing was forgotten"):
            typed("forget", "session", "walk")
    assert sessions(own) == ["walk"]
    monkeypatch.setattr(cli_forget.typer, "prompt", lambda *given, **more: "yes")
    assert typed("forget", "session", "walk").startswith("1 session, 2 turns are forgotten.")
    assert sessions(own) == []


def test_programs_say_yes_themselves(typed: Type, own: Connection) -> None:
    for number in range(AT_ONCE + 1):
        add(own, f"walk {number}", ("Mara", "Hello."))
    told = json.loads(typed("forget", "person", "Mara", "--yes", "--json"))
    assert (told["sessions"], told["turns"], told["dry_run"]) == (AT_ONCE + 1, AT_ONCE + 1, False)
    told = json.loads(typed("forget", "source", "generic", "--older-than", "3", "--yes", "--json"))
    assert told["sessions"] == 0
