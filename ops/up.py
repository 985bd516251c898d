"""One command that runs servers, web and workers together, restarts what dies, and stops all of it."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from access.client import Client
from domain.errors import AIWebhookError, SettingsError, Unavailable
from domain.settings import Settings
from ingest.sources import check_secrets
from ops.data_folder import DataFolder, Secrets, default_data_dir
from store.migrate import migrate

if TYPE_CHECKING:
    from ops.embedded import EmbeddedServers

Say = Callable[[str, str], None]  # who, what: one line of output

STOP_SECONDS = 7.0  # for web and workers to end their work; the servers follow within another two
READY_SECONDS = 30.0
RESTARTS = 5  # of one process within RESTART_SECONDS: then something is wrong that a restart does not mend
RESTART_SECONDS = 20.0


@dataclass
class Child:
    """A process of ours, and a thread that passes on what it says."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    say: Say
    pass_fds: tuple[int, ...] = ()
    ready: threading.Event = field(default_factory=threading.Event)
    starts: list[float] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.starts.append(time.monotonic())
        self.ready.clear()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ops.child", *self.arguments],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=self.pass_fds,
            start_new_session=True,  # Ctrl-C is for us; we stop them in order
        )
        threading.Thread(target=self.pass_on, args=(self.process,), daemon=True).start()

    def pass_on(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.rstrip().endswith("is ready"):
                self.ready.set()
            else:
                self.say(self.name, line.rstrip())
        if not self.ready.is_set() and process is self.process:
            self.ready.set()  # whoever waits finds it dead

    def is_dead(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def restart(self) -> None:
        recent = [at for at in self.starts if at > time.monotonic() - RESTART_SECONDS]
        if len(recent) >= RESTARTS:
            code = self.process.returncode if self.process else "?"
            raise Unavailable(f"The {self.name} process ends as soon as it starts (exit code {code}).")
        self.say("up", f"{self.name} ended, starting it again")
        self.start()


class Stack:
    """Everything that `up` runs. As a context manager: started and ready inside, stopped after."""

    def __init__(self, settings: Settings, data_dir: Path | None, *, port: int, workers: int, say: Say) -> None:
        self.settings = settings
        self.folder = DataFolder(data_dir or settings.data_dir or default_data_dir())
        self.custom_folder = data_dir is not None
        self.port = port
        self.workers = workers
        self.say = say
        self.servers = servers_for(settings, self.folder.path)
        self.children: list[Child] = []
        self.listening: socket.socket | None = None
        self.stopping = threading.Event()
        self.secrets: Secrets
        self.secrets_are_new = False
        self.url = ""

    def start(self) -> None:
        self.listening = listen(self.settings.host, self.port)
        self.url = f"http://{self.settings.host}:{self.listening.getsockname()[1]}"
        self.servers.start()
        self.secrets, self.secrets_are_new = self.folder.secrets()
        environment = self.environment()
        check_secrets(Settings.from_env(environment))  # as the web process will, which could only end and begin again
        migrate(self.database_url())
        descriptor = self.listening.fileno()
        self.children = [Child("web", ["web", str(descriptor)], environment, self.say, (descriptor,))]
        self.children += [Child(f"worker {n + 1}", ["worker"], environment, self.say) for n in range(self.workers)]
        for child in self.children:
            child.start()
        for child in self.children:
            if not child.ready.wait(READY_SECONDS) or child.is_dead():
                raise Unavailable(f"The {child.name} process did not start.", hint="Its last lines say why.")
        self.folder.say_running(self.url)

    def database_url(self) -> str:
        return self.servers.database_url or self.settings.conninfo()

    def environment(self) -> dict[str, str]:
        """Ours, and what `up` made: by environment, since arguments can be read by every user of the machine."""
        made = {
            "DATABASE_URL": self.servers.database_url,
            "REDIS_URL": self.servers.redis_url,
            "WEBHOOK_API_KEY": None if self.settings.webhook_api_key else self.secrets.api_key,
            "WEBHOOK_SECRET_GENERIC": None if self.settings.secrets_of("generic") else self.secrets.generic_secret,
            "AI_WEBHOOK_TOKEN": None if self.settings.token else self.secrets.token,
        }
        return {**os.environ, "PYTHONUNBUFFERED": "1", **{name: value for name, value in made.items() if value}}

    def client(self) -> Client:
        """A client of this stack that may do everything."""
        token = self.settings.token.get_secret_value() if self.settings.token else self.secrets.token
        return Client(self.url, token)

    def watch(self) -> None:
        """Restarts what dies, until `stopping` is set."""
        while not self.stopping.wait(0.5):
            try:
                for name in self.servers.ensure():
                    self.say("up", f"{name} ended, started it again")
            except AIWebhookError as error:
                self.say("up", error.message)
            for child in self.children:
                if child.is_dead():
                    child.restart()

    def stop(self) -> None:
        """Ends web and workers together, then the servers if nobody else uses them. Loses nothing: what a worker
        had in hand is taken up at the next start."""
        self.stopping.set()
        deadline = time.monotonic() + STOP_SECONDS
        started = [child.process for child in self.children if child.process is not None]
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.children = []
        if self.listening is not None:
            self.listening.close()
        self.folder.say_stopped()
        self.servers.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def servers_for(settings: Settings, folder: Path, *, valkey: bool = True) -> "EmbeddedServers":
    """The embedded servers that these settings leave to us, not started; a server of the user's own is used instead."""
    if sys.platform == "win32":
        raise SettingsError(
            "The embedded servers and RQ's workers do not run on Windows.",
            hint="Use WSL, or a service elsewhere with AI_WEBHOOK_URL and AI_WEBHOOK_TOKEN.",
        )
    from ops.embedded import EmbeddedServers

    return EmbeddedServers(
        folder,
        server_user=settings.server_user,
        postgres_bin=settings.postgres_bin,
        postgres=settings.database_url is None and settings.pg_host is None,
        valkey=valkey and settings.redis_url is None,
    )


def listen(host: str, port: int) -> socket.socket:
    """The web process's socket. We hold it, so that senders wait instead of failing while that process restarts."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"Port {port} of {host} cannot be used: {error.strerror}.",
            hint="Choose another with --port or AI_WEBHOOK_PORT; another `up` may be running.",
        ) from None
    listening.listen(2048)
    return listening
