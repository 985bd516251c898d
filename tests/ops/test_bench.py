"""The benches run and give rows of one shape. What they measure is not asserted: a busy machine says nothing."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from domain.settings import Settings
from ops.bench import Row, pipeline
from ops.bench_backup import Sizes as BackupSizes
from ops.bench_backup import back_up_and_restore
from ops.bench_drain import drain
from ops.bench_ingest import Sizes, ingest
from ops.bench_search import Sizes as SearchSizes
from ops.bench_search import bench_search

TINY = Sizes(rounds=1, posts=64, paced=100, long_ones=2, step=64, steps=2)


def check_shape(rows: Sequence[Row], *, names: int) -> None:
    assert len({row["name"] for row in rows}) == len(rows) == names
    for row in rows:
        assert list(row) == ["name", "value", "unit", "reference", "ratio", "goal", "ok"]
        assert row["value"] >= 0
        assert (row["goal"] is None) == (row["ok"] is None)
        assert (row["ratio"] is None) == (not row["reference"])


def test_bench_ingest_measures_an_endpoint() -> None:
    rows = ingest(Settings(), TINY)
    check_shape(rows, names=(5 if sys.platform == "linux" else 4) + bool(find_spec("fastapi")))
    assert all(row["value"] > 0 for row in rows)


def test_bench_pipeline_measures_a_whole_service() -> None:
    rows = pipeline(Settings(), posts=2, queries=2)
    check_shape(rows, names=7 if sys.platform == "linux" else 6)
    assert all(row["value"] > 0 for row in rows)


def test_bench_drains_one_backlog_after_the_other() -> None:
    check_shape(drain(Settings(), transcripts=20, rounds=1), names=4 if find_spec("celery") else 3)


def test_bench_search_asks_a_store_of_its_own() -> None:
    rows = bench_search(Settings(), sizes=SearchSizes(turns=1_960, chunks=400, questions=20, written=5))
    check_shape(rows, names=10)
    assert all(row["value"] > 0 for row in rows)


def test_bench_backup_writes_and_restores() -> None:
    rows = back_up_and_restore(Settings(), sizes=BackupSizes(turns=980, chunks=200))
    check_shape(rows, names=3)
    assert all(row["value"] > 0 for row in rows)
