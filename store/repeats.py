"""Requests that may be sent again without being done again: the same key is answered as the first time, for a day."""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import orjson
from psycopg.types.json import Jsonb

from domain.errors import InvalidRequest, KeyReused
from store.database import Connection, one_row, run
from store.statements import statements

SQL = statements("repeats")
KEY = re.compile(r"[!-~]{1,200}")


def once(conn: Connection, caller: str, key: str, asked: Any, act: Callable[[], Any]) -> Any:
    """What `act` answers, or what it answered when `caller` used this key before. `asked` tells two requests apart:
    another one under a used key raises KeyReused. An error of `act` leaves the key free."""
    if KEY.fullmatch(key) is None:
        raise InvalidRequest("An Idempotency-Key is 1 to 200 visible ASCII characters.", hint="A UUID does well.")
    digest = hashlib.sha256(orjson.dumps(asked, default=str, option=orjson.OPT_SORT_KEYS)).digest()
    this = {"caller": caller, "key": key}
    with conn.transaction():
        if one_row(conn, SQL["begin"], this | {"digest": digest}) is None:
            known = one_row(conn, SQL["known"], this)
            if known is None or bytes(known["digest"]) != digest:
                raise KeyReused("This Idempotency-Key was used for another request.")
            return known["answer"]
        answer = orjson.loads(orjson.dumps(act(), option=orjson.OPT_UTC_Z))  # as it is answered the next time, too
        run(conn, SQL["finish"], this | {"answer": Jsonb(answer)})
    return answer
