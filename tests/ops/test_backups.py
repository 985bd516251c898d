"""Backups on a schedule: when they are due, what is kept, and who may take them."""

import fcntl
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from domain.errors import AIWebhookError, SettingsError
from domain.settings import Settings
from ops import backups
from ops.backup import file_name
from ops.backups import LOCK, FolderBusy, Schedule, last_made, schedule
from store import care
from store.database import Connection, connect
from tests.journeys.stack import Up, running_up
from tests.journeys.test_up import command

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def touch(target: Path) -> None:
    target.touch()


def scheduled(folder: Path, take: Callable[[Path], None] = touch, keep: int = 2) -> Schedule:
    return Schedule(folder, DAY, keep, take)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != LOCK)


def test_one_is_taken_when_it_is_due_and_the_newest_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "by itself"
    made = [scheduled(folder).run_once(lambda at=NOON + n * DAY: at) for n in range(4)]
    assert [path.name for path in made if path] == [file_name(NOON + n * DAY) for n in range(4)]
    assert names(folder) == [file_name(NOON + n * DAY) for n in (2, 3)]
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_restart_knows_from_the_files_when_the_last_one_was(tmp_path: Path) -> None:
    scheduled(tmp_path).run_once(lambda: NOON)
    again = scheduled(tmp_path)  # another process knows no more than this
    assert again.due(NOON) == NOON + DAY
    assert again.run_once(lambda: NOON + DAY - timedelta(seconds=1)) is None
    assert again.run_once(lambda: NOON + DAY) is not None


def test_what_was_not_named_by_us_neither_counts_nor_is_removed(tmp_path: Path) -> None:
    others = ["ai-webhook-before-the-move.backup", "ai-webhook-20269901T000000Z.backup", "mine.backup", "notes.txt"]
    for name in others:
        (tmp_path / name).touch()
    assert last_made(tmp_path, NOON) is None
    for n in range(4):
        scheduled(tmp_path, keep=1).run_once(lambda at=NOON + n * DAY: at)
    assert names(tmp_path) == sorted([*others, file_name(NOON + 3 * DAY)])


def test_a_file_from_the_future_does_not_put_off_the_next(tmp_path: Path) -> None:
    (tmp_path / file_name(NOON + 365 * DAY)).touch()
    assert scheduled(tmp_path).run_once(lambda: NOON) is not None


def test_of_two_schedulers_on_one_folder_one_takes_it(tmp_path: Path) -> None:
    taking, go_on = threading.Event(), threading.Event()

    def take_slowly(target: Path) -> None:
        taking.set()
        assert go_on.wait(20)
        target.touch()

    first = threading.Thread(target=scheduled(tmp_path, take_slowly).run_once, args=(lambda: NOON,))
    first.start()
    try:
        assert taking.wait(20)
        with pytest.raises(FolderBusy):
            scheduled(tmp_path).run_once(lambda: NOON)
    finally:
        go_on.set()
        first.join()
    assert scheduled(tmp_path).run_once(lambda: NOON) is None
    assert names(tmp_path) == [file_name(NOON)]


def test_it_is_looked_again_under_the_lock_whether_one_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another scheduler may have been quicker between the look and the lock."""
    locked = fcntl.flock

    def lock_late(descriptor: int, how: int) -> None:
        (tmp_path / file_name(NOON)).touch()
        locked(descriptor, how)

    monkeypatch.setattr(backups.fcntl, "flock", lock_late)
    assert scheduled(tmp_path).run_once(lambda: NOON + timedelta(minutes=1)) is None


def test_one_that_fails_is_told_as_a_sentence_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "RETRY_SECONDS", (0.01, 0.02))
    failures: list[Exception] = [
        AIWebhookError("pg_dump did not finish.", hint="No space."),
        OSError(28, "No space left on device"),
        ValueError("Alice said something"),
    ]
    stopping = threading.Event()

    def take(target: Path) -> None:
        if failures:
            raise failures.pop(0)
        target.touch()
        stopping.set()

    with caplog.at_level(logging.INFO, "ai_webhook.backups"):
        scheduled(tmp_path, take).run(stopping)
    told = [record.getMessage() for record in caplog.records]
    assert told[:3] == [
        "No backup was made: pg_dump did not finish. No space. Tried again in 0 s.",
        "No backup was made: No space left on device. Tried again in 0 s.",
        "No backup was made: ValueError. Tried again in 0 s.",
    ]
    assert told[3].startswith("Backup ai-webhook-")
    assert len(names(tmp_path)) == 1


def test_what_a_killed_backup_left_is_removed_a_day_later(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".backup-old", tmp_path / ".backup-fresh"
    half = tmp_path / f".{file_name(NOON)}.123.new"
    for folder in (old, fresh):
        folder.mkdir()
        (folder / "database.dump").touch()
    half.touch()
    for path in (old, half):
        os.utime(path, (time.time() - 2 * 24 * 3600,) * 2)
    scheduled(tmp_path).run_once(lambda: NOON)
    assert names(tmp_path) == [fresh.name, file_name(NOON)]


def test_without_a_folder_it_says_which_setting_is_missing() -> None:
    with pytest.raises(SettingsError, match="No folder") as told:
        schedule(Settings.from_env({}, env_file=None), touch)
    assert "AI_WEBHOOK_BACKUP_FOLDER" in told.value.hint


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("scheduled")
    with running_up("--workers", "2", AI_WEBHOOK_BACKUP_FOLDER=str(folder / "backups")) as running:
        yield running


def test_up_takes_one_and_a_second_scheduler_finds_it(up: Up) -> None:
    told = up.wait_for("Backup ai-webhook-")
    name = next(word for word in told.split() if word.startswith("ai-webhook-")).rstrip(":")
    made = datetime.now(UTC)
    [child] = up.pids("ops.child", "backups")
    environment = psutil.Process(child).environ()
    folder = Path(environment["AI_WEBHOOK_BACKUP_FOLDER"])
    assert (folder / name).stat().st_size > 1000
    assert names(folder) == [name]
    assert scheduled(folder).run_once(lambda: made) is None


def test_what_was_accepted_before_a_backup_under_load_is_in_it_once_and_the_same(
    up: Up, database_url: str, tmp_path: Path
) -> None:
    """Proof by restore: deliveries come and are processed all the while; what is restored elsewhere has each that was
    accepted before, and of each that was processed by then the very same turns, memories and tasks."""
    accepted: list[str] = []
    enough, stop = threading.Event(), threading.Event()

    def send() -> None:
        with httpx2.Client(base_url=up.url, headers=up.headers("text/plain"), timeout=30) as client:
            for number in itertools.count():
                said = f"Me: I have decided we use number {number}. Add an action item: count to {number}."
                answer = client.post("/webhook/generic", content=said.encode())
                accepted.append(answer.raise_for_status().json()["delivery"])
                if len(accepted) >= 200:
                    enough.set()
                if stop.is_set():
                    return

    sending = threading.Thread(target=send)
    sending.start()
    try:
        assert enough.wait(60)
        before = list(accepted)
        done = command("backup", str(tmp_path / "all.backup"), "--json", up=up)
    finally:
        stop.set()
        sending.join()
    assert done.returncode == 0, done.stderr
    assert len(accepted) > len(before), "nothing came meanwhile"
    care.empty(database_url)
    restored = command(
        "restore", str(tmp_path / "all.backup"), "--json", DATABASE_URL=database_url, REDIS_URL="redis://none"
    )
    assert restored.returncode == 0, restored.stderr
    # The last deliveries may still be on their way there; what the backup has as processed is not.
    with connect(database_url) as here, connect(up.database_url()) as there:
        rows = here.execute("SELECT id, state FROM deliveries").fetchall()
        assert len(rows) == len({row["id"] for row in rows})
        assert set(before) <= {row["id"] for row in rows}
        processed = [row["id"] for row in rows if row["state"] == "processed"]
        assert processed
        assert said_of(here, processed) == said_of(there, processed)


def said_of(conn: Connection, deliveries: list[str]) -> dict[str, Any]:
    """Rows and a checksum of what came of these deliveries."""
    told = {}
    for table, columns in (
        ("turns", "t.id, t.session_id, t.seq, t.speaker, t.text"),
        ("conversation_chunks", "t.id, t.session_id, t.chunk_id, t.content, t.first_turn, t.last_turn"),
        ("memories", "t.id, t.session_id, t.key, t.title, t.quote"),
        ("tasks", "t.id, t.session_id, t.title"),
    ):
        row = conn.execute(
            f"SELECT count(*) AS rows, sum(hashtextextended(ROW({columns})::text, 0))::text AS sum"
            f"  FROM {table} t WHERE t.delivery = ANY (%s)",
            [deliveries],
        ).fetchone()
        assert row is not None and row["rows"] > 0
        told[table] = row
    return told
