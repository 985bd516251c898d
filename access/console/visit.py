"""A visit: one request to a page, who makes it, what they typed, and the answers there are."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from access.api import parsed
from access.auditing import entry_of
from access.console.logins import form_token
from access.console.rendering import HEADERS, environment, plain
from access.console.senders import Senders
from access.routes import BY_NAME
from access.service import Service
from domain.caller import READ, Caller
from domain.errors import Forbidden, InvalidRequest
from domain.person import Person
from store.database import Connection

if TYPE_CHECKING:
    from access.console.pages import Page

Found = TypeVar("Found")
TOKEN_FIELD = "form_token"  # noqa: S105 - the name of a field
SAID_COOKIE = "said"
SAID_CHARS = 300
FIELDS = 200


class Form(dict[str, str]):
    """The fields of a form; of several of one name, `every` has them all and the dict the last."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs

    def every(self, name: str) -> list[str]:
        return [value for field, value in self.pairs if field == name]

    def kept(self) -> list[tuple[str, str]]:
        """What was typed, to be sent again after a login; passwords are typed again."""
        return [(name, value) for name, value in self.pairs if name != TOKEN_FIELD and "password" not in name]

    def text(self, name: str) -> str | None:
        """What was typed, without spaces around it; None when that is nothing."""
        return self.get(name, "").strip() or None


def read_form(body: bytes) -> Form:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except ValueError:
        raise InvalidRequest("The form cannot be read.") from None
    # A browser sends a line's end as two characters, and PostgreSQL keeps no NUL.
    return Form([(name, value.replace("\r\n", "\n").replace("\x00", "")) for name, value in pairs])


@dataclass(kw_only=True)
class Visit:
    request: Request
    page: "Page"
    service: Service
    senders: Senders
    secure: bool  # the browser came by https
    person: Person | None = None
    cookie: str | None = None
    form: Form = field(default_factory=lambda: Form([]))
    seen_as: str = ""  # what the audit log calls it, if not as the page has it

    # What is asked

    def at(self, name: str = "id") -> str:
        """A part of the path."""
        text = str(self.request.path_params[name])
        if "\x00" in text:
            raise InvalidRequest("The address holds a NUL character.")
        return text

    def query(self, name: str) -> str | None:
        return self.request.query_params.get(name, "").replace("\x00", "").strip() or None

    def number(self, name: str) -> int | None:
        """A number of the query from 1 on, or None if it is no such thing."""
        text = self.query(name) or ""
        return int(text) or None if text.isascii() and text.isdigit() and len(text) <= 9 else None

    @property
    def here(self) -> str:
        """The address of this page as the browser wrote it, from the path on."""
        scope = self.request.scope
        path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        query: bytes = scope["query_string"]
        return (path.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")

    @property
    def server(self) -> str:
        """This service's address, as senders reach it: the one that is set, else as this browser does."""
        called = f"{'https' if self.secure else 'http'}://{self.request.headers.get('host', 'localhost:8000')}"
        return (self.senders.public_url or called).rstrip("/")

    @property
    def by_htmx(self) -> bool:
        return self.request.headers.get("hx-request") == "true"

    @property
    def address(self) -> str:
        return self.request.client.host if self.request.client else ""

    @property
    def user_agent(self) -> str:
        return self.request.headers.get("user-agent", "")

    @cached_property
    def zone(self) -> ZoneInfo | None:
        """The reader's time zone, as app.js told it."""
        name = unquote(self.request.cookies.get("zone", ""))
        try:
            return ZoneInfo(name) if name else None
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return None

    # What is done

    @property
    def caller(self) -> Caller:
        if self.person is None:
            raise Forbidden("Nobody is logged in.", hint="Log in.")
        return self.person.caller()

    def act(self, name: str, /, **asked: Any) -> Any:
        """Does an action as this person. What is asked is checked as the API checks it; None is as not given."""
        endpoint = BY_NAME[name]
        given = {key: value for key, value in asked.items() if value is not None}
        identity = {key: given.pop(key) for key in (endpoint.identity,) if key in given}
        complete = identity | parsed(endpoint.body or endpoint.query, given)
        return self.service.act(self.caller, name, complete, fresh=self.changes)

    def read(self, look: Callable[[Connection], Found]) -> Found:
        """What a page shows beyond what actions answer; `look` only reads."""
        self.caller.require(READ)
        return self.service.with_connection(look) if self.changes else self.service.read(self.caller, look)

    @property
    def changes(self) -> bool:
        """Whether a form is answered: what it shows and decides by is never read from a replica."""
        return self.request.method == "POST"

    def note(self, action: str) -> None:
        """Keeps in the audit log that this person read what the page is about."""
        endpoint = BY_NAME.get(action)
        name = endpoint.identity if endpoint else "session_id"
        about = {name: self.at()} if name and "id" in self.request.path_params else {}
        self.service.audit.read(entry_of(self.caller, action, about))

    # What is answered

    def show(self, status: int = 200, /, **context: Any) -> Response:
        """The page's template with what it needs."""
        return self.render(self.page.template, status, **context)

    def render(self, template: str, status: int = 200, /, **context: Any) -> Response:
        html = environment().get_template(template).render(visit=self, **context)
        response = HTMLResponse(html, status, HEADERS)
        if SAID_COOKIE in self.request.cookies:
            response.delete_cookie(SAID_COOKIE, path="/")
        return response

    def go(self, path: str, say: str | None = None) -> Response:
        """Sends the browser on with GET, to say something there."""
        response = RedirectResponse(path, 303, HEADERS)
        if say:
            response.set_cookie(
                SAID_COOKIE, quote(say[:SAID_CHARS]), path="/", httponly=True, samesite="lax", secure=self.secure
            )
        return response

    # What templates ask for

    @property
    def told(self) -> str | None:
        """What the page before had to say."""
        return plain(unquote(self.request.cookies.get(SAID_COOKIE, "")))[:SAID_CHARS] or None

    def form_token(self) -> str:
        return form_token(self.cookie) if self.cookie and self.person else ""

    def may(self, scope: str) -> bool:
        return self.person is not None and self.person.caller().may(scope)


def own_path(text: str | None) -> str:
    """A path on this host, or the first page: where a login may lead. `//host` and `/\\host` lead elsewhere."""
    text = text or "/"
    is_own = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and "\\" not in text
    parts = urlsplit(text) if is_own else None
    return text if parts is not None and not parts.scheme and not parts.netloc else "/"
