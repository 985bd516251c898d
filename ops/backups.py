"""Backups on a schedule: one every so many hours into a folder, of which the newest are kept.

When the last one was is read from the names of the files, so that a restart neither skips nor repeats one. A lock on
the folder is held while one is taken: of several schedulers on one folder, the others then find it done.
"""

import fcntl
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain.errors import AIWebhookError, SettingsError
from domain.settings import Settings
from ops.backup import file_name, made_at, prune

log = logging.getLogger("ai_webhook.backups")

LOCK = ".ai-webhook-backups.lock"
LEFTOVERS = (".backup-*", ".ai-webhook-*.backup.*.new")  # of a backup that was killed
LEFTOVER_SECONDS = 24 * 3600.0
RETRY_SECONDS = (60.0, 120.0, 300.0, 900.0)  # after the first failure in a row, the second …; then the last of them
BUSY_SECONDS = 30.0  # until a folder is looked at again on which another scheduler is at work
CLOCKS_APART = timedelta(minutes=5)

Take = Callable[[Path], None]


class FolderBusy(AIWebhookError):
    """Another scheduler is taking a backup into this folder."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`take` writes one backup into the file it is given, whole or not at all."""

    folder: Path
    every: timedelta
    keep: int
    take: Take

    def due(self, now: datetime) -> datetime:
        """When the next one is to be taken; not after `now` if that is at once."""
        last = last_made(self.folder, now)
        return now if last is None else last + self.every

    def run_once(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Path | None:
        """Takes a backup if one is due, and removes those that are not kept; None when none is due."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.due(now()) > now():
            return None
        with locked(self.folder):
            moment = now()
            if self.due(moment) > moment:
                return None
            remove_leftovers(self.folder)
            target = self.folder / file_name(moment)
            self.take(target)
            prune(self.folder, self.keep)
            return target

    def run(self, stopping: threading.Event) -> None:
        """Takes backups when they are due, until `stopping` is set. One that fails is told, and tried again."""
        failures = 0
        while not stopping.is_set():
            try:
                made = self.run_once()
            except FolderBusy:
                stopping.wait(BUSY_SECONDS)
                continue
            except Exception as error:  # noqa: BLE001 - whatever is wrong now, the next one may go well
                wait = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                log.error("No backup was made: %s Tried again in %d s.", sentence(error), wait)
                stopping.wait(wait)
                continue
            failures = 0
            if made is not None:
                log.info("Backup %s: %d bytes.", made.name, made.stat().st_size)
            moment = datetime.now(UTC)
            # Looked at again within the hour, since clocks are set and files removed.
            stopping.wait(min(3600.0, max(1.0, (self.due(moment) - moment).total_seconds())))


def schedule(settings: Settings, take: Take) -> Schedule:
    if settings.backup_folder is None:
        raise SettingsError("No folder for backups is set.", hint="Set AI_WEBHOOK_BACKUP_FOLDER.")
    return Schedule(settings.backup_folder, timedelta(hours=settings.backup_hours), settings.backup_keep, take)


def last_made(folder: Path, now: datetime) -> datetime | None:
    """When the newest backup of the folder was made; one from the future is of a clock that was wrong."""
    times = [made_at(path) for path in folder.glob("*.backup")]
    return max((made for made in times if made is not None and made <= now + CLOCKS_APART), default=None)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder; raises FolderBusy when another process does. The lock goes with its process in any case."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderBusy("Another process is taking a backup into this folder.") from None
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """What a backup left that was killed; not what somebody may be writing by hand right now."""
    for pattern in LEFTOVERS:
        for path in folder.glob(pattern):
            if time.time() - path.lstat().st_mtime < LEFTOVER_SECONDS:
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def sentence(error: Exception) -> str:
    """What is wrong, without what stood in the database."""
    if isinstance(error, AIWebhookError):
        return " ".join(part for part in (error.message, error.hint) if part)
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}."
    return f"{type(error).__name__}."
