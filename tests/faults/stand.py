"""The stack that faults strike: `ai-webhook up` with its processes, and servers behind links that misbehave on demand.

The servers are the embedded ones, started again as `up` does it; `up` reaches them by name through the links. Where the
system allows it (root on Linux), the names stand in a file of hosts of the stack's own, and the servers' data on disks
of their own in memory; where not, the faults that need it are skipped.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import redis
from psycopg.rows import dict_row

from domain.envelope import alive_name
from domain.errors import AIWebhookError
from ops.embedded import EmbeddedServers
from tests.conftest import ROOT, reachable_folder
from tests.faults.link import Link
from tests.journeys.stack import Up, environment

DISK_BYTES = 512 * 1024 * 1024
HOSTS = "127.0.0.1 localhost\n127.0.0.1 postgresql.stand valkey.stand\n"
OWN_NAMES = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"'


def may_mount() -> bool:
    """Whether this process may make a mount namespace: what needs disks or names of its own is skipped otherwise."""
    tried = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        shutil.which("unshare") is not None and subprocess.run(tried, capture_output=True, check=False).returncode == 0
    )


class Keeper(threading.Thread):
    """Starts servers again that died, as `up` does for its own and systemd or Docker for others."""

    def __init__(self, servers: EmbeddedServers) -> None:
        super().__init__(daemon=True)
        self.servers = servers
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.wait(0.2):
            with suppress(AIWebhookError):  # no room on the disk, say: the next time, perhaps
                self.servers.ensure()

    def end(self) -> None:
        self.ending.set()
        self.join()


class Disk:
    """A file system in memory that can be made full, and have room again."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(mode=0o711, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=711", "tmpfs", str(place)], check=True)

    def resize(self, size: int) -> bool:
        remount = ["mount", "-o", f"remount,size={size}", str(self.place)]
        return subprocess.run(remount, capture_output=True, check=False).returncode == 0

    @contextmanager
    def full(self) -> Iterator[None]:
        while True:  # smaller than what lies there it cannot be, and the server goes on writing
            found = os.statvfs(self.place)
            if self.resize((found.f_blocks - found.f_bfree + 1) * found.f_frsize):
                break
        try:
            yield
        finally:
            assert self.resize(DISK_BYTES)

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.place)], check=True)


class Stand(Up):
    """A running stack. What is asked of its servers here goes to them directly, not over the links."""

    def __init__(self) -> None:
        self.root = reachable_folder()
        self.home = self.root / "servers"
        self.disks: dict[str, Disk] = {}
        self.links: dict[str, Link] = {}
        self.own_names = may_mount()
        with ExitStack() as half:  # whatever does not start, nothing is left of the rest
            half.callback(shutil.rmtree, self.root, ignore_errors=True)
            self.build(half)
            super().__init__(self.root, "--workers", "2", before=self.named(), **self.settings())
            with self.admin() as conn:
                conn.execute("UPDATE agents SET max_concurrent = NULL")
            self.rest = half.pop_all()

    def build(self, half: ExitStack) -> None:
        if self.own_names:
            for name, place in (("postgresql", self.home), ("valkey", self.home / "valkey")):
                self.disks[name] = Disk(place)
                half.callback(self.disks[name].close)
            shutil.chown(self.home / "valkey", "nobody")
        self.servers = EmbeddedServers(self.home)
        self.servers.start()
        half.callback(self.servers.stop)
        self.direct = psycopg.conninfo.conninfo_to_dict(self.servers.database_url or "")
        self.direct_redis = redis.Redis.from_url(self.servers.redis_url or "").get_connection_kwargs()
        for name, port in (("postgresql", self.direct["port"]), ("valkey", self.direct_redis["port"])):
            self.links[name] = Link(int(str(port)))
            half.callback(self.links[name].close)
        keeper = Keeper(self.servers)
        keeper.start()
        half.callback(keeper.end)

    def settings(self) -> dict[str, str]:
        """Where `up` and further processes of the stack find its servers: through the links."""
        hosts = ("postgresql.stand", "valkey.stand") if self.own_names else ("127.0.0.1", "127.0.0.1")
        user, password, name = (self.direct[part] for part in ("user", "password", "dbname"))
        postgresql, valkey = self.links["postgresql"].port, self.links["valkey"].port
        return {
            "DATABASE_URL": f"postgresql://{user}:{password}@{hosts[0]}:{postgresql}/{name}",
            "REDIS_URL": f"redis://:{self.direct_redis['password']}@{hosts[1]}:{valkey}/0",
        }

    @contextmanager
    def further_worker(self, **settings: str) -> Iterator[None]:
        """One more than `up` has, from when it takes batches until it was told to stop and did."""
        command = [*self.named(), sys.executable, "-m", "processors"]
        environ = environment() | self.settings() | settings
        with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL) as worker:
            try:
                with self.redis() as client:
                    before = time.monotonic()
                    while len(list(client.scan_iter(match=alive_name("*")))) < 3:
                        assert time.monotonic() < before + 40 and worker.poll() is None, "it does not begin"
                        time.sleep(0.1)
                yield
            finally:
                worker.terminate()
        assert worker.returncode == 0

    def named(self) -> list[str]:
        """The words before a command that let it find the names of the servers."""
        if not self.own_names:
            return []
        hosts, switch = self.root / "hosts", self.root / "nsswitch.conf"
        hosts.write_text(HOSTS)
        switch.write_text("hosts: files\npasswd: files\ngroup: files\n")
        return ["unshare", "-m", "sh", "-c", OWN_NAMES, str(hosts), str(switch)]

    @contextmanager
    def without_names(self) -> Iterator[None]:
        (self.root / "hosts").write_text("127.0.0.1 localhost\n")
        try:
            yield
        finally:
            (self.root / "hosts").write_text(HOSTS)

    def database_url(self) -> str:
        return self.servers.database_url or ""

    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.servers.redis_url or "")

    @contextmanager
    def nothing_is_restarted(self) -> Iterator[None]:
        with self.held(self.home / "start.lock"):
            yield

    def admin(self) -> "psycopg.Connection[dict[str, Any]]":
        return psycopg.connect(
            self.database_url(), autocommit=True, row_factory=dict_row, application_name="fault", connect_timeout=5
        )

    def ask(self, statement: Any, parameters: Any = None, seconds: float = 60) -> list[dict[str, Any]]:
        """Rows of a statement that only reads, as soon as PostgreSQL answers."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with self.admin() as conn:
                    return conn.execute(statement, parameters).fetchall()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def said(self, text: str, since: int) -> bool:
        """Whether a process of the stack has said this since `lines` was so long."""
        return any(text in line for line in self.lines[since:])

    def workers(self) -> list[int]:
        return self.pids("ops.child", "worker")

    def holder_of(self, key: str) -> str:
        """The worker whose name lies under a key, or is the end of a key that says it is alive."""
        with self.redis() as client:
            found: Any = client.get(key)
        return found.decode() if found else ""

    def close(self) -> None:
        with self.rest:
            self.process.terminate()
            assert self.process.wait(30) == 0
