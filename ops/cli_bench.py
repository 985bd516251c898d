"""`ai-webhook bench`: figures and ratios measured side by side in one run."""

from typing import Annotated, Literal

import typer

from domain.settings import Settings
from ops.cli import AsJson, app
from ops.output import show_items


@app.command()
def bench(
    what: Annotated[Literal["pipeline", "all"], typer.Argument(help="What to measure.")] = "all",
    as_json: AsJson = False,
) -> None:
    """Measure the service on this machine, on a fresh folder."""
    from ops.bench import pipeline

    rows = pipeline(Settings.from_env())
    columns = ["name", "value", "unit", "goal", "ok"]
    show_items(rows, columns, as_json=as_json, empty="")
