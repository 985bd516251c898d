"""Commands that forget: a session, a person, a source. What would go is counted first, and a typed yes lets it go."""

import sys
from collections import Counter
from typing import Annotated, Any

import typer

from access.client import Client
from domain.errors import InvalidRequest
from ops.cli import AsJson, Data, app, service
from ops.output import note, say, say_json

forgets = typer.Typer(
    help="Forget a session, a person or a source, with everything that came of it.", no_args_is_help=True
)
app.add_typer(forgets, name="forget")

Yes = Annotated[bool, typer.Option("--yes", help="Forget without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")]
PARTS = ("sessions", "turns", "chunks", "memories", "tasks", "artifacts", "deliveries")


@forgets.command("session")
def forget_session(
    id: str,
    unseen: Annotated[bool, typer.Option("--unseen", help="Also when nothing of it is recorded yet.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Forget a session. What still comes for it is dropped, until somebody makes a session of this id by hand."""
    with service(data, timeout_seconds=120) as client:
        forget(client, "forget_session", id, {"unseen": True if unseen else None}, dry_run, yes, as_json)


@forgets.command("person")
def forget_person(
    name: Annotated[str, typer.Argument(help="The name they speak under, or an id or address among participants.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Forget what somebody said, in every session; where only they and assistants spoke, the session."""
    with service(data, timeout_seconds=120) as client:
        forget(client, "forget_person", None, {"person": name}, dry_run, yes, as_json)


@forgets.command("source")
def forget_source(
    name: str,
    older_than: Annotated[
        int | None, typer.Option("--older-than", help="Only sessions without activity for so many days.", min=1)
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Forget every session that a source told anything of. What it sends later begins anew."""
    with service(data, timeout_seconds=120) as client:
        asked = {"source": name, "older_than_days": older_than}
        forget(client, "forget_source", None, asked, dry_run, yes, as_json)


def forget(
    client: Client, route: str, id: str | None, asked: dict[str, Any], dry_run: bool, yes: bool, as_json: bool
) -> None:
    if dry_run or not yes:
        counted = all_pages(client, route, id, asked | {"dry_run": True})
        if dry_run:
            say_json(dict(counted) | {"dry_run": True}) if as_json else say(f"{parts_of(counted)} would go.")
            return
        note(f"{parts_of(counted)} will be gone, and nothing but a backup brings them back.")
        ask_for_yes()
    gone = all_pages(client, route, id, asked)
    if as_json:
        say_json(dict(gone) | {"dry_run": False})
    else:
        say(f"{parts_of(gone)} are forgotten. What still waits in the queue goes within seconds.")


def all_pages(client: Client, route: str, id: str | None, asked: dict[str, Any]) -> Counter[str]:
    """Twenty sessions a request, so that nobody waits for long."""
    counted = Counter[str](dict.fromkeys(PARTS, 0))
    after: str | None = None
    while True:
        answer: dict[str, Any] = client.call(route, id, **(asked | {"after": after}))
        counted.update({part: answer[part] for part in PARTS})
        after = answer["next"]
        if after is None:
            return counted


def parts_of(counted: Counter[str]) -> str:
    told = [f"{n:,} {part if n != 1 else one(part)}" for part, n in counted.items() if n]
    return ", ".join(told) or "Nothing"


def one(part: str) -> str:
    return part[:-3] + "y" if part.endswith("ies") else part[:-1]


def ask_for_yes() -> None:
    if not sys.stdin.isatty():
        raise InvalidRequest("Nobody is there to be asked.", hint="Add --yes if that is meant, or --dry-run to count.")
    if typer.prompt("Type yes to forget", default="no", show_default=False) != "yes":
        raise InvalidRequest("Nothing was forgotten.", hint="Type the whole word yes.")
