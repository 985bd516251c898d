"""Subscriptions to what happens to tasks and memories, what goes out to them, and what exported tasks are elsewhere.

The stream of events is read for each subscription on its own, from the place where it was left; what it wants is
written into `outgoing` in the same transaction that moves the place, so nothing is lost or told twice by us. Sending is
left to the workers.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.errors import InvalidRequest, NotFound, UnknownTask
from domain.outgoing import EXPORTING, STATE_EVENTS, External, Kind, News, check_subscription, is_wanted
from store import events
from store.database import Connection, Row, all_rows, one_row, our_errors, run
from store.statements import statements

SQL = statements("outgoing")
LEASE_SECONDS = 120.0  # longer than any try takes: processors/outgoing.py bounds it


def add(
    conn: Connection,
    name: str,
    *,
    kind: str,
    target: str,
    events: Sequence[str] = (),
    agent_name: str | None = None,
    memory_types: Sequence[str] | None = None,
    details: bool = False,
    position: str | None = None,
) -> Row:
    """Makes a subscription, to what happens from now on or after a position, and returns its row.

    `events` are names (`task.completed`) or groups (`task.*`, `memory.*`, `*`); GitHub and Linear do without, for what
    is exported by hand. `details` sends what people said, too. Raises InvalidRequest, also for a name that is taken.
    """
    check_subscription(name, kind, target, events, agent_name, memory_types)
    parameters = {
        "name": name,
        "kind": kind,
        "target": target,
        "events": list(events),
        "agent_name": agent_name,
        "memory_types": None if memory_types is None else list(memory_types),
        "details": details,
        "position": checked_position(conn, position),
    }
    row = one_row(conn, SQL["add"], parameters)
    if row is None:
        raise InvalidRequest(f"There is a subscription {name} already.", hint="Remove it first, or take another name.")
    return row


def checked_position(conn: Connection, position: str | None) -> str:
    if position is None:
        return events.end(conn)
    events.after(conn, position, limit=1)  # raises for what is none
    return position


def remove(conn: Connection, name: str) -> None:
    """Forgets a subscription with its log and its exports; raises NotFound."""
    if not run(conn, SQL["remove"], {"name": name}):
        raise unknown(name)


def enable(conn: Connection, name: str, *, from_now: bool = False) -> Row:
    """Goes on where it stopped, or from now on; raises NotFound."""
    position = events.end(conn) if from_now else None
    return known(one_row(conn, SQL["enable"], {"name": name, "position": position}), name)


def disable(conn: Connection, name: str, *, why: str | None = None) -> Row:
    """Sends nothing more, and keeps the place in the stream; raises NotFound. `why`: when it was not a person."""
    return known(one_row(conn, SQL["disable"], {"name": name, "why": why}), name)


def get(conn: Connection, name: str) -> Row:
    """Raises NotFound."""
    return known(one_row(conn, SQL["get"], {"name": name}), name)


def known(row: Row | None, name: str) -> Row:
    if row is None:
        raise unknown(name)
    return row


def unknown(name: str) -> NotFound:
    return NotFound(f"There is no subscription {name[:80]}.", hint="`ai-webhook subscriptions list` shows them.")


def listing(conn: Connection) -> list[Row]:
    """All subscriptions by name, each with how many messages wait and failed, and when the newest that arrived did."""
    return all_rows(conn, SQL["listing"])


def log(
    conn: Connection, name: str, *, state: str | None = None, before: str | None = None, limit: int = 50
) -> list[Row]:
    """What went out to a subscription, newest first, without bodies; `before` is the id of the last row of the page
    before. Raises NotFound."""
    get(conn, name)
    return all_rows(conn, SQL["log"], {"name": name, "state": state, "before": before, "limit": limit})


def replay(conn: Connection, outgoing: str) -> Row:
    """Sends one again, with all its tries, whatever became of it; raises NotFound. Its id stays the same, so a receiver
    that had it may drop it."""
    row = one_row(conn, SQL["replay"], {"id": outgoing})
    if row is None:
        hint = "`ai-webhook subscriptions deliveries NAME` lists them; what is done is forgotten after 30 days."
        raise NotFound(f"Nothing went out as {outgoing[:80]}.", hint=hint)
    return row


def export(conn: Connection, task_id: str, name: str) -> Row:
    """Has a task exported by a subscription of GitHub or Linear, and followed there; returns the export, whose
    `external_id` and `url` are NULL until a worker has made it. A repeat brings it up to date.

    Raises NotFound, UnknownTask, and InvalidRequest for a subscription that exports nothing or is disabled.
    """
    subscription = get(conn, name)
    if subscription["kind"] not in EXPORTING:
        raise InvalidRequest(f"{name} is a {subscription['kind']}: tasks are exported to {' and '.join(EXPORTING)}.")
    if not subscription["enabled"]:
        raise InvalidRequest(f"{name} is disabled.", hint=f"`ai-webhook subscriptions enable {name}`")
    parameters = {"task_id": task_id, "name": name}
    with our_errors(), conn.transaction():
        run(conn, SQL["begin_exports"], {"task_ids": [task_id], "name": name})
        row = one_row(conn, SQL["get_export"], parameters)
        if row is None:
            raise UnknownTask(f"There is no task {task_id[:80]}.")
        run(conn, SQL["ask_export"], parameters)
    return row


def exports_of(conn: Connection, task_id: str) -> list[Row]:
    """Where a task is exported to: subscription, external_id, url, state."""
    return all_rows(conn, SQL["exports_of"], {"task_id": task_id})


def pump(conn: Connection, *, limit: int = 2_000, now: datetime | None = None) -> int:
    """Reads the stream on for every enabled subscription, and answers how many messages are to go out. Two at once
    share the subscriptions between them. `now` stands in for the database's clock."""
    with our_errors():
        return sum(pump_one(conn, row["name"], limit, now) for row in all_rows(conn, SQL["enabled"]))


def pump_one(conn: Connection, name: str, limit: int, now: datetime | None = None) -> int:
    with conn.transaction():
        subscription = one_row(conn, SQL["lock"], {"name": name})
        if subscription is None:
            return 0
        found = events.after(conn, subscription["position"], limit=limit)
        if not found:
            return 0
        put = put_wanted(conn, subscription, found, now)
        run(conn, SQL["move_on"], {"name": name, "position": found[-1]["position"]})
        return put


def put_wanted(conn: Connection, subscription: Row, found: Sequence[Row], now: datetime | None) -> int:
    wanted = [event for event in found if is_for(subscription, event)]
    if subscription["kind"] in EXPORTING:
        wanted = with_exported(conn, subscription["name"], found, wanted)
    rows = [
        {"event_id": int(e["position"].partition("-")[2]), "event": e["type"], "subject": e["subject"]} for e in wanted
    ]
    return run(conn, SQL["put"], {"name": subscription["name"], "events": Jsonb(rows), "now": now}) if rows else 0


def is_for(subscription: Row, event: Row) -> bool:
    if not is_wanted(subscription["events"], event["type"]):
        return False
    if event["kind"] == "task":
        return subscription["agent_name"] in (None, event["agent_name"])
    return subscription["memory_types"] is None or event["memory_type"] in subscription["memory_types"]


def with_exported(conn: Connection, name: str, found: Sequence[Row], wanted: Sequence[Row]) -> list[Row]:
    """Of tasks that are to be exported or are, what changes their state there; whoever did not ask for an event is not
    told of it otherwise."""
    run(conn, SQL["begin_exports"], {"name": name, "task_ids": list({event["subject"] for event in wanted})})
    subjects = list({event["subject"] for event in found if event["kind"] == "task"})
    exported = {row["task_id"] for row in all_rows(conn, SQL["exported"], {"name": name, "task_ids": subjects})}
    positions = {event["position"] for event in wanted}
    return [
        event
        for event in found
        if event["position"] in positions or (event["type"] in STATE_EVENTS and event["subject"] in exported)
    ]


def take(conn: Connection, *, now: datetime | None = None) -> News | None:
    """The next message that is due, to be sent within LEASE_SECONDS, else somebody else may; None when there is none.
    `now` stands in for the database's clock."""
    row = one_row(conn, SQL["take"], {"now": now, "seconds": LEASE_SECONDS})
    if row is None:
        return None
    found = one_row(conn, SQL["news"], {"id": row["id"]})
    return None if found is None else news_of(found)


def news_of(row: Row) -> News:
    there = {name: row.pop(name) for name in ("external_id", "external_url", "external_state", "external_updated_at")}
    external = External(*there.values()) if there["external_id"] is not None else None
    return News(**row, external=external)


def delivered(
    conn: Connection, news: News, *, status_code: int | None, external: External | None, now: datetime | None = None
) -> None:
    """Records that a message arrived, and what its task is there now."""
    with our_errors(), conn.transaction():
        if external is not None:
            keep_external(conn, news.subject, news.subscription, external)
        run(conn, SQL["delivered"], {"id": news.id, "status_code": status_code, "now": now})
        run(conn, SQL["rest"], {"name": news.subscription, "seconds": None, "now": now})


def skipped(conn: Connection, news: News, *, error_code: str) -> None:
    """Records that there was nothing to send, and why."""
    run(conn, SQL["skipped"], {"id": news.id, "error_code": error_code})


def failed_try(
    conn: Connection,
    news: News,
    *,
    error_code: str,
    status_code: int | None,
    pause_seconds: float | None,
    rest_seconds: float | None = None,
    now: datetime | None = None,
) -> str | None:
    """Records a try that failed, and the pause before the next; None: it was the last. `rest_seconds`: nothing at all
    is sent to the subscription meanwhile. Returns the state that follows, None when somebody else has the message."""
    parameters: dict[str, Any] = {
        "id": news.id,
        "attempt": news.attempt,
        "error_code": error_code,
        "status_code": status_code,
        "pause_seconds": pause_seconds,
        "now": now,
    }
    with our_errors(), conn.transaction():
        row = one_row(conn, SQL["failed_try"], parameters)
        if rest_seconds is not None:
            run(conn, SQL["rest"], {"name": news.subscription, "seconds": rest_seconds, "now": now})
        return row["state"] if row else None


def keep_external(conn: Connection, task_id: str, name: str, external: External) -> None:
    parameters = {
        "task_id": task_id,
        "name": name,
        "external_id": external.id,
        "url": external.url,
        "state": external.state,
        "updated_at": external.updated_at,
    }
    run(conn, SQL["keep_external"], parameters)


def lock_exports(conn: Connection, kind: Kind, external_id: str) -> list[Row]:
    """The exports that this is, each with the `status` of its task, both locked. Needs a transaction."""
    return all_rows(conn, SQL["lock_exports"], {"kind": kind, "external_id": external_id})


def doubt(conn: Connection, task_id: str, why: str) -> None:
    """Tells the holder of a task that it may no longer be wanted."""
    run(conn, SQL["doubt"], {"task_id": task_id, "doubt": why})


def forget(conn: Connection, *, days: int = 30) -> int:
    """Forgets what was delivered or skipped so long ago; what failed stays until its subscription is removed."""
    return run(conn, SQL["forget"], {"days": days})


def health(conn: Connection) -> Row:
    """How many messages `failed` and are `waiting`, and the names of the subscriptions that are `enabled`, and `ended`
    without a person's doing."""
    row = one_row(conn, SQL["health"])
    assert row is not None, "an aggregate has a row"
    return row
