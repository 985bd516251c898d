"""`bench api` measures what it says, in small."""

import pytest

from domain.settings import Settings
from ops.bench_api import Sizes, api

pytestmark = pytest.mark.xdist_group("runner")  # whose tests look at every process that a runner started


def test_every_figure_is_measured_beside_its_goal() -> None:
    rows = api(Settings(), Sizes(tasks=100, rounds=1, wakes=3, talks=2, searches=6, calls=3, runs=2))
    assert [row["name"].partition(",")[0] for row in rows] == [
        "claim and complete over HTTP",
        "waiting claim has a new task",
        "search over HTTP",
        "MCP call over HTTP",
        "task by the runner",
    ]
    assert all(row["value"] > 0 and row["goal"] and isinstance(row["ok"], bool) for row in rows)
