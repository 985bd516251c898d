"""`ai-webhook bench`: figures and ratios measured side by side in one run."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import typer

from domain.settings import Settings
from ops.cli import AsJson, app
from ops.output import show_items

Measure = Callable[[Settings], list[dict[str, Any]]]
What = Literal["ingest", "pipeline", "claim", "search", "all"]


@app.command()
def bench(
    what: Annotated[What, typer.Argument(help="What to measure.")] = "all",
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Claims also from a queue of a million tasks, search also in a million chunks; filling takes minutes.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the service on this machine, on a fresh folder."""
    from ops.bench import pipeline
    from ops.bench_claim import claim
    from ops.bench_drain import drain
    from ops.bench_ingest import ingest
    from ops.bench_search import bench_search

    settings = Settings.from_env()
    measures: Mapping[str, Sequence[Measure]] = {
        "ingest": [ingest],
        "pipeline": [pipeline, drain],
        "claim": [partial(claim, deep=deep)],
        "search": [partial(bench_search, deep=deep)],
    }
    chosen = [measure for name, several in measures.items() if what in (name, "all") for measure in several]
    rows = [row for measure in chosen for row in measure(settings)]
    columns = ["name", "value", "unit", "reference", "ratio", "goal", "ok"]
    show_items(rows, columns, as_json=as_json, empty="")
