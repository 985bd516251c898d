"""Bearer tokens of people and agents: kept as hashes, shown once."""

import hashlib
import secrets
from collections.abc import Sequence

from domain.caller import checked_scopes
from domain.errors import InvalidRequest, NotFound
from store.database import Connection, Row, all_rows, one_row
from store.statements import statements

SQL = statements("tokens")
PREFIX = "awt_"


def create(conn: Connection, name: str, scopes: Sequence[str], *, seconds: float | None = None) -> Row:
    """Makes a token that is valid for so many seconds, or until it is revoked. The row has it as `token`, this once:
    what is stored is its hash. A plain one will do, since nobody can guess 256 random bits."""
    token = PREFIX + secrets.token_urlsafe(32)
    parameters = {"name": name, "hash": digest(token), "scopes": checked_scopes(scopes), "seconds": seconds}
    row = one_row(conn, SQL["create"], parameters)
    if row is None:
        raise InvalidRequest("There is a token of this name.", hint="Revoke it, or choose another name.")
    return row | {"token": token}


def use(conn: Connection, token: str) -> Row | None:
    """{id, name, scopes, seconds_left} of a token that is valid now; `seconds_left` None is without an end."""
    return one_row(conn, SQL["use"], {"hash": digest(token)})


def listing(conn: Connection) -> list[Row]:
    """All that there ever were, newest first."""
    return all_rows(conn, SQL["listing"])


def revoke(conn: Connection, name: str) -> Row:
    row = one_row(conn, SQL["revoke"], {"name": name})
    if row is None:
        raise NotFound("No valid token has this name.", hint="`ai-webhook token list` shows those there are.")
    return row


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
