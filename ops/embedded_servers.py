"""Server, Postgres, Valkey: one server each, whether it lives, how it is launched and how it ends.

A server's own processes inherit a lock on `<name>.lock`, which the kernel frees with the last of them,
however they end: while it is taken, nothing is launched on that data. Whether a living server is ours is
judged by signing in with its password; a process number alone is never believed. Who shares the servers is
left to `ops.embedded`.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import BinaryIO

import psycopg
import redis
from psycopg import pq
from redis.backoff import NoBackoff
from redis.retry import Retry

from domain.errors import SettingsError, Unavailable
from ops.embedded_programs import (
    Account,
    command_line,
    give,
    initdb_command,
    postgres_command,
    postgres_major,
    private,
    reachable_postgres,
    reachable_valkey,
    spawn,
    valkey_config,
)

PATIENCE_SECONDS = 60.0  # recovery after a crash takes seconds
POLL_SECONDS = 0.02
SOCKET_PATH_BYTES = 100  # the kernels' limits are 108 (Linux) and 104 (macOS)
DATABASE = "ai_webhook"


class Server(ABC):
    """What PostgreSQL and Valkey have in common here."""

    key: str
    title: str

    def __init__(self, home: Path, account: Account | None) -> None:
        self.home = home
        self.account = account
        self.log = home / f"{self.key}.log"
        self.lock = home / f"{self.key}.lock"
        self.port = 0
        self.password = ""
        self.child: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def answers(self) -> bool:
        """Whether it takes work from somebody who has its password."""

    @abstractmethod
    def launch(self, lock: int) -> None:
        """Starts the program with the lock that says so; called only while nothing of it is alive."""

    @abstractmethod
    def ask_to_end(self) -> bool:
        """Tells it to stop; False when it cannot be told yet."""

    def furnish(self) -> bool:
        """Makes what its users expect in it; False when it went away meanwhile."""
        return True

    def lives(self) -> bool:
        """Whether it is up, ready or not; cheap enough for every second."""
        return self.is_own_child() or (is_taken(self.lock) and self.is_heard())

    def is_heard(self) -> bool:
        """Whether something speaks its protocol on its port."""
        return self.answers()

    def is_own_child(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def end(self) -> None:
        """Stops it, whoever started it, and returns when nothing of it is left."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        asked = False
        while (lock := try_lock(self.lock)) is None:
            asked = asked or self.ask_to_end()
            self.give_up_after(deadline, "stop")
            time.sleep(POLL_SECONDS)
        lock.close()
        if self.child is not None:
            self.child.wait()

    def give_up_after(self, deadline: float, verb: str) -> None:
        if time.monotonic() > deadline:
            raise self.trouble(f"did not {verb} within {PATIENCE_SECONDS:.0f} seconds")

    def trouble(self, what: str) -> Unavailable:
        return Unavailable(f"The embedded {self.title} {what}; see {self.log}.", hint="The end of that log says why.")


class Postgres(Server):
    key = "postgresql"
    title = "PostgreSQL"

    def __init__(self, home: Path, account: Account | None, programs: Path | None) -> None:
        super().__init__(home, account)
        self.programs = programs
        self.folder = home / "pg"
        self.sockets = home / "s"
        if len(os.fsencode(self.sockets / ".s.PGSQL.12345")) > SOCKET_PATH_BYTES:
            digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
            self.sockets = Path(tempfile.gettempdir(), f"ai-webhook-{digest}")

    def conninfo(self) -> str:
        # The last two: the environment (PGSSLMODE) may ask for what this server does not have.
        where = f"host=127.0.0.1 port={self.port} user=app dbname=postgres connect_timeout=5"
        return f"{where} sslmode=disable gssencmode=disable"

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.conninfo(), password=self.password, autocommit=True)

    def answers(self) -> bool:
        if "ready" not in self.pid_file():  # asking earlier does no harm, but fills the log
            return False
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def is_heard(self) -> bool:
        return pq.PGconn.ping(self.conninfo().encode()) in (pq.Ping.OK, pq.Ping.REJECT)

    def launch(self, lock: int) -> None:
        programs = reachable_postgres(self.programs, self.account, self.home)
        if self.folder.is_dir():
            self.check_version(programs)
            give(self.folder, self.account)
        else:
            self.initialise(programs, lock)
        self.prepare_sockets()
        if self.postmaster() is None:
            # PostgreSQL believes any process of its user that has got the number of an earlier one.
            (self.folder / "postmaster.pid").unlink(missing_ok=True)
        command = postgres_command(programs, self.folder, self.port, self.sockets)
        self.child = spawn(command, account=self.account, log=self.log, lock=lock)

    def check_version(self, programs: Path) -> None:
        made, major = (self.folder / "PG_VERSION").read_text().strip(), postgres_major(programs)
        if made != str(major):
            raise SettingsError(
                f"{self.folder} was made by PostgreSQL {made}, and this is {major}: start it with the"
                f" programs of {made} (AI_WEBHOOK_POSTGRES_BIN), run `ai-webhook backup FILE`, and restore"
                " FILE into a new folder (--data)."
            )

    def initialise(self, programs: Path, lock: int) -> None:
        """Makes the cluster beside its place and moves it there whole: a killed start leaves no half."""
        fresh, password_file = self.home / "pg.new", self.home / "pg.password"
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        password_file.unlink(missing_ok=True)
        with open(password_file, "x", opener=private) as file:
            file.write(self.password)
        try:
            give(fresh, self.account)
            give(password_file, self.account)
            command = initdb_command(programs, fresh, password_file)
            initdb = spawn(command, account=self.account, log=self.log, lock=lock)
            if initdb.wait(PATIENCE_SECONDS) != 0:
                raise self.trouble("could not make its data folder")
        except subprocess.TimeoutExpired:
            initdb.kill()
            raise self.trouble("took too long to make its data folder") from None
        finally:
            password_file.unlink()
        durable_rename(fresh, self.folder)

    def prepare_sockets(self) -> None:
        with contextlib.suppress(FileExistsError):
            self.sockets.mkdir(mode=0o700)
        found = self.sockets.lstat()
        ours = {os.geteuid(), self.account.uid if self.account else os.geteuid()}
        if self.sockets.parent != self.home and not (stat.S_ISDIR(found.st_mode) and found.st_uid in ours):
            raise SettingsError(
                f"{self.sockets} is somebody else's: remove it, or choose a data folder with a shorter path."
            )
        give(self.sockets, self.account)
        for stale in self.sockets.glob(".s.PGSQL.*"):  # their lock files hold process numbers, too
            stale.unlink()

    def pid_file(self) -> list[str]:
        """The lines of postmaster.pid: its process first, its state last."""
        try:
            text = (self.folder / "postmaster.pid").read_text(errors="replace")
        except OSError:
            return []
        return [line.strip() for line in text.splitlines()]

    def postmaster(self) -> int | None:
        """The process that postmaster.pid names, if it is a PostgreSQL of this very folder."""
        lines = self.pid_file()
        if not lines or not lines[0].isdigit():
            return None
        command = command_line(int(lines[0]))
        return int(lines[0]) if "postgres" in command and str(self.folder) in command else None

    def ask_to_end(self) -> bool:
        pid = self.child.pid if self.child and self.is_own_child() else self.postmaster()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)  # SIGTERM would wait for every client to leave
        return True

    def end(self) -> None:
        super().end()
        if self.sockets.parent != self.home:
            with contextlib.suppress(OSError):
                self.sockets.rmdir()

    def furnish(self) -> bool:
        find = "SELECT 1 FROM pg_database WHERE datname = %s"
        try:
            with self.connect() as connection:
                if connection.execute(find, [DATABASE]).fetchone() is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.OperationalError:
            return False
        return True


class Valkey(Server):
    key = "valkey"
    title = "Valkey"

    def client(self) -> redis.Redis:
        return redis.Redis(
            host="127.0.0.1",
            port=self.port,
            password=self.password,
            socket_timeout=5,
            socket_connect_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def launch(self, lock: int) -> None:
        program = reachable_valkey(self.account, self.home)
        folder = self.home / "valkey"
        folder.mkdir(mode=0o700, exist_ok=True)
        give(folder, self.account)
        self.child = spawn([str(program), "-"], account=self.account, log=self.log, lock=lock, stdin=subprocess.PIPE)
        assert self.child.stdin is not None
        with contextlib.suppress(BrokenPipeError), self.child.stdin as stdin:
            stdin.write(valkey_config(folder, self.port, self.password))

    def ask_to_end(self) -> bool:
        if self.child and self.is_own_child():
            self.child.terminate()
            return True
        try:
            with self.client() as client:
                client.ping()  # `shutdown` takes a connection refused for success
                client.shutdown()
        except redis.RedisError:
            return False
        return True


def try_lock(path: Path) -> BinaryIO | None:
    """The lock, held until every copy of this descriptor is closed; None while somebody else has it."""
    file = open(path, "ab", opener=private)  # noqa: SIM115
    if holds(file, fcntl.LOCK_EX):
        return file
    file.close()
    return None


def is_taken(path: Path) -> bool:
    lock = try_lock(path)
    if lock is not None:
        lock.close()
    return lock is None


def holds(file: BinaryIO, lock: int) -> bool:
    """Takes the lock if nobody is in the way, and says whether it did."""
    try:
        fcntl.flock(file, lock | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def durable_rename(source: Path, target: Path) -> None:
    """Renames so that a power cut cannot undo it once something relies on it."""
    source.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
