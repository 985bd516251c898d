"""`ai-webhook eval`: what the service makes of data that others labelled, for their scorers to score."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from domain.errors import Refused
from domain.settings import Settings
from ops.cli import AsJson, app
from ops.output import note, show_items

evaluate = typer.Typer(name="eval", help="What it makes of data that others labelled.", no_args_is_help=True)
app.add_typer(evaluate)

UTTERANCES = 'one {"meeting", "i", "speaker", "text"} a line'
CONVERSATIONS = 'a list of {"conversation", "turns": [{"id", "speaker", "text"}], "questions": [{"q"}]}'

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


@evaluate.command()
def search(
    file: Annotated[Path, typer.Argument(help='A list of {"conversation", "turns", "questions"}.')],
    output: Output,
    unit: Annotated[str, typer.Option("--unit", help="turn or window, which is a chunk.")] = "turn",
    as_json: AsJson = False,
) -> None:
    """Ask questions about conversations, in a database of their own."""
    from ops.eval_search import run, scratch
    from store.embedding import embedder

    if unit not in ("turn", "window"):
        raise Refused("The unit is turn or window.")
    conversations = read_conversations(file)
    settings = Settings.from_env()
    with scratch(settings, conversations) as conn:
        answers = list(run(conn, conversations, "turn" if unit == "turn" else "window", embedder(settings)))
    output.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in answers))
    note(f"{len(answers)} questions answered in {output}")
    told = [
        {
            "conversation": talk["conversation"],
            "turns": len(talk["turns"]),
            "questions": len(talk["questions"]),
            "found nothing": sum(not a["ranked"] for a in answers if a["conversation"] == talk["conversation"]),
        }
        for talk in conversations
    ]
    show_items(told, ["conversation", "turns", "questions", "found nothing"], as_json=as_json, empty="No conversation.")


def read_conversations(file: Path) -> list[dict[str, Any]]:
    try:
        found = orjson.loads(file.read_bytes())
    except OSError as error:
        raise unreadable(file, 0, type(error).__name__, CONVERSATIONS) from None
    except orjson.JSONDecodeError:
        raise unreadable(file, 0, "it is no JSON", CONVERSATIONS) from None
    fits = isinstance(found, list) and all(
        isinstance(talk, dict)
        and isinstance(talk.get("conversation"), str)
        and all(
            isinstance(turn, dict) and isinstance(turn.get("text"), str) and "id" in turn
            for turn in talk.get("turns", [])
        )
        and all(isinstance(asked, dict) and isinstance(asked.get("q"), str) for asked in talk.get("questions", []))
        for talk in found
    )
    if not fits:
        raise unreadable(file, 0, "it has another form", CONVERSATIONS)
    return [{"turns": [], "questions": [], **talk} for talk in found]


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


def unreadable(file: Path, number: int, why: str, form: str = UTTERANCES) -> Refused:
    where = f"Line {number} of {file} {why}." if number else f"{file} cannot be read: {why}."
    return Refused(where, hint=f"Give a file with {form}.")
