"""`ai-webhook bench`: figures and ratios measured side by side in one run."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from domain.settings import Settings
from ops.cli import AsJson, app
from ops.output import say_json, show_items

Measure = Callable[[Settings], list[dict[str, Any]]]
What = Literal["ingest", "pipeline", "claim", "search", "api", "console", "backup", "all"]


@app.command()
def bench(
    what: Annotated[What, typer.Argument(help="What to measure.")] = "all",
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Claims also from a queue of a million tasks, search, console and backup with a million chunks;"
            " filling takes minutes.",
        ),
    ] = False,
    history: Annotated[
        Path | None, typer.Option("--history", help="Add the figures to this file, one JSON object a line.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the service on this machine, on a fresh folder."""
    from ops import bench_history
    from ops.bench import pipeline
    from ops.bench_api import api
    from ops.bench_backup import back_up_and_restore
    from ops.bench_claim import claim
    from ops.bench_console import console
    from ops.bench_drain import drain
    from ops.bench_ingest import ingest
    from ops.bench_search import bench_search

    settings = Settings.from_env()
    measures: Mapping[str, Sequence[Measure]] = {
        "ingest": [ingest],
        "pipeline": [pipeline, drain],
        "claim": [partial(claim, deep=deep)],
        "search": [partial(bench_search, deep=deep)],
        "api": [api],
        "console": [partial(console, deep=deep)],
        "backup": [partial(back_up_and_restore, deep=deep)],
    }
    runs = []
    for name, several in measures.items():
        if what in (name, "all"):
            rows = [row for measure in several for row in measure(settings)]
            runs.append(bench_history.described(name, rows, deep=deep))
            if history is not None:
                bench_history.add(history, runs[-1])  # at once: the next may take long, and be broken off
    if as_json:
        say_json(runs)
    else:
        columns = ["name", "value", "unit", "reference", "ratio", "goal", "ok"]
        show_items([row for run in runs for row in run["rows"]], columns, as_json=False, empty="")
