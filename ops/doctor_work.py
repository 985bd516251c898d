"""What `ai-webhook doctor` says of the work itself: clocks, what waits, what nobody is at, agents, backups."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from broker.clients import open_client
from domain import envelope
from domain.settings import Settings
from ingest.measuring import RedisCollector
from ops.backups import last_made
from store import watching
from store.database import connect
from store.migrate import pending

State = Literal["ok", "warning", "wrong"]
Found = tuple[str, State, str, str]  # name, state, finding, how to mend it
SKEW_SECONDS = 2.0
LAG_SECONDS = 300.0
UNFINISHED_SECONDS = 3600.0


def clocks(database_url: str | None, redis_url: str | None) -> Iterator[Found]:
    """How far the clocks of the servers are from ours; half of what asking took is taken off."""
    asked: dict[str, Callable[[], float]] = {}
    if database_url is not None:
        asked["PostgreSQL"] = lambda: database_seconds(database_url)
    if redis_url is not None:
        asked["Redis"] = lambda: redis_seconds(redis_url)
    apart = {name: skew for name, ask in asked.items() if abs(skew := ask()) > SKEW_SECONDS}
    if apart:
        told = (f"{name} is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}" for name, skew in apart.items())
        yield (
            "clocks",
            "warning",
            ", ".join(told),
            "Let all hosts keep time by NTP: signatures and pauses go by their clocks.",
        )
    elif asked:
        yield "clocks", "ok", f"{' and '.join(asked)} within {SKEW_SECONDS:.0f} s of this host", ""


def database_seconds(url: str) -> float:
    with connect(url, "doctor") as conn:
        watching.server(conn)  # once, so that the connection is warm
        before = time.time()
        theirs = float(watching.server(conn)["seconds"])
        return theirs - (before + time.time()) / 2


def redis_seconds(url: str) -> float:
    with closing(open_client(url, socket_connect_timeout=2, socket_timeout=2)) as client:
        client.ping()
        before = time.time()
        seconds, micros = client.time()
        return seconds + micros / 1e6 - (before + time.time()) / 2


def waiting(redis_url: str | None) -> Iterator[Found]:
    """What lies in Redis, for how long, and what nobody is at."""
    if redis_url is None:
        return
    told = {s.name: s.value for metric in RedisCollector(redis_url).collect() for s in metric.samples if not s.labels}
    if not told["ai_webhook_redis_up"]:
        return  # which is told already
    oldest, jobs = told["ai_webhook_queue_oldest_seconds"], told["ai_webhook_queue_deliveries"]
    finding = f"{jobs:.0f} deliveries, the oldest for {oldest:.0f} s"
    mend = "More workers, or look in their log for what holds them up."
    yield ("queue", "warning", finding, mend) if oldest > LAG_SECONDS else ("queue", "ok", finding, "")
    if orphans := orphaned(redis_url):
        finding = f"{len(orphans)} batches belong to workers that are gone"
        yield (
            "orphans",
            "warning",
            finding,
            "A worker's sweep takes them up; start one if none is alive.",
        )


def orphaned(redis_url: str) -> list[str]:
    """Batches whose worker is not alive, or is at another one, and that do not wait for their time."""
    with closing(open_client(redis_url, socket_connect_timeout=2, socket_timeout=2)) as client:
        members = cast("set[bytes]", client.smembers(envelope.BATCHES))
        return [name for name in (member.decode() for member in members) if is_orphaned(client, name)]


def is_orphaned(client: Any, batch: str) -> bool:
    meta = client.hgetall(envelope.meta_name(batch))
    if b"retry_at" in meta or b"owner" not in meta:
        return False
    return bool(client.get(envelope.alive_name(meta[b"owner"].decode())) != batch.encode())


def recorded(database_url: str | None) -> Iterator[Found]:
    """What PostgreSQL has that was never finished, and agents that hold tasks in silence."""
    if database_url is None:
        return
    with connect(database_url, "doctor") as conn:
        if pending(conn):
            return  # which is told already
        late = watching.late_deliveries(conn, UNFINISHED_SECONDS)
        silent = watching.stale_agents(conn)
    if late:
        mend = "`ai-webhook deliveries list --state received` lists them; workers try again by themselves."
        yield "unfinished", "warning", f"{late} deliveries were accepted over an hour ago and not processed", mend
    if silent:
        mend = "Start them again, or let their leases lapse: the tasks return by themselves."
        yield "agents", "warning", f"hold tasks and were not heard of for 15 minutes: {', '.join(silent)}", mend


def backups(settings: Settings) -> Iterator[Found]:
    """Whether the last one is not much older than it should be; nothing where none are scheduled."""
    folder, now = settings.backup_folder, datetime.now(UTC)
    if folder is None:
        return
    last = last_made(folder, now)
    mend = "`ai-webhook backups --once` makes one and says what is wrong; `ai-webhook up` makes them as scheduled."
    if last is None:
        yield "backups", "wrong", f"there is none in {folder}", mend
    elif now - last > timedelta(hours=1.5 * settings.backup_hours):
        hours = (now - last).total_seconds() / 3600
        yield "backups", "wrong", f"the last is {hours:.0f} hours old, one is due every {settings.backup_hours:g}", mend
    else:
        yield "backups", "ok", f"the last is of {last:%Y-%m-%d %H:%M} UTC", ""
