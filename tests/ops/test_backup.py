"""Backup, restore and reset on real servers: what comes back is what was there, and nothing is half done."""

import json
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from psycopg import sql

import ops.__main__  # noqa: F401 - registers the commands
from domain import envelope
from domain.errors import AIWebhookError, InvalidRequest
from ops.backup import BackupUnusable, prune
from ops.cli import app
from store import care, deliveries, tasks
from store.database import Connection, connect
from store.migrate import migrate
from tests.conftest import delivery, with_database

Run = Callable[..., Any]


@pytest.fixture
def run(
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Run:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("AI_WEBHOOK_DATA", str(tmp_path / "data"))

    def typed(*words: str, database: str | None = None) -> Any:
        if database is not None:
            monkeypatch.setenv("DATABASE_URL", database)
        app([*words, "--json"], standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    return typed


@pytest.fixture
def elsewhere(database_url: str, conn: Connection) -> Iterator[str]:
    """The address of an empty database."""
    name = f"elsewhere_{uuid.uuid4().hex[:12]}"
    care.create_database(database_url, name)
    yield with_database(database_url, name)
    conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def stock(conn: Connection) -> None:
    deliveries.record(conn, [delivery(b"Alice: Gr\xc3\xbc\xc3\x9fe", content_type="text/plain")])
    conn.execute("INSERT INTO sessions (id, title) VALUES ('walk', 'Morning walk 🌳')")
    conn.execute(
        "INSERT INTO turns (session_id, seq, text) SELECT 'walk', n, 'Turn ' || n FROM generate_series(1, 500) n"
    )
    conn.execute(
        "INSERT INTO memories (session_id, type, key, content) VALUES ('walk', 'fact', 'k', '{\"a\": [1.5, null]}')"
    )
    conn.execute("INSERT INTO tasks (id, agent_name, title) VALUES ('t', 'codex', 'Look up')")
    conn.execute("INSERT INTO artifacts (id, name, content, bytes) VALUES ('a', 'x.bin', '', '\\x00ff00')")
    [claim] = tasks.claim(conn, "codex", "me")
    tasks.complete(conn, "t", claim["claim_token"])


def test_what_is_restored_elsewhere_is_what_was_there(
    run: Run, conn: Connection, stock: None, elsewhere: str, tmp_path: Path
) -> None:
    told = run("backup", str(tmp_path / "all.backup"))
    before = care.sums(conn)
    assert told["rows"] == sum(table["rows"] for table in before.values()) > 500
    assert (tmp_path / "all.backup").stat().st_mode & 0o777 == 0o600
    restored = run("restore", str(tmp_path / "all.backup"), database=elsewhere)
    assert restored["rows"] == told["rows"]
    with connect(elsewhere) as other:
        after = care.sums(other)
        # The order of events is this server's from now on; all else is as it was.
        moved = {"task_events", "memory_events"}
        assert {name: s for name, s in after.items() if name not in moved} == {
            name: s for name, s in before.items() if name not in moved
        }
        assert {name: after[name]["rows"] for name in moved} == {name: before[name]["rows"] for name in moved}
        other.execute("INSERT INTO tasks (agent_name, title) VALUES ('codex', 'New')")  # its sequences go on
        assert other.execute("SELECT count(*) AS n FROM search('turn')").fetchone() is not None


def test_what_redis_alone_has_is_in_it_without_secrets(
    run: Run, redis_client: "redis.Redis", elsewhere: str, tmp_path: Path
) -> None:
    waiting = delivery(b"Me: my card is 4111 1111 1111 1111", content_type="text/plain")
    redis_client.set(envelope.delivery_name(waiting.key), envelope.pack(waiting))
    assert run("backup", str(tmp_path / "all.backup"))["deliveries"] == 1
    run("restore", str(tmp_path / "all.backup"), database=elsewhere)
    with connect(elsewhere) as other:
        row = other.execute("SELECT id, state, convert_from(body, 'UTF8') AS body FROM deliveries").fetchone()
    assert row == {"id": waiting.key, "state": "received", "body": "Me: my card is [card number]"}


def test_a_backup_under_load_is_one_moment(
    run: Run, conn: Connection, database_url: str, elsewhere: str, tmp_path: Path
) -> None:
    """Every session has one turn, in one transaction; so it is in the backup, however many come meanwhile."""
    stop, wrote = threading.Event(), threading.Event()

    def write() -> None:
        with connect(database_url) as writer:
            number = 0
            while not stop.is_set():
                with writer.transaction():
                    writer.execute("INSERT INTO sessions (id) VALUES (%s)", [f"s{number}"])
                    writer.execute("INSERT INTO turns (session_id, seq, text) VALUES (%s, 1, 'x')", [f"s{number}"])
                number += 1
                wrote.set()

    writing = threading.Thread(target=write)
    writing.start()
    try:
        assert wrote.wait(10)
        run("backup", str(tmp_path / "all.backup"))
    finally:
        stop.set()
        writing.join()
    run("restore", str(tmp_path / "all.backup"), database=elsewhere)
    with connect(elsewhere) as other:
        sums = care.sums(other)
    assert sums["sessions"]["rows"] == sums["turns"]["rows"] > 0


def test_a_database_that_is_not_empty_is_left_alone(run: Run, conn: Connection, stock: None, tmp_path: Path) -> None:
    run("backup", str(tmp_path / "all.backup"))
    before = care.sums(conn)
    with pytest.raises(InvalidRequest, match="not empty"):
        run("restore", str(tmp_path / "all.backup"))
    assert care.sums(conn) == before


def test_it_is_restored_into_a_new_database_by_name(
    run: Run, conn: Connection, stock: None, tmp_path: Path, database_url: str
) -> None:
    run("backup", str(tmp_path / "all.backup"))
    name = f"named_{uuid.uuid4().hex[:12]}"
    run("restore", str(tmp_path / "all.backup"), "--into", name)
    try:
        with connect(with_database(database_url, name)) as other:
            assert care.sums(other)["turns"]["rows"] == 500
    finally:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def changed(path: Path, target: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of a backup with one part changed."""
    import io

    with tarfile.open(path) as old, tarfile.open(target, "w") as new:
        for member in old.getmembers():
            part = old.extractfile(member)
            assert part is not None
            content = part.read()
            content = change(content) if member.name == name else content
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return target


def manifest_with(**changes: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | changes).encode()


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a dump cut off": ("database.dump", lambda content: content[:-100]),
    "a byte turned": ("database.dump", lambda content: content[:900] + bytes([content[900] ^ 1]) + content[901:]),
    "deliveries changed": ("deliveries", lambda content: content + b"x"),
    "no manifest": ("manifest.json", lambda content: b"not JSON"),
    "an empty manifest": ("manifest.json", lambda content: b"{}"),
    "another format": ("manifest.json", manifest_with(format=99)),
    "a newer version": ("manifest.json", manifest_with(migrations=["0001_tables", "9999_future"])),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_newer_backup_is_refused_and_touches_nothing(
    run: Run, stock: None, elsewhere: str, tmp_path: Path, damage: str
) -> None:
    run("backup", str(tmp_path / "all.backup"))
    damaged = changed(tmp_path / "all.backup", tmp_path / "damaged.backup", *DAMAGE[damage])
    with pytest.raises(BackupUnusable):
        run("restore", str(damaged), database=elsewhere)
    with connect(elsewhere) as other:
        assert care.is_empty(other)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 20_000], ids=["empty", "a zip", "anything"])
def test_a_foreign_file_is_refused(run: Run, elsewhere: str, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "foreign").write_bytes(content)
    with pytest.raises(BackupUnusable):
        run("restore", str(tmp_path / "foreign"), database=elsewhere)
    with pytest.raises(InvalidRequest):
        run("restore", str(tmp_path / "missing"), database=elsewhere)


def test_rows_that_are_not_as_the_backup_says_are_told(run: Run, stock: None, elsewhere: str, tmp_path: Path) -> None:
    run("backup", str(tmp_path / "all.backup"))
    with tarfile.open(tmp_path / "all.backup") as archive:
        part = archive.extractfile("manifest.json")
        assert part is not None
        tables = json.loads(part.read())["tables"]
    lies = tables | {"turns": {"rows": 501, "sum": "1"}}
    wrong = changed(tmp_path / "all.backup", tmp_path / "wrong", "manifest.json", manifest_with(tables=lies))
    with pytest.raises(AIWebhookError, match="turns"):
        run("restore", str(wrong), database=elsewhere)


def test_a_backup_that_cannot_be_written_leaves_nothing(run: Run, stock: None, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        run("backup", str(tmp_path / "nowhere" / "all.backup"))
    assert [path.name for path in tmp_path.iterdir()] in ([], ["data"])


def test_a_folder_keeps_the_newest(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in range(1, 4):
        (folder / f"ai-webhook-2026010{day}T000000Z.backup").touch()
    (folder / "notes.txt").touch()
    told = run("backup", str(folder), "--keep", "2")
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [Path(told["file"]).name, "ai-webhook-20260103T000000Z.backup", "notes.txt"]
    )
    assert prune(folder, 5) == []


def test_reset_forgets_everything_and_asks_first(
    run: Run, conn: Connection, stock: None, redis_client: "redis.Redis", database_url: str
) -> None:
    redis_client.set("aiw:delivery:x", b"y")
    redis_client.set("of somebody else", b"z")
    with pytest.raises(InvalidRequest):
        run("reset")
    assert care.sums(conn)["turns"]["rows"] == 500
    assert run("reset", "--yes") == {"reset": True}
    with connect(database_url) as fresh:
        sums = care.sums(fresh)
        assert {name for name, table in sums.items() if table["rows"]} == {"agents", "search_settings", "word_forms"}
    assert list(redis_client.scan_iter()) == [b"of somebody else"]
    assert migrate(database_url) == []


def test_what_was_reset_can_be_restored(
    run: Run, conn: Connection, stock: None, tmp_path: Path, database_url: str
) -> None:
    """Also from a database that was emptied before: its schema is as a new one has it."""
    run("backup", str(tmp_path / "one"))
    conn.close()
    care.empty(database_url)
    run("restore", str(tmp_path / "one"))
    run("backup", str(tmp_path / "two"))
    care.empty(database_url)
    run("restore", str(tmp_path / "two"))
    with psycopg.connect(database_url) as again:
        assert again.execute("SELECT count(*) FROM turns").fetchone() == (500,)
