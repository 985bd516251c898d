"""What is written is true: settings, commands and routes are documented, and what the README types exists."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import pytest
import typer
import typer.main

import ops.__main__  # noqa: F401 - registers the commands
from domain.settings import (
    FETCH_TOKEN_PREFIX,
    FETCH_URL_PREFIX,
    OUT_SECRET_PREFIX,
    OUT_URL_PREFIX,
    SOURCE_SECRET_PREFIX,
    Settings,
)
from ingest.app import webhook_routes
from ops.cli import app
from tests.conftest import ROOT

COMMANDS: Any = typer.main.get_command(app)
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
# NAME=default, or a comment `# NAME=` where the default is: unset.
LISTED: dict[str, str] = dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE, re.MULTILINE))
# Development credentials, which have no default in the service itself.
FOR_DEVELOPMENT = {"WEBHOOK_API_KEY", "AI_WEBHOOK_TOKEN"}


def readme() -> str:
    return (ROOT / "README.md").read_text("utf-8")


def documentation() -> str:
    """README and docs, with `tasks approve|cancel` written out as `tasks approve` and `tasks cancel`."""
    pages = [readme(), *(page.read_text("utf-8") for page in sorted((ROOT / "docs").glob("*.md")))]
    text = "\n".join(pages).replace("\\|", "|")
    several = re.findall(r"((?:[\w-]+ )+)([\w-]+(?:\|[\w-]+)+)", text)
    return "\n".join([text, *(before + choice for before, choices in several for choice in choices.split("|"))])


def leaves(command: Any, *names: str) -> Iterator[str]:
    """Every sub-command, by its names."""
    if not hasattr(command, "commands"):
        yield " ".join(names)
    for name, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, *names, name)


def test_the_example_lists_every_setting_with_its_default() -> None:
    defaults = {str(field.alias): field.default for field in Settings.model_fields.values() if field.alias}
    assert {name for name in defaults if name not in LISTED} == set()
    shown = {name: value for name, value in LISTED.items() if name in defaults and name not in FOR_DEVELOPMENT}
    assert shown == {name: "" if defaults[name] is None else str(defaults[name]) for name in shown}
    for name in shown:
        assert (f"\n# {name}=" in EXAMPLE) == (defaults[name] is None), f"{name} is a comment only where it is unset"


def test_the_example_lists_nothing_that_is_not_a_setting() -> None:
    known = {str(field.alias) for field in Settings.model_fields.values() if field.alias}
    known |= set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text("utf-8")))
    for_a_name = (SOURCE_SECRET_PREFIX, FETCH_TOKEN_PREFIX, FETCH_URL_PREFIX, OUT_SECRET_PREFIX, OUT_URL_PREFIX)
    assert {name for name in LISTED if name not in known and not name.startswith(for_a_name)} == set()


def test_every_setting_is_explained_in_the_line_above() -> None:
    lines = EXAMPLE.splitlines()
    unexplained = [
        line
        for before, line in pairwise(lines)
        if re.match(r"(# )?[A-Z][A-Z0-9_]*=", line) and not before.startswith("#") and "=" not in before
    ]
    assert unexplained == []


@pytest.mark.parametrize("command", sorted(leaves(COMMANDS)))
def test_every_command_is_documented(command: str) -> None:
    assert re.search(rf"ai-webhook {command}\b", documentation())


def test_every_route_is_documented() -> None:
    text = documentation()
    settings = Settings(webhook_api_key="key")  # type: ignore[arg-type]
    routes = webhook_routes(settings, cast("Any", None))
    # Those of the API are documented by /docs, which tests/access/test_openapi.py compares with them.
    others = {"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/llm-instructions", "/mcp"}
    paths = {re.sub(r":\w+}", "}", route.path) for route in routes} | others
    assert {path for path in paths if not re.search(rf"{re.escape(path)}(?![\w/{{])", text)} == set()


def typed_commands() -> list[str]:
    """The lines of the README's bash blocks that begin with ai-webhook, without what follows a pipe or the like."""
    blocks = re.findall(r"^```bash\n(.*?)^```", readme(), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [re.split(r"\s[|>&;#]", line)[0] for line in lines if line.startswith("ai-webhook ")]


def test_what_the_readme_types_are_commands_and_options_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    typed = typed_commands()
    assert typed
    for line in typed:
        parse(line)


def parse(line: str) -> None:
    """Parses a command line as the command itself would, and runs nothing; raises typer's own complaint."""
    _, *words = shlex.split(line)
    command = COMMANDS
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert words == ["--help"] or not hasattr(command, "commands"), f"{line}: there is no such command"
    try:
        command.make_context("ai-webhook", words)
    except typer.Exit:
        pass  # --help
    except typer.BadParameter as error:
        if "does not exist" not in error.message:  # the reader's own file
            raise
