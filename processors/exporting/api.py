"""What the functions that tell news have in their hands: one guarded, bounded way to ask, and what may come of it."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import Any

import orjson

from domain.errors import AIWebhookError
from domain.outgoing import External
from processors.reaching import Hop, LookUp, Network, Watch, parse_url, reached, read_body

ANSWER_BYTES = 4 * 1024 * 1024  # of an API: fifty issues with their bodies
LONGEST_PAUSE = 24 * 3600.0
BUSY = frozenset({429, 502, 503, 504})  # says something of the whole host, not of this message


class NotTaken(AIWebhookError):
    """The other side answered and did not take it. Neither the message nor the code quotes anything of the answer.

    `gone`: it wants nothing more at all. `busy`: nor any other message, for now.
    """

    code = "not_taken"
    status = 502

    def __init__(self, code: str, status_code: int | None = None, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"The other side did not take it: {code}.")
        self.code = code
        self.status_code = status_code
        self.pause_seconds = retry_after_seconds
        self.gone = code == "gone"
        self.busy = status_code in BUSY or retry_after_seconds is not None


@dataclass(frozen=True, slots=True)
class Told:
    """What came of telling: the status of the answer, and what an exported task is there now."""

    status_code: int | None = None
    external: External | None = None


@dataclass(frozen=True, slots=True)
class Api:
    """One try. `base` is the API's address; `own`: the operator set it, so it may be private and http."""

    base: str
    secrets: tuple[str, ...] = field(repr=False)
    watch: Watch
    tls: SSLContext
    now: datetime
    own: bool = False
    own_names: frozenset[str] = frozenset()
    own_networks: tuple[Network, ...] = ()
    page: str | None = None  # where people reach this service
    look_up: LookUp | None = None

    @property
    def token(self) -> str:
        return self.secrets[0]

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Posts to a subscriber's own address and returns the status, 2xx. What it says besides is not even read.

        410 is `gone`. Raises NotTaken and Unreached; a redirect is not followed.
        """
        with reached(self.hop("POST", url, body, headers), self.watch, self.tls, limit=1024, look_up=self.look_up) as r:
            check_status(r.status_code, r.headers, self.now, ends=True)
            return r.status_code

    def ask(self, method: str, path: str, value: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Asks the API, JSON both ways, and returns what it answers with 2xx. Raises NotTaken and Unreached."""
        body = None if value is None else orjson.dumps(value)
        sent = {"content-type": "application/json; charset=utf-8", **(headers or {})}
        hop = self.hop(method, self.base.rstrip("/") + path, body, sent, own=self.own)
        with reached(hop, self.watch, self.tls, limit=ANSWER_BYTES, look_up=self.look_up) as response:
            check_status(response.status_code, response.headers, self.now)
            answer = read_body(response, ANSWER_BYTES)
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise NotTaken("unreadable_answer", response.status_code) from None

    def hop(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], *, own: bool = False) -> Hop:
        parsed = parse_url(url)
        own = own or parsed.host.lower() in self.own_names
        return Hop(parsed, method, dict(headers), body, own=own, own_networks=self.own_networks)

    def mark(self, *parts: str) -> bytes:
        """Known again by us, and made by nobody else: 32 bytes of these texts and the token."""
        return hmac.digest(self.token.encode(), "\n".join(parts).encode(), hashlib.sha256)


def check_status(status: int, headers: Mapping[str, str], now: datetime, *, ends: bool = False) -> None:
    if 200 <= status < 300:
        return
    if ends and status == 410:
        raise NotTaken("gone", status)
    code = "redirected" if 300 <= status < 400 else "refused_there"
    pause = pause_wanted(headers.get("retry-after", ""), now)
    if pause is None and headers.get("x-ratelimit-remaining") == "0":  # GitHub: all of the hour's requests are spent
        pause = until(headers.get("x-ratelimit-reset", ""), now)
    raise NotTaken(code, status, retry_after_seconds=pause)


def pause_wanted(text: str, now: datetime) -> float | None:
    """Retry-After in seconds, from seconds or a date (RFC 9110, 10.2.3); a day at most; None for anything else."""
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_PAUSE)
    try:
        return min(max((parsedate_to_datetime(text) - now).total_seconds(), 0.0), LONGEST_PAUSE)
    except (ValueError, TypeError):
        return None


def until(text: str, now: datetime) -> float | None:
    """Seconds until a time in unix seconds."""
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        return None
    return min(max(int(text) - now.timestamp(), 0.0), LONGEST_PAUSE)


def text_of(value: Any, *path: str) -> str:
    """The text at a place of an answer; raises NotTaken when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise NotTaken("unreadable_answer")
    return value


def time_of(value: Any, name: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text_of(value, name))
    except (ValueError, NotTaken):
        return None
