"""PostgreSQL and Valkey for a machine that has neither: joined or started, kept up, stopped by the last user.

A data folder holds `pg` and `valkey` (the data), `s` (PostgreSQL's socket), `state.json` (passwords and
ports, 0600), a log for each server, and locks, which the kernel frees however their holders end:
    start.lock                       held while somebody starts or stops servers here
    users.lock                       shared by every process that uses them, for as long as it does
    postgresql.lock, valkey.lock     held by the servers themselves (`ops.embedded_servers`)
Servers outlive a killed user; the next one adopts them, and the last one to leave in peace stops them.
Programs and their settings are `ops.embedded_programs`; what the URLs are used for is others' work.
"""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from domain.errors import AIWebhookError, SettingsError
from ops.embedded_programs import Account, blocked_at, private, server_account
from ops.embedded_servers import (
    DATABASE,
    PATIENCE_SECONDS,
    POLL_SECONDS,
    Postgres,
    Server,
    Valkey,
    durable_rename,
    holds,
    try_lock,
)

LAUNCHES = 3  # tries to start a server before its log is somebody's to read
# Below the ports that systems lend to outgoing connections, which could sit on ours while a server restarts.
PORTS = range(20000, 30000)


@dataclass(frozen=True, slots=True)
class Servers:
    """What the rest of the product needs to know of its servers, embedded or not."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)


class EmbeddedServers:
    """The embedded servers of one data folder, as this process uses them beside any number of others."""

    def __init__(
        self,
        data_dir: Path,
        *,
        server_user: str = "nobody",
        postgres_bin: Path | None = None,
        postgres: bool = True,
        valkey: bool = True,
    ) -> None:
        self._data_dir = data_dir
        self._server_user = server_user
        self._postgres_bin = postgres_bin
        self._wanted = {Postgres.key: postgres, Valkey.key: valkey}
        self._servers: tuple[Server, ...] = ()
        self._users: BinaryIO | None = None

    @property
    def database_url(self) -> str | None:
        """Where PostgreSQL is, from `start` on; None when it is not wanted."""
        for server in self._wanted_servers(Postgres.key):
            return f"postgresql://app:{server.password}@127.0.0.1:{server.port}/{DATABASE}"
        return None

    @property
    def redis_url(self) -> str | None:
        """Where Valkey is, from `start` on; None when it is not wanted."""
        for server in self._wanted_servers(Valkey.key):
            return f"redis://:{server.password}@127.0.0.1:{server.port}/0"
        return None

    def start(self) -> None:
        """Joins the servers that run on the folder, or starts them; raises SettingsError or Unavailable."""
        if self._users is not None or not any(self._wanted.values()):
            return
        with sentences(self._data_dir):
            account = server_account(self._server_user)
            self._home = prepared_home(self._data_dir, account)
            with locked(self._home / "start.lock"):
                self._join(account)

    def ensure(self) -> list[str]:
        """Restarts what has died, with the same port and password; returns the names of what it restarted."""
        if self._users is None or all(server.lives() for server in self._wanted_servers()):
            return []
        restarted: list[str] = []
        errors: list[Exception] = []
        with sentences(self._data_dir), locked(self._home / "start.lock"):
            for server in self._wanted_servers() if self._users else ():
                try:
                    if self._bring_up(server, may_move=False):
                        restarted.append(server.key)
                except (AIWebhookError, OSError) as error:  # the other server is needed all the same
                    errors.append(error)
            if errors:
                raise errors[0]
        return restarted

    def stop(self) -> None:
        """Leaves the servers to their other users; the last one stops both. Does nothing when not started."""
        if self._users is not None:
            with sentences(self._data_dir), locked(self._home / "start.lock"):
                self._leave()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wanted_servers(self, *keys: str) -> list[Server]:
        return [s for s in self._servers if self._wanted[s.key] and s.key in (keys or self._wanted)]

    def _join(self, account: Account | None) -> None:
        # Valkey first: with it alone, deliveries are already accepted.
        servers = (Valkey(self._home, account), Postgres(self._home, account, self._postgres_bin))
        read_state(self._home, servers)
        self._servers = servers
        self._users = open(self._home / "users.lock", "ab", opener=private)  # noqa: SIM115
        alone = holds(self._users, fcntl.LOCK_EX)
        fcntl.flock(self._users, fcntl.LOCK_SH)
        try:
            for server in self._wanted_servers():
                self._bring_up(server, may_move=alone)
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        if self._users is None:
            return
        with self._users as users, contextlib.ExitStack() as last:
            self._users = None
            if holds(users, fcntl.LOCK_EX):
                for server in reversed(self._servers):  # the stack runs backwards, and past a failure
                    last.callback(server.end)

    def _bring_up(self, server: Server, *, may_move: bool) -> bool:
        """Waits until the server answers, launching it where nothing of it lives; returns whether it did."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        launches = 0
        while True:
            if (lock := try_lock(server.lock)) is None:
                if server.answers() and server.furnish():
                    return launches > 0
                server.give_up_after(deadline, "start")
                time.sleep(POLL_SECONDS)
                continue
            with lock:
                if launches == LAUNCHES:
                    raise server.trouble("does not start")
                self._settle_port(server, may_move=may_move)
                server.launch(lock.fileno())
                launches += 1

    def _settle_port(self, server: Server, *, may_move: bool) -> None:
        if server.port and is_free(server.port):
            return
        if server.port and not may_move:
            raise server.trouble(f"cannot return to port {server.port}, which another program has taken")
        server.port = free_port()
        write_state(self._home, self._servers)


def read_state(home: Path, servers: tuple[Server, ...]) -> None:
    """Gives the servers their ports and passwords, new ones in a new folder."""
    path = home / "state.json"
    try:
        state = json.loads(path.read_bytes())
        for server in servers:
            server.port, server.password = int(state[server.key]["port"]), str(state[server.key]["password"])
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        if (home / "pg").exists():
            raise SettingsError(
                f"{path}, which holds the passwords of the embedded servers, is missing or damaged:"
                " put it back from a copy, or restore a backup into a new folder (--data)."
            ) from None
        for server in servers:
            server.port, server.password = 0, secrets.token_urlsafe(24)
        write_state(home, servers)


def write_state(home: Path, servers: tuple[Server, ...]) -> None:
    fresh = home / "state.json.new"
    with open(fresh, "w", opener=private) as file:
        json.dump({server.key: {"port": server.port, "password": server.password} for server in servers}, file)
        file.flush()
        os.fsync(file.fileno())
    durable_rename(fresh, home / "state.json")


def prepared_home(data_dir: Path, account: Account | None) -> Path:
    """The data folder under its real name, made where it is missing, and one the servers' user can enter."""
    home = Path(os.path.realpath(data_dir.expanduser()))
    refuse_blocked(home, account)  # before anything is made, and again once it is
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(home.iterdir()):  # a folder that is in use keeps the permissions somebody gave it
        home.chmod(0o711 if account else 0o700)
    refuse_blocked(home / "pg", account)
    return home


def refuse_blocked(path: Path, account: Account | None) -> None:
    blocked = blocked_at(path, account) if account else None
    if account and blocked:
        raise SettingsError(
            f"The user {account.name}, who runs the embedded servers, may not enter {blocked}: choose another"
            " folder with --data or AI_WEBHOOK_DATA, or let others enter that one (chmod o+x)."
        )


@contextlib.contextmanager
def sentences(data_dir: Path) -> Iterator[None]:
    """Tells what the operating system refuses as a sentence."""
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"The embedded servers cannot use {error.filename or data_dir}: {error.strerror or error}.",
            hint="Choose another folder with --data or AI_WEBHOOK_DATA, or see to its owner and permissions.",
        ) from None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with open(path, "ab", opener=private) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    while not is_free(port := secrets.choice(PORTS)):
        pass
    return port


def running_servers(data_dir: Path) -> tuple[str | None, str | None]:
    """URLs of the PostgreSQL and the Valkey that answer on this folder now; joins, starts and changes nothing."""
    home = Path(os.path.realpath(data_dir.expanduser()))
    found = EmbeddedServers(data_dir)
    with sentences(data_dir):
        if not (home / "state.json").exists():
            return None, None
        found._servers = (Valkey(home, None), Postgres(home, None, None))
        read_state(home, found._servers)
        answering = {server.key for server in found._servers if server.answers()}
    return (
        found.database_url if Postgres.key in answering else None,
        found.redis_url if Valkey.key in answering else None,
    )
