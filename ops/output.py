"""What people and programs read: aligned and coloured on a terminal, plain in a pipe, JSON when asked for."""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

COLOURS = {
    "decision": "green", "action_item": "yellow", "idea": "cyan", "question": "magenta", "risk": "red",
    "processed": "green", "completed": "green", "pending": "yellow", "proposed": "cyan", "failed": "red",
    "unknown": "yellow",
    "ok": "green", "warning": "yellow", "wrong": "red",
}  # fmt: skip


def say(text: str = "") -> None:
    """A line of text as it is; nothing in it is taken for markup."""
    console.print(Text(clean(text)))


def note(text: str) -> None:
    """A line beside the output, for who watches: it is in no pipe."""
    errors.print(Text(clean(text)))


def say_json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def clean(text: str) -> str:
    """Without control characters: what was said must not move the cursor of who reads it."""
    return "".join(c if c == "\n" or c.isprintable() else " " for c in text)


def show_items(items: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """A list: JSON as an array; else a table of these columns, tab-free and aligned."""
    if as_json:
        say_json(items)
    elif not items:
        say(empty)
    elif console.is_terminal:
        show_table(items, columns)
    else:
        cells = [[heading(c) for c in columns], *([cell(item.get(c)) for c in columns] for item in items)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        for row in cells:
            print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())  # noqa: T201


def show_table(items: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(heading(column), overflow="ellipsis", no_wrap=column not in ("title", "quote", "error"))
    for item in items:
        table.add_row(*(coloured(cell(item.get(column))) for column in columns))
    Console(highlight=False).print(table)


def show_record(record: Mapping[str, Any], *, as_json: bool) -> None:
    """One thing: JSON as an object; else a line for each field that has a value."""
    if as_json:
        say_json(record)
        return
    shown = {name: value for name, value in record.items() if value not in (None, [], {}, "")}
    width = max((len(heading(name)) for name in shown), default=0)
    for name, value in shown.items():
        console.print(Text(heading(name).ljust(width + 2), style="bold"), coloured(cell(value)), sep="")


def heading(column: str) -> str:
    return column.replace("_", " ")


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return instant(clean(value))
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return clean(", ".join(value))
    if isinstance(value, list | dict):
        return clean(orjson.dumps(value).decode())
    return str(value)


def instant(text: str) -> str:
    """A time as people read it, in their own zone; any other text as it is."""
    if len(text) < 20 or text[4:5] != "-" or text[10:11] != "T" or not text.endswith("Z"):
        return text
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return text


def coloured(text: str) -> Text:
    return Text(text, style=COLOURS.get(text, ""))


def highlighted(snippet: str, spans: Sequence[Sequence[int]]) -> Text:
    """A search snippet with its matches in bold; in a pipe they stand plain."""
    text = Text(clean(snippet).replace("\n", " "))
    for start, end in spans:
        text.stylize("bold yellow", start, end)
    return text


def complain(message: str, hint: str = "") -> None:
    errors.print(f"[red]Error:[/red] {escape(clean(message))}")
    if hint:
        errors.print(escape(clean(hint)))
