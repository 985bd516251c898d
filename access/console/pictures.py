"""Pictures: how much came in and how long it took, how much waits, what became of it. Every figure is in a table, from
which pictures.js draws; nobody needs the drawing."""

import math
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from starlette.responses import Response

from access.console.today import midnight
from access.console.visit import Visit
from domain.errors import Unavailable
from domain.memory import MEMORY_TYPES
from store import console
from store.database import Connection, Row

WEEKS = 12


@dataclass(frozen=True, slots=True)
class Span:
    name: str
    label: str
    step: timedelta
    steps: int


SPANS = {
    span.name: span
    for span in (
        Span("day", "A day", timedelta(minutes=30), 48),
        Span("week", "A week", timedelta(hours=3), 56),
        Span("month", "A month", timedelta(days=1), 30),
    )
}


def show(visit: Visit) -> Response:
    span = SPANS.get(visit.query("span") or "", SPANS["day"])
    context = visit.read(lambda conn: found(conn, span, midnight(visit.zone)))
    return visit.show(span=span, spans=SPANS.values(), waiting=waiting(visit), weeks=WEEKS, **context)


def waiting(visit: Visit) -> int | None:
    """How many deliveries lie in Redis; None when it does not say."""
    try:
        return visit.senders.waiting()
    except Unavailable:
        return None


def found(conn: Connection, span: Span, today: datetime) -> dict[str, Any]:
    since = start_of(span, today)
    last_week = today.astimezone(UTC) + timedelta(days=1) - timedelta(weeks=WEEKS)
    memories = console.memories_by_week(conn, last_week, MEMORY_TYPES)
    return {
        "steps": steps(
            console.deliveries_over_time(conn, since, span.step), since, span, console.unfinished_before(conn, since)
        ),
        "tasks": [{"label": row["status"], "n": row["n"]} for row in console.tasks_by_state(conn, since)],
        "types": sorted({row["type"] for row in memories}, key=MEMORY_TYPES.index),
        "memories": by_week(memories, last_week),
        "confidence": tenths(console.confidence(conn)),
    }


def start_of(span: Span, today: datetime) -> datetime:
    """So that the last step holds now, and the steps of a day begin with the reader's."""
    end = today.astimezone(UTC)
    while end <= datetime.now(UTC):
        end += span.step
    return end - span.step * span.steps


def steps(rows: list[Row], since: datetime, span: Span, unfinished: int) -> list[dict[str, Any]]:
    """For each step of time: how many came, failed and waited at its end, and how long half and 19 of 20 took."""
    times = [since + span.step * number for number in range(span.steps)]
    came, failed, done = Counter[datetime](), Counter[datetime](), Counter[datetime]()
    classes: dict[datetime, Counter[int]] = {at: Counter() for at in times}
    for row in rows:
        came[row["received"]] += row["n"]
        failed[row["received"]] += row["n"] * (row["state"] == "failed")
        if row["class"] is not None:
            done[max(row["processed"], row["received"])] += row["n"]
            classes.setdefault(row["received"], Counter())[row["class"]] += row["n"]
    # One that failed waits no longer, though when it gave up is not kept.
    waited = accumulate((came[at] - failed[at] - done[at] for at in times), initial=unfinished)
    next(waited)
    return [
        {
            "at": at,
            "came": came[at],
            "failed": failed[at],
            "half": quantile(classes[at], 0.5),
            "most": quantile(classes[at], 0.95),
            "waited": n,
        }
        for at, n in zip(times, waited, strict=True)
    ]


def quantile(classes: Counter[int], share: float) -> float | None:
    """Seconds within which this share was done, to an eighth: the middle of the class where it lies."""
    left = share * classes.total()
    for number in sorted(classes):
        left -= classes[number]
        if left <= 0:
            return float(f"{math.exp((number + 0.5) / 4):.2g}")
    return None


def by_week(rows: list[Row], since: datetime) -> list[dict[str, Any]]:
    weeks = [since + timedelta(weeks=number) for number in range(WEEKS)]
    counts = {(row["week"], row["type"]): row["n"] for row in rows}
    return [{"at": week, "n": {kind: n for (at, kind), n in counts.items() if at == week}} for week in weeks]


def tenths(rows: list[Row]) -> list[dict[str, Any]]:
    counts = {row["tenth"]: row["n"] for row in rows}
    return [{"label": f"{tenth / 10:.1f} to {(tenth + 1) / 10:.1f}", "n": counts.get(tenth, 0)} for tenth in range(10)]
