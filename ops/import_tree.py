"""A tree of JSON files (`sessions/<id>/session.json`, `conversation/`, `memories/`, `tasks/`, `artifacts/`) into the
database: a session is a transaction, a file a savepoint in it. What cannot be read is told, and stops nothing."""

import graphlib
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from domain.errors import AIWebhookError, DatabaseUnavailable, InvalidRequest, Unreadable
from domain.session import Turn
from domain.settings import Settings
from processors.importing import (
    check_name,
    read_artifact_file,
    read_chunk,
    read_memory_file,
    read_session,
    read_task_file,
)
from processors.readers.payload import Fields, parse_object
from processors.redacting import redact_body
from store import importing
from store.database import Connection, our_errors
from store.importing import Kind

META = "_meta.json"
FOLDERS: Mapping[str, tuple[Kind, str]] = {
    "conversation": ("chunk", "chunk_*.json"),
    "memories": ("memory", "*.json"),
    "tasks": ("task", "*.json"),
}
JSON_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class Report:
    """What became of the files: {kind: {added, changed, unchanged}}; those that were left: {file, code, reason}."""

    sessions: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    left: list[dict[str, str]] = field(default_factory=list)

    def count(self, kind: str, outcome: str) -> None:
        self.counts.setdefault(kind, Counter())[outcome] += 1


@dataclass(frozen=True, slots=True)
class Item:
    """A file that was read: its row, and the turns of a chunk."""

    kind: Kind
    path: str
    digest: str
    values: dict[str, Any]
    turns: Sequence[Turn] = ()


class Importer:
    def __init__(self, conn: Connection, settings: Settings, folder: Path, *, dry_run: bool = False) -> None:
        if not folder.is_dir():
            raise InvalidRequest(f"There is no folder {folder}.")
        self.conn = conn
        self.settings = settings
        self.dry_run = dry_run
        self.root = folder.resolve()
        self.report = Report()

    def folders(self) -> list[Path]:
        """The folders of sessions: those in `sessions/`, or in the folder itself, or the folder itself."""
        if (self.root / "session.json").exists():
            return [self.root]
        inside, found = self.root, []
        if (self.root / "sessions").is_dir():
            inside = self.root / "sessions"
            for path in sorted(self.root.iterdir()):
                with self.telling(path):
                    if path != inside:
                        raise Unreadable("This lies beside `sessions/` and belongs to no session.", code="unknown_file")
        for path in sorted(inside.iterdir()):
            with self.telling(path):
                if not self.within(path).is_dir():
                    raise Unreadable("This is not the folder of a session.", code="unknown_file")
                found.append(path)
        return found

    def run(self, folder: Path) -> None:
        """One session: all of it that can be read, or nothing where the database refuses it."""
        with self.telling(folder):
            session, items = self.read(folder)
            if session is None and not items:
                return
            session_id = session.values["id"] if session else check_name(folder.name)
            with our_errors(), self.conn.transaction(force_rollback=self.dry_run):
                self.keep(folder, session_id, session, items)
            self.report.sessions += 1

    def keep(self, folder: Path, session_id: str, session: Item | None, items: Sequence[Item]) -> None:
        there = importing.begin(self.conn, session_id, datetime.now(UTC))
        known = importing.known(self.conn, session_id)
        if session is None and there is None:  # its file cannot be read, so all that is known is its name
            session = self.item("session", "session.json", b"", read_session(Fields({}), session_id, self.language()))
        if session is not None:
            self.put(folder, session_id, session, known)
        after: str | None = None
        for item in items:
            written = self.put(folder, session_id, item, known, after)
            if item.kind == "chunk" and written:
                after = item.values["id"]
        last = there["last_activity"] if there else session.values["last_activity"] if session else None
        importing.end(self.conn, session_id, last)

    def put(
        self, folder: Path, session_id: str, item: Item, known: Mapping[str, Any], after: str | None = None
    ) -> bool:
        """Whether the file's row is there, as the file says it."""
        before = known.get(item.path)
        if before is not None and before["digest"] == item.digest:
            self.report.count(item.kind, "unchanged")
            return True
        with self.telling(folder / item.path), self.conn.transaction():
            importing.put(
                self.conn,
                session_id,
                item.kind,
                item.values,
                path=item.path,
                digest=item.digest,
                before=before,
                turns=item.turns,
                after=after,
            )
            self.report.count(item.kind, "changed" if before else "added")
            return True
        return False

    def read(self, folder: Path) -> tuple[Item | None, list[Item]]:
        """What can be read of a session's folder, in the order in which it is written."""
        session: Item | None = None
        with self.telling(folder / "session.json"):
            body = self.content(folder / "session.json", JSON_BYTES)
            session = self.item(
                "session", "session.json", body, read_session(self.parsed(body), folder.name, self.language())
            )
        items: list[Item] = []
        for path in sorted(folder.iterdir()):
            if path.name == "session.json":
                continue
            with self.telling(path):
                if path.name not in (*FOLDERS, "artifacts") or not self.within(path).is_dir():
                    raise Unreadable("This is no part of a session that we know.", code="unknown_file")
        session_id = session.values["id"] if session else folder.name
        for name, (kind, pattern) in FOLDERS.items():
            found = [self.read_file(kind, folder, path, pattern) for path in self.files(folder / name)]
            read_ones = [item for item in found if item is not None]
            items += in_order(read_ones) if kind == "task" else read_ones
        return session, items + self.artifacts(folder, session_id)

    def read_file(self, kind: Kind, folder: Path, path: Path, pattern: str) -> Item | None:
        with self.telling(path):
            if not path.match(pattern):
                raise Unreadable(f"This is no {pattern}.", code="unknown_file")
            stem = check_name(path.stem)
            body = self.content(path, JSON_BYTES)
            data = self.parsed(body)
            turns: Sequence[Turn] = ()
            if kind == "chunk":
                values, turns = read_chunk(data, stem)
            elif kind == "memory":
                values = read_memory_file(data, stem)
            else:
                values = read_task_file(data, stem, self.settings.default_agent)
            return self.item(kind, path.relative_to(folder).as_posix(), body, values, turns)
        return None

    def artifacts(self, folder: Path, session_id: str) -> list[Item]:
        """Every file with what its `_meta.json` says: that of its name, or the one that names the file."""
        paths = self.files(folder / "artifacts")
        metas: dict[Path, tuple[bytes, Fields]] = {}
        for path in paths:
            if path.name.endswith(META):
                with self.telling(path):
                    body = self.content(path, JSON_BYTES)
                    metas[path] = body, self.parsed(body)
        found: list[Item] = []
        used: set[Path] = set()
        for path in (path for path in paths if not path.name.endswith(META)):
            with self.telling(path):
                check_name(path.name)
                meta = next((meta for meta, (_, data) in metas.items() if is_of(meta, data, path)), None)
                used |= {meta} if meta else set()
                told, data = metas[meta] if meta else (b"", Fields({}))
                content = self.content(path, self.settings.max_artifact_bytes)
                values = read_artifact_file(data, session_id, path.name, content)
                found.append(self.item("artifact", path.relative_to(folder).as_posix(), told + b"\0" + content, values))
        for path, (body, data) in metas.items():
            if path not in used:
                with self.telling(path):
                    inline = data.required_text("content").encode()
                    values = read_artifact_file(data, session_id, path.name.removesuffix(META), inline)
                    found.append(self.item("artifact", path.relative_to(folder).as_posix(), body, values))
        return found

    def files(self, folder: Path) -> list[Path]:
        """In the order of their names, where 10 comes after 9."""
        if not folder.is_dir() or not folder.resolve().is_relative_to(self.root):
            return []
        return sorted(folder.iterdir(), key=lambda path: (len(path.name), path.name))

    def within(self, path: Path) -> Path:
        """Where it really is. Raises Unreadable for what lies outside."""
        try:
            real = path.resolve(strict=True)
        except FileNotFoundError:
            raise Unreadable("There is no such file.", code="missing_file") from None
        except (OSError, RuntimeError):
            raise Unreadable("It cannot be opened.", code="unreadable_file") from None
        if not real.is_relative_to(self.root):
            raise Unreadable("It is a link that leaves the folder.", code="link_outside")
        return real

    def content(self, path: Path, limit_bytes: int) -> bytes:
        real = self.within(path)
        with open(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("It is not a file.", code="unknown_file")
            body = file.read(limit_bytes + 1)
        if len(body) > limit_bytes:
            raise Unreadable(f"It is longer than {limit_bytes} bytes.", code="too_long")
        return body

    def parsed(self, body: bytes) -> Fields:
        return parse_object(redact_body(body, self.settings.redacted_kinds()))

    def language(self) -> str:
        return self.settings.language

    def item(self, kind: Kind, path: str, body: bytes, values: dict[str, Any], turns: Sequence[Turn] = ()) -> Item:
        return Item(kind, path, hashlib.sha256(body).hexdigest(), values, turns)

    def telling(self, path: Path) -> "Telling":
        return Telling(self, path)

    def leave(self, path: Path, code: str, reason: str) -> None:
        shown = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name
        self.report.left.append({"file": shown.encode("utf-8", "replace").decode(), "code": code, "reason": reason})


@dataclass(frozen=True, slots=True)
class Telling:
    """What is wrong with a file goes into the report, and the next one comes; a database that is away stops all."""

    importer: Importer
    path: Path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        match error:
            case DatabaseUnavailable():
                return False
            case AIWebhookError():
                self.importer.leave(self.path, error.code, error.message.replace("The body", "The file"))
            case OSError():
                self.importer.leave(self.path, "unreadable_file", f"{error.strerror or type(error).__name__}.")
        return error is None or isinstance(error, AIWebhookError | OSError)


def is_of(meta: Path, data: Fields, path: Path) -> bool:
    if meta.name.removesuffix(META) in (path.name, path.stem):
        return True
    named = [data.values.get(name) for name in ("file", "filename", "file_name", "file_path", "path")]
    return any(isinstance(name, str) and Path(name).name == path.name for name in named)


def in_order(tasks: Sequence[Item]) -> list[Item]:
    """Every task after those it depends on; in a ring the database refuses what it has to."""
    by_id = {task.values["id"]: task for task in tasks}
    graph = {name: [other for other in task.values["depends_on"] if other in by_id] for name, task in by_id.items()}
    try:
        order = {name: place for place, name in enumerate(graphlib.TopologicalSorter(graph).static_order())}
    except graphlib.CycleError:
        return list(tasks)
    return sorted(tasks, key=lambda task: order[task.values["id"]])
