"""Who is logged in: cookies to people, passwords to cookies, and a longer and longer wait for who tries in vain."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from access.console import passwords
from domain.errors import Refused
from domain.person import Person, checked_name, checked_password
from store import people
from store.database import Pool, borrowed

SALT_CHARS = 16
MOST_SECONDS = 900


class WrongLogin(Refused):
    code = "wrong_login"
    status = 401
    hint = "Try again, or have an admin make a link for a new password."


class TooManyTries(Refused):
    code = "too_many_tries"
    status = 429
    hint = "Wait, or have an admin make a link for a new password."

    def __init__(self, seconds: float) -> None:
        whole = int(seconds) + 1
        shown = f"{whole} seconds" if whole < 120 else f"{whole // 60} minutes"
        super().__init__(f"That were too many tries. The next one counts in {shown}.")
        self.retry_after_seconds = whole


@dataclass(frozen=True, slots=True)
class Logins:
    pool: Pool

    def find(self, cookie: str | None) -> Person | None:
        if not cookie:
            return None
        with borrowed(self.pool) as conn:
            return people.use_login(conn, cookie)

    def begin(self, name: str, password: str, *, address: str, user_agent: str) -> str:
        """Answers the cookie of a new login. Raises WrongLogin, whatever was wrong, or TooManyTries.

        A name has five tries, an address thirty, since many may share it; then each costs twice the wait of the last.
        """
        by_name, by_address = f"name {name.strip().casefold()}", f"address {address}"
        with borrowed(self.pool) as conn:
            people.bound_tries(conn)
            for who, free in ((by_address, 30), (by_name, 5)):
                wait = people.count_try(conn, who, free=free, first_seconds=15, most_seconds=MOST_SECONDS)
                if wait:
                    raise TooManyTries(wait)
            known = people.get(conn, name.strip())
        # No connection is held meanwhile.
        fits = passwords.matches(password, known["password"] if known else None)
        if known is None or not fits or known["disabled"]:
            raise WrongLogin("This name and this password do not go together.")
        with borrowed(self.pool) as conn:
            people.forget_tries(conn, [by_name, by_address])
            return people.begin_login(conn, known["name"], user_agent)

    def by_link(self, link: str, *, name: str, password: str, user_agent: str) -> str:
        """Uses a link up, and answers the cookie of the new login."""
        with borrowed(self.pool) as conn:
            there = people.get_link(conn, link)
        chosen = there["person"] if there and there["person"] else checked_name(name)
        kept = passwords.hashed(checked_password(password))
        with borrowed(self.pool) as conn:
            person = people.use_link(conn, link, name=chosen, password=kept)
            return people.begin_login(conn, person.name, user_agent)

    def end(self, cookie: str) -> None:
        with borrowed(self.pool) as conn:
            people.end_login(conn, cookie)


def form_token(cookie: str) -> str:
    """What every form of this login carries. Another one each time, so that a compressed page does not give it away."""
    salt = secrets.token_hex(SALT_CHARS // 2)
    return salt + signed(cookie, salt)


def is_form_token(cookie: str, token: str) -> bool:
    salt, signature = token[:SALT_CHARS], token[SALT_CHARS:]
    return hmac.compare_digest(signed(cookie, salt).encode(), signature.encode("utf-8", "replace"))


def signed(cookie: str, salt: str) -> str:
    return hmac.new(cookie.encode(), f"form {salt}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()
