"""Deliveries: what came, what became of each, what was refused at the door; and doing them again."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from access.actions import DELIVERY_STATES
from access.console import bodies
from access.console.visit import Visit
from access.links import session_link
from domain.delivery import SOURCE_NAME
from domain.errors import AIWebhookError, NotFound, Refused, Unavailable, Unreadable
from store import console, deliveries

DAYS = 7  # of which the counts are
MOST_COUNTED = 1000
REPLAYABLE = ("failed", "unknown", "ignored")
KEY_CHARS = 32


def show_all(visit: Visit) -> Response:
    return tell(visit)


def tell(visit: Visit, status: int = 200, **more: Any) -> Response:
    """The list. With `replay` in the query it asks first whether all that fit shall be done again."""
    wanted = Wanted.of(visit.query)
    listed = visit.act("list_deliveries", **wanted.filter, before=visit.query("before"))
    since = datetime.now(UTC) - timedelta(days=DAYS)
    context = {
        "listed": listed,
        "wanted": wanted,
        "states": DELIVERY_STATES,
        "known": sources_known(visit, wanted),
        "counts": visit.read(lambda conn: console.deliveries_by_source(conn, since)),
        "days": DAYS,
        "refused": what_was_refused(visit),
        "fitting": fitting(visit, wanted) if visit.query("replay") and visit.may("admin") else None,
        "problem": None,
    }
    return visit.show(status, **context | more)


class Wanted:
    """Which deliveries are looked at: the filter as it stands in the address."""

    def __init__(self, state: str | None, source: str | None, code: str | None) -> None:
        self.state = state if state in DELIVERY_STATES else None
        self.source = source if source and SOURCE_NAME.match(source) else None
        self.code = code[:100] if code else None

    @classmethod
    def of(cls, ask: Any) -> "Wanted":
        return cls(ask("state"), ask("source"), ask("code"))

    @property
    def filter(self) -> dict[str, str | None]:
        return {"state": self.state, "source": self.source, "code": self.code}

    @property
    def replayed(self) -> str | None:
        """The state of what would be done again: failed, unless another one is looked at that can be."""
        return self.state if self.state in REPLAYABLE else "failed" if self.state is None else None

    def address(self, **changes: str | None) -> str:
        asked = {name: value for name, value in (self.filter | changes).items() if value}
        return "/deliveries" + (f"?{urlencode(asked)}" if asked else "")


def sources_known(visit: Visit, wanted: Wanted) -> list[str]:
    """By which to filter: those that can be set up, and one that was asked for by its address."""
    return sorted({sender.name for sender in visit.senders.known} | ({wanted.source} if wanted.source else set()))


def what_was_refused(visit: Visit) -> Any:
    """None when it cannot be told: the list of what came does not need Redis."""
    try:
        return visit.senders.refused()
    except Unavailable:
        return None


def fitting(visit: Visit, wanted: Wanted) -> int:
    states = [wanted.replayed] if wanted.replayed else []
    return visit.read(
        lambda conn: deliveries.count_fitting(
            conn, states=states, source=wanted.source, error_code=wanted.code, most=MOST_COUNTED
        )
    )


def replay_all(visit: Visit) -> Response:
    wanted = Wanted.of(visit.form.text)
    states = [wanted.replayed] if wanted.replayed else []
    done = visit.act("replay_deliveries", states=states, source=wanted.source, code=wanted.code)["replayed"]
    return visit.go(wanted.address(), f"{done:,} {'delivery is' if done == 1 else 'deliveries are'} done again.")


# One of them


def show(visit: Visit) -> Response:
    if visit.query("body") is not None:
        found = visit.act("get_delivery_body", delivery=visit.at())
        return bodies.download(visit.at(), found["content_type"], bytes(found["body"]))
    return tell_one(visit)


def tell_one(visit: Visit, status: int = 200, problem: AIWebhookError | None = None) -> Response:
    key = visit.at()
    try:
        delivery = visit.act("get_delivery", delivery=key)
    except NotFound:
        if not is_under_way(visit, key):
            raise
        return visit.show(status, key=key, delivery=None, problem=problem)
    session = delivery["session_id"]
    return visit.show(
        status,
        key=key,
        delivery=delivery,
        body=visit.read(lambda conn: bodies.shown(conn, key, visit.service.sealing)),
        link=session_link(session) if session else None,
        hint=hint_of(delivery["error_code"]),
        replayable=delivery["state"] in REPLAYABLE,
        problem=problem,
    )


def is_under_way(visit: Visit, key: str) -> bool:
    """Accepted, and not recorded by a worker yet."""
    try:
        return len(key) == KEY_CHARS and visit.senders.waits(key)
    except Unavailable:
        return False


def hint_of(code: str | None) -> str | None:
    """What to do about an error with this code: kept with a delivery are its code and message alone."""
    if code is None:
        return None
    hints = {error.code: error.hint for error in every(AIWebhookError)}
    return hints.get(code, Unreadable.hint)


def every(kind: type[AIWebhookError]) -> list[type[AIWebhookError]]:
    return [kind, *(one for below in kind.__subclasses__() for one in every(below))]


def replay(visit: Visit) -> Response:
    try:
        visit.act("replay_delivery", delivery=visit.at())
    except NotFound:
        raise
    except Refused as problem:
        return tell_one(visit, problem.status, problem)
    return visit.go(f"/deliveries/{visit.at()}", "It is done again.")
