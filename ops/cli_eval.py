"""`ai-webhook eval`: what the service makes of data that others labelled, for their scorers to score."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from domain.errors import Refused
from ops.cli import AsJson, app
from ops.output import note, show_items

evaluate = typer.Typer(name="eval", help="What it makes of data that others labelled.", no_args_is_help=True)
app.add_typer(evaluate)

Output = Annotated[Path, typer.Option("-o", "--output", help="Where to write the predictions, a line each.")]


@evaluate.command()
def extraction(
    file: Annotated[Path, typer.Argument(help='Utterances: {"meeting", "i", "speaker", "text"}, a line each.')],
    output: Output,
    as_json: AsJson = False,
) -> None:
    """Label utterances as the default extractors would."""
    from ops.eval_extraction import counts, predictions

    found = list(predictions(read_lines(file)))
    output.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in found))
    note(f"{len(found)} labelled utterances in {output}")
    show_items(counts(found), ["label", "utterances"], as_json=as_json, empty="No utterance got a label.")


def read_lines(file: Path) -> list[dict[str, Any]]:
    rows = []
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise unreadable(file, 0, type(error).__name__) from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            rows.append(utterance(file, number, line))
    return rows


def utterance(file: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise unreadable(file, number, "is no JSON") from None
    if not isinstance(row, dict) or not {"meeting", "i", "text"} <= row.keys() or not isinstance(row["text"], str):
        raise unreadable(file, number, 'has not "meeting", "i" and "text"')
    return row


def unreadable(file: Path, number: int, why: str) -> Refused:
    where = f"Line {number} of {file} {why}." if number else f"{file} cannot be read: {why}."
    return Refused(where, hint='Give a file with one {"meeting", "i", "speaker", "text"} a line.')
