"""Logging in and out, and the first time, by a link."""

from urllib.parse import quote

from starlette.responses import Response

from access.console.logins import Logins
from access.console.visit import Visit, own_path
from domain.caller import CONSOLE
from domain.errors import Refused
from store import people
from store.audit import Entry

KEPT = "kept."  # before the names of fields that wait for the login
SECONDS = people.LOGIN_SECONDS


def logins(visit: Visit) -> Logins:
    return Logins(visit.service.pool)


def show(visit: Visit) -> Response:
    target = own_path(visit.query("next"))
    return visit.go(target) if visit.person else ask(visit, target)


def ask(
    visit: Visit, target: str, status: int = 200, *, kept: list[tuple[str, str]] | None = None, **more: object
) -> Response:
    """The login page. `kept` is what was typed into a form of the page `target` whose login had ended."""
    nobody_yet = not visit.service.with_connection(people.any_at_all)
    context = {"target": target, "kept": kept, "nobody_yet": nobody_yet, "name": "", "problem": None} | more
    return visit.render("login.html", status, **context)


def log_in(visit: Visit) -> Response:
    target, name = own_path(visit.form.text("next")), visit.form.get("name", "")
    kept = kept_by(visit)
    try:
        cookie = logins(visit).begin(
            name, visit.form.get("password", ""), address=visit.address, user_agent=visit.user_agent
        )
    except Refused as problem:
        visit.service.audit.read(Entry(known_name(visit, name), CONSOLE, "log_in", outcome=problem.code))
        return ask(visit, target, problem.status, kept=kept, name=name, problem=problem)
    visit.service.audit.write(Entry(known_name(visit, name), CONSOLE, "log_in"))
    if kept is None:
        return with_cookie(visit, visit.go(target), cookie)
    visit.person, visit.cookie = logins(visit).find(cookie), cookie
    return with_cookie(visit, offer_again(visit, target, kept), cookie)


def known_name(visit: Visit, typed: str) -> str:
    """The name of a person; what else was typed for one may be a password, and is not kept."""
    known = visit.service.with_connection(lambda conn: people.get(conn, typed.strip()))
    return str(known["name"]) if known else "somebody"


def kept_by(visit: Visit) -> list[tuple[str, str]] | None:
    """What the login page was given to keep."""
    if "keeps" not in visit.form:
        return None
    return [(name.removeprefix(KEPT), value) for name, value in visit.form.pairs if name.startswith(KEPT)]


def offer_again(visit: Visit, target: str, kept: list[tuple[str, str]], status: int = 200) -> Response:
    """Shows what was typed and has it sent by a click, since it is by now another login's form."""
    return visit.render("again.html", status, target=target, kept=kept)


def log_out(visit: Visit) -> Response:
    if visit.cookie:
        logins(visit).end(visit.cookie)
        visit.service.audit.write(Entry(visit.caller.name, CONSOLE, "log_out"))
    response = visit.go("/login", "You are logged out.")
    response.delete_cookie(cookie_name(visit.secure), path="/", secure=visit.secure, httponly=True, samesite="lax")
    return response


def show_welcome(visit: Visit) -> Response:
    """Opening a link uses nothing up: programs that preview links open them, too."""
    token = visit.at("token")
    link = visit.service.with_connection(lambda conn: people.get_link(conn, token))
    return visit.show(200 if link else 404, link=link, name="", problem=None)


def welcome(visit: Visit) -> Response:
    token, name, password = visit.at("token"), visit.form.get("name", ""), visit.form.get("password", "")
    try:
        cookie = logins(visit).by_link(token, name=name, password=password, user_agent=visit.user_agent)
    except Refused as problem:
        link = visit.service.with_connection(lambda conn: people.get_link(conn, token))
        return visit.show(problem.status, link=link, name=name, problem=problem)
    person = logins(visit).find(cookie)
    visit.service.audit.write(Entry(person.name if person else "somebody", CONSOLE, "use_login_link"))
    return with_cookie(visit, visit.go("/", "Welcome. You are logged in."), cookie)


def cookie_name(secure: bool) -> str:
    """With a prefix by which browsers refuse it from any other host, where that can be."""
    return "__Host-ai_webhook_login" if secure else "ai_webhook_login"


def with_cookie(visit: Visit, response: Response, cookie: str) -> Response:
    """Always a new one: what the browser brought before the login opens nothing after it."""
    response.set_cookie(
        cookie_name(visit.secure),
        cookie,
        max_age=SECONDS,
        path="/",
        httponly=True,
        samesite="lax",
        secure=visit.secure,
    )
    return response


def login_address(path: str) -> str:
    return f"/login?next={quote(own_path(path), safe='')}"
