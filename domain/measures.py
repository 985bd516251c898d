"""What workers count for /metrics: kept in memory, added to one hash in Redis every few seconds.

So the numbers outlive the workers; what a killed one had counted since it last told them is lost. The fields of the
hash `aiw:measures` are agreed here between the worker, which adds, and the process that is asked:

    job OUTCOME le SECONDS    jobs that took no longer than that and longer than the next smaller bucket
    job OUTCOME sum           the seconds of all of them
    delivery SOURCE STATE     tries that brought a delivery to this state; `received`: it is tried again
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Literal

JobOutcome = Literal["done", "put_off"]
JOB_OUTCOMES: tuple[JobOutcome, ...] = ("done", "put_off")
BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)
JOB_BUCKETS = (*(str(bound) for bound in BOUNDS), "+Inf")


class Measures:
    """Counts of one worker that Redis has not been told yet. Safe between threads."""

    def __init__(self) -> None:
        self.counts: dict[str, float] = {}
        self.lock = Lock()

    def job(self, outcome: JobOutcome, seconds: float) -> None:
        self.add({f"job {outcome} le {JOB_BUCKETS[bisect_left(BOUNDS, seconds)]}": 1, f"job {outcome} sum": seconds})

    def delivery(self, source: str, state: str) -> None:
        self.add({f"delivery {source} {state}": 1})

    def add(self, counts: Mapping[str, float]) -> None:
        with self.lock:
            for field, count in counts.items():
                self.counts[field] = self.counts.get(field, 0) + count

    def take(self) -> dict[str, float]:
        with self.lock:
            taken, self.counts = self.counts, {}
        return taken


def job_histogram(fields: Mapping[str, float], outcome: JobOutcome) -> tuple[list[tuple[str, float]], float]:
    """([(bucket, how many took no longer)], seconds of all of them), as Prometheus has histograms."""
    buckets, total = [], 0.0
    for bucket in JOB_BUCKETS:
        total += fields.get(f"job {outcome} le {bucket}", 0)
        buckets.append((bucket, total))
    return buckets, fields.get(f"job {outcome} sum", 0)


def deliveries(fields: Mapping[str, float]) -> Iterator[tuple[str, str, float]]:
    """(source, state, how many)."""
    for field, count in sorted(fields.items()):
        kind, *names = field.split(" ")
        if kind == "delivery" and len(names) == 2:
            yield names[0], names[1], count
