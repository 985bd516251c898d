"""`ai-webhook bench`: figures and ratios measured side by side in one run."""

from typing import Annotated, Literal

import typer

from domain.settings import Settings
from ops.cli import AsJson, app
from ops.output import show_items


@app.command()
def bench(
    what: Annotated[Literal["pipeline", "claim", "all"], typer.Argument(help="What to measure.")] = "all",
    deep: Annotated[
        bool, typer.Option("--deep", help="Claims also from a queue of a million tasks; filling it takes minutes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the service on this machine, on a fresh folder."""
    from ops.bench import pipeline
    from ops.bench_claim import claim

    settings = Settings.from_env()
    rows = [
        *(pipeline(settings) if what != "claim" else []),
        *(claim(settings, deep=deep) if what != "pipeline" else []),
    ]
    columns = ["name", "value", "unit", "reference", "ratio", "goal", "ok"]
    show_items(rows, columns, as_json=as_json, empty="")
