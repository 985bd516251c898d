"""Reads a `.sql` file into named statements. A statement is called by the function of the same name."""

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString

NAME = re.compile(r"^-- name: (\w+)[^\S\n]*$", re.MULTILINE)


@cache
def statements(subject: str) -> dict[str, LiteralString]:
    """The statements of `store/<subject>.sql`, by name. Our own files are the only SQL there is."""
    text = files("store").joinpath(f"{subject}.sql").read_text(encoding="utf-8")
    parts = NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
