"""Who asks: a bearer token's caller, looked up by its hash and remembered for a moment."""

import hmac
import time
from threading import Lock

from domain.caller import Caller, operator
from domain.errors import Forbidden
from domain.settings import Settings
from store import tokens
from store.database import Pool, borrowed

REMEMBERED_SECONDS = 1.0  # for as long a revoked token may still open something
REMEMBERED_TOKENS = 10_000


class Tokens:
    """Callers by their tokens: that of the settings, who may everything, and those in the database.

    A token is looked up again after REMEMBERED_SECONDS, so that thousands of requests a second do not ask thousands of
    times. What opens nothing is not remembered.
    """

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.root = settings.token.get_secret_value().encode() if settings.token else None
        self.pool = pool
        self.known: dict[bytes, tuple[Caller, float]] = {}
        self.lock = Lock()

    def remembered(self, authorization: str) -> Caller | None:
        """The caller if nobody has to be asked; None says to call `look_up`. Raises Forbidden."""
        token = bearer(authorization)
        if self.root is not None and hmac.compare_digest(token, self.root):
            return operator()
        if not token.startswith(tokens.PREFIX.encode()):
            raise refused()
        with self.lock:
            caller, until = self.known.get(tokens.digest(token.decode()), (None, 0.0))
        return caller if time.monotonic() < until else None

    def look_up(self, authorization: str) -> Caller:
        """Asks the database. Raises Forbidden, or DatabaseUnavailable."""
        token = bearer(authorization).decode()
        with borrowed(self.pool) as conn:
            row = tokens.use(conn, token)
        if row is None:
            raise refused()
        caller = Caller(row["name"], frozenset(row["scopes"]), row["id"])
        left = REMEMBERED_SECONDS if row["seconds_left"] is None else min(REMEMBERED_SECONDS, row["seconds_left"])
        with self.lock:
            if len(self.known) >= REMEMBERED_TOKENS:
                self.known.clear()
            self.known[tokens.digest(token)] = (caller, time.monotonic() + left)
        return caller


def bearer(authorization: str) -> bytes:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.isascii() or not token:
        raise refused()
    return token.encode()


def refused() -> Forbidden:
    return Forbidden("The bearer token is missing or wrong.")
