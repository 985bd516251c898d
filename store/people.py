"""People, their logins, the links by which they come in, and the tries that failed."""

import hashlib
import secrets
from collections.abc import Sequence

from domain.errors import InvalidRequest, NotFound
from domain.person import Person, Role
from store.database import Connection, Row, all_rows, one_row, run
from store.statements import statements

SQL = statements("people")

LINK_SECONDS = 3600
LOGIN_SECONDS = 14 * 24 * 3600  # in all
IDLE_SECONDS = 12 * 3600  # without a request
USER_AGENT_CHARS = 200
MOST_FAILURES = 10_000  # names and addresses that are remembered


def listing(conn: Connection) -> list[Row]:
    return all_rows(conn, SQL["listing"])


def any_at_all(conn: Connection) -> bool:
    return holds(conn, "any_at_all")


def holds(conn: Connection, name: str) -> bool:
    row = one_row(conn, SQL[name])
    return bool(row and row["there"])


def get(conn: Connection, name: str) -> Row | None:
    """{name, role, password, disabled}, however the name is capitalised."""
    return one_row(conn, SQL["get"], {"name": name})


def update(conn: Connection, name: str, *, role: Role | None, disabled: bool | None) -> None:
    """Changes a person; what is None stays. Who is disabled is logged out; somebody has to be left as admin."""
    with conn.transaction():
        all_rows(conn, SQL["lock_all"])
        if one_row(conn, SQL["update"], {"name": name, "role": role, "disabled": disabled}) is None:
            raise NotFound("There is no such person.")
        if not holds(conn, "has_admin"):
            raise InvalidRequest("Nobody would be left as admin.", hint="Make somebody else admin first.")
        if disabled:
            run(conn, SQL["end_logins"], {"person": name})


# Logins


def begin_login(conn: Connection, person: str, user_agent: str) -> str:
    """Makes a login and answers what the cookie holds, this once: what is stored is its hash."""
    token = secrets.token_urlsafe(32)
    agent = "".join(c if c.isprintable() else " " for c in user_agent)[:USER_AGENT_CHARS]
    run(conn, SQL["sweep_logins"])
    run(
        conn,
        SQL["begin_login"],
        {"hash": digest(token), "person": person, "seconds": LOGIN_SECONDS, "user_agent": agent},
    )
    return token


def use_login(conn: Connection, token: str) -> Person | None:
    """Whose login it is, if it is valid now."""
    row = one_row(conn, SQL["use_login"], {"hash": digest(token), "idle_seconds": IDLE_SECONDS})
    return None if row is None else Person(row["name"], row["role"])


def end_login(conn: Connection, token: str) -> None:
    run(conn, SQL["end_login"], {"hash": digest(token)})


# Links


def add_link(conn: Connection, *, role: Role, person: str | None = None) -> Row:
    """{token, role, person, expires_at} of a link that is good once, for an hour: for somebody new, or for a person to
    choose a new password."""
    if person is not None:
        known = get(conn, person)
        if known is None:
            raise NotFound("There is no such person.")
        person = known["name"]
    token = secrets.token_urlsafe(32)
    run(conn, SQL["sweep_links"])
    made = one_row(
        conn, SQL["add_link"], {"hash": digest(token), "role": role, "person": person, "seconds": LINK_SECONDS}
    )
    assert made is not None, "an insert returns its row"
    return {"token": token} | made


def get_link(conn: Connection, token: str) -> Row | None:
    """{role, person} of a link that is still good."""
    return one_row(conn, SQL["get_link"], {"hash": digest(token)})


def use_link(conn: Connection, token: str, *, name: str, password: str) -> Person:
    """Makes the person, or gives a known one the new password and ends their logins. `password` is a hash."""
    with conn.transaction():
        link = one_row(conn, SQL["use_link"], {"hash": digest(token)})
        if link is None:
            raise NotFound("This link was used, or is older than an hour.", hint="Have another one made.")
        if link["person"] is not None:
            row = one_row(conn, SQL["set_password"], {"name": link["person"], "password": password})
            run(conn, SQL["end_logins"], {"person": link["person"]})
        else:
            row = one_row(conn, SQL["add"], {"name": name, "password": password, "role": link["role"]})
        if row is None:
            raise InvalidRequest("This name is taken, or is that of somebody disabled.", hint="Choose another name.")
        return Person(row["name"], row["role"])


# Tries


def count_try(conn: Connection, who: str, *, free: int, first_seconds: float, most_seconds: float) -> float:
    """Counts a try as failed, and answers 0; while it is locked, counts nothing and answers for how many seconds.

    From the `free`th failure on it is locked for `first_seconds`, twice as long after each further one, up to
    `most_seconds`. `forget_tries` after one that succeeded.
    """
    key = {"who": digest(who)}
    how = {"free": free, "first_seconds": first_seconds, "most_seconds": most_seconds}
    if one_row(conn, SQL["count_try"], key | how) is not None:
        return 0.0
    locked = one_row(conn, SQL["locked_for"], key)
    return max(1.0, locked["seconds"]) if locked else 1.0


def forget_tries(conn: Connection, who: Sequence[str]) -> None:
    run(conn, SQL["forget_tries"], {"who": [digest(one) for one in who]})


def bound_tries(conn: Connection, most: int = MOST_FAILURES) -> None:
    """Forgets the oldest past so many, so that made-up names do not fill the database."""
    run(conn, SQL["bound_tries"], {"most": most})


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
