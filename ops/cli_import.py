"""The command that takes over a tree of JSON files."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from domain.settings import Settings
from ops.cli import AsJson, Data, app
from ops.output import errors, say, say_json, show_items


@app.command("import-json")
def import_json(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with `sessions/` in it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read everything, keep nothing.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Take over sessions, chunks, memories, tasks and artifacts from JSON files; again for what is new or changed."""
    from ops.cli_care import note_deed, places
    from ops.import_tree import Importer
    from store.database import connect

    settings = Settings.from_env()
    with places(settings, data) as (database, _), connect(database, "import") as conn:
        importer = Importer(conn, settings, folder, dry_run=dry_run)
        found = importer.folders()
        if not dry_run:
            note_deed(database, "import_json")
        with Progress(console=errors, transient=True) if errors.is_terminal else nullcontext() as progress:
            step = progress.add_task("importing", total=len(found)) if progress else None
            for one in found:
                importer.run(one)
                if progress and step is not None:
                    progress.advance(step)
    report = importer.report
    if as_json:
        say_json({"dry_run": dry_run, "sessions": report.sessions, "files": report.counts, "left": report.left})
    else:
        counts = [{"files": kind, **outcomes} for kind, outcomes in report.counts.items()]
        show_items(
            counts, ["files", "added", "changed", "unchanged"], as_json=False, empty="There is nothing to import."
        )
        if report.left:
            say("\nLeft:")
            show_items(report.left, ["file", "code", "reason"], as_json=False, empty="")
        if dry_run:
            say("\nNothing was kept: this was a trial.")
    if report.left:
        raise typer.Exit(1)
