"""The benchmark of claims, with numbers so small that only its form can be looked at."""

import pytest

from domain.settings import Settings
from ops.bench_claim import Sizes, claim

SMALL = Sizes(seconds=1, rounds=1, pending=60_000, shallow=1_000, deep=(5_000, 10_000))


def test_claims_are_told_beside_what_was_measured_with_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows = claim(Settings.from_env({}, env_file=None), deep=True, sizes=SMALL)
    names = [row["name"] for row in rows]
    assert names[:4] == [
        "claims, 1 client",
        "claims, 8 clients",
        "claims, 32 clients",
        "claims in batches of 50, 8 clients",
    ]
    assert "claim to completion, 8 clients, beside the public schema" in names
    assert names[-1] == "claims, 8 clients, 5,000 pending and 10,000 done"
    for row in rows:
        assert row.keys() == {"name", "value", "unit", "reference", "ratio", "goal", "ok"}
        assert row["value"] > 0 and row["unit"] == "/s" and isinstance(row["ok"], bool)
    told = capsys.readouterr().err
    for rival in ("procrastinate", "pgqueuer"):
        measured = [name for name in names if name.endswith(f"beside {rival}")]
        assert len(measured) == 2 or f"{rival} is not measured" in told
