"""Person: who looks at the console, and what their role lets them do."""

from dataclasses import dataclass
from typing import Literal, get_args

from domain.caller import CONSOLE, READ, REVIEW, SCOPES, WRITE, Caller
from domain.errors import InvalidRequest

Role = Literal["viewer", "reviewer", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may what those before it may
SCOPES_OF: dict[Role, tuple[str, ...]] = {"viewer": (READ,), "reviewer": (READ, WRITE, REVIEW), "admin": SCOPES}

NAME_CHARS = 100
PASSWORD_CHARS = (10, 1000)


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    role: Role

    def may_as(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)

    def caller(self) -> Caller:
        return Caller(self.name, frozenset(SCOPES_OF[self.role]), CONSOLE)


def checked_name(name: str) -> str:
    """Without spaces around it; raises InvalidRequest for what cannot be shown as a name."""
    name = name.strip()
    if not 1 <= len(name) <= NAME_CHARS or not name.isprintable():
        raise InvalidRequest(f"A name has 1 to {NAME_CHARS} characters that can be printed.")
    return name


def checked_password(password: str) -> str:
    """Long is what counts; nothing is said about which characters."""
    least, most = PASSWORD_CHARS
    if not least <= len(password) <= most:
        raise InvalidRequest(f"A password has {least} to {most} characters.", hint="Several words in a row will do.")
    return password
