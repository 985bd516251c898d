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
from processors.queueing import connect as connect_redis
from processors.queueing import reseal
from store.migrate import migrate

if TYPE_CHECKING:
    from ops.embedded import EmbeddedServers

Say = Callable[[str, str], None]  # who, what: one line of output

STOP_SECONDS = 1.0  # beyond what web and workers are given to end their work; the servers follow within another two
READY_SECONDS = 30.0
RESTARTS = 5  # of one process within RESTART_SECONDS: then something is wrong that a restart does not mend
RESTART_SECONDS = 20.0
OWNERS = {"AI_WEBHOOK_MIGRATE_URL", "AI_WEBHOOK_MIGRATE_URL_FILE"}  # web and workers need not be able to


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
            if line.rstrip().endswith("is ready") or 'is ready"' in line:
                self.ready.set()
            else:
                self.say(self.name, line.rstrip())
        if not self.ready.is_set() and process is self.process:
            self.ready.set()  # whoever waits finds it dead

    def begins(self) -> bool:
        """Waits until it is ready; False when it ended instead, or takes too long."""
        return self.ready.wait(READY_SECONDS) and not self.is_dead()

    def end(self, last_moment: float) -> None:
        """After `terminate`: waits until then, and kills what is still there."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.1, last_moment - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def terminate(self) -> None:
        if self.process is not None:
            self.process.terminate()

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
        self.renewing = threading.Event()
        self.secrets: Secrets
        self.secrets_are_new = False
        self.url = ""

    def start(self) -> None:
        self.listening = listen(self.settings.host, self.port)
        self.url = f"http://{self.settings.host}:{self.listening.getsockname()[1]}"
        self.servers.start()
        self.secrets, self.secrets_are_new = self.folder.secrets()
        environment = self.environment()
        if "AI_WEBHOOK_QUEUE_KEY" in environment and not self.settings.queue_key:
            self.sign_what_waits(environment)
        check_secrets(Settings.from_env(environment))  # as the web process will, which could only end and begin again
        migrate(self.servers.database_url or self.settings.owner_conninfo())
        descriptor = self.listening.fileno()
        self.children = [Child("web", ["web", str(descriptor)], environment, self.say, (descriptor,))]
        self.children += [Child(f"worker {n + 1}", ["worker"], environment, self.say) for n in range(self.workers)]
        if self.settings.backup_folder is not None:
            self.children.append(Child("backups", ["backups"], environment, self.say))
        for child in self.children:
            child.start()
        for child in self.children:
            if not child.begins():
                raise Unavailable(f"The {child.name} process did not start.", hint="Its last lines say why.")
        self.folder.say_running(self.url)

    def sign_what_waits(self, environment: dict[str, str]) -> None:
        """Once: what an earlier version accepted is not signed. Nobody but us has written to this Redis yet."""
        if self.folder.queue_key()[1]:
            return
        keys = Settings.from_env(environment).keys()
        with connect_redis(environment["REDIS_URL"]) as client:
            reseal(client, keys, keys, unsigned=True)
        self.folder.say_all_signed()

    def database_url(self) -> str:
        return self.servers.database_url or self.settings.conninfo()

    def environment(self) -> dict[str, str]:
        """Ours, and what `up` made: by environment, since arguments can be read by every user of the machine."""
        made = {
            "DATABASE_URL": self.servers.database_url,
            "REDIS_URL": self.servers.redis_url,
            "WEBHOOK_API_KEY": None if self.settings.webhook_api_key else self.secrets.api_key,
            "WEBHOOK_SECRET_GENERIC": None if self.settings.secrets_of("generic") else self.secrets.generic_secret,
            "AI_WEBHOOK_LOG_FORMAT": self.settings.log_format or "text",  # for people, at a terminal or not
            "AI_WEBHOOK_TOKEN": None if self.settings.token else self.secrets.token,
            # To a Redis of the user's own others may write, too, who could not know a key that we make.
            "AI_WEBHOOK_QUEUE_KEY": self.folder.queue_key()[0]
            if self.servers.redis_url and not self.settings.queue_key
            else None,
        }
        kept = {name: value for name, value in own_environment().items() if name not in OWNERS}
        return {**kept, "PYTHONUNBUFFERED": "1", **{name: value for name, value in made.items() if value}}

    def client(self) -> Client:
        """A client of this stack that may do everything."""
        token = self.settings.token.get_secret_value() if self.settings.token else self.secrets.token
        return Client(self.url, token)

    def watch(self) -> None:
        """Restarts what dies, and everything when `renewing` is set, until `stopping` is."""
        while not self.stopping.wait(0.5):
            if self.renewing.is_set():
                self.renewing.clear()
                self.renew()
            try:
                for name in self.servers.ensure():
                    self.say("up", f"{name} ended, started it again")
            except AIWebhookError as error:
                self.say("up", error.message)
            for child in self.children:
                if child.is_dead():
                    child.restart()
            if self.folder.url() is None:  # another `up` on this folder was asked last, and ended
                self.folder.say_running(self.url)

    def renew(self) -> None:
        """Replaces web and workers by new processes, one after the other, with the settings and the code of now. The
        old one ends when the new one is ready; both take connections from the one socket meanwhile."""
        try:
            check_secrets(Settings.from_env(self.environment()))
            migrate(self.database_url())
        except AIWebhookError as error:
            self.say("up", f"{error.message} Everything goes on as it was.")
            return
        for place, old in enumerate(self.children):
            if self.stopping.is_set():
                return
            new = Child(old.name, old.arguments, self.environment(), self.say, old.pass_fds)
            new.start()
            if not new.begins():
                new.terminate()
                new.end(self.last_moment())
                self.say("up", f"the new {new.name} process did not start; the old one goes on")
                return
            self.children[place] = new
            old.terminate()
            old.end(self.last_moment())
            self.say("up", f"{new.name} is replaced")

    def last_moment(self) -> float:
        """Until when a process that is told to stop now may take."""
        return time.monotonic() + self.settings.stop_seconds + STOP_SECONDS

    def stop(self) -> None:
        """Ends web and workers together, then the servers if nobody else uses them. Loses nothing: what a worker
        had in hand is taken up at the next start."""
        self.stopping.set()
        last_moment = self.last_moment()
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.end(last_moment)
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


def own_environment() -> dict[str, str]:
    """For programs that we start and that read the same as we do."""
    return dict(os.environ)


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
