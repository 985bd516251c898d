"""Commands for the web console: how people come in."""

from typing import Annotated

import typer

from domain.settings import Settings
from ops.cli import AsJson, Data, app, service
from ops.output import note, say, say_json

console = typer.Typer(help="The web console.", no_args_is_help=True)
app.add_typer(console, name="console")


@console.command("link")
def link(
    role: Annotated[str, typer.Option("--role", help="viewer, reviewer or admin, for somebody new.")] = "admin",
    person: Annotated[str | None, typer.Option("--person", help="Who is to choose a new password instead.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a link by which somebody comes in: good once, for an hour."""
    with service(data) as client:
        made = client.call("create_login_link", role=role, person=person)
        address = (Settings.from_env().public_url or client.url).rstrip("/") + made["path"]
    if as_json:
        say_json(made | {"url": address})
    else:
        note(f"Good once, until {made['expires_at']}, for {person or 'a new ' + made['role']}:")
        say(address)
