"""Backup and restore: one file with a snapshot of the database and the deliveries that only Redis has.

    manifest.json     what it is: format, migrations, rows and a sum of every table, and a digest of each part
    deliveries        what Redis held, each with its length before it
    database.dump     pg_dump's own format, of one snapshot

Redis is read first: a delivery that a worker records meanwhile is then in both, and one of both is known by its id.
"""

import hashlib
import json
import os
import re
import struct
import subprocess
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from domain import envelope
from domain.delivery import Delivery
from domain.errors import AIWebhookError, InvalidRequest
from domain.sealing import Keys
from ops.embedded_programs import postgres_programs
from ops.up import own_environment
from processors.queueing import connect as connect_redis
from processors.queueing import packed_deliveries
from store import care, deliveries
from store.bench import address, with_database
from store.database import connect
from store.migrate import migrate, migrations

FORMAT = 2  # 1 had generated columns in its sums
MANIFEST, DELIVERIES, DUMP = PARTS = ("manifest.json", "deliveries", "database.dump")
LENGTH = struct.Struct(">Q")
PIECE = 1024 * 1024
# The fastest that pg_dump was built with; the last, which is gzip's, is always there.
COMPRESSIONS = ("zstd:1", "lz4", "1")

# A file that was named by us in a folder; no other is ever removed.
NAME = re.compile(r"ai-webhook-(\d{8}T\d{6}Z)\.backup")

Tell = Callable[[str], None]


class BackupUnusable(InvalidRequest):
    code = "backup_unusable"
    hint = "Nothing was changed. Take another backup, or the version of ai-webhook that made this one."


def backup(conninfo: str, redis_url: str | None, target: Path, *, programs: Path | None, tell: Tell) -> dict[str, Any]:
    """Writes the file as a whole or not at all, and returns its manifest."""
    folder = target.absolute().parent
    with tempfile.TemporaryDirectory(dir=folder, prefix=".backup-") as made:
        parts = {name: Path(made) / name for name in PARTS}
        tell("reading what waits in Redis")
        held = write_deliveries(parts[DELIVERIES], redis_url)
        with care.snapshot(conninfo) as (conn, snapshot):
            manifest = {
                "format": FORMAT,
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
                "server": care.server(conn)["major"],
                "migrations": care.migrations(conn),
                "deliveries": held,
            }
            tell("dumping the database, and adding up every table")
            with dumping(conninfo, parts[DUMP], snapshot, programs):
                manifest["tables"] = care.sums(conn)
        manifest["digests"] = {name: digest(parts[name]) for name in (DELIVERIES, DUMP)}
        parts[MANIFEST].write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        pack(parts, target)
    return manifest


def write_deliveries(path: Path, redis_url: str | None) -> int:
    count = 0
    with open(path, "wb") as file:
        if redis_url is not None:
            with connect_redis(redis_url) as client:
                for _, packed in packed_deliveries(client):
                    file.write(LENGTH.pack(len(packed)) + packed)
                    count += 1
    return count


def read_deliveries(file: IO[bytes], keys: Keys) -> Iterator[Delivery]:
    """Whoever could write this file could write the dump beside it: no signature is asked for."""
    while head := file.read(LENGTH.size):
        yield envelope.unpack(file.read(LENGTH.unpack(head)[0]), keys, unsigned=True)


@contextmanager
def dumping(conninfo: str, path: Path, snapshot: str, programs: Path | None) -> Iterator[None]:
    """The dump is made while the body runs, and is there after it."""
    options = ["--format=custom", f"--compress={compression(programs)}", f"--snapshot={snapshot}", f"--file={path}"]
    with running("pg_dump", [*options, "--no-owner", "--no-privileges"], conninfo, programs) as complaint:
        yield
        failed = complaint()
    if failed:
        raise AIWebhookError("pg_dump did not finish.", hint=failed.strip().splitlines()[-1][:300])


def compression(programs: Path | None) -> str:
    """The first of COMPRESSIONS that this pg_dump has; it says so before it looks for the server, and here is none."""
    for name in COMPRESSIONS[:-1]:
        said = run_program("pg_dump", ["--format=custom", f"--compress={name}"], "host=/nonexistent", programs)
        if "ompress" not in said:
            return name
    return COMPRESSIONS[-1]


@contextmanager
def running(name: str, options: list[str], conninfo: str, programs: Path | None) -> Iterator[Callable[[], str]]:
    """Runs a program of PostgreSQL on the database beside the body, and ends it with the body. What is given waits for
    it, and answers what it complains of, or nothing when all is well. Where the database is, and its password, stand in
    the environment: arguments can be read by everybody on the machine."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    names |= {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY"}
    at = {names[key]: value for key, value in address(conninfo).items() if key in names}
    command = [str(postgres_programs(programs) / name), *options]
    process = subprocess.Popen(
        command,
        env=inherited() | at,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )

    def complaint() -> str:
        _, said = process.communicate()
        return "" if process.returncode == 0 else said or f"{name} ended with {process.returncode}"

    with process:
        try:
            yield complaint
        finally:
            process.kill()


def run_program(name: str, options: list[str], conninfo: str, programs: Path | None) -> str:
    with running(name, options, conninfo, programs) as complaint:
        return complaint()


def inherited() -> dict[str, str]:
    """PATH and what psql reads when the settings name no database."""
    return {name: value for name, value in own_environment().items() if name == "PATH" or name.startswith("PG")}


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pack(parts: Mapping[str, Path], target: Path) -> None:
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                for name in PARTS:
                    archive.add(parts[name], arcname=name)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def restore(
    conninfo: str,
    source: Path,
    *,
    into: str | None,
    programs: Path | None,
    keys: Keys,
    redact: Callable[[Iterable[Delivery]], Iterable[Delivery]],
    tell: Tell,
) -> dict[str, Any]:
    """Fills an empty database, or a new one called `into`, and returns the manifest. The file is checked before
    anything is touched, and every table's rows after. Raises BackupUnusable, and InvalidRequest for a database that is
    not empty, SealedElsewhere for deliveries that `keys` do not open."""
    with tempfile.TemporaryDirectory(prefix="ai-webhook-restore-") as made:
        parts = unpack(source, Path(made))
        manifest = checked_manifest(parts)
        with open(parts[DELIVERIES], "rb") as file:
            deque(read_deliveries(file, keys), maxlen=0)  # before anything is touched
        if into is not None:
            care.create_database(conninfo, into)
            conninfo = with_database(conninfo, into)
        with connect(conninfo, "restore") as conn:
            if not care.is_empty(conn):
                raise InvalidRequest(
                    f"The database {care.server(conn)['database']} is not empty.",
                    hint="`ai-webhook reset --yes` empties it, or --into NAME restores into a new one.",
                )
        tell("restoring the database")
        load(conninfo, parts[DUMP], Path(made), programs)
        tell("comparing every table")
        compare(conninfo, manifest)
        migrate(conninfo)
        with connect(conninfo, "restore") as conn, open(parts[DELIVERIES], "rb") as file:
            deliveries.record(conn, redact(read_deliveries(file, keys)), keys.sealing)
    return manifest


def unpack(source: Path, folder: Path) -> dict[str, Path]:
    """The parts as files; only those that a backup has, so that a foreign archive writes nowhere else."""
    try:
        with tarfile.open(source, mode="r:") as archive:
            for name in PARTS:
                part = archive.extractfile(name)
                if part is None:
                    raise KeyError(name)
                with part, open(folder / name, "wb") as file:
                    while piece := part.read(PIECE):
                        file.write(piece)
    except FileNotFoundError:
        raise InvalidRequest(f"There is no file {source}.") from None
    except (OSError, tarfile.TarError, KeyError) as error:
        raise BackupUnusable(f"{source} is no whole backup of ai-webhook ({type(error).__name__}).") from None
    return {name: folder / name for name in PARTS}


def checked_manifest(parts: Mapping[str, Path]) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(parts[MANIFEST].read_bytes())
        known = manifest["format"], manifest["digests"], manifest["migrations"], manifest["tables"]
    except (ValueError, KeyError, TypeError):
        raise BackupUnusable("The backup does not say what it is.") from None
    if known[0] != FORMAT:
        raise BackupUnusable(f"The backup is of another format: {str(known[0])[:20]}.")
    for name in (DELIVERIES, DUMP):
        if digest(parts[name]) != known[1].get(name):
            raise BackupUnusable(f"The part {name} of the backup is damaged.")
    if newer := sorted(set(known[2]) - {name for name, _ in migrations()}):
        raise BackupUnusable(f"The backup is of a newer version: it has the migration {newer[-1][:60]}.")
    return manifest


def load(conninfo: str, dumped: Path, folder: Path, programs: Path | None) -> None:
    """All of the dump or nothing of it."""
    contents = folder / "contents"
    failed = run_program("pg_restore", ["--list", f"--file={contents}", str(dumped)], conninfo, programs)
    if failed:
        raise BackupUnusable("The dump in the backup cannot be read.")
    lines = [line for line in contents.read_text("utf-8").splitlines() if " SCHEMA - public " not in line]
    contents.write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", f"--use-list={contents}"]
    failed = run_program("pg_restore", [*options, f"--dbname={database_of(conninfo)}", str(dumped)], conninfo, programs)
    if failed:
        raise AIWebhookError("The database could not be restored; nothing of it was kept.", hint=first_line(failed))


def database_of(conninfo: str) -> str:
    with connect(conninfo, "restore") as conn:
        return str(care.server(conn)["database"])


def first_line(text: str) -> str:
    """Of what a program complains; never more, since rows may stand in it."""
    return text.strip().splitlines()[0][:200] if text.strip() else ""


def compare(conninfo: str, manifest: Mapping[str, Any]) -> None:
    with connect(conninfo, "restore") as conn:
        conn.execute("SET statement_timeout = 0")
        found = care.sums(conn)
    if wrong := sorted(name for name, sums in manifest["tables"].items() if found.get(name) != sums):
        raise AIWebhookError(
            f"After the restore {len(wrong)} tables are not as they were: {', '.join(wrong[:5])}.",
            hint="Do not use this database; the backup is damaged, or somebody wrote meanwhile.",
        )


def file_name(made: datetime) -> str:
    return f"ai-webhook-{made:%Y%m%dT%H%M%SZ}.backup"


def made_at(path: Path) -> datetime | None:
    """When the backup of this name was made; None when it is not named by us."""
    try:
        named = NAME.fullmatch(path.name)
        return datetime.strptime(named[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if named else None
    except ValueError:
        return None


def prune(folder: Path, keep: int) -> list[Path]:
    """Removes all but the newest backups of a folder, and answers which."""
    found = sorted((path for path in folder.glob("*.backup") if made_at(path) is not None), reverse=True)
    for path in found[keep:]:
        with suppress(FileNotFoundError):
            path.unlink()
    return found[keep:]
