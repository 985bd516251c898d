"""The benchmark of claims, with numbers so small that only its form can be looked at."""

import os
from importlib.util import find_spec

import orjson
import pytest

from bench.peers.pgqueuer_queue import pgqueuer
from bench.peers.procrastinate_queue import procrastinate
from domain.errors import AIWebhookError
from domain.settings import Settings
from ops.bench_claim import Sizes, measured
from ops.cli import app
from store import bench
from store.database import connect

SMALL = Sizes(seconds=1, rounds=1, pending=30_000, shallow=1_000, deep=(5_000, 10_000), lasting=200)


def test_claims_are_told_beside_what_was_measured_with_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ops.cli_bench  # noqa: F401 - it registers its command

    monkeypatch.setattr("ops.bench_claim.Sizes", lambda: SMALL)
    app(["bench", "claim", "--deep", "--json"], standalone_mode=False)
    out, told = capsys.readouterr()
    [run] = orjson.loads(out)
    assert (run["what"], run["deep"], run["machine"]["cores"]) == ("claim", True, os.cpu_count())
    rows = run["rows"]
    names = [row["name"] for row in rows]
    assert names[:4] == [
        "claims, 1 client",
        "claims, 8 clients",
        "claims, 32 clients",
        "claims in batches of 50, 8 clients",
    ]
    assert "claim to completion, 8 clients, beside the public schema" in names
    assert names[-2:] == [
        "claims, 8 clients, 5,000 pending and 10,000 done",
        "claims, 8 clients, after 1,600 without a pause",
    ]
    for row in rows:
        assert row.keys() == {"name", "value", "unit", "reference", "ratio", "goal", "ok"}
        assert row["value"] > 0 and row["unit"] == "/s" and isinstance(row["ok"], bool)
    for rival in ("procrastinate", "pgqueuer"):
        beside = [name for name in names if name.endswith(f"beside {rival}")]
        assert len(beside) == (2 if find_spec(rival) else 0)
        assert (f"{rival} is not measured" in told) == (not beside)


def test_a_queue_that_runs_dry_has_no_rate() -> None:
    with measured(Settings.from_env({}, env_file=None), SMALL) as here:
        for script in (bench.CLAIM, bench.CLAIM_FIFTY, bench.CLAIM_AND_COMPLETE):
            with connect(here.url, "bench") as conn:
                bench.refill(conn, 100)
            assert here.rate(script, 1, times=2) > 0
            with pytest.raises(AIWebhookError, match="exit code 2"):
                here.rate(script, 1, times=101)


def test_procrastinate_is_driven_by_its_own_statements() -> None:
    pytest.importorskip("procrastinate")
    script = procrastinate().script
    assert "procrastinate_fetch_job" in script and "procrastinate_finish_job" in script
    assert "%(" not in script


def test_pgqueuer_is_driven_by_its_own_statements() -> None:
    pytest.importorskip("pgqueuer")
    script = pgqueuer().script
    assert "SKIP LOCKED" in script and "INSERT INTO pgqueuer_log" in script
    assert "$" not in script
