"""Commands that take care of the data: backup, restore, rotate-keys, reset."""

import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import httpx2
import typer

from domain.delivery import Delivery
from domain.errors import InvalidRequest
from domain.settings import Settings
from ops.cli import AsJson, Data, app, data_folder
from ops.data_folder import with_key_of
from ops.output import note, say, say_json


@contextmanager
def places(settings: Settings, data: Path | None) -> Iterator[tuple[str, str | None]]:
    """(database as its owner, Redis) of the settings, the embedded ones where none are named; they run for as long."""
    from ops.up import servers_for

    own_database = settings.database_url is not None or settings.pg_host is not None
    own_redis = settings.redis_url.get_secret_value() if settings.redis_url else None
    if own_database and own_redis:
        yield settings.owner_conninfo(), own_redis
        return
    with servers_for(settings, data_folder(settings, data).path) as servers:
        yield servers.database_url or settings.owner_conninfo(), servers.redis_url or own_redis


def answers(url: str | None) -> bool:
    """Whether a service is up at this address."""
    if url is None:
        return False
    try:
        return httpx2.get(f"{url}/healthz", timeout=5).is_success
    except httpx2.HTTPError:
        return False


def note_deed(database: str, action: str) -> None:
    """Keeps in the audit log what somebody on this machine is about to do with all there is."""
    from store import audit
    from store.database import connect

    with connect(database) as conn:
        if audit.is_kept(conn):
            audit.add(conn, audit.Entry("operator", audit.COMMAND, action))


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it; a folder gets a file named by the time.")],
    keep: Annotated[
        int | None, typer.Option("--keep", help="In a folder: keep so many, remove older ones.", min=1)
    ] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Write everything into one file: the database as of one moment, and what still waits in Redis."""
    from ops.backup import backup as write
    from ops.backup import file_name, prune

    settings = Settings.from_env()
    target = file / file_name(datetime.now(UTC)) if file.is_dir() else file
    if not target.parent.is_dir():
        raise InvalidRequest(f"There is no folder {target.parent}.")
    with places(settings, data) as (database, redis_url):
        note_deed(database, "backup")
        manifest = write(database, redis_url, target, programs=settings.postgres_bin, tell=note)
    removed = prune(file, keep) if keep is not None and file.is_dir() else []
    rows = sum(table["rows"] for table in manifest["tables"].values())
    told = {"file": str(target), "bytes": target.stat().st_size, "rows": rows, "deliveries": manifest["deliveries"]}
    told |= {"removed": [str(path) for path in removed]}
    if as_json:
        say_json(told)
    else:
        say(f"{target}: {told['bytes']:,} bytes, {rows:,} rows, {manifest['deliveries']} deliveries of Redis.")


@app.command()
def backups(
    once: Annotated[bool, typer.Option("--once", help="Take one if it is due, and end: for cron.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Take backups into AI_WEBHOOK_BACKUP_FOLDER as often as AI_WEBHOOK_BACKUP_HOURS says, until stopped."""
    settings = Settings.from_env()
    if not once:
        keep_backing_up(settings, data)
        return
    from ops.backups import schedule

    scheduled = schedule(settings, lambda target: take_backup(settings, data, target))
    made = scheduled.run_once()
    due = scheduled.due(datetime.now(UTC))
    if as_json:
        say_json({"file": None if made is None else str(made), "next": due})
    else:
        say(f"{made or 'None is due now'}; the next is due at {due:%Y-%m-%d %H:%M} UTC.")


def keep_backing_up(settings: Settings, data: Path | None = None) -> int:
    """Until a signal stops it; a backup under way is given up then, and leaves nothing."""
    from domain.log_lines import log_to_stdout
    from ops.backups import schedule

    scheduled = schedule(settings, lambda target: take_backup(settings, data, target))
    log_to_stdout(settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    say("backups is ready")
    scheduled.run(threading.Event())
    return 0


def take_backup(settings: Settings, data: Path | None, target: Path) -> None:
    """One backup of what the settings name, which the audit log is told of."""
    from ops.backup import backup as write

    with places(settings, data) as (database, redis_url):
        note_deed(database, "backup")
        write(database, redis_url, target, programs=settings.postgres_bin, tell=lambda _: None)


@app.command()
def restore(
    file: Path,
    into: Annotated[str | None, typer.Option("--into", help="A new database of this name, on the same server.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Fill an empty database from a backup, and compare every table with what the backup says of it."""
    from ops.backup import restore as read
    from processors.jobs import without_secrets

    settings = Settings.from_env()

    def redact(found: Iterable[Delivery]) -> Iterable[Delivery]:
        return (without_secrets(delivery, settings) for delivery in found)

    with places(settings, data) as (database, _):
        manifest = read(
            database, file, into=into, programs=settings.postgres_bin, keys=settings.keys(), redact=redact, tell=note
        )
    rows = sum(table["rows"] for table in manifest["tables"].values())
    told = {"rows": rows, "deliveries": manifest["deliveries"], "made": manifest["made"], "database": into}
    if as_json:
        say_json(told)
    else:
        say(f"{rows:,} rows are as they were at {manifest['made']}; {manifest['deliveries']} deliveries go on.")


@app.command("rotate-keys")
def rotate_keys(
    plain: Annotated[
        bool, typer.Option("--plain", help="Seal nothing any more: open everything with the keys that are set.")
    ] = False,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Also sign what waits in Redis without a signature: it is yours.")
    ] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Sign and seal all deliveries with the first key that is set; older keys are not needed afterwards.

    It may run while the service does, once all its processes have the new keys, and may be stopped and run again."""
    from ops.rotating import rotate

    settings = Settings.from_env()
    with places(settings, data) as (database, redis_url):
        keys = with_key_of(data_folder(settings, data), settings).keys()
        done = rotate(database, redis_url, keys, plain=plain, unsigned=unsigned, tell=note)
    if as_json:
        say_json(done)
        return
    say(f"{done['rows']:,} deliveries in PostgreSQL and {done['waiting']:,} in Redis have the first key.")
    if done["left"]:
        say(
            f"{done['left']:,} in Redis are of no key that is set, and left as they are; `ai-webhook doctor` says more."
        )


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Really forget everything.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Forget everything: all that is in the database, and all of ours that is in Redis."""
    from processors.queueing import connect as connect_redis
    from processors.queueing import forget_everything
    from store.care import empty
    from store.migrate import migrate

    settings = Settings.from_env()
    if not yes:
        raise InvalidRequest("This forgets everything that was ever said here.", hint="Add --yes if that is meant.")
    if answers(data_folder(settings, data).url()):
        raise InvalidRequest("An `up` is running on this folder.", hint="Stop it first.")
    with places(settings, data) as (database, redis_url):
        empty(database)
        migrate(database)
        if redis_url is not None:
            with connect_redis(redis_url) as client:
                forget_everything(client)
    say_json({"reset": True}) if as_json else say("Everything is forgotten; the schema is new.")
