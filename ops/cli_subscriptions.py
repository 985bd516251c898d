"""Commands for what goes out: who is told of tasks and memories, and what was sent."""

from typing import Annotated

import typer

from ops.cli import AsJson, Data, Limit, app, service
from ops.output import say, say_json, show_items

subscriptions = typer.Typer(help="Who is told outside of what happens to tasks and memories.", no_args_is_help=True)
app.add_typer(subscriptions, name="subscriptions")

COLUMNS = ["name", "kind", "target", "events", "enabled", "waiting", "failed", "last_delivered", "disabled_why"]


@subscriptions.command("list")
def list_subscriptions(as_json: AsJson = False, data: Data = None) -> None:
    """All of them, with what waits and what failed."""
    with service(data) as client:
        items = client.call("list_subscriptions")["items"]
    show_items(items, COLUMNS, as_json=as_json, empty="No subscription yet. `ai-webhook subscriptions add` makes one.")


@subscriptions.command("add")
def add_subscription(
    name: str,
    kind: Annotated[str, typer.Option("--kind", help="webhook, github, linear or slack.")],
    to: Annotated[str, typer.Option("--to", help="A URL, owner/repo, the id of a team, or a channel.")],
    event: Annotated[
        list[str] | None, typer.Option("--event", help="As task.completed, memory.* or *; may be repeated.")
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only tasks of this agent.")] = None,
    memory_type: Annotated[
        list[str] | None, typer.Option("--memory-type", help="Only memories of this type; may be repeated.")
    ] = None,
    details: Annotated[bool, typer.Option("--details", help="Send what people said, too, beyond the title.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Tell somebody outside of what happens from now on. Its secret is the setting AI_WEBHOOK_OUT_SECRET_NAME."""
    with service(data) as client:
        made = client.call(
            "add_subscription",
            name=name,
            kind=kind,
            target=to,
            events=event or [],
            agent_name=agent,
            memory_types=memory_type or None,
            details=details,
        )
    variable = f"AI_WEBHOOK_OUT_SECRET_{name.upper().replace('-', '_')}"
    say_json(made) if as_json else say(f"{name} is told from now on; workers take its secret from {variable}.")


def change(action: str, name: str, done: str, as_json: bool, data: Data) -> None:
    with service(data) as client:
        answer = client.call(f"{action}_subscription", name)
    say_json(answer) if as_json else say(f"{name} {done}.")


@subscriptions.command("remove")
def remove_subscription(name: str, as_json: AsJson = False, data: Data = None) -> None:
    """Forget a subscription with its log and its exports."""
    change("remove", name, "is forgotten", as_json, data)


@subscriptions.command("enable")
def enable_subscription(name: str, as_json: AsJson = False, data: Data = None) -> None:
    """Go on where it stopped."""
    change("enable", name, "is told again, from where it stopped", as_json, data)


@subscriptions.command("disable")
def disable_subscription(name: str, as_json: AsJson = False, data: Data = None) -> None:
    """Send nothing more for now."""
    change("disable", name, "is told nothing for now", as_json, data)


@subscriptions.command("deliveries")
def list_outgoing(
    name: str,
    state: Annotated[str | None, typer.Option(help="waiting, delivered, failed or skipped.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """What went out to a subscription, latest first, without bodies."""
    with service(data) as client:
        items = client.call("list_outgoing", name, state=state, limit=limit)["items"]
    columns = ["id", "event", "subject", "state", "attempts", "status_code", "error_code", "created"]
    show_items(items, columns, as_json=as_json, empty=f"Nothing went out to {name} yet.")


@subscriptions.command("replay")
def replay_outgoing(id: str, as_json: AsJson = False, data: Data = None) -> None:
    """Send one again, with all its tries."""
    with service(data) as client:
        sent = client.call("replay_outgoing", id)
    say_json(sent) if as_json else say(f"{sent['id']} is {sent['state']}.")
