"""How an agent's program is called: the built-in templates, what an agent's row may say instead, the checks of both.

What was said may stand in the prompt only, and the prompt reaches a program by its standard input, as one argument, or
as a file. There is no shell anywhere, so that no word of a transcript becomes a program or an option.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import SettingsError

PLACEHOLDERS = ("prompt", "prompt_file", "task_id", "folder", "output", "task_file")
PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
# After one of these a program takes the next argument for the prompt, whatever it looks like.
PROMPT_MAY_FOLLOW = ("-p", "--print", "--prompt", "-m", "--message", "--", "exec", "run")
# After one of these an interpreter takes the next argument for a program.
CODE_FOLLOWS = re.compile(r"^(-[a-zA-Z]*[ce]|--eval|--command|--exec)$")

# The prompt goes by standard input, since every user of the machine can read the arguments of a process. None of them
# may do more than edit files in its folder; who wants more says so after `--` or in the agent's row.
# https://code.claude.com/docs/en/headless, https://developers.openai.com/codex/noninteractive,
# https://geminicli.com/docs/cli/headless/
TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "claude": ("-p", "--add-dir", "{output}", "--permission-mode", "acceptEdits", "--output-format", "json"),
    "codex": ("exec", "--skip-git-repo-check", "--sandbox", "workspace-write", "--add-dir", "{output}", "-"),
    "gemini": ("--approval-mode", "auto_edit", "--include-directories", "{output}", "--output-format", "json"),
}


@dataclass(frozen=True, slots=True)
class Command:
    """A program by its absolute path, the arguments with their placeholders, and what counts as done."""

    program: str
    arguments: tuple[str, ...]
    seconds: float
    success_codes: frozenset[int]

    def prompt_by_stdin(self) -> bool:
        found = {name for argument in self.arguments for name in PLACEHOLDER.findall(argument)}
        return not found & {"prompt", "prompt_file"}

    def line(self, values: Mapping[str, str]) -> list[str]:
        """The argument list; what a placeholder brings in is not looked at again and stays within its argument."""
        return [self.program, *(PLACEHOLDER.sub(lambda m: values[m[1]], argument) for argument in self.arguments)]


class RowOptions(BaseModel):
    """`metadata.runner` of an agent's row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arguments: list[str] | None = None
    prompt: Annotated[str | None, Field(pattern="^(stdin|argument|file)$")] = None
    seconds: Annotated[float | None, Field(gt=0, le=7 * 24 * 3600)] = None
    success_codes: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=1)] = [0]


def command_for(
    agent: Mapping[str, Any], given: Sequence[str], *, programs: Sequence[str], seconds: float, path: str | None
) -> Command:
    """What to run for an agent: the operator's own words if there are any, else what the row names, if it may.

    Raises SettingsError with a sentence for whatever cannot be run. `path` is where programs are looked for.
    """
    options = options_of(agent)
    program, arguments = (given[0], tuple(given[1:])) if given else named_by_row(agent, options, programs)
    if PLACEHOLDER.search(program):
        raise SettingsError("The program itself cannot be a placeholder.", hint="Name the program, then its arguments.")
    check_arguments(arguments)
    found = shutil.which(program, path=path)
    if found is None:
        raise SettingsError(f"There is no program {program} here.", hint="Install it, or give a command after `--`.")
    return Command(os.path.abspath(found), arguments, options.seconds or seconds, frozenset(options.success_codes))


def options_of(agent: Mapping[str, Any]) -> RowOptions:
    try:
        return RowOptions.model_validate((agent.get("metadata") or {}).get("runner") or {})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in ("metadata", "runner", *first["loc"]))
        raise SettingsError(f"The agent's row is wrong at {where}: {first['msg']}.", hint="Correct the row.") from None


def named_by_row(agent: Mapping[str, Any], options: RowOptions, programs: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    program = agent.get("command")
    if not program:
        raise SettingsError(f"The agent {agent['name']} has no command.", hint="Give one after `--`.")
    if program not in programs:
        raise SettingsError(
            f"The command of the agent {agent['name']} is none of those that a row may name: {', '.join(programs)}.",
            hint="Add it to AI_WEBHOOK_RUNNER_PROGRAMS, or give a command after `--`.",
        )
    arguments = TEMPLATES.get(program, ()) if options.arguments is None else tuple(options.arguments)
    wanted = {"argument": "{prompt}", "file": "{prompt_file}"}.get(options.prompt or "")
    if wanted and not any(wanted in argument for argument in arguments):
        raise SettingsError(f"The agent's row has no {wanted} in its arguments.", hint="Say where the prompt goes.")
    return program, arguments


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuses a template in which what was said, or an id that a sender chose, could be taken for an option or code."""
    for before, argument in zip(("", *arguments), arguments, strict=False):
        spoken = "{prompt}" in argument or "{task_id}" in argument
        if spoken and CODE_FOLLOWS.match(before):
            raise SettingsError(f"After {before} what was said would be run as code.", hint="Use {prompt_file}.")
        if argument.startswith("{task_id}"):
            raise SettingsError("An argument may not begin with {task_id}.", hint="Write --id={task_id} or the like.")
        if argument.startswith("{prompt}") and before not in PROMPT_MAY_FOLLOW:
            raise SettingsError(
                "{prompt} has to follow an argument after which no option is read: "
                + " ".join(PROMPT_MAY_FOLLOW)
                + ".",
                hint="Put -- before it, use {prompt_file}, or leave it out: the prompt then goes by standard input.",
            )
