"""Reads a `.sql` file into named statements. A statement is called by the function of the same name."""

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString

NAME = re.compile(r"^-- name: (\w+)[^\S\n]*$", re.MULTILINE)
NAMES: dict[str, str] = {}  # `subject.name` of each statement, by its text


@cache
def statements(subject: str) -> dict[str, LiteralString]:
    """The statements of `store/<subject>.sql`, by name. Our own files are the only SQL there is."""
    text = files("store").joinpath(f"{subject}.sql").read_text(encoding="utf-8")
    parts = NAME.split(text)
    found: dict[str, LiteralString] = {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    NAMES.update({body: f"{subject}.{name}" for name, body in found.items()})
    return found
