"""Rotating keys: everything that lies signed or sealed gets the first of the keys that are set."""

from collections.abc import Callable
from typing import Any

from domain.errors import InvalidRequest
from domain.sealing import UNSEALED, Keys
from processors.queueing import connect as connect_redis
from processors.queueing import reseal
from store import deliveries
from store.database import connect

BATCH = 50  # deliveries of a transaction; a body may be as long as 10 MiB
TELL_AFTER = 1000


def rotate(
    conninfo: str, redis_url: str | None, keys: Keys, *, plain: bool, unsigned: bool, tell: Callable[[str], None]
) -> dict[str, Any]:
    """{rows, waiting, left}. Begun again, it goes on where it was ended: what has the first key is passed over.

    Raises SealedElsewhere at the first row that no key opens; what was done before stays done.
    """
    if keys.sealing.current is None and keys.signing.keys == ():
        raise InvalidRequest(
            "There is no key to rotate to.", hint="Set AI_WEBHOOK_QUEUE_KEY or AI_WEBHOOK_ENCRYPTION_KEY first."
        )
    wanted = Keys(keys.signing, UNSEALED if plain else keys.sealing)
    waiting = left = 0
    if redis_url is not None:  # first: what a worker records from here on is in the database already, or comes new
        with connect_redis(redis_url) as client:
            waiting, left = reseal(client, keys, wanted, unsigned=unsigned)
    rows, last = 0, ""
    with connect(conninfo, "rotate-keys") as conn:
        while True:
            done, after = deliveries.reseal(conn, keys.sealing, wanted.sealing, after=last, limit=BATCH)
            if after is None:
                return {"rows": rows, "waiting": waiting, "left": left}
            if (rows + done) // TELL_AFTER > rows // TELL_AFTER:
                tell(f"{rows + done:,} deliveries")
            rows, last = rows + done, after
