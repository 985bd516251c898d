"""A tree of JSON files, taken over by the command on a real database: all of it, once, whatever is broken beside it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ops.__main__  # noqa: F401 - registers the commands
from ops.cli import app
from store.database import Connection

Run = Callable[..., tuple[int, dict[str, Any]]]
SAMPLE: dict[str, Any] = {
    "session.json": {
        "id": "walk", "title": "Morning walk", "participants": ["Alice", "Assistant"], "status": "completed",
        "created": "2025-03-01T08:00:00Z", "last_activity": "2025-03-01T09:00:00Z", "memory_count": 7, "mood": "sunny",
    },
    "conversation/chunk_0001.json": {
        "chunk_id": "0001", "content": "Alice: Let us do carbon tracking.\nAssistant: As a PWA?", "format": "dialogue",
        "start_time": "2025-03-01T08:00:00Z", "device": "phone",
    },
    "conversation/chunk_0002.json": {"content": "They decided on a PWA.", "format": "summary"},
    "conversation/chunk_0010.json": {"content": "Alice: Agreed."},
    "memories/pwa.json": {
        "key": "pwa", "type": "decision", "content": {"text": "PWA decision"}, "tags": ["app"], "mood": "sure",
    },
    "memories/odd.json": {"type": "whim", "content": "A hat"},
    "tasks/code_001.json": {
        "id": "code_001", "agent_name": "claude_code", "status": "completed", "input_data": {"description": "Write it"},
        "output_data": {"ok": True}, "completed": "2025-03-01T08:30:00Z", "artifacts": ["plan"], "cost": 3,
    },
    "tasks/code_002.json": {"id": "code_002", "agent_name": "a_new_agent", "status": "running",
                            "depends_on": ["code_003"]},
    "tasks/code_003.json": {"id": "code_003", "status": "on_hold", "priority": "high"},
    "artifacts/plan.md": "# The plan\nCarbon first.",
    "artifacts/plan_meta.json": {"id": "plan", "task_id": "code_001", "type": "prd", "name": "Plan", "pages": 2},
    "artifacts/picture.png": b"\x89PNG\x00\xff",
}  # fmt: skip


def write(root: Path, files: dict[str, Any], session: str = "walk") -> Path:
    for name, content in files.items():
        path = root / "sessions" / session / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content) if isinstance(content, dict) else None
        path.write_bytes(content if text is None else text.encode())
    return root


@pytest.fixture
def run(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)

    def typed(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
        code = app(["import-json", str(folder), *words, "--json"], standalone_mode=False)
        return code or 0, json.loads(capsys.readouterr().out)

    return typed


def rows(conn: Connection, query: str) -> list[dict[str, Any]]:
    return conn.execute(query).fetchall()  # type: ignore[arg-type]


def everything(conn: Connection) -> list[Any]:
    return [
        rows(conn, f"SELECT * FROM {table} ORDER BY 1, 2")
        for table in ("sessions", "turns", "conversation_chunks", "memories", "tasks", "artifacts", "task_events")
    ]


def test_a_tree_is_taken_over_completely_and_once(run: Run, conn: Connection, tmp_path: Path) -> None:
    write(tmp_path, SAMPLE)
    code, told = run(tmp_path)
    assert (code, told["left"], told["sessions"]) == (0, [], 1)
    assert told["files"] == {
        "session": {"added": 1}, "chunk": {"added": 3}, "memory": {"added": 2}, "task": {"added": 3},
        "artifact": {"added": 2},
    }  # fmt: skip
    assert rows(conn, "SELECT actor, via FROM audit_log WHERE action = 'import_json'") == [
        {"actor": "operator", "via": "command"}
    ]
    [session] = rows(conn, "SELECT * FROM sessions")
    assert (session["id"], session["status"], session["metadata"]) == ("walk", "completed", {"mood": "sunny"})
    assert session["last_activity"].isoformat() == "2025-03-01T09:00:00+00:00"
    counters = ("conversation_chunk_count", "memory_count", "task_count", "artifact_count")
    assert [session[name] for name in counters] == [3, 2, 3, 2]
    said = rows(conn, "SELECT speaker, role, text FROM turns ORDER BY seq")
    assert [(turn["speaker"], turn["text"]) for turn in said] == [
        ("Alice", "Let us do carbon tracking."),
        ("Assistant", "As a PWA?"),
        ("", "They decided on a PWA."),
        ("Alice", "Agreed."),
    ]
    assert [turn["role"] for turn in said][1:3] == ["assistant", "summary"]
    chunks = rows(conn, "SELECT chunk_id, metadata FROM conversation_chunks ORDER BY first_turn")
    assert [tuple(c.values()) for c in chunks] == [("0001", {"device": "phone"}), ("0002", {}), ("0010", {})]
    memories = {row["key"]: row for row in rows(conn, "SELECT * FROM memories")}
    assert memories["pwa"]["content"]["metadata"] == {"mood": "sure"}
    assert (memories["odd"]["type"], memories["odd"]["tags"]) == ("note", ["whim"])
    tasks = {row["id"]: row for row in rows(conn, "SELECT * FROM tasks")}
    assert {name: task["status"] for name, task in tasks.items()} == {
        "code_001": "completed", "code_002": "pending", "code_003": "proposed"
    }  # fmt: skip
    assert tasks["code_001"]["input_data"]["metadata"] == {"cost": 3}
    assert tasks["code_002"]["input_data"]["metadata"] == {"status": "running"}
    assert (tasks["code_002"]["waiting_for"], tasks["code_003"]["input_data"]["metadata"]) == (1, {"status": "on_hold"})
    assert {(e["task_id"], e["actor"]) for e in rows(conn, "SELECT * FROM task_events")} == {
        (t, "import") for t in tasks
    }
    artifacts = {row["name"]: row for row in rows(conn, "SELECT * FROM artifacts")}
    assert (artifacts["Plan"]["id"], artifacts["Plan"]["task_id"], artifacts["Plan"]["metadata"]["pages"]) == (
        "plan", "code_001", 2
    )  # fmt: skip
    assert artifacts["picture.png"]["bytes"] == b"\x89PNG\x00\xff"
    for words, kind in (("carbon tracking", "turns"), ("PWA decision", "memories"), ("plan", "artifacts")):
        assert rows(conn, f"SELECT FROM search('{words}', '{{{kind}}}')"), kind
    before = everything(conn)
    code, told = run(tmp_path)
    assert (code, told["files"]["chunk"], told["files"]["artifact"]) == (0, {"unchanged": 3}, {"unchanged": 2})
    assert everything(conn) == before


def test_what_changed_in_a_file_is_taken_unless_it_changed_here_too(run: Run, conn: Connection, tmp_path: Path) -> None:
    write(tmp_path, SAMPLE)
    run(tmp_path)
    ids = rows(conn, "SELECT id, key FROM memories ORDER BY key")
    conn.execute("UPDATE memories SET title = 'A red hat' WHERE key = 'odd'")
    conn.execute("SELECT approve_task('code_003', 'bob')")
    changes = {
        "conversation/chunk_0001.json": {"content": "Alice: Let us do carbon tracking.\nBob: Yes.\nAlice: Good."},
        "memories/pwa.json": {"type": "decision", "key": "pwa", "content": "No PWA"},
        "memories/odd.json": {"type": "whim", "content": "A blue hat"},
        "tasks/code_003.json": {"id": "code_003", "status": "cancelled"},
    }
    write(tmp_path, changes)
    code, told = run(tmp_path)
    assert (code, sorted(one["file"] for one in told["left"])) == (
        1, ["sessions/walk/memories/odd.json", "sessions/walk/tasks/code_003.json"]
    )  # fmt: skip
    assert told["files"]["chunk"] == {"changed": 1, "unchanged": 2}
    said = rows(conn, "SELECT seq, text FROM turns ORDER BY seq")
    assert [tuple(turn.values()) for turn in said] == [
        (1, "Let us do carbon tracking."), (2, "Yes."), (3, "Good."), (4, "They decided on a PWA."), (5, "Agreed."),
    ]  # fmt: skip
    memories = {row["key"]: row for row in rows(conn, "SELECT * FROM memories")}
    assert (memories["pwa"]["title"], memories["pwa"]["review"], memories["odd"]["title"]) == (
        "No PWA", "accepted", "A red hat"
    )  # fmt: skip
    assert rows(conn, "SELECT id, key FROM memories ORDER BY key") == ids
    assert rows(conn, "SELECT status FROM tasks WHERE id = 'code_003'") == [{"status": "pending"}]


def test_what_is_broken_is_told_and_stops_nothing(run: Run, conn: Connection, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"content": "outside"}')
    root = tmp_path / "tree"
    write(root, SAMPLE)
    write(
        root,
        {
            "conversation/chunk_0003.json": "{broken",
            "conversation/notes.txt": "what is this",
            "memories/latin.json": b'{"type": "note", "content": "Gr\xfc\xdfe"}',
            "memories/nul.json": b'{"type": "note", "content": "a\\u0000b"}',
            "memories/type.json": {"type": 7, "content": "x"},
            "memories/list.json": "[]",
            "memories/deep.json": "[" * 200 + "]" * 200,
            "tasks/lost.json": {"id": "lost", "depends_on": ["nowhere"]},
            "tasks/long.json": {"id": "x" * 300},
        },
    )
    folder = root / "sessions" / "walk"
    (root / "tasks").mkdir()
    (folder / "memories" / "link.json").symlink_to(tmp_path / "secret.json")
    (folder / "memories" / "loop.json").symlink_to(folder / "memories" / "loop.json")
    os.mkfifo(folder / "tasks" / "pipe.json")
    write(
        root, {"session.json": "nothing", "memories/m.json": {"type": "idea", "content": "Kites"}}, session="nameless"
    )
    code, told = run(root)
    left = {one["file"].removeprefix("sessions/"): one["code"] for one in told["left"]}
    assert code == 1
    assert left == {
        "tasks": "unknown_file",
        "nameless/session.json": "invalid_json", "walk/conversation/chunk_0003.json": "invalid_json",
        "walk/conversation/notes.txt": "unknown_file", "walk/memories/latin.json": "invalid_utf8",
        "walk/memories/type.json": "wrong_type", "walk/memories/list.json": "wrong_type",
        "walk/memories/deep.json": "invalid_json", "walk/memories/link.json": "link_outside",
        "walk/memories/loop.json": "unreadable_file", "walk/tasks/lost.json": "invalid_request",
        "walk/tasks/long.json": "invalid_id", "walk/tasks/pipe.json": "unknown_file",
    }  # fmt: skip
    assert rows(conn, "SELECT content->>'text' AS text FROM memories WHERE key = 'nul'") == [{"text": "ab"}]
    assert rows(conn, "SELECT id, memory_count FROM sessions ORDER BY id") == [
        {"id": "nameless", "memory_count": 1}, {"id": "walk", "memory_count": 3}
    ]  # fmt: skip
    (folder / "conversation" / "chunk_0003.json").write_text('{"content": "Alice: It was mended."}')
    run(root)
    said = [turn["text"] for turn in rows(conn, "SELECT text FROM turns ORDER BY seq")]
    assert said[-2:] == ["It was mended.", "Agreed."]


def test_a_trial_keeps_nothing_and_what_was_forgotten_stays_so(run: Run, conn: Connection, tmp_path: Path) -> None:
    write(tmp_path, SAMPLE)
    empty = everything(conn)
    code, told = run(tmp_path, "--dry-run")
    assert (code, told["files"]["task"], everything(conn)) == (0, {"added": 3}, empty)
    run(tmp_path)
    conn.execute("SELECT forget_session('walk')")
    assert rows(conn, "SELECT FROM imported_files") == []
    code, told = run(tmp_path)
    assert (code, [one["code"] for one in told["left"]]) == (1, ["session_forgotten"])
    assert rows(conn, "SELECT FROM sessions") == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = sorted(name for name, content in SAMPLE.items() if isinstance(content, dict))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_damaged_the_rest_comes_and_a_second_run_adds_nothing(
    run: Run, conn: Connection, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("damaged")
    name = data.draw(st.sampled_from(NAMES))
    fields = st.sampled_from(sorted(SAMPLE[name]))
    damaged = data.draw(
        st.binary(max_size=30)
        | VALUES.map(lambda value: json.dumps(value).encode())
        | st.dictionaries(fields, VALUES, min_size=1).map(lambda more: json.dumps(SAMPLE[name] | more).encode())
    )
    conn.execute("DELETE FROM sessions")
    write(root, SAMPLE | {name: damaged})
    run(root)
    missing = {
        kind: len(rows(conn, f"SELECT FROM {kind}")) for kind in ("conversation_chunks", "memories", "artifacts")
    }
    assert missing["conversation_chunks"] >= 2 and missing["memories"] >= 1 and missing["artifacts"] >= 1
    before = everything(conn)
    run(root)
    assert everything(conn) == before
