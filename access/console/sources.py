"""Sources: where each sender posts to, how it signs, whether its secret is here, what came of it; and a test of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from access.console.deliveries import what_was_refused
from access.console.visit import Visit
from domain.errors import AIWebhookError, InvalidRequest
from store import console
from store.database import Row

DAYS = 30  # of which the counts are


def show(visit: Visit) -> Response:
    return tell(visit)


def tell(visit: Visit, status: int = 200, *, problem: AIWebhookError | None = None, tried: str = "") -> Response:
    since = datetime.now(UTC) - timedelta(days=DAYS)
    counts = visit.read(lambda conn: console.deliveries_by_source(conn, since))
    refused = what_was_refused(visit) or []
    rows = [
        {
            "sender": sender,
            "address": visit.server + sender.path,
            "refused": [one for one in refused if one.source == sender.name],
            **what_came(counts, sender.name),
        }
        for sender in visit.senders.known
    ]
    # Those that are in use before those that could be.
    rows.sort(key=lambda row: not (row["sender"].has_secret or row["counts"] or row["refused"]))
    return visit.show(status, rows=rows, has_key=visit.senders.has_key, days=DAYS, problem=problem, tried=tried)


def what_came(counts: list[Row], source: str) -> dict[str, Any]:
    """{counts: by state, last: when}. Of a name of one's own, `_` in a setting may be `-` in the address."""
    found = [row for row in counts if row["source"].replace("-", "_") == source.replace("-", "_")]
    return {"counts": {row["state"]: row["n"] for row in found}, "last": max((r["last"] for r in found), default=None)}


def test(visit: Visit) -> Response:
    source = visit.form.get("source", "")
    try:
        if source not in {sender.name for sender in visit.senders.known}:
            raise InvalidRequest("There is no such source.")
        key = visit.senders.send_sample(source, visit.server)
    except AIWebhookError as problem:
        return tell(visit, problem.status, problem=problem, tried=source)
    return visit.go(f"/deliveries/{key}", f"A test of {source} was sent. This is the delivery that came of it.")
