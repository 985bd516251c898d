"""The table of docs/reliability.md: one row for each fault, with the recovery time last measured."""

import re
from collections.abc import Iterable, Mapping

from tests.conftest import ROOT
from tests.faults.catalogue import FAULTS

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults -->", "<!-- end of faults -->"
HEAD = ["| fault | what is done | what happens | recovery |", "| --- | --- | --- | --- |"]


def rows_of(page: str) -> dict[str, list[str]]:
    """The cells of each row, by the fault's name."""
    table = page.split(BEGIN)[1].split(END)[0]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.strip().splitlines()[2:]]
    return {row[0]: row for row in rows}


def table(times: Mapping[str, str], names: Iterable[str] = FAULTS) -> str:
    rows = [
        f"| {name} | {FAULTS[name].done} | {FAULTS[name].becomes} | {times.get(name, 'not measured')} |"
        for name in names
    ]
    return "\n".join([*HEAD, *rows])


def write(times: Mapping[str, str]) -> None:
    """Puts these times into the page; what was not measured now keeps the time that it had."""
    page = PAGE.read_text("utf-8")
    known = {name: row[3] for name, row in rows_of(page).items()} | dict(times)
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table(known)}\n{END}{after}", "utf-8")


def seconds_of(cell: str) -> float:
    found = re.match(r"([\d.]+) s", cell)
    assert found is not None, cell
    return float(found[1])
