"""`ai-webhook doctor`: what is set up, what answers, and how to mend what does not."""

import platform
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import redis

from access.client import Client
from broker.clients import open_client
from domain import envelope
from domain.certificates import certificate_trouble
from domain.errors import AIWebhookError, DatabaseUnavailable
from domain.settings import OUT_SECRET_PREFIX, Settings
from ops import doctor_work
from ops.data_folder import DataFolder, with_key_of
from store import deliveries, outgoing
from store.database import connect as connect_database
from store.database import is_limited, is_pooled
from store.migrate import pending
from store.reading import has_it, position_of

FOLLOW_SECONDS = 2.0  # what a replica is given to get what the primary has
# What a Redis needs to keep what it accepts.
KEEPS = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}

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
    database_url = settings.conninfo() if settings.database_url or settings.pg_host else embedded[0]
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    return [
        Check("system", "ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"),
        disk(folder),
        guarded("postgresql", lambda: postgresql(database_url)),
        *guarded_many("replica", lambda: replica_checks(settings, database_url)),
        *guarded_many(
            "redis", lambda: redis_checks(redis_url or embedded[1], settings.redis_replicas, settings.volatile_redis)
        ),
        *guarded_many(
            "keys", lambda: key_checks(with_key_of(folder, settings), database_url, redis_url or embedded[1])
        ),
        *guarded_many("outgoing", lambda: outgoing_checks(settings, database_url)),
        *of_work("clocks", lambda: doctor_work.clocks(database_url, redis_url or embedded[1])),
        *of_work("queue", lambda: doctor_work.waiting(redis_url or embedded[1])),
        *of_work("deliveries", lambda: doctor_work.recorded(database_url)),
        *of_work("backups", lambda: doctor_work.backups(settings)),
        guarded("service", lambda: service(settings, folder)),
    ]


def of_work(name: str, found: Callable[[], Iterable[doctor_work.Found]]) -> list[Check]:
    """A server that is away is told already."""
    try:
        return [Check(*row) for row in found()]
    except (AIWebhookError, redis.RedisError):
        return []
    except OSError as error:
        return [Check(name, "wrong", f"cannot be looked at ({type(error).__name__})", "Look at its place.")]


def guarded(name: str, check: Callable[[], Check]) -> Check:
    return guarded_many(name, lambda: [check()])[0]


def guarded_many(name: str, checks: Callable[[], list[Check]]) -> list[Check]:
    try:
        return checks()
    except AIWebhookError as error:
        return [Check(name, "wrong", error.message, error.hint)]
    except (redis.RedisError, OSError, ValueError) as error:
        if (trouble := certificate_trouble(error)) is not None:
            return [Check(name, "wrong", *trouble)]
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
        unlimited = is_pooled(conn) and not is_limited(conn)
        through = " through a pooler" if is_pooled(conn) else ""
        version = str(conn.info.parameter_status("server_version"))
        major = conn.info.server_version // 10000
    if lacking:
        return Check("postgresql", "wrong", f"{len(lacking)} migrations are missing", "Run `ai-webhook migrate`.")
    if not 15 <= major <= 18:
        return Check("postgresql", "warning", f"version {version} is not one we test", "Use PostgreSQL 15 to 18.")
    if unlimited:
        mend = "Use the role that `ai-webhook role app` makes, or ALTER ROLE … SET statement_timeout = '60s'."
        return Check("postgresql", "warning", "a pooler drops our settings, and statements have no time limit", mend)
    return Check("postgresql", "ok", f"version {version}{through}, schema is up to date")


def replica_checks(settings: Settings, url: str | None) -> list[Check]:
    if settings.read_database_url is None or url is None:
        return []
    return [replica(settings.read_database_url.get_secret_value(), url)]


def replica(replica_url: str, url: str) -> Check:
    """Whether the replica has what the primary had a moment ago."""
    with connect_database(url, "doctor") as primary:
        position = position_of(primary)
    with connect_database(replica_url, "doctor") as conn:
        in_step = becomes_true(lambda: has_it(conn, position))
    if in_step:
        return Check("replica", "ok", "answers and follows")
    mend = "Look at its log and at pg_stat_replication of the primary; meanwhile all is read from the primary."
    return Check("replica", "warning", f"has not followed for {FOLLOW_SECONDS:.0f} seconds, or is none", mend)


def becomes_true(ask: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + FOLLOW_SECONDS
    while not (found := ask()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def outgoing_checks(settings: Settings, url: str | None) -> list[Check]:
    """Nothing to say where nobody is subscribed, or where PostgreSQL is not ready, which is told already."""
    if url is None:
        return []
    try:
        with connect_database(url, "doctor") as conn:
            if pending(conn):
                return []
            health = outgoing.health(conn)
    except DatabaseUnavailable:
        return []
    named = [*health["enabled"], *health["ended"]]
    if not named and not health["failed"]:
        return []
    found = []
    if without := [name for name in health["enabled"] if not settings.out_secrets_of(name)]:
        setting = OUT_SECRET_PREFIX + without[0].replace("-", "_").upper()
        finding = f"no secret is set here for {', '.join(without)}"
        found.append(Check("outgoing", "warning", finding, f"Set {setting} for the workers."))
    if health["ended"]:
        finding = f"ended by the receiver: {', '.join(health['ended'])}"
        mend = "`ai-webhook subscriptions list` says why; `ai-webhook subscriptions enable NAME` goes on."
        found.append(Check("outgoing", "warning", finding, mend))
    if health["failed"]:
        mend = "`ai-webhook subscriptions deliveries NAME` says why; `ai-webhook subscriptions replay ID` tries again."
        found.append(Check("outgoing", "warning", f"{health['failed']} messages failed", mend))
    fine = f"{len(named)} subscriptions, {health['waiting']} messages waiting"
    return found or [Check("outgoing", "ok", fine)]


def redis_checks(url: str | None, replicas: int = 0, is_volatile: bool = False) -> list[Check]:
    if url is None:
        mend = "`ai-webhook up` starts it, or set REDIS_URL."
        return [Check("redis", "warning", "the embedded server is not running", mend)]
    client = open_client(url, socket_connect_timeout=2, socket_timeout=2)
    try:
        version = client.info("server")["redis_version"]
        found = what_it_keeps(client)
        alive = sum(1 for _ in client.scan_iter(match=envelope.alive_name("*")))
        waiting = client.scard(envelope.BATCHES)
        copies = sum(1 for name, told in client.info("replication").items() if is_in_step(name, told))
    finally:
        client.close()
    persistence = persistence_check(version, found, is_volatile)
    workers = (
        Check("workers", "ok", f"{alive} alive, {waiting} batches waiting or under way")
        if alive
        else Check("workers", "wrong", "none is alive", "`ai-webhook up` starts them, or run `python -m processors`.")
    )
    if not replicas:
        return [persistence, workers]
    found_copies = f"{copies} in step, {replicas} wanted (AI_WEBHOOK_REDIS_REPLICAS)"
    mend = "Senders are answered 503 until enough replicas follow the master."
    copied = (
        Check("replicas", "ok", found_copies) if copies >= replicas else Check("replicas", "wrong", found_copies, mend)
    )
    return [persistence, copied, workers]


def what_it_keeps(client: redis.Redis) -> dict[str, str | None]:
    """KEEPS as the server has it; None where it does not say, since a managed one may forbid CONFIG."""
    try:
        return {name: client.config_get(name).get(name) for name in KEEPS}
    except redis.ResponseError:
        told = client.info()
        keeps = "yes" if told.get("aof_enabled") else "no"
        return {"appendonly": keeps, "appendfsync": None, "maxmemory-policy": told.get("maxmemory_policy")}


def persistence_check(version: str, found: Mapping[str, str | None], is_volatile: bool) -> Check:
    if wrong := [f"{name} {value}" for name, value in KEEPS.items() if found[name] not in {value, None}]:
        finding = f"version {version} may lose what was accepted"
        mend = f"Set {', '.join(wrong)} in its configuration; AI_WEBHOOK_VOLATILE_REDIS=true if that is meant."
        return Check("redis", "warning" if is_volatile else "wrong", finding, mend)
    if unknown := [f"{name} {KEEPS[name]}" for name, value in found.items() if value is None]:
        finding = f"version {version} keeps an append-only file, but does not let us read all of its configuration"
        return Check("redis", "warning", finding, f"Ask whoever runs it whether it has {' and '.join(unknown)}.")
    return Check("redis", "ok", f"version {version}, keeps what it accepts (append-only file, fsync always)")


def is_in_step(name: str, told: object) -> bool:
    """Whether this entry of INFO tells of a replica that follows its master."""
    return name.startswith("slave") and isinstance(told, dict) and told.get("state") == "online"


def key_checks(settings: Settings, database_url: str | None, redis_url: str | None) -> list[Check]:
    """Whether deliveries are signed and sealed as they should be; nothing where a server is not ready, told already."""
    found = []
    if redis_url is not None:
        found.append(signing_check(settings, redis_url))
    if database_url is not None:
        try:
            with connect_database(database_url, "doctor") as conn:
                sealed = {} if pending(conn) else deliveries.sealed_with(conn)
        except DatabaseUnavailable:
            return found
        found += sealing_checks(settings, sealed)
    return found


def signing_check(settings: Settings, redis_url: str) -> Check:
    with open_client(redis_url, socket_connect_timeout=2, socket_timeout=2) as client:
        aside = client.hlen(envelope.ASIDE)
    if aside:
        mend = (
            "Set the same AI_WEBHOOK_QUEUE_KEY for endpoint and workers: they are then taken up. What waited before "
            "there was a key: `ai-webhook rotate-keys --unsigned`. Else somebody writes to Redis who should not."
        )
        return Check("signing", "wrong", f"{aside} deliveries in Redis are of no key of the workers, set aside", mend)
    if not settings.queue_key:
        finding = "deliveries in Redis are not signed: whoever can write there can forge them"
        return Check("signing", "warning", finding, "Set AI_WEBHOOK_QUEUE_KEY for endpoint and workers.")
    return Check("signing", "ok", "deliveries in Redis are signed")


def sealing_checks(settings: Settings, sealed: dict[str | None, int]) -> list[Check]:
    sealing = settings.keys().sealing
    if missing := {key: n for key, n in sealed.items() if key is not None and key not in sealing.ciphers}:
        finding = f"{sum(missing.values())} deliveries are sealed with keys that are not set here: {', '.join(missing)}"
        return [Check("sealing", "wrong", finding, "Add those keys to AI_WEBHOOK_ENCRYPTION_KEY, after a comma.")]
    if sealing.current is None:
        return []
    if others := sum(n for key, n in sealed.items() if key != sealing.current):
        finding = f"{others} deliveries are not sealed with the first key, {sealing.current}"
        return [Check("sealing", "warning", finding, "Run `ai-webhook rotate-keys`.")]
    return [Check("sealing", "ok", f"every delivery is sealed with the key {sealing.current}")]


def service(settings: Settings, folder: DataFolder) -> Check:
    url = settings.url or folder.url()
    if url is None:
        return Check("service", "warning", "`up` is not running on this folder", "Start it with `ai-webhook up`.")
    known = folder.known_secrets()
    token = settings.token.get_secret_value() if settings.token else known.token if known else None
    with Client(url, token, timeout_seconds=5) as client:
        counted = client.call("count_deliveries")
    if counted["failed"]:
        mend = "`ai-webhook deliveries list --state failed` says why; `ai-webhook replay ID` tries again."
        return Check("service", "warning", f"answers at {url}; {counted['failed']} deliveries failed", mend)
    return Check("service", "ok", f"answers at {url}; {counted['processed']} deliveries processed")
