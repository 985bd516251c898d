"""A git worktree for a task that names a repository, if that may be worked in; and the changes made in it as a diff."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.errors import AIWebhookError

GIT_SECONDS = 300
# Hooks and watchers of the repository are programs, too, and nobody asked for them to run.
QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")


class RepositoryRefused(AIWebhookError):
    """What a task names cannot be worked in, or with `retry` not now. The message does not repeat what it named."""

    code = "repository_refused"
    hint = "AI_WEBHOOK_RUNNER_REPOSITORIES says where repositories may be."

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


@dataclass(frozen=True, slots=True)
class Worktree:
    """The repository, the folder its files are in for this task, and the commit they began with."""

    repository: Path
    path: Path
    commit: str
    environment: Mapping[str, str]

    def changes(self, limit: int) -> bytes:
        """All that was changed, new files and commits included, as one diff. Raises ValueError when it is longer."""
        git(self.path, ["add", "--all"], self.environment)
        line = ["diff", "--cached", "--binary", "--no-ext-diff", "--no-textconv", self.commit]
        with subprocess.Popen(
            ["git", *QUIET, *line],  # noqa: S607 - the git that the operator has
            cwd=self.path,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None
            diff = process.stdout.read(limit + 1)
            if len(diff) > limit:
                process.kill()
                raise ValueError
        return diff

    def remove(self) -> None:
        remove_worktree(self.repository, self.path, self.environment)


def add_worktree(named: object, allowed: Sequence[str], path: Path, environment: Mapping[str, str]) -> Worktree:
    """A worktree at `path` of what a task named, on no branch. Raises RepositoryRefused; OSError without git."""
    environment = {**environment, "GIT_TERMINAL_PROMPT": "0"}
    if not isinstance(named, str) or not os.path.isabs(named) or "\0" in named:
        raise RepositoryRefused("The task's repository is no absolute path.")
    places = [Path(os.path.realpath(place)) for place in allowed]
    real = Path(os.path.realpath(named))  # no link leads out of what is allowed
    if not is_within(real, places):
        raise RepositoryRefused("The task's repository is none that this runner may work in.")
    if not real.is_dir():
        raise RepositoryRefused("The task's repository is no folder.")
    try:
        top = Path(os.path.realpath(git(real, ["rev-parse", "--show-toplevel"], environment)))
        commit = git(real, ["rev-parse", "--verify", "HEAD^{commit}"], environment)
        # A folder within a larger repository would let all of that be read.
        if not is_within(top, places):
            raise RepositoryRefused("The task's repository is a part of one that this runner may not work in.")
    except subprocess.SubprocessError:
        raise RepositoryRefused("The task's repository is no git repository with a commit.") from None
    try:
        git(top, ["worktree", "add", "--detach", str(path), commit], environment)
    except subprocess.SubprocessError:
        remove_worktree(top, path, environment)
        raise RepositoryRefused("Git could not make a worktree of the task's repository.", retry=True) from None
    return Worktree(top, path, commit, environment)


def is_within(path: Path, places: Sequence[Path]) -> bool:
    return any(path == place or path.is_relative_to(place) for place in places)


def remove_worktree(repository: Path, path: Path, environment: Mapping[str, str]) -> None:
    """Takes a worktree's files away, and what the repository knows of it."""
    shutil.rmtree(path, ignore_errors=True)
    try:
        git(repository, ["worktree", "prune", "--expire", "now"], environment)
    except (OSError, subprocess.SubprocessError):
        return  # the repository is gone or in use; git prunes by itself in time


def git(folder: Path, line: Sequence[str], environment: Mapping[str, str]) -> str:
    return run_git(["git", *QUIET, *line], folder, environment, GIT_SECONDS).strip()


def run_git(line: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float) -> str:
    """What git prints; raises SubprocessError when it fails or takes longer."""
    done = subprocess.run(
        line,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=True,
    )
    return done.stdout
