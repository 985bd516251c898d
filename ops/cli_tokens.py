"""Commands for tokens: who may do what over HTTP and MCP."""

import re
from typing import Annotated

import typer

from domain.errors import InvalidRequest
from ops.cli import AsJson, Data, app, service
from ops.output import note, say, say_json, show_items

tokens = typer.Typer(help="Bearer tokens of people and agents.", no_args_is_help=True)
app.add_typer(tokens, name="token")

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@tokens.command("create")
def create_token(
    name: str,
    scope: Annotated[list[str], typer.Option("--scope", help="read, write, review, admin, claim or claim:AGENT.")],
    valid: Annotated[str | None, typer.Option("--for", help="How long, as 90d, 12h or 30m; unset: no end.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a token; it is printed this once, and nothing can print it again."""
    with service(data) as client:
        made = client.call("create_token", name=name, scopes=scope, seconds=seconds_of(valid))
    if as_json:
        say_json(made)
    else:
        note(f"{made['name']} may {', '.join(made['scopes'])}. The token, shown this once:")
        say(made["token"])


def seconds_of(text: str | None) -> int | None:
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,6})([smhd])", text.strip())
    if found is None:
        raise InvalidRequest("`--for` is a number and s, m, h or d.", hint="90d is ninety days.")
    return int(found[1]) * UNITS[found[2]]


@tokens.command("list")
def list_tokens(as_json: AsJson = False, data: Data = None) -> None:
    """Newest first, without the tokens themselves, which are nowhere."""
    with service(data) as client:
        items = client.call("list_tokens")["items"]
    columns = ["name", "scopes", "created", "expires_at", "revoked_at", "last_used"]
    show_items(items, columns, as_json=as_json, empty="No token yet. `ai-webhook token create NAME` makes one.")


@tokens.command("revoke")
def revoke_token(name: str, as_json: AsJson = False, data: Data = None) -> None:
    """Make a token open nothing any more, within a second."""
    with service(data) as client:
        revoked = client.call("revoke_token", name)
    say_json(revoked) if as_json else say(f"The token {name} opens nothing any more.")
