"""Caller: who asks, and what they may do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain.errors import InvalidRequest, MissingScope

READ, WRITE, CLAIM, REVIEW, ADMIN = SCOPES = ("read", "write", "claim", "review", "admin")
AGENT_CHARS = 100
CONSOLE = "console"  # how people come in, who have no token


def checked_scopes(scopes: Iterable[str]) -> list[str]:
    """Without repeats, in order; raises InvalidRequest for what is no scope, or when there is none."""
    wanted = sorted(set(scopes))
    for scope in wanted:
        kind, colon, agent = scope.partition(":")
        if kind not in SCOPES or (colon and (kind != CLAIM or not 1 <= len(agent) <= AGENT_CHARS)):
            raise InvalidRequest("A scope is read, write, review, admin, claim or claim:AGENT.")
    if not wanted:
        raise InvalidRequest("A token needs a scope.", hint="read, write, review, admin, claim or claim:AGENT.")
    return wanted


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a token. `name` is what their deeds are put down to where they name nobody.

    `admin` may everything; `claim:AGENT` takes and moves tasks as that agent and as no other.
    """

    name: str
    scopes: frozenset[str]
    token: str = ""  # its id, by which one is told from a later one of the same name; of a person CONSOLE

    def may(self, scope: str) -> bool:
        return ADMIN in self.scopes or scope in self.scopes

    def may_act_as(self, agent: str) -> bool:
        return self.may(CLAIM) or f"{CLAIM}:{agent}" in self.scopes

    def may_act_as_some(self) -> bool:
        return self.may(CLAIM) or any(scope.startswith(f"{CLAIM}:") for scope in self.scopes)

    def require(self, scope: str) -> None:
        """Raises MissingScope. For `claim` any agent will do here; which one is checked against the task."""
        if not (self.may_act_as_some() if scope == CLAIM else self.may(scope)):
            raise missing(scope)

    def require_agent(self, agent: str) -> None:
        if not self.may_act_as(agent):
            raise missing(f"{CLAIM}:AGENT of the agent it is about")


def missing(scope: str) -> MissingScope:
    return MissingScope(f"This token does not have the scope {scope}.")


def operator(scopes: Sequence[str] = SCOPES) -> Caller:
    """Whoever has the token of the settings, or the database itself."""
    return Caller("operator", frozenset(scopes))
