"""Whether work grows with its size, or faster: by processor time, which others on the machine do not take."""

import time
from collections.abc import Callable

SMALL, TIMES = 2_500, 16
NOISE = 3  # quadratic work would take 16 times as long for each


def grows_evenly(work: Callable[[int], object]) -> None:
    """Fails for `work(n)` that takes more than some 3 times as long for each of 16 times as many."""
    few = min(taken(work, SMALL) for _ in range(3))
    many = taken(work, SMALL * TIMES)
    assert many < few * TIMES * NOISE, f"{few:.3f} s for {SMALL}, {many:.3f} s for {SMALL * TIMES}"


def taken(work: Callable[[int], object], count: int) -> float:
    begun = time.process_time()
    work(count)
    return time.process_time() - begun
