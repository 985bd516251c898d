"""Which commands may be run. Bob runs the runner; Charlie has the API key and tries what he can."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import SettingsError
from domain.settings import Settings
from ops.runner_allowing import Allowed, CommandRefused, Line, allowed_by, line_for, program_at
from ops.runner_process import environment_for

SECRET = "the safe opens with 4711"
PATH = os.environ["PATH"]


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in the folder that is allowed; beside that folder a file that nobody may read."""
    (tmp_path / ".gitconfig").write_text("[user]\nname = Alice\nemail = alice@example.com\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    repository = tmp_path / "allowed" / "tiles"
    repository.mkdir(parents=True)
    (tmp_path / "secret").write_text(SECRET)
    git(repository, "init", "--quiet", "--initial-branch=main")
    (repository / "plan.md").write_text("Blue tiles\n")
    (repository / "out").symlink_to(tmp_path)
    git(repository, "add", "plan.md")
    git(repository, "commit", "--quiet", "-m", "Plan")
    return repository


@pytest.fixture
def allowed(tiles: Path) -> Allowed:
    values = {"AI_WEBHOOK_RUNNER_COMMANDS": "git,ls,cat", "AI_WEBHOOK_RUNNER_FOLDERS": str(tiles.parent)}
    return allowed_by(Settings.from_env(values, env_file=None), PATH)


def line(allowed: Allowed, folder: Path | None, *argv: str, **more: object) -> Line:
    command = {"argv": list(argv), "working_dir": None if folder is None else str(folder), "timeout": 30, **more}
    return line_for(command, allowed, environment_for((), os.environ))


def run(allowed: Allowed, folder: Path, *argv: str) -> str:
    made = line(allowed, folder, *argv)
    done = subprocess.run(
        made.words, cwd=made.folder, env=dict(made.environment), check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.mark.parametrize(
    "argv",
    [
        ["git", "status"],
        ["git", "status", "--short", "--branch"],
        ["git", "status", "--porcelain=v2", "-uno"],
        ["git", "log", "--oneline", "-5"],
        ["git", "log", "-n", "5", "--since=2 days ago", "--format=%h %s", "main", "--", "plan.md"],
        ["git", "log", "--author", "Alice", "--stat", "HEAD"],
        ["git", "diff"],
        ["git", "diff", "--cached", "-U1", "HEAD", "--", "plan.md"],
        ["git", "diff", "main..HEAD"],
        ["git", "show", "HEAD:plan.md"],
        ["git", "branch", "-a"],
        ["git", "branch", "--show-current"],
        ["git", "rev-parse", "--abbrev-ref", "HEAD"],
        ["git", "ls-files"],
        ["git", "add", "--dry-run", "plan.md"],
        ["git", "add", "-A", "--dry-run"],
        ["git", "commit", "-q", "--author=Alice <alice@example.com>", "-m", "More", "--allow-empty", "--no-verify"],
        ["ls", "-la"],
        ["ls", "--color=never", "."],
        ["cat", "plan.md"],
    ],
    ids=" ".join,
)
def test_what_is_harmless_is_run_as_it_is(allowed: Allowed, tiles: Path, argv: list[str]) -> None:
    run(allowed, tiles, *argv)


@pytest.mark.parametrize(
    "argv",
    [
        # programs
        ["rm", "-rf", "."],
        ["sh", "-c", "id"],
        ["/bin/ls"],
        ["./ls"],
        ["ls;rm"],
        ["ls\n"],
        ["$(ls)"],
        ["`ls`"],
        ["LD_PRELOAD=x.so", "ls"],
        ["env", "ls"],
        ["GIT"],
        ["git "],
        ["ls", "\0"],
        ["ls", "\x1b[2J"],
        # paths that lead out
        ["cat", "/etc/passwd"],
        ["cat", "../../secret"],
        ["cat", "out/secret"],
        ["cat", "x/../../../secret"],
        ["cat", "plan.md\n/etc/passwd"],
        ["ls", "--ignore=/etc"],
        ["ls", "-I/etc"],
        ["ls", "-I../.."],
        ["ls", "--", "/"],
        # before the subcommand
        ["git"],
        ["git", "-c", "alias.x=!sh", "x"],
        ["git", "-calias.x=!sh", "x"],
        ["git", "--exec-path=/tmp/bin", "status"],
        ["git", "-C", "/", "status"],
        ["git", "--git-dir=/srv/other.git", "log"],
        ["git", "--work-tree=/", "add", "-A"],
        ["git", "--config-env=core.pager=HOME", "log"],
        ["git", "-p", "log"],
        ["git", "--paginate", "log"],
        ["git", "--namespace=x", "log"],
        # subcommands
        ["git", "x"],
        ["git", "clone", "ext::sh -c id"],
        ["git", "fetch", "ext::sh -c id"],
        ["git", "fetch", "--upload-pack=id", "origin"],
        ["git", "pull"],
        ["git", "push", "--receive-pack=id", "origin"],
        ["git", "ls-remote", "ext::sh"],
        ["git", "remote", "add", "x", "ext::sh"],
        ["git", "config", "core.pager", "id"],
        ["git", "submodule", "foreach", "id"],
        ["git", "bisect", "run", "id"],
        ["git", "rebase", "--exec", "id"],
        ["git", "filter-branch"],
        ["git", "grep", "-Oid", "x"],
        ["git", "grep", "--open-files-in-pager=id", "x"],
        ["git", "difftool", "-x", "id"],
        ["git", "archive", "--remote=x"],
        ["git", "worktree", "add", "/tmp/x"],
        ["git", "reset", "--hard"],
        ["git", "clean", "-fdx"],
        ["git", "checkout", "."],
        ["git", "hook", "run", "pre-commit"],
        ["git", "help", "status"],
        ["git", "daemon"],
        ["git", "status\0log"],
        ["git", "\N{EN DASH}c"],
        # options
        ["git", "log", "--output=/etc/x"],
        ["git", "log", "--output", "x"],
        ["git", "log", "--outp=x"],
        ["git", "diff", "--ext-diff"],
        ["git", "diff", "--ext"],
        ["git", "diff", "--textconv"],
        ["git", "show", "--textconv", "HEAD:plan.md"],
        ["git", "show", "--show-signature"],
        ["git", "diff", "--no-index", "/etc/passwd", "plan.md"],
        ["git", "diff", "--no-inde", "plan.md", "plan.md"],
        ["git", "diff", "/etc/passwd", "plan.md"],
        ["git", "diff", "../../secret", "plan.md"],
        ["git", "diff", "out/secret", "plan.md"],
        ["git", "diff", "--", "-/../../../secret", "plan.md"],
        ["git", "diff", "-O/etc/passwd"],
        ["git", "diff", "-"],
        ["git", "log", "-L1,2:plan.md"],
        ["git", "log", "--stdin"],
        ["git", "log", "-G4711"],
        ["git", "log", "\N{EM DASH}output=x"],
        ["git", "log", "\N{MINUS SIGN}\N{EN DASH}output=x", "../../secret"],
        ["git", "branch", "-D", "main"],
        ["git", "branch", "-m", "main", "other"],
        ["git", "branch", "--edit-description"],
        ["git", "branch", "--set-upstream-to=x"],
        ["git", "rev-parse", "--parseopt"],
        ["git", "rev-parse", "--git-path", "x"],
        ["git", "ls-files", "--exclude-from=/etc/passwd"],
        ["git", "ls-files", "-X/etc/passwd"],
        ["git", "ls-files", "--recurse-submodules"],
        ["git", "add", "-p"],
        ["git", "add", "-i"],
        ["git", "add", "-e"],
        ["git", "add", "--chmod=+x", "plan.md"],
        ["git", "add", "--pathspec-from-file=/etc/passwd"],
        ["git", "add", "../../secret"],
        ["git", "commit", "-F", "/etc/passwd"],
        ["git", "commit", "-F/etc/passwd"],
        ["git", "commit", "--file=/etc/passwd"],
        ["git", "commit", "-t/etc/passwd"],
        ["git", "commit", "-e"],
        ["git", "commit", "-S"],
        ["git", "commit", "--gpg-sign=x"],
        ["git", "commit", "--amend"],
        ["git", "commit", "-m"],
        ["git", "commit", "-m", "x", "--file=/etc/passwd"],
        ["git", "commit", "-mx"],
        # one option takes another one for its value
        ["git", "log", "--author", "--", "--output=x"],
        ["git", "log", "--grep", "--", "-Oid"],
        ["git", "branch", "--sort", "--", "-D", "main"],
        ["git", "commit", "--author", "-m", "--file=/etc/passwd"],
        ["git", "commit", "--date", "-m", "-F/etc/passwd"],
        ["git", "commit", "--author", "--message", "--file=/etc/passwd"],
        ["git", "commit", "-m", "-m", "--file=/etc/passwd"],
    ],
    ids=lambda argv: " ".join(argv).encode("unicode_escape").decode(),
)
def test_what_is_not_known_to_be_harmless_is_refused(allowed: Allowed, tiles: Path, argv: list[str]) -> None:
    with pytest.raises(CommandRefused, match=r"^command_not_allowed: ") as caught:
        line(allowed, tiles, *argv)
    assert not any(word and word in caught.value.message for word in argv[1:] if len(word) > 12)


@pytest.mark.parametrize("place", ["/", "/etc", "..", "tiles", "{tiles}/../..", "{tiles}/out", "{tiles}/plan.md", "\0"])
def test_a_folder_that_is_not_allowed_is_refused(allowed: Allowed, tiles: Path, place: str) -> None:
    with pytest.raises(CommandRefused, match=r"^folder_not_allowed: "):
        line(allowed, Path(place.format(tiles=tiles)), "ls")


def test_without_a_folder_it_is_run_in_the_first_that_is_allowed(allowed: Allowed, tiles: Path) -> None:
    assert line(allowed, None, "ls").folder == tiles.parent


def test_a_link_within_the_folders_is_followed(allowed: Allowed, tiles: Path) -> None:
    (tiles.parent / "link").symlink_to(tiles)
    assert line(allowed, tiles.parent / "link", "ls").folder == tiles


@pytest.mark.parametrize("command", [None, "git status", [], {}, {"argv": "git status"}, {"argv": [1]}, {"argv": []}])
def test_what_is_no_command_is_refused(allowed: Allowed, command: object) -> None:
    with pytest.raises(CommandRefused, match=r"^(not_a_command|command_not_allowed): "):
        line_for(command, allowed, {})


def test_a_command_has_a_time_whatever_it_says(allowed: Allowed, tiles: Path) -> None:
    assert line(allowed, tiles, "ls", timeout=10**9).seconds == 300
    assert line(allowed, tiles, "ls", timeout=-1).seconds > 0


def test_branches_are_listed_and_never_made(allowed: Allowed, tiles: Path) -> None:
    run(allowed, tiles, "git", "branch", "feature")
    assert git(tiles, "branch", "--format=%(refname:short)").split() == ["main"]


def test_a_message_may_look_like_anything(allowed: Allowed, tiles: Path) -> None:
    (tiles / "plan.md").write_text("Green tiles\n")
    run(allowed, tiles, "git", "commit", "-a", "-m", "--file=/etc/passwd\n$(id)")
    assert git(tiles, "log", "-1", "--format=%B").strip() == "--file=/etc/passwd\n$(id)"


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """A program that leaves `tmp_path/ran` when it is run, whoever runs it; it must not be."""
    program = tmp_path / "mark"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    yield program
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    [
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "core.sshCommand",
        "diff.external",
        "diff.x.textconv",
        "diff.x.command",
        "filter.x.clean",
        "filter.x.smudge",
        "filter.x.process",
        "gpg.program",
        "core.hooksPath",
    ],
)
def test_the_settings_of_a_repository_start_no_program(allowed: Allowed, tiles: Path, mark: Path, name: str) -> None:
    hooks = tiles / ".git" / "hooks"
    for hook in ("pre-commit", "post-index-change", "post-commit", "commit-msg", "reference-transaction"):
        shutil.copy(mark, hooks / hook)
    git(tiles, "config", "commit.gpgSign", "true")
    git(tiles, "config", "log.showSignature", "true")
    git(tiles, "config", name, str(hooks if name == "core.hooksPath" else mark))
    (tiles / ".gitattributes").write_text("* diff=x filter=x\n")
    (tiles / "plan.md").write_text("Green tiles\n")
    for argv in (["status"], ["diff"], ["log", "-p"], ["show", "HEAD:plan.md"], ["add", "-A"], ["commit", "-m", "x"]):
        try:
            made = line(allowed, tiles, "git", *argv)
        except CommandRefused as error:
            assert error.code == "repository_not_allowed"
        else:
            subprocess.run(made.words, cwd=made.folder, env=dict(made.environment), check=False, capture_output=True)


def test_settings_that_are_included_count_too(allowed: Allowed, tiles: Path, mark: Path) -> None:
    (tiles / "more").write_text(f'[filter "x"]\nclean = {mark}\n')
    git(tiles, "config", "include.path", str(tiles / "more"))
    with pytest.raises(CommandRefused, match=r"^repository_not_allowed: "):
        line(allowed, tiles, "git", "status")


def test_a_repository_beyond_the_folders_is_refused(allowed: Allowed, tiles: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(tiles), str(other))
    git(other, "worktree", "add", "--quiet", str(tiles.parent / "tree"))
    git(tmp_path, "init", "--quiet")
    for folder in (tiles.parent, tiles.parent / "tree"):  # within a larger one; a worktree of another one
        with pytest.raises(CommandRefused, match=r"^folder_not_allowed: "):
            line(allowed, folder, "git", "status")


def test_outside_of_a_repository_git_is_refused(allowed: Allowed, tiles: Path) -> None:
    with pytest.raises(CommandRefused, match=r"^folder_not_allowed: "):
        line(allowed, tiles.parent, "git", "diff", "tiles/plan.md", "tiles/plan.md")


@pytest.mark.parametrize("name", ["sh", "bash", "python3", "python3.11", "env", "find", "sudo", "/bin/ls", "no-such"])
def test_a_program_that_runs_others_cannot_be_allowed(name: str) -> None:
    with pytest.raises(SettingsError):
        program_at(name, PATH)


@pytest.mark.parametrize(
    ("programs", "folders"), [("", ""), ("git", ""), ("", "/tmp"), ("git", "tiles"), ("git", "/"), ("git", "/no-such")]
)
def test_settings_that_allow_nothing_or_everything_are_refused(programs: str, folders: str) -> None:
    values = {"AI_WEBHOOK_RUNNER_COMMANDS": programs, "AI_WEBHOOK_RUNNER_FOLDERS": folders}
    with pytest.raises(SettingsError):
        allowed_by(Settings.from_env(values, env_file=None), PATH)
