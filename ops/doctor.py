"""`ai-webhook doctor`: what is set up, what answers, and how to mend what does not."""

import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import redis

from access.client import Client
from domain import envelope
from domain.errors import AIWebhookError
from domain.settings import Settings
from ops.data_folder import DataFolder
from store.database import connect as connect_database
from store.migrate import pending

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    state: State
    finding: str
    mend: str = ""


def examine(settings: Settings, folder: DataFolder) -> list[Check]:
    """Every check, in the order in which things depend on one another. Starts and changes nothing."""
    from ops.embedded import running_servers  # needs a platform that the embedded servers run on

    embedded = running_servers(folder.path)
    database_url = settings.conninfo() if settings.database_url or settings.pg_host else None
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    return [
        Check("system", "ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"),
        disk(folder),
        guarded("postgresql", lambda: postgresql(database_url if database_url is not None else embedded[0])),
        *guarded_many("redis", lambda: redis_checks(redis_url or embedded[1])),
        guarded("service", lambda: service(settings, folder)),
    ]


def guarded(name: str, check: Callable[[], Check]) -> Check:
    return guarded_many(name, lambda: [check()])[0]


def guarded_many(name: str, checks: Callable[[], list[Check]]) -> list[Check]:
    try:
        return checks()
    except AIWebhookError as error:
        return [Check(name, "wrong", error.message, error.hint)]
    except (redis.RedisError, OSError, ValueError) as error:
        return [Check(name, "wrong", f"does not answer ({type(error).__name__})", "Look at its address and its log.")]


def disk(folder: DataFolder) -> Check:
    place = next(p for p in (folder.path, *folder.path.parents) if p.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / 2**30:.1f} GiB free for {folder.path}"
    return Check("disk", "ok", found) if free > 2**30 else Check("disk", "warning", found, "Make room: 1 GiB at least.")


def postgresql(url: str | None) -> Check:
    if url is None:
        mend = "`ai-webhook up` starts it, or set DATABASE_URL."
        return Check("postgresql", "warning", "the embedded server is not running", mend)
    with connect_database(url, "doctor") as conn:
        lacking = pending(conn)
        version = str(conn.info.parameter_status("server_version"))
        major = conn.info.server_version // 10000
    if lacking:
        return Check("postgresql", "wrong", f"{len(lacking)} migrations are missing", "Run `ai-webhook migrate`.")
    if not 15 <= major <= 18:
        return Check("postgresql", "warning", f"version {version} is not one we test", "Use PostgreSQL 15 to 18.")
    return Check("postgresql", "ok", f"version {version}, schema is up to date")


def redis_checks(url: str | None) -> list[Check]:
    if url is None:
        mend = "`ai-webhook up` starts it, or set REDIS_URL."
        return [Check("redis", "warning", "the embedded server is not running", mend)]
    client = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2)
    try:
        wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
        found = {name: client.config_get(name).get(name) for name in wanted}
        alive = sum(1 for _ in client.scan_iter(match=envelope.alive_name("*")))
        waiting = client.scard(envelope.BATCHES)
    finally:
        client.close()
    wrong = [f"{name} {value}" for name, value in wanted.items() if found[name] != value]
    persistence = (
        Check("redis", "ok", "answers and keeps what it accepts (append-only file, fsync always)")
        if not wrong
        else Check("redis", "wrong", "may lose what was accepted", f"Set {', '.join(wrong)} in its configuration.")
    )
    workers = (
        Check("workers", "ok", f"{alive} alive, {waiting} batches waiting or under way")
        if alive
        else Check("workers", "wrong", "none is alive", "`ai-webhook up` starts them, or run `python -m processors`.")
    )
    return [persistence, workers]


def service(settings: Settings, folder: DataFolder) -> Check:
    url = settings.url or folder.url()
    if url is None:
        return Check("service", "warning", "`up` is not running on this folder", "Start it with `ai-webhook up`.")
    known = folder.known_secrets()
    token = settings.token.get_secret_value() if settings.token else known.token if known else None
    with Client(url, token, timeout_seconds=5) as client:
        counted = client.get("/deliveries/count")
    if counted["failed"]:
        mend = "`ai-webhook deliveries list --state failed` says why; `ai-webhook replay ID` tries again."
        return Check("service", "warning", f"answers at {url}; {counted['failed']} deliveries failed", mend)
    return Check("service", "ok", f"answers at {url}; {counted['processed']} deliveries processed")
