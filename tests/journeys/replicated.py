"""A PostgreSQL primary and its streaming replica: real servers, made of the programs that come with the package."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from ops.embedded_programs import (
    Account,
    give,
    initdb_command,
    postgres_command,
    reachable_postgres,
    server_account,
    spawn,
)
from store.migrate import migrate
from tests.conftest import reachable_folder
from tests.journeys.processes import free_port, wait_until

PASSWORD = "replicated"


class Server:
    """A PostgreSQL that listens on `host`, to whoever comes from the same network of 256 addresses."""

    def __init__(self, programs: Path, folder: Path, account: Account | None, host: str = "127.0.0.1") -> None:
        self.programs, self.folder, self.account, self.host = programs, folder, account, host
        self.port = free_port()

    def make(self) -> None:
        password = self.folder.with_suffix(".password")
        password.write_text(PASSWORD)
        self.folder.mkdir(mode=0o700)
        give(self.folder, self.account)
        run_as(self.account, [*initdb_command(self.programs, self.folder, password), "--no-sync"])

    def start(self, **settings: str) -> None:
        # Nobody pulls the plug of this machine; processes are killed.
        settings = {"fsync": "off", "full_page_writes": "off", "listen_addresses": self.host} | settings
        more = [f"--{name}={value}" for name, value in settings.items()]
        command = [
            *postgres_command(self.programs, self.folder, self.port, self.folder),
            "-c",
            "hba_file=" + self.hba(),
        ]
        with open(os.devnull) as nothing:
            self.process = spawn(
                [*command, *more],
                account=self.account,
                log=self.folder.with_suffix(".log"),
                lock=nothing.fileno(),
            )
        wait_until(self.answers, f"PostgreSQL does not start: {self.folder}.log")

    def hba(self) -> str:
        file = self.folder.with_suffix(".hba")
        file.write_text("".join(f"host {what} all {self.host}/24 scram-sha-256\n" for what in ("all", "replication")))
        return str(file)

    def url(self, dbname: str = "postgres") -> str:
        return f"postgresql://app:{PASSWORD}@{self.host}:{self.port}/{dbname}"

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self.url(), autocommit=True)

    def asked(self, question: str) -> object:
        with self.connect() as conn:
            row = conn.execute(question.encode()).fetchone()
        return row and row[0]

    def answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            return self.asked("SELECT 1") == 1
        return False

    def kill(self) -> None:
        """All of its processes at once, as when the host is gone."""
        whole = psutil.Process(self.process.pid)
        for process in (whole, *whole.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)


class Replicated:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.account = server_account("nobody")
        self.programs = reachable_postgres(None, self.account, folder)
        self.primary = Server(self.programs, folder / "primary", self.account)
        self.replica = Server(self.programs, folder / "replica", self.account)
        self.started: list[Server] = []

    def set_up(self) -> None:
        """Makes both. The primary answers only when the replica has a commit on its disk."""
        self.primary.make()
        self.start(self.primary)
        migrate(self.primary.url())
        source = f"host=127.0.0.1 port={self.primary.port} user=app password={PASSWORD} application_name=replica"
        run_as(
            self.account,
            [
                str(self.programs / "pg_basebackup"),
                "-D",
                str(self.replica.folder),
                "-R",
                "-c",
                "fast",
                "--no-sync",
                "-d",
                source,
            ],
        )
        self.start(self.replica)
        with self.primary.connect() as conn:
            conn.execute("ALTER SYSTEM SET synchronous_standby_names = 'replica'")
            conn.execute("SELECT pg_reload_conf()")
        wait_until(
            lambda: self.primary.asked("SELECT sync_state FROM pg_stat_replication") == "sync", "it does not follow"
        )

    def start(self, server: Server) -> None:
        self.started.append(server)
        server.start()

    def url(self) -> str:
        """Whichever of the two takes writes."""
        places = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.replica.port}"
        return f"postgresql://app:{PASSWORD}@{places}/postgres?target_session_attrs=read-write"

    def promote(self) -> None:
        follows_nobody(self.replica)
        self.replica.asked("SELECT pg_promote()")


def run_as(account: Account | None, command: list[str]) -> None:
    uid, gid = (account.uid, account.gid) if account else (None, None)
    subprocess.run(command, check=True, cwd="/", user=uid, group=gid, stdout=subprocess.DEVNULL, timeout=60)


def follows_nobody(server: Server) -> None:
    """It answers commits without another server's having them."""
    with server.connect() as conn:
        conn.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        conn.execute("SELECT pg_reload_conf()")


@contextmanager
def replicated() -> Iterator[Replicated]:
    folder = reachable_folder()
    servers = Replicated(folder)
    try:
        os.chmod(folder, 0o777)
        servers.set_up()
        yield servers
    finally:
        for server in reversed(servers.started):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
