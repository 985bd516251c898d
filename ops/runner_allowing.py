"""Which commands of native clients may be run: programs and folders by the operator's settings, git by the lists here.

Whoever has the API key may have sent a command, so that what is not known to be harmless is refused. Nothing is changed
in what a client sent: it is run as it is, with options before it that keep git from starting programs, or not at all.
"""

import os
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import AIWebhookError, SettingsError
from domain.settings import Settings, named
from ops.runner_repository import QUIET, is_within, run_git

MOST_SECONDS = 300.0
GIT_SECONDS = 20
# What runs a program that its arguments name. Listing one would allow them all.
_LAUNCHERS = """
    sh bash dash zsh ksh csh tcsh fish busybox env xargs find sudo su doas ssh nohup setsid timeout time nice watch exec
    python perl ruby node deno bun php lua awk gawk mawk sed vi vim nvim emacs ed ex less more man tar make docker
    podman kubectl npx npm pip uv cargo go parallel strace gdb script tmux screen rg
    sort split rsync scp sftp zip"""
LAUNCHERS = frozenset(_LAUNCHERS.split())

# Nothing here reaches the network or asks; hooks, pagers, editors, signing and housekeeping are programs, too.
_SETTINGS = (
    "core.pager=cat",
    "core.editor=false",
    "core.sshCommand=false",
    "core.askPass=false",
    "core.alternateRefsCommand=false",
    "credential.helper=",
    "gpg.program=false",
    "gpg.ssh.program=false",
    "gpg.x509.program=false",
    "commit.gpgSign=false",
    "log.showSignature=false",
    "diff.ignoreSubmodules=all",
    "status.submoduleSummary=false",
    "submodule.recurse=false",
    "protocol.allow=never",
    "protocol.ext.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
)
GIT_OPTIONS = ("--no-pager", *QUIET, *(part for setting in _SETTINGS for part in ("-c", setting)))
GIT_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "false",
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS": "false",
}
# Settings of a repository by which git starts programs that no option of ours can forbid, or works elsewhere.
PROGRAM_SETTING = re.compile(
    r"^(filter\..*\.(clean|smudge|process)|diff\..*\.(command|textconv)|diff\.external|merge\..*\.driver|core\.worktree)$",
    re.IGNORECASE,
)

_SHOWN = """
    --oneline --stat --shortstat --numstat --name-only --name-status --summary -p -u --patch --no-patch -s --raw -z
    --no-color --no-renames -M -w -b --ignore-all-space --ignore-space-change --word-diff --unified --abbrev --no-abbrev
    --abbrev-commit --no-abbrev-commit --full-index --diff-filter --exit-code --quiet --check --reverse -R"""
_COMMITS = """
    --decorate --no-decorate --date --format --pretty --graph --all --branches --tags --remotes --first-parent --merges
    --no-merges --max-count -n --skip --since --until --after --before --author --committer --grep -i -E -F --all-match
    --invert-grep --follow --topo-order --date-order --author-date-order --left-right --cherry-pick --ancestry-path
    --no-notes --source"""
_LOOKING = ("--no-ext-diff", "--no-textconv", "--ignore-submodules=all")


@dataclass(frozen=True, slots=True)
class Subcommand:
    """What of git may be used: these options and no others. `first` goes before them; after `texts` comes free text.
    Where there is such text, an option that takes a value ends in `=`: it could take one of `texts` for its value."""

    options: frozenset[str]
    first: tuple[str, ...] = ()
    texts: frozenset[str] = frozenset()


def _subcommand(options: str, first: Sequence[str] = (), texts: str = "") -> Subcommand:
    return Subcommand(frozenset(options.split()), tuple(first), frozenset(texts.split()))


# Not among them: what takes from or gives to elsewhere (fetch, pull, push, clone, remote, submodule), what throws work
# away (reset, checkout, clean, rebase, stash), and what runs programs or reads any file (grep -O, bisect, config, …).
SUBCOMMANDS: Mapping[str, Subcommand] = {
    "status": _subcommand(
        "-s --short -b --branch --porcelain --long -z -u -uno -uall -unormal --untracked-files --ignored --show-stash"
        " --ahead-behind --no-ahead-behind",
        ["--ignore-submodules=all"],
    ),
    "log": _subcommand(_SHOWN + _COMMITS, _LOOKING),
    "show": _subcommand(_SHOWN + _COMMITS, _LOOKING),
    "diff": _subcommand(_SHOWN + " --cached --staged --merge-base", _LOOKING),
    "branch": _subcommand(
        "--list -l -a --all -r --remotes -v -vv --show-current --merged --no-merged --contains --no-contains"
        " --points-at --sort --format --ignore-case -i --no-color",
        ["--list"],
    ),
    "rev-parse": _subcommand(
        "--verify -q --quiet --short --abbrev-ref --symbolic-full-name --show-toplevel --show-prefix --show-cdup"
        " --git-dir --is-inside-work-tree --is-bare-repository"
    ),
    "ls-files": _subcommand("-c --cached -d --deleted -m --modified -o --others -s --stage -t -z --exclude-standard"),
    "add": _subcommand("-A --all -u --update -n --dry-run -v --verbose -N --intent-to-add"),
    "commit": _subcommand(
        "-m --message -a --all -am -q --quiet --allow-empty --dry-run --no-verify --author= --date= -s --signoff",
        ["--no-gpg-sign"],
        "-m --message -am",
    ),
}
COUNT = re.compile(r"^-(?:n|U|M)?[0-9]{1,6}$")


class CommandRefused(AIWebhookError):
    """A command that is not run. `message` is `code: sentence`, as it stands with the task and is told its sender."""

    retry = False

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Allowed:
    """The programs, each with its absolute path, and the folders, links resolved."""

    programs: Mapping[str, str]
    folders: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """What is run, where, and for how long at most."""

    words: list[str]
    folder: Path
    environment: Mapping[str, str]
    seconds: float


def allowed_by(settings: Settings, path: str | None) -> Allowed:
    """Raises SettingsError for settings that allow nothing, or everything."""
    programs = {name: program_at(name, path) for name in named(settings.runner_commands)}
    folders = tuple(folder_at(name) for name in named(settings.runner_folders))
    if not programs or not folders:
        raise SettingsError(
            "AI_WEBHOOK_RUNNER_COMMANDS and AI_WEBHOOK_RUNNER_FOLDERS allow nothing yet.",
            hint="List the programs, as git,ls, and the folders that they may be run in.",
        )
    return Allowed(programs, folders)


def program_at(name: str, path: str | None) -> str:
    if "/" in name or re.sub(r"[\d.]+$", "", name) in LAUNCHERS:
        raise SettingsError(
            f"AI_WEBHOOK_RUNNER_COMMANDS may not list {name}.",
            hint="List bare names of programs, and none that runs others.",
        )
    found = shutil.which(name, path=path)
    if found is None or not os.path.isabs(found):
        raise SettingsError(f"There is no program {name} here.", hint="AI_WEBHOOK_RUNNER_COMMANDS lists programs.")
    return found


def folder_at(name: str) -> Path:
    real = Path(os.path.realpath(name))
    if not os.path.isabs(name) or not real.is_dir() or real == Path("/"):
        raise SettingsError(f"{name} of AI_WEBHOOK_RUNNER_FOLDERS is no absolute path of a folder below /.")
    return real


def line_for(command: Any, allowed: Allowed, environment: Mapping[str, str]) -> Line:
    """The line to run for a task's `command`. Raises CommandRefused; OSError when git cannot be started."""
    argv, named_folder, seconds = parts_of(command)
    folder = folder_for(named_folder, allowed)
    program = allowed.programs.get(argv[0])
    if program is None:
        raise not_allowed("The program is none that this runner may run.")
    for word in argv:
        check_word(word)
    if argv[0] != "git":
        check_paths(argv[1:], folder, allowed)
        return Line([program, *argv[1:]], folder, environment, seconds)
    words = git_words(argv[1:], folder, allowed)
    environment = {**environment, **GIT_ENVIRONMENT}
    check_repository(program, folder, allowed, environment)
    return Line([program, *GIT_OPTIONS, *words], folder, environment, seconds)


def not_allowed(sentence: str) -> CommandRefused:
    return CommandRefused("command_not_allowed", sentence)


def parts_of(command: Any) -> tuple[list[str], str | None, float]:
    """(words, folder, seconds) of a task's `command`, whoever wrote it."""
    if not isinstance(command, dict):
        raise CommandRefused("not_a_command", "The task is no command that a native client sent.")
    argv, folder, seconds = command.get("argv"), command.get("working_dir"), command.get("timeout")
    if not (isinstance(argv, list) and argv and all(isinstance(word, str) for word in argv)):
        raise not_allowed("The command is no list of words.")
    if not (folder is None or isinstance(folder, str)) or not isinstance(seconds, int | float):
        raise not_allowed("The command has a wrong folder or time limit.")
    return argv, folder, max(0.1, min(float(seconds), MOST_SECONDS))


def folder_for(given: str | None, allowed: Allowed) -> Path:
    """The folder, links resolved, so that none leads out of what is allowed."""
    if given is None:
        return allowed.folders[0]
    if "\0" in given or not os.path.isabs(given):
        raise CommandRefused("folder_not_allowed", "The command's folder is no absolute path.")
    real = Path(os.path.realpath(given))
    if not is_within(real, allowed.folders) or not real.is_dir():
        raise CommandRefused("folder_not_allowed", "The command's folder is none that this runner may work in.")
    return real


def check_word(word: str) -> None:
    if any(ord(character) < 32 and character not in "\n\t" for character in word):
        raise not_allowed("A word of the command has control characters.")
    if word and word[0] != "-" and unicodedata.category(word[0]) == "Pd":
        raise not_allowed("A word of the command begins with a dash that is no hyphen.")


def check_paths(words: Sequence[str], folder: Path, allowed: Allowed) -> None:
    """That no word leads out of the folders, by links or by `..`, if a program should take it for a path. An option
    with a path in it has to be written `--name=path`."""
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith("-") and ("/" in name or ".." in name):
            raise not_allowed("An option of the command holds a path.")
        check_path(value if word.startswith("-") and equals else word, folder, allowed)


def check_path(word: str, folder: Path, allowed: Allowed) -> None:
    if "\n" in word:
        raise not_allowed("A word of the command has more than one line.")
    try:
        real = Path(os.path.realpath(folder / word))
    except (OSError, ValueError):
        raise not_allowed("A word of the command cannot be looked at as a path.") from None
    if not is_within(real, allowed.folders):
        raise not_allowed("A word of the command leads out of the folders that this runner may work in.")


def git_words(words: Sequence[str], folder: Path, allowed: Allowed) -> list[str]:
    """The subcommand and its arguments, with what we put between. No option may stand before the subcommand."""
    subcommand = SUBCOMMANDS.get(words[0]) if words else None
    if subcommand is None:
        raise not_allowed(f"Of git only {', '.join(sorted(SUBCOMMANDS))} may be run, without options before it.")
    rest = list(words[1:])
    paths: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            if any(path.startswith("-") for path in rest):  # an option before may have taken the `--` for its value
                raise not_allowed("A path of the command begins with a hyphen; write ./ before it.")
            paths += rest
            break
        if word in subcommand.texts:
            if not rest:
                raise not_allowed("An option of the command lacks its text.")
            rest.pop(0)  # what stands there is a message, whatever it looks like
        elif word.startswith("-"):
            check_git_option(word, subcommand)
        else:
            paths.append(word)
    for path in paths:
        check_path(path, folder, allowed)
    first = () if words[1:] == ["--show-current"] else subcommand.first  # which git does not take with --list
    return [words[0], *first, *words[1:]]


def check_git_option(word: str, subcommand: Subcommand) -> None:
    name, equals, _ = word.partition("=")
    if name in subcommand.options and (not equals or name.startswith("--")):
        return
    if equals and name + equals in subcommand.options:
        return
    if COUNT.match(word) and "-p" in subcommand.options:
        return
    raise not_allowed("An option of the command is not among those that this runner lets through.")


def check_repository(git: str, folder: Path, allowed: Allowed, environment: Mapping[str, str]) -> None:
    """That all of the repository lies in the folders, and that its settings start no programs."""
    told = ask_git(git, folder, environment, "rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir")
    places = [Path(os.path.realpath(folder / line)) for line in told.splitlines()]
    if len(places) != 3 or not all(is_within(place, allowed.folders) for place in places):
        raise CommandRefused("folder_not_allowed", "The repository reaches beyond the folders of this runner.")
    listed = ask_git(git, folder, environment, "config", "--list", "--show-scope", "--name-only", "-z").split("\0")
    for scope, name in zip(listed[::2], listed[1::2], strict=False):
        if scope in ("local", "worktree") and PROGRAM_SETTING.match(name):
            raise CommandRefused("repository_not_allowed", "The repository's own settings make git run programs.")


def ask_git(git: str, folder: Path, environment: Mapping[str, str], *words: str) -> str:
    try:
        return run_git([git, *GIT_OPTIONS, *words], folder, environment, GIT_SECONDS)
    except subprocess.SubprocessError:
        raise CommandRefused("folder_not_allowed", "The command's folder is in no git repository.") from None
