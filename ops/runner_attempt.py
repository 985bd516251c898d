"""One task from its claim to its end: the lease, the program that does the task, and what the service is told of it."""

import errno
import hashlib
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from access.client import Client, ServiceError
from domain.errors import AIWebhookError, SettingsError, Unavailable
from ops.runner_allowing import Allowed, CommandRefused
from ops.runner_folder import (
    FILE_BYTES,
    PROGRESS,
    RESULT,
    RunFolder,
    RunFolders,
    left_files,
    progress_of,
    prompt_for,
    question_of,
    result_of,
)
from ops.runner_process import Child, Log, environment_for, process_at
from ops.runner_repository import RepositoryRefused, Worktree, add_worktree
from ops.runner_templates import Command

AGAIN_SECONDS = 1.0  # between two tries while the service is away
LOOK_SECONDS = 2.0  # between two looks at progress.txt
HAS_A_QUESTION = 75
QUESTION_CHARACTERS = 1000  # of a title are enough to search by, and fit into a URL
LOST = frozenset({"claim_lost", "invalid_move", "unknown_task"})
# Of a log that is refused as a whole: PostgreSQL indexes a text only if its different words are below 1 MiB.
LOG_CHARACTERS = 256 * 1024
FORMATS = {".md": "markdown", ".json": "json", ".html": "html", ".csv": "csv", ".diff": "diff", ".patch": "diff"}


@dataclass(frozen=True, slots=True)
class Setup:
    """What all tasks of a runner share."""

    agent: str
    command: Command | None  # None: it runs what native clients send, as far as `allowed` says
    environment: Mapping[str, str]
    lease_seconds: int = 120
    log_bytes: int = 1024 * 1024
    repositories: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    allowed: Allowed | None = None
    keep_runs: bool = False
    grace_seconds: float = 5.0
    stop_seconds: float = 10.0


class Ending(Protocol):
    """How a task's thread learns that the runner is to end, and tells it that nothing can be run here."""

    call: int  # a descriptor that can be read from the moment at which running programs are to stop

    def is_over(self) -> bool: ...
    def is_urgent(self) -> bool: ...
    def give_up(self, error: AIWebhookError) -> None: ...


class Dropped(Exception):
    """The task is out of our hands. `why` is cancelled, lost, or unsettled: the service was not there to be told."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def is_away(error: AIWebhookError) -> bool:
    """Whether the same request may do later: the service, its database, or a proxy before it is not itself now."""
    if not isinstance(error, ServiceError):
        return isinstance(error, Unavailable)
    return error.status >= 500 or error.status in (401, 429) or error.code == "unexpected_answer"


class Lease:
    """Our hold on a task. By our clock it ends before it does by the database's, so that we stop first."""

    def __init__(self, client: Client, task_id: str, token: str, *, seconds: int, since: float) -> None:
        self.client = client
        self.task_id = task_id
        self.token = token
        self.seconds = seconds
        self.hold(since)

    def hold(self, since: float) -> None:
        """`since` is a time before the lease was asked for. A request may hang for a while before we can stop."""
        self.renew_at = since + self.seconds / 3
        self.ends = since + self.seconds - min(10.0, self.seconds / 6)

    def is_over(self) -> bool:
        return time.monotonic() >= self.ends

    def renew(self, **said: Any) -> None:
        """Tries once. Raises Dropped when the task is not ours any more, and nothing while the service is away."""
        now = time.monotonic()
        self.renew_at = now + AGAIN_SECONDS
        try:
            task = self.post("renew", lease_seconds=self.seconds, **said)
        except AIWebhookError as error:
            if error.code in LOST:
                raise Dropped("lost") from None
            return
        if task["status"] == "cancelled":
            raise Dropped("cancelled")
        self.hold(now)

    def renew_if_due(self) -> None:
        if time.monotonic() >= self.renew_at:
            self.renew()

    def start(self, process_id: int) -> None:
        """Says which process does the task. Nothing depends on it, so one try is enough while the service is away."""
        try:
            self.post("start", process_id=process_id)
        except AIWebhookError as error:
            if error.code in LOST:
                raise Dropped("lost") from None

    def move(self, move: str, is_urgent: Callable[[], bool], **body: Any) -> None:
        """Tells the service, as long as the lease lasts. Raises Dropped, or ServiceError when it is refused."""
        while True:
            try:
                self.post(move, **body)
            except AIWebhookError as error:
                if error.code in LOST:
                    raise Dropped("lost") from None
                if not is_away(error):
                    raise
            else:
                return
            self.wait_for_service(is_urgent)

    def wait_for_service(self, is_urgent: Callable[[], bool]) -> None:
        if self.is_over() or is_urgent():
            raise Dropped("unsettled")
        time.sleep(AGAIN_SECONDS)

    def post(self, move: str, **body: Any) -> Any:
        return self.client.call(f"{move}_task", self.task_id, claim_token=self.token, **body)


def attach(client: Client, task_id: str, name: str, data: bytes, *, id: str, type: str = "document") -> str:
    """Leaves a file with a task and returns the artifact's id. A file that comes again under an id replaces it."""
    format = FORMATS.get(Path(name).suffix.lower())
    return client.upload_artifact(name, data, type=type, format=format, task_id=task_id, id=id)["id"]


class Attempt:
    """A claim of ours, and what is done about it."""

    def __init__(
        self, client: Client, setup: Setup, folders: RunFolders, ending: Ending, claim: Mapping[str, Any], since: float
    ) -> None:
        self.client = client
        self.setup = setup
        self.ending = ending
        self.claim = claim
        self.task_id = str(claim["task_id"])
        self.run_id = uuid.uuid4().hex
        self.lease = Lease(client, self.task_id, claim["claim_token"], seconds=setup.lease_seconds, since=since)
        self.environment = environment_for(setup.variables, setup.environment)
        self.worktree: Worktree | None = None
        self.child: Child | None = None
        self.folder: RunFolder = folders.make(self.task_id, claim["attempt"], self.state())
        self.log = Log(self.folder.path / "output.log", setup.log_bytes)
        self.seconds = 0.0
        self.progress_at = 0

    def run(self) -> str:
        """Does the task and answers what became of it: completed, failed, asked, released, or the why of Dropped."""
        became = "unsettled"
        try:
            became = self.do()
        except Dropped as dropped:
            became = dropped.why
        finally:
            self.close(became)
        return became

    def do(self) -> str:
        try:
            self.prepare()
            child = self.spawn()
        except (RepositoryRefused, CommandRefused) as error:
            return self.fail(error.message, retry=error.retry)
        except OSError as error:
            return self.cannot_start(error)
        self.lease.start(child.pid)
        ended = self.watch(child)
        code = child.end(self.setup.grace_seconds, self.ending.is_urgent)
        self.seconds = round(time.monotonic() - child.started, 3)
        return self.settle(ended, code)

    def prepare(self) -> None:
        """The folder as the program finds it."""
        if self.claim.get("command") is not None:
            raise CommandRefused("commands_off", "The runner that claimed it runs no commands of clients.")
        task = self.task()
        repository = task["input_data"].get("repository")
        if repository is not None:
            path = self.folder.worktree
            self.worktree = add_worktree(repository, self.setup.repositories, path, self.environment)
            self.folder.write_state(self.state())
        self.folder.write_task(task, prompt_for(task, self.folder))

    def task(self) -> dict[str, Any]:
        """The task as it was claimed, without the token that would let the program move it."""
        known = {
            name: value for name, value in self.claim.items() if name not in ("task_id", "claim_token", "lease_until")
        }
        input_data = known["input_data"] if isinstance(known["input_data"], dict) else {"value": known["input_data"]}
        answers = input_data.get("answers")
        return {
            "id": self.task_id,
            "type": known.pop("task_type"),
            **known,
            "input_data": input_data,
            "answers": answers if isinstance(answers, list) else [],
            "context": self.context(),
        }

    def context(self) -> Any:
        """What is known about the task's subject. It helps, but a task can be done without."""
        try:
            return self.client.get_context(self.claim["title"][:QUESTION_CHARACTERS])
        except AIWebhookError:
            return None

    def program(self) -> Command:
        assert self.setup.command is not None, "a runner of commands has attempts of its own"
        return self.setup.command

    def seconds_allowed(self) -> float:
        return self.program().seconds

    def spawn(self) -> Child:
        folder, command = self.folder, self.program()
        values = {
            "prompt": folder.prompt_file.read_text(encoding="utf-8"),
            "prompt_file": str(folder.prompt_file),
            "task_file": str(folder.task_file),
            "folder": str(folder.path),
            "output": str(folder.output),
            "task_id": self.task_id,
        }
        self.child = Child(
            command.line(values),
            run=self.run_id,
            folder=self.worktree.path if self.worktree else folder.path,
            environment={
                **self.environment,
                "AI_WEBHOOK_TASK_ID": self.task_id,
                "AI_WEBHOOK_OUTPUT": str(folder.output),
            },
            log=self.log,
            stdin=folder.prompt_file if command.prompt_by_stdin() else None,
        )
        folder.write_state(self.state())
        return self.child

    def state(self) -> dict[str, Any]:
        """What the next runner has to know if this one is killed."""
        process = process_at(self.child.pid) if self.child else None
        return {
            "task_id": self.task_id,
            "claim_token": self.lease.token,
            "agent": self.setup.agent,
            "run": self.run_id,
            "pid": process.pid if process else None,
            "started": process.started if process else None,
            "repository": str(self.worktree.repository) if self.worktree else None,
        }

    def watch(self, child: Child) -> str:
        """Until the program has `ended`, is `late`, or is to be `stopped`. Raises Dropped."""
        limit = child.started + self.seconds_allowed()
        while True:
            now = time.monotonic()
            if self.lease.is_over():
                raise Dropped("lost")
            if now >= limit:
                return "late"
            if self.ending.is_over():
                return "stopped"
            said = self.new_progress()
            if said or now >= self.lease.renew_at:
                self.lease.renew(**said)
            until = min(limit, self.lease.renew_at, self.lease.ends, now + LOOK_SECONDS)
            if child.watch(until, self.ending.call):
                return "ended"

    def new_progress(self) -> dict[str, Any]:
        try:
            changed_at = os.stat(self.folder.output / PROGRESS, follow_symlinks=False).st_mtime_ns
        except OSError:
            return {}
        if changed_at == self.progress_at:
            return {}
        self.progress_at = changed_at
        progress, note = progress_of(self.folder)
        return {name: value for name, value in {"progress": progress, "note": note}.items() if value is not None}

    def settle(self, ended: str, code: int) -> str:
        """Tells the service how it ended, after what was left is attached."""
        if ended == "stopped":
            return self.release()
        result = result_of(self.folder)
        artifacts = self.attach_all(result)
        is_done = code in self.program().success_codes
        if ended == "late":
            return self.fail(f"The command took longer than its {self.seconds_allowed():g} seconds.", retry=True)
        if (is_done or code == HAS_A_QUESTION) and (question := question_of(self.folder)):
            self.move("ask", question=question)
            return "asked"
        if not is_done:
            return self.fail(sentence_for(code), retry=True)
        output_data = {**(result or {}), "exit_code": code, "seconds": self.seconds}
        try:
            self.move("complete", output_data=output_data, artifacts=artifacts)
        except ServiceError as error:  # what the task has to bring is not there, or too much
            return self.fail(error.message, retry=True)
        return "completed"

    def attach_all(self, result: Mapping[str, Any] | None) -> list[str]:
        """Attaches what the program left and, last, its log with notes about what could not be attached."""
        types = (result or {}).get("artifact_types")
        types = types if isinstance(types, dict) else {}
        made = []
        for name, data, why in self.left(result):
            self.lease.renew_if_due()
            type = "diff" if name == "changes.diff" else types.get(name)
            id, why = (
                (None, why) if data is None else self.attach(name, data, type if isinstance(type, str) else "document")
            )
            if id is None:
                self.log.note(f"{name} was not attached: {why}.")
            else:
                made.append(id)
        return made + self.attach_log()

    def left(self, result: Mapping[str, Any] | None) -> Iterator[tuple[str, bytes | None, str]]:
        yield from (left for left in left_files(self.folder) if not (left[0] == RESULT and result is not None))
        if self.worktree:
            yield self.changes(self.worktree)

    def changes(self, worktree: Worktree) -> tuple[str, bytes | None, str]:
        try:
            diff = worktree.changes(FILE_BYTES)
        except ValueError:
            return "changes.diff", None, f"it is longer than {FILE_BYTES} bytes"
        except (OSError, subprocess.SubprocessError):
            return "changes.diff", None, "git could not make it"
        return ("changes.diff", diff, "") if diff else ("changes.diff", None, "nothing was changed")

    def attach_log(self) -> list[str]:
        """The log, if there is anything in it; a part of it where all of it is refused."""
        content = self.log.content().decode(errors="replace").replace("\0", "�")
        for part in (len(content), LOG_CHARACTERS):
            if content and (id := self.attach("output.log", shortened(content, part).encode(), "log")[0]):
                return [id]
        return []

    def attach(self, name: str, data: bytes, type: str) -> tuple[str | None, str]:
        """(the artifact's id, ""), or (None, why there is none). Waits for the service as long as the lease lasts."""
        id = "artifact_" + hashlib.sha256(f"{self.run_id} {name}".encode()).hexdigest()[:16]
        while True:
            try:
                return attach(self.client, self.task_id, name, data, id=id, type=type), ""
            except AIWebhookError as error:
                if not is_away(error):
                    return None, f"it was refused ({error.code})"
            self.lease.renew_if_due()
            self.lease.wait_for_service(self.ending.is_urgent)

    def cannot_start(self, error: OSError) -> str:
        """A prompt that does not fit fails its task; else it is not the task's fault, and others would fail, too."""
        if error.errno == errno.E2BIG:
            return self.fail("The prompt is too long for an argument of a command.", retry=False)
        reason = f"The command cannot be started: {error.strerror}."
        self.ending.give_up(SettingsError(reason, hint="Look at the command and at the space on the disk."))
        return self.release()

    def fail(self, error: str, *, retry: bool) -> str:
        self.move("fail", error=error, retry=retry)
        return "failed"

    def release(self) -> str:
        self.move("release")
        return "released"

    def move(self, move: str, **body: Any) -> None:
        self.lease.move(move, self.ending.is_urgent, **body)

    def close(self, became: str) -> None:
        """Nothing of the run is left running, and nothing on disk, but what the next runner needs to settle it."""
        if self.child:
            self.child.end(self.setup.grace_seconds, self.ending.is_urgent)
            self.child.close()
        self.log.close()
        if self.worktree and not self.setup.keep_runs:
            self.worktree.remove()
        if became == "unsettled":
            self.folder.leave()
        else:
            self.folder.forget(keep=self.setup.keep_runs)


def shortened(text: str, characters: int) -> str:
    if len(text) <= characters:
        return text
    half = characters // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def sentence_for(code: int) -> str:
    """What the exit code says. The output may say more, but it is for the log alone: it may be private."""
    if code < 0:
        return f"The command was ended by signal {-code}."
    if code == HAS_A_QUESTION:
        return f"The command ended with exit code {code}, but left no question."
    return f"The command ended with exit code {code}."
