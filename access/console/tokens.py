"""Tokens: what programs and agents bring to the API. One that is made is shown once."""

from typing import Any

from starlette.responses import Response

from access.console.visit import Visit
from domain.caller import SCOPES
from domain.errors import InvalidRequest, NotFound

DAYS = (7, 30, 90, 365)


def show(visit: Visit) -> Response:
    return tell(visit)


def tell(visit: Visit, status: int = 200, *, made: object = None, problem: object = None) -> Response:
    listed: list[Any] = visit.act("list_tokens")["items"]
    typed = visit.form if problem else {}
    scopes = visit.form.every("scope") if problem else ["read"]
    context = {"made": made, "problem": problem, "typed": typed, "chosen": scopes}
    return visit.show(status, tokens=listed, scopes=SCOPES, days=DAYS, **context)


def change(visit: Visit) -> Response:
    name = visit.form.text("name") or ""
    try:
        if visit.form.get("do") == "revoke":
            visit.act("revoke_token", name=name)
            return visit.go("/tokens", f"The token {name} opens nothing any more.")
        return tell(visit, made=visit.act("create_token", name=name, scopes=scopes(visit), seconds=seconds(visit)))
    except (InvalidRequest, NotFound) as problem:
        return tell(visit, problem.status, problem=problem)


def scopes(visit: Visit) -> list[str]:
    agent = visit.form.text("agent")
    return [*visit.form.every("scope"), *([f"claim:{agent}"] if agent else [])]


def seconds(visit: Visit) -> int | None:
    days = visit.form.get("days", "")
    return int(days) * 24 * 3600 if days in {str(known) for known in DAYS} else None
