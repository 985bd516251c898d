"""Makes every client of Redis: of one server, or of the master that Sentinels name.

REDIS_URL is redis://, rediss:// or unix:// as redis-py reads them, or, with three Sentinels that watch the server,

    redis+sentinel://[[user]:password@]host[:port],host[:port],.../service[/db][?option=value]

User, password, db and options are those of the server that is watched. What the Sentinels themselves want is given as
`sentinel_username` and `sentinel_password`. With rediss+sentinel:// all of them are reached by TLS.
"""

from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
import redis.asyncio
from redis.asyncio.connection import parse_url as parse_async_url
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

from domain.errors import SettingsError

SENTINEL_PORT = 26379
# A Sentinel that does not answer is passed over for the next one; a sender waits meanwhile.
SENTINEL_SECONDS = 0.3
FORM = "redis+sentinel://:password@host:26379,host2:26379,host3:26379/service/0"


class Interruptible:
    """A signal's handler may raise in the middle of a read: a job's time is up, a worker is to stop. What is still to
    come on the connection belongs to no later command, so it is closed, as redis-py does where no Sentinels are."""

    def read_response(self, *args: Any, disconnect_on_error: bool = True, **options: Any) -> Any:
        return super().read_response(*args, disconnect_on_error=disconnect_on_error, **options)  # type: ignore[misc]


class MasterConnection(Interruptible, SentinelManagedConnection):  # type: ignore[misc]
    pass


class MasterConnectionByTLS(Interruptible, SentinelManagedSSLConnection):  # type: ignore[misc]
    pass


def open_client(redis_url: str, **options: Any) -> "redis.Redis":
    """A client for plain functions; `options` are those of redis.Redis. Connects when it is first used.

    Raises SettingsError when the URL cannot be read.
    """
    with_sentinels = watched(redis_url)
    if with_sentinels is None:
        return redis.Redis.from_url(checked(redis_url), **options)
    own = with_sentinels.options(parse_url) | options
    kind = MasterConnectionByTLS if own.get("ssl") else MasterConnection
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        with_sentinels.places,
        sentinel_kwargs=with_sentinels.sentinel_options(own) | {"retry": Retry(NoBackoff(), 0)},
        **own,
    )
    # The Sentinels' own connections are of the usual kind.
    master = sentinels.master_for(with_sentinels.service, connection_class=kind)  # type: ignore[no-untyped-call]
    return cast("redis.Redis", master)


def open_async_client(redis_url: str, **options: Any) -> "redis.asyncio.Redis":
    """The same for the event loop."""
    with_sentinels = watched(redis_url)
    if with_sentinels is None:
        return redis.asyncio.Redis.from_url(checked(redis_url), **options)
    own = with_sentinels.options(parse_async_url) | options
    sentinels = AsyncSentinel(  # type: ignore[no-untyped-call]
        with_sentinels.places,
        sentinel_kwargs=with_sentinels.sentinel_options(own) | {"retry": AsyncRetry(NoBackoff(), 0)},
        **own,
    )
    return cast("redis.asyncio.Redis", sentinels.master_for(with_sentinels.service))


@dataclass(frozen=True, slots=True)
class Watched:
    """A server that Sentinels watch. `plain` is a URL with its password, db and options, whatever its host."""

    service: str
    places: list[tuple[str, int]]
    plain: str
    sentinel_login: dict[str, str]

    def options(self, parse: Any) -> dict[str, Any]:
        """What every connection to the server takes."""
        found: dict[str, Any] = dict(parse(self.plain))
        for name in ("host", "port", "connection_class"):
            found.pop(name, None)
        if self.plain.startswith("rediss:"):
            found["ssl"] = True
        return found

    def sentinel_options(self, own: dict[str, Any]) -> dict[str, Any]:
        by_tls = {name: value for name, value in own.items() if name.startswith("ssl")}
        patience = {"socket_connect_timeout": SENTINEL_SECONDS, "socket_timeout": SENTINEL_SECONDS}
        return by_tls | patience | self.sentinel_login


def watched(redis_url: str) -> Watched | None:
    """What a URL with Sentinels says, or None when it names one server. Raises SettingsError for half of it."""
    try:
        parts = urlsplit(redis_url)
        if parts.scheme not in ("redis+sentinel", "rediss+sentinel"):
            return None
        login, _, hosts = parts.netloc.rpartition("@")
        places = [place(host) for host in hosts.split(",") if host]
        service, _, db = parts.path.strip("/").partition("/")
        query = dict(parse_qsl(parts.query))
        sentinel_login = {
            name.removeprefix("sentinel_"): query.pop(name)
            for name in ("sentinel_username", "sentinel_password")
            if name in query
        }
        if not places or not service or (db and not db.isdecimal()):
            raise ValueError
        server = f"{login}@localhost" if login else "localhost"
        plain = f"{parts.scheme.removesuffix('+sentinel')}://{server}/{db or 0}?{urlencode(query)}"
        parse_url(plain)  # type: ignore[no-untyped-call]
    except ValueError:
        raise unreadable() from None
    return Watched(service, places, plain, sentinel_login)


def place(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError
    return parts.hostname, parts.port or SENTINEL_PORT


def checked(redis_url: str) -> str:
    try:
        parse_url(redis_url)  # type: ignore[no-untyped-call]
    except ValueError:
        raise unreadable() from None
    return redis_url


def unreadable() -> SettingsError:
    return SettingsError(
        "REDIS_URL cannot be read.", hint=f"Give redis://:password@host:6379/0, or with Sentinels {FORM}."
    )
