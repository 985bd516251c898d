"""Agents: which are alive, what they hold, and how much they got done of late."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from access.console.visit import Visit
from store import agents
from store.database import Connection, Row

DAYS = 7
ROWS = 50
HELD_ROWS = 200
BAR_WIDTH, BAR_HEIGHT, BAR_GAP = 20, 48, 4


@dataclass(frozen=True, slots=True)
class Day:
    """24 hours up to now, or to so many days ago."""

    ago: int
    completed: int = 0
    failed: int = 0

    @property
    def ended(self) -> int:
        return self.completed + self.failed

    @property
    def name(self) -> str:
        return "the last 24 hours" if self.ago == 0 else f"{self.ago} day{'s' if self.ago > 1 else ''} before"


@dataclass(frozen=True, slots=True)
class Work:
    """What an agent got done, day by day up to now."""

    days: tuple[Day, ...]
    median_seconds: float | None

    @property
    def today(self) -> int:
        return self.days[-1].completed

    @property
    def completed(self) -> int:
        return sum(day.completed for day in self.days)

    @property
    def failed(self) -> int:
        return sum(day.failed for day in self.days)

    @property
    def success(self) -> float | None:
        """Of what it ended; what a person cancelled is not the agent's."""
        ended = self.completed + self.failed
        return self.completed / ended if ended else None

    @property
    def is_more(self) -> bool:
        """Whether there was a day with more than is looked at."""
        return any(day.ended >= agents.MOST_ENDED for day in self.days)

    def bars(self) -> list[dict[str, Any]]:
        """A bar a day: where what it completed begins, and what failed above it."""
        most = max(day.ended for day in self.days) or 1
        scale = BAR_HEIGHT / most
        return [
            {
                "x": place * (BAR_WIDTH + BAR_GAP),
                "completed": round(day.completed * scale, 1),
                "failed": round(day.failed * scale, 1),
            }
            for place, day in enumerate(self.days)
        ]

    def told(self) -> str:
        return "; ".join(f"{day.name}: {day.completed} completed, {day.failed} failed" for day in self.days)


def show(visit: Visit) -> Response:
    now = datetime.now(UTC)
    after = visit.query("after")
    return visit.show(**visit.read(lambda conn: found(conn, now, after)), after=after, bar=(BAR_WIDTH, BAR_HEIGHT))


def found(conn: Connection, now: datetime, after: str | None) -> dict[str, Any]:
    rows = agents.working(conn, after=after, limit=ROWS)
    names = [row["name"] for row in rows]
    edges = [now - timedelta(days=days) for days in range(DAYS, -1, -1)]
    ended = agents.ended(conn, names, edges)
    medians = agents.durations(conn, names, edges[0])
    held = agents.holding(conn, names, HELD_ROWS)
    return {
        "agents": [
            row
            | {
                "work": Work(days_of(row["name"], ended), medians.get(row["name"])),
                "holds": [task for task in held if task["agent_name"] == row["name"]],
            }
            for row in rows
        ],
        "next": names[-1] if len(names) == ROWS else None,
    }


def days_of(name: str, ended: list[Row]) -> tuple[Day, ...]:
    by_number = {row["number"]: row for row in ended if row["name"] == name}
    return tuple(
        Day(DAYS - number, by_number[number]["completed"], by_number[number]["failed"])
        if number in by_number
        else Day(DAYS - number)
        for number in range(1, DAYS + 1)
    )
