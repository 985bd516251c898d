"""A program that does a task: started in a session of its own, listened to, and ended with all that it started.

Knows nothing of tasks and HTTP. Every process carries `AI_WEBHOOK_RUN` in its environment, by which what left the
session or outlived the runner is found again; that takes /proc, elsewhere only the process group is ended.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from domain.settings import OWN_NAMES

RUN = "AI_WEBHOOK_RUN"
INHERITED = frozenset({"PATH", "HOME", "LANG", "TERM", "TMPDIR", "USER", "SHELL"})
HAS_PROC = sys.platform == "linux"
LOOK_SECONDS = 0.05  # between two looks whether processes have ended, where nothing tells us
EXEC_SECONDS = 1.0  # a process that becomes another program shows no environment for a moment; so long we look again
KILL_SECONDS = 10.0  # a killed process that is still there by then hangs in the kernel

EXECUTING = frozenset({b""})

Hurry = Callable[[], bool]


def environment_for(names: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """What a program gets of the runner's environment: little, and nothing that opens this service."""
    allowed = INHERITED | set(names)
    return {
        name: value
        for name, value in environment.items()
        if (name in allowed or name.startswith("LC_")) and not name.startswith(OWN_NAMES)
    }


class Log:
    """What a program prints: the first half and the last half of `limit` bytes, and how much was left out between."""

    def __init__(self, path: Path, limit: int) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self.half = limit // 2
        self.headed = 0
        self.tail = bytearray()
        self.left_out = 0
        self.is_whole = False

    def write(self, data: bytes) -> None:
        head = data[: self.half - self.headed]
        if head:
            self.put(head)
            self.headed += len(head)
        self.tail += data[len(head) :]
        excess = len(self.tail) - self.half
        if excess > self.half:  # not at each write, which would move the whole tail every time
            self.drop(excess)

    def drop(self, excess: int) -> None:
        del self.tail[:excess]
        self.left_out += excess

    def put(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.file, data) :]

    def close_output(self) -> None:
        """Writes the tail behind the head; notes may follow."""
        if self.is_whole:
            return
        self.is_whole = True
        if len(self.tail) > self.half:
            self.drop(len(self.tail) - self.half)
        if self.left_out:
            self.put(f"\n[… {self.left_out} bytes left out …]\n".encode())
        self.put(bytes(self.tail))
        self.tail.clear()

    def note(self, line: str) -> None:
        """A line of the runner's own, after what the program printed."""
        self.close_output()
        self.put(f"[ai-webhook: {line}]\n".encode(errors="replace"))

    def content(self) -> bytes:
        """Read from the open file: the program may have put something else in its place."""
        self.close_output()
        return os.pread(self.file, os.fstat(self.file).st_size, 0)

    def close(self) -> None:
        os.close(self.file)


class Child:
    """A started program. Raises OSError when it cannot be started."""

    def __init__(
        self,
        line: Sequence[str],
        *,
        run: str,
        folder: Path,
        environment: Mapping[str, str],
        log: Log,
        stdin: Path | None,
        errors: Log | None = None,
    ) -> None:
        """What it prints goes into `log`, and its standard error too, unless that has a log of its own (`errors`)."""
        self.run = run
        self.logs = [log] if errors is None else [log, errors]
        self.started = time.monotonic()
        with open(stdin or os.devnull, "rb") as given:
            self.process = subprocess.Popen(
                line,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if errors is None else subprocess.PIPE,
                bufsize=0,
                cwd=folder,
                env={**environment, RUN: run},
                start_new_session=True,
            )
        self.handle: int | None = None
        self.code: int | None = None
        try:
            self.attend()
        except OSError:  # no descriptors left: what nobody listens to must not run
            self.process.kill()
            self.process.wait()
            raise

    def attend(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.streams = [stream for stream in (self.process.stdout, self.process.stderr) if stream is not None]
        for stream, log in zip(self.streams, self.logs, strict=True):
            os.set_blocking(stream.fileno(), False)
            self.selector.register(stream.fileno(), selectors.EVENT_READ, partial(self.listen, stream.fileno(), log))
        if HAS_PROC:
            self.handle = os.pidfd_open(self.process.pid)
            self.selector.register(self.handle, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        return self.process.pid

    def listen(self, output: int, log: Log) -> bool:
        """Takes what the program has printed; False when there is no more for now."""
        try:
            data = os.read(output, 65536)
        except BlockingIOError:
            return False
        if data:
            log.write(data)
        else:
            self.selector.unregister(output)
        return bool(data)

    def watch(self, until: float, call: int) -> bool:
        """Listens until the program has ended (then True), the clock is at `until`, or the descriptor `call` speaks."""
        self.selector.register(call, selectors.EVENT_READ)
        try:
            while (left := until - time.monotonic()) > 0:
                keys = [key for key, _ in self.selector.select(left if self.handle is not None else LOOK_SECONDS)]
                for key in keys:
                    if key.data is not None:
                        key.data()
                if self.has_ended({key.fd for key in keys}):
                    return True
                if any(key.fd == call for key in keys):
                    return False
            return False
        finally:
            self.selector.unregister(call)

    def has_ended(self, speaking: set[int]) -> bool:
        # Where there is a handle it is not waited for yet: until then its number and its session are nobody else's.
        return self.process.poll() is not None if self.handle is None else self.handle in speaking

    def end(self, grace_seconds: float, hurry: Hurry = lambda: False) -> int:
        """Ends what is left of it, by TERM and after the grace by KILL, and answers the program's exit code."""
        if self.code is None:
            end_processes(self.run, self.pid, grace_seconds, hurry, meanwhile=self.drain)
            self.code = self.process.wait()
            self.drain()
            for log in self.logs:
                log.close_output()
        return self.code

    def drain(self) -> None:
        """Takes what was printed; a filled pipe would keep a program from ending."""
        for stream, log in zip(self.streams, self.logs, strict=True):
            while stream.fileno() in self.selector.get_map() and self.listen(stream.fileno(), log):
                continue
        if self.handle is None:
            self.process.poll()  # elsewhere a program that has ended stays in its group until it is waited for

    def close(self) -> None:
        self.selector.close()
        if self.handle is not None:
            os.close(self.handle)
        for stream in self.streams:
            stream.close()


def end_processes(
    run: str, session: int | None, grace_seconds: float, hurry: Hurry, *, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Ends every process of a run. `session` is the number of its first process, if that is surely still its own."""
    began = time.monotonic()
    number = signal.SIGTERM
    told: set[int] = set()
    pause = LOOK_SECONDS / 16
    while True:
        found, is_sure = processes_of(run, session)
        waited = time.monotonic() - began
        if not found and (is_sure or waited >= EXEC_SECONDS):
            return
        if number == signal.SIGTERM and (waited >= grace_seconds or hurry()):
            number = signal.SIGKILL
            told.clear()
        if waited > grace_seconds + KILL_SECONDS:
            return
        for pid in found:
            if number == signal.SIGKILL or pid not in told:  # TERM once: some programs take the second for "at once"
                send(pid, number)
                told.add(pid)
        meanwhile()
        time.sleep(pause)
        pause = min(LOOK_SECONDS, 2 * pause)


def send(pid: int, number: int) -> None:
    """To a process; where we know only of the first one of a session, to its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if HAS_PROC:
            os.kill(pid, number)
        else:
            os.killpg(pid, number)


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    state: str
    parent: int
    session: int
    started: int  # clock ticks since the machine's start: with the number it is one process and no other


def processes_of(run: str, session: int | None) -> tuple[list[int], bool]:
    """Live processes that carry the run's mark, are in its session, or descend from one that does; and whether these
    are surely all: False while one that began after the session's first shows no environment, as in the middle of an
    exec, which a process that left the session may be in."""
    if not HAS_PROC:
        return ([session] if session is not None and group_is_alive(session) else []), True
    mark = f"{RUN}={run}".encode()
    processes = list(all_processes())
    began = next((process.started for process in processes if process.pid == session), None)
    alive = [process for process in processes if process.state not in "ZX" and process.pid != os.getpid()]
    environments = {process.pid: environment_of(process.pid) for process in alive}
    ours = {p.pid for p in alive if (session is not None and p.session == session) or mark in environments[p.pid]}
    found = 0
    while len(ours) > found:
        found = len(ours)
        ours |= {process.pid for process in alive if process.parent in ours}
    since = [p for p in alive if began is not None and p.started >= began and p.session]  # the kernel's own have none
    return sorted(ours), not any(environments[p.pid] == EXECUTING for p in since)


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def all_processes() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := process_at(int(name))):
            yield process


def process_at(pid: int) -> Process | None:
    """See proc_pid_stat(5): the second field is the program's name in parentheses and may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Process(pid, fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))


def environment_of(pid: int) -> frozenset[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return frozenset(file.read().split(b"\0"))
    except OSError:  # it ended, or is another user's
        return frozenset()


def is_process(pid: int, started: int, run: str) -> bool:
    """Whether this is the process that a run began with, and not another that got its number since."""
    process = process_at(pid) if HAS_PROC else None
    return process is not None and process.started == started and f"{RUN}={run}".encode() in environment_of(pid)


def end_orphans(run: str, pid: int | None, started: int | None, grace_seconds: float) -> None:
    """Ends what a run left behind whose runner is gone."""
    known = pid is not None and started is not None and is_process(pid, started, run)
    end_processes(run, pid if known else None, grace_seconds, lambda: False)
