"""Every fault strikes a stack of real processes under load; what was accepted is processed, once.

The rarer ones run with `pytest tests/faults --every-fault` and in scripts/chaos.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.faults.catalogue import COMMON, FAULTS
from tests.faults.reliability import PAGE, rows_of, seconds_of
from tests.faults.stand import Stand
from tests.faults.suffering import suffer

pytestmark = pytest.mark.xdist_group("faults")  # they share one stack


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    running = Stand()
    try:
        yield running
    finally:
        running.close()


@pytest.mark.parametrize("name", FAULTS)
def test_what_was_accepted_survives(
    name: str,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    fault = FAULTS[name]
    if name not in COMMON and not request.config.getoption("--every-fault", False):
        pytest.skip("a rarer fault: --every-fault")
    if missing := fault.missing():
        pytest.skip(missing)
    suffered = suffer(request.getfixturevalue("stand"), fault, name)
    print(suffered)
    record_property("recovery_seconds", suffered.seconds)
    assert suffered.accepted > 0
    assert suffered.completed > 0


def test_every_fault_has_a_row_and_every_row_a_fault() -> None:
    rows = rows_of(PAGE.read_text("utf-8"))
    assert list(rows) == list(FAULTS)
    for name, (_, done, becomes, recovery) in rows.items():
        assert (done, becomes) == (FAULTS[name].done, FAULTS[name].becomes), "scripts/chaos --each --write writes it"
        assert seconds_of(recovery) >= 0


def test_the_work_of_a_killed_worker_was_done_by_another_within_15_seconds() -> None:
    assert seconds_of(rows_of(PAGE.read_text("utf-8"))["worker-kill"][3]) < 15
