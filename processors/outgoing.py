"""Sends what waits to go out: reads the stream on, takes what is due, tells it, and records what came of it.

At least once: who dies between telling and recording tells it again, under the same id. What fails is tried again
after longer and longer pauses, ten times in up to three days; then it is `failed`, listed and replayable.
"""

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from domain.errors import DatabaseUnavailable, InvalidRequest, SettingsError
from domain.outgoing import News
from domain.settings import Settings
from processors.exporting import API_BASES, TELL
from processors.exporting.api import Api, NotTaken, Told
from processors.reaching import LookUp, Unreached, Watch, authorities
from store import outgoing
from store.database import Connection, Pool, borrowed

log = logging.getLogger("ai_webhook.processors")

# After the first try, the second, …; the last is after 55 hours, with jitter 66.
PAUSES = (5.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0, 12 * 3600.0, 12 * 3600.0, 24 * 3600.0)
MOST_TRIES = len(PAUSES) + 1
MOST_WAITING = timedelta(days=3)
JITTER = 0.2  # of a pause at most, so that what failed together does not come back together
LONGEST_REST = 600.0  # of a host that does not answer, unless it asks for more
TRY_SECONDS = 20.0  # all requests of a try; the specification advises 15 to 30

Chance = Callable[[], float]


def deliver_due(
    pool: Pool,
    settings: Settings,
    *,
    now: datetime | None = None,
    limit: int = 20,
    seconds: float = 20.0,
    look_up: LookUp | None = None,
    chance: Chance = random.random,
) -> int:
    """Sends at most `limit` messages, and begins none after `seconds`; returns how many tries there were.

    Any number of workers may do so at once. `now` stands in for the clocks, `look_up` for the resolver.
    Raises DatabaseUnavailable.
    """
    last_moment = time.monotonic() + seconds
    with borrowed(pool) as conn:
        outgoing.pump(conn, now=now)
    for tries in range(limit):
        if time.monotonic() > last_moment:
            return tries
        with borrowed(pool) as conn:
            news = outgoing.take(conn, now=now)
        if news is None:
            return tries
        outcome = attempt(news, settings, now or datetime.now(UTC), look_up)
        with borrowed(pool) as conn:
            try:
                record(conn, news, outcome, now, chance)
            except InvalidRequest:  # what an API answered does not fit the database
                record(conn, news, NotTaken("unreadable_answer"), now, chance)
    return limit


def attempt(news: News, settings: Settings, now: datetime, look_up: LookUp | None) -> Told | NotTaken | None:
    """What came of one try; None when there was nothing to tell."""
    if news.task is None and news.memory is None:
        return None
    secrets = settings.out_secrets_of(news.subscription)
    if not secrets:
        return NotTaken("no_secret")
    base = settings.out_urls.get(news.kind)
    names, networks = settings.out_private_places()
    try:
        with Watch(TRY_SECONDS) as watch:
            api = Api(
                base=base or API_BASES.get(news.kind, ""),
                secrets=secrets,
                watch=watch,
                tls=authorities(),
                now=now,
                own=base is not None,
                own_names=names,
                own_networks=networks,
                page=settings.public_url,
                look_up=look_up,
            )
            return TELL[news.kind](news, api)
    except NotTaken as error:
        return error
    except Unreached as error:
        return NotTaken({"refused": "address_refused", "too_large": "answer_too_large"}.get(error.kind, "unreached"))
    except SettingsError:
        return NotTaken("wrong_secret")
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - a bug in telling one message must not hold up the others
        log.error("outgoing=%s kind=%s %s", news.id, news.kind, type(error).__name__)
        return NotTaken("internal_error")


def record(conn: Connection, news: News, outcome: Told | NotTaken | None, now: datetime | None, chance: Chance) -> None:
    match outcome:
        case Told():
            state: str | None = "delivered"
            outgoing.delivered(conn, news, status_code=outcome.status_code, external=outcome.external, now=now)
        case NotTaken():
            state = record_failure(conn, news, outcome, now, chance)
        case None:
            state = "skipped"
            outgoing.skipped(conn, news, error_code="nothing_to_tell")
    level = logging.WARNING if isinstance(outcome, NotTaken) else logging.INFO
    code = outcome.code if isinstance(outcome, NotTaken) else "-"
    log.log(level, "%s outgoing=%s to=%s event=%s code=%s", state, news.id, news.subscription, news.event, code)


def record_failure(conn: Connection, news: News, error: NotTaken, now: datetime | None, chance: Chance) -> str | None:
    pause = pause_after(news, error, now or datetime.now(UTC), chance)
    state = outgoing.failed_try(
        conn,
        news,
        error_code=error.code,
        status_code=error.status_code,
        pause_seconds=pause,
        rest_seconds=rest_after(error, pause),
        now=now,
    )
    if error.gone:
        outgoing.disable(conn, news.subscription, why="answered 410 Gone")
        log.warning("subscription=%s is disabled: it answered 410", news.subscription)
    return state


def pause_after(news: News, error: NotTaken, now: datetime, chance: Chance) -> float | None:
    """Seconds before the next try; None when there is none."""
    if error.gone or news.attempt >= MOST_TRIES:
        return None
    pause = PAUSES[news.attempt - 1] * (1 + JITTER * chance())
    pause = max(pause, error.pause_seconds or 0.0)
    return pause if now + timedelta(seconds=pause) <= news.waiting_since + MOST_WAITING else None


def rest_after(error: NotTaken, pause: float | None) -> float | None:
    """Seconds in which nothing else is sent there, when it is not the message that is wrong: each would cost a try and
    the time of those that wait for others."""
    if not error.busy and error.code not in ("unreached", "address_refused", "no_secret", "wrong_secret"):
        return None
    return max(min(pause or LONGEST_REST, LONGEST_REST), error.pause_seconds or 0.0)
