"""`ai-webhook audit`: who read, changed, approved and deleted what."""

from datetime import datetime
from typing import Annotated, Any

import typer

from ops.cli import AsJson, Data, Limit, app, service
from ops.cli_records import instant
from ops.output import show_items


@app.command()
def audit(
    since: Annotated[datetime | None, typer.Option("--since", help="Only from this time on, UTC.")] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Only of this person, or this token's name.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Only this, such as get_session or log_in.")] = None,
    about: Annotated[str | None, typer.Option("--object", help="Only about what has this id.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Latest first; ids, never what was said."""
    asked: dict[str, Any] = {"since": instant(since), "actor": actor, "action": action, "object": about}
    with service(data) as client:
        items = client.call("list_audit", **asked, limit=limit)["items"]
    columns = ["at", "actor", "via", "action", "kind", "object", "outcome", "times"]
    show_items(items, columns, as_json=as_json, empty="Nothing that fits was kept.")
