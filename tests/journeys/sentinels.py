"""One Redis with two replicas, watched by three Sentinels: real processes in a folder."""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import redis

from ops.embedded_programs import valkey_program
from tests.conftest import reachable_folder
from tests.journeys.processes import free_port, wait_until

PASSWORD = "a-p@ss:word"
QUOTED = quote(PASSWORD, safe="")  # as it stands in an address
SERVICE = "mymaster"
SERVER = """\
port {port}
bind {host}
dir "{folder}"
save ""
appendonly yes
appendfsync always
maxmemory-policy noeviction
requirepass "{password}"
masterauth "{password}"
repl-diskless-sync-delay 0
"""
SENTINEL = """\
port {port}
bind 127.0.0.1
dir "{folder}"
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel auth-pass {service} {password}
sentinel down-after-milliseconds {service} 1000
sentinel failover-timeout {service} 5000
sentinel parallel-syncs {service} 2
"""


class Program:
    def __init__(
        self, folder: Path, configuration: str, *arguments: str, host: str = "127.0.0.1", **values: object
    ) -> None:
        self.host, self.port = host, free_port()
        self.folder = folder / str(self.port)
        self.folder.mkdir()
        file = self.folder / "server.conf"
        values = {"host": host, "port": self.port, "folder": self.folder, "password": PASSWORD, **values}
        file.write_text(configuration.format(**values))
        self.command = [str(valkey_program()), str(file), *arguments]
        self.start()

    def start(self) -> None:
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)

    def client(self, password: str | None = PASSWORD) -> "redis.Redis":
        return redis.Redis(self.host, self.port, password=password, socket_timeout=5)

    def url(self) -> str:
        return f"redis://:{QUOTED}@{self.host}:{self.port}/0"

    def answers(self, password: str | None = PASSWORD) -> bool:
        with contextlib.suppress(redis.RedisError), self.client(password) as client:
            return bool(client.ping())
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.kill()


class Watched:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: list[Program] = []
        self.master, *self.replicas = self.servers = [self.start(SERVER) for _ in range(3)]

    def settle(self) -> None:
        for server in self.servers:
            wait_until(server.answers, "a server does not start")
        for replica in self.replicas:
            with replica.client() as client:
                client.replicaof("127.0.0.1", self.master.port)
        wait_until(lambda: self.in_step() == 2, "the replicas do not follow")
        named = {"service": SERVICE, "master": self.master.port}
        self.sentinels = [self.start(SENTINEL, "--sentinel", **named) for _ in range(3)]
        for sentinel in self.sentinels:
            wait_until(lambda s=sentinel: s.answers(None) and self.knows_all(s), "the Sentinels do not find each other")

    def start(self, configuration: str, *arguments: str, **values: object) -> Program:
        self.programs.append(Program(self.folder, configuration, *arguments, **values))
        return self.programs[-1]

    def in_step(self) -> int:
        with self.master.client() as client:
            return sum(1 for name, told in client.info("replication").items() if is_in_step(name, told))

    def knows_all(self, sentinel: Program) -> bool:
        with sentinel.client(None) as client:
            told = client.sentinel_masters()[SERVICE]
        return told["num-slaves"] == 2 and told["num-other-sentinels"] == 2

    def master_port(self) -> int:
        """Whom the Sentinels name now."""
        with self.sentinels[0].client(None) as client:
            return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])

    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:{QUOTED}@{places}/{SERVICE}/0"


def is_in_step(name: str, told: object) -> bool:
    return name.startswith("slave") and isinstance(told, dict) and told["state"] == "online"


@contextmanager
def watched() -> Iterator[Watched]:
    folder = reachable_folder()
    servers = Watched(folder)
    try:
        servers.settle()
        yield servers
    finally:
        for program in servers.programs:
            program.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def paused(*programs: Program) -> Iterator[None]:
    for program in programs:
        program.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for program in programs:
            program.process.send_signal(signal.SIGCONT)
