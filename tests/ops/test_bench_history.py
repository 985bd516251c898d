"""What was measured is kept with its machine, and docs/performance.md shows the newest of it."""

from pathlib import Path

import pytest

from domain.errors import InvalidRequest
from ops.bench import row
from ops.bench_history import add, described, in_tables, read
from tests.conftest import ROOT

PAGE = "# Performance\n\n<!-- bench claim -->\nold\n<!-- end -->\nWhat it means.\n"


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    runs = [described("claim", [row("claims", 12.0, "/s", goal=10)], deep=False) for _ in range(2)]
    for run in runs:
        add(tmp_path / "history.jsonl", run)
    assert read(tmp_path / "history.jsonl") == runs
    assert runs[0]["machine"]["cores"] >= 1


def test_a_line_that_is_none_of_ours_is_told(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"what": "claim"}\nnonsense\n')
    with pytest.raises(InvalidRequest, match="Line 2 of"):
        read(tmp_path / "history.jsonl")


def test_a_table_is_that_of_the_newest_run_and_shows_what_was_missed() -> None:
    older = described("claim", [row("claims", 12.0, "/s")], deep=False)
    newer = described("claim", [row("claims", 1_234.5, "/s", goal=1_000, reference=2_469.0)], deep=True)
    page = in_tables(PAGE, [older, newer])
    assert "| claims | 1,234 /s | 2,469 | 0.50 | **1,000** |" in page
    assert "old" not in page and page.endswith("<!-- end -->\nWhat it means.\n")
    assert in_tables(page, [older, newer]) == page
    with pytest.raises(InvalidRequest, match="measured `claim`"):
        in_tables(PAGE, [])


def test_the_page_shows_what_was_measured() -> None:
    page = (ROOT / "docs/performance.md").read_text("utf-8")
    assert page.count("<!-- bench ") == page.count("<!-- end -->") == 7
    assert in_tables(page, read(ROOT / "docs/performance.jsonl")) == page
