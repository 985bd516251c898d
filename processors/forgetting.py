"""What workers do so that what was forgotten is nowhere, and what has outlived its time is forgotten.

A session is forgotten in PostgreSQL at once. Deliveries for it may still lie in Redis, or in PostgreSQL where nobody
has read them (they failed, say): only a reader tells whose they are, so they are read here, once, in the next sweep.
"""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from domain import envelope
from domain.delivery import Delivery, Query, Reading
from domain.errors import AIWebhookError
from domain.settings import Settings
from processors.queueing import DeliveryQueue, forget_replies, packed_deliveries
from processors.telling import attempt_to_read
from store import audit, forgetting
from store.database import Connection, Row

log = logging.getLogger("ai_webhook.processors")

AT_ONCE = 200
LOOKING_SECONDS = 60.0  # until another worker may begin anew
AGE_SECONDS = 60.0  # between two looks at what is old
MOST_SECONDS = 2.0  # that a sweep takes for it; the next goes on
LEAST_BYTES = 4  # of an id that is looked for in what no reader understands


class Forgotten:
    """What is looked for: sessions and people by name, each with the instant up to which what came is dropped."""

    def __init__(self, wanted: Sequence[Row]) -> None:
        until = {row["key"]: row["until"] or datetime.max.replace(tzinfo=UTC) for row in wanted}
        self.sessions = {row["subject"]: until[row["key"]] for row in wanted if row["kind"] == "session"}
        self.people = {row["subject"].casefold(): until[row["key"]] for row in wanted if row["kind"] == "person"}

    def holds(self, delivery: Delivery) -> bool:
        read_one = attempt_to_read(delivery)
        named = {delivery.session_id, session_of(read_one)}
        if any(self.is_before(delivery, self.sessions.get(name)) for name in named if name):
            return True
        if isinstance(read_one, Reading):
            speakers = {turn.speaker.casefold() for turn in read_one.turns}
            return any(self.is_before(delivery, self.people.get(speaker)) for speaker in speakers)
        return isinstance(read_one, AIWebhookError) and self.is_named_in(delivery)

    def is_named_in(self, delivery: Delivery) -> bool:
        """Of what cannot be read: whether a name stands in it. Rather too much goes than too little stays."""
        text = delivery.body.lower()
        return any(
            self.is_before(delivery, until) and len(name) >= LEAST_BYTES and name.lower().encode() in text
            for names in (self.sessions, self.people)
            for name, until in names.items()
        )

    @staticmethod
    def is_before(delivery: Delivery, until: datetime | None) -> bool:
        return until is not None and delivery.received_at < until


def session_of(read_one: object) -> str | None:
    match read_one:
        case Reading():
            return read_one.session.id
        case Query():
            return read_one.session_id
    return None


def look_for_forgotten(conn: Connection, queue: DeliveryQueue) -> None:
    """Takes what belongs to the forgotten out of Redis and out of what nobody has read; then their names are forgotten,
    too."""
    wanted = forgetting.to_look_for(conn)
    if not wanted or not queue.may(envelope.LOOKING, LOOKING_SECONDS):
        return
    try:
        look_for(conn, queue, wanted)
    finally:
        queue.end(envelope.LOOKING)


def look_for(conn: Connection, queue: DeliveryQueue, wanted: Sequence[Row]) -> None:
    forgotten = Forgotten(wanted)
    dropped = drop_from_redis(conn, queue, forgotten) + drop_unread(conn, queue, forgotten)
    forget_replies(queue.client)
    if not forgetting.unsaid_words(conn):
        return  # somebody writes chunks right now; all of it is looked at again in the next sweep
    forgetting.analyze(conn)
    for row in wanted:
        forgetting.looked_for(conn, row)
    log.info("%d forgotten, with %d deliveries that nobody had read", len(wanted), dropped)


def drop_from_redis(conn: Connection, queue: DeliveryQueue, forgotten: Forgotten) -> int:
    """What no key vouches for, where it can be read, goes from Redis alone: it may say to be a delivery of another."""
    ours, others = [], []
    for count, (key, packed) in enumerate(packed_deliveries(queue.client)):
        if count % AT_ONCE == 0:
            queue.go_on(envelope.LOOKING, LOOKING_SECONDS)
        delivery = envelope.opened(key, packed, queue.keys)
        if isinstance(delivery, Delivery):
            if forgotten.holds(delivery):
                ours.append(key)
        elif (claimed := envelope.claimed(packed, queue.keys)) is not None and forgotten.holds(claimed):
            others.append(key)
    forgetting.drop(conn, ours)  # first, since a worker may have one of them in hand
    queue.drop([*ours, *others])
    return len(ours) + len(others)


def drop_unread(conn: Connection, queue: DeliveryQueue, forgotten: Forgotten) -> int:
    count, place, until = 0, (datetime.min.replace(tzinfo=UTC), ""), datetime.now(UTC)
    while unread := forgetting.unread(conn, place, until, queue.keys.sealing, limit=AT_ONCE):
        queue.go_on(envelope.LOOKING, LOOKING_SECONDS)
        place = (unread[-1].received_at, unread[-1].key)
        count += forgetting.drop(conn, [delivery.key for delivery in unread if forgotten.holds(delivery)])
    return count


def outlive(conn: Connection, queue: DeliveryQueue, settings: Settings) -> None:
    """Forgets what is older than its source's days, some of it; the next sweep goes on where there is more."""
    if not queue.may(envelope.AGED, AGE_SECONDS):
        return
    audit.outlive(conn, settings.audit_days)
    rules, rest = settings.retention()
    raw = settings.raw_days
    if not rules and rest is None and raw is None:
        return
    started, sessions, deliveries, is_all = time.monotonic(), 0, 0, False
    while not is_all and time.monotonic() - started < MOST_SECONDS:
        old = forgetting.outlived_sessions(conn, rules, rest, limit=20)
        for session_id in old:
            forgetting.session(conn, session_id, until=datetime.now(UTC))
        gone = forgetting.outlived_deliveries(conn, rules, rest, raw, limit=AT_ONCE)
        sessions, deliveries, is_all = sessions + len(old), deliveries + gone, not old and not gone
    forgetting.forgotten(conn)
    if not is_all:
        queue.end(envelope.AGED)
    if sessions or deliveries:
        log.info("%d sessions and %d raw deliveries have outlived their time", sessions, deliveries)
