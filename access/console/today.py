"""Today: what came in, what waits for people, what agents do now, what failed."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from starlette.responses import Response

from access.console.visit import Visit
from store import console, sessions
from store.database import Connection

ROWS = 5
HELD_ROWS = 20


def show(visit: Visit) -> Response:
    return visit.show(**visit.read(lambda conn: found(conn, midnight(visit.zone))), server=server_of(visit))


def found(conn: Connection, since: datetime) -> dict[str, Any]:
    counts = console.counts(conn, since)
    return {
        "counts": counts,
        "came_in": sessions.listing(conn, status=None, before=None, limit=ROWS),
        "memories": console.memories_to_review(conn, ROWS),
        "tasks": console.tasks_for_people(conn, ROWS),
        "held": console.tasks_held(conn, HELD_ROWS),
        "tasks_failed": console.tasks_failed(conn, ROWS),
        "deliveries_failed": console.deliveries_failed(conn, ROWS),
    }


def midnight(zone: ZoneInfo | None) -> datetime:
    return datetime.now(zone or UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def server_of(visit: Visit) -> str:
    """This service's address as the reader's browser has it, for the line that sends a first transcript."""
    return f"{'https' if visit.secure else 'http'}://{visit.request.headers.get('host', 'localhost:8000')}"
