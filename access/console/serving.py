"""Answers requests by the list of pages: who asks, may they, is it their own form; then the page's handler.

The wrapper is the one place where something is let in. Handlers are plain functions and run in the thread pool.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from access.api import Told
from access.console import live, login
from access.console.assets import static_files, static_url
from access.console.logins import Logins, is_form_token
from access.console.pages import MISSING, OPEN, PAGES, QUEUES, Page
from access.console.queues import Queues
from access.console.rendering import HEADERS, environment
from access.console.senders import Senders
from access.console.visit import TOKEN_FIELD, Visit, read_form
from access.service import Service, reader_of
from access.streaming import Stream
from domain.body import read_bounded
from domain.errors import AIWebhookError, Forbidden, MissingScope, NotFound
from domain.settings import Settings

log = logging.getLogger("ai_webhook.console")

FORM_BYTES = 4 * 1024 * 1024
SLOW_AT_ONCE = 2
WRITTEN_COOKIE = "ai_webhook_written"
SAID_MISSING = "There is nothing at this address."
Answer = Callable[[Request, Exception], Awaitable[Response]]


class Console:
    """The console's routes on the API's service and stream of events."""

    def __init__(self, settings: Settings, service: Service, stream: Stream, senders: Senders) -> None:
        self.public = urlsplit(settings.public_url) if settings.public_url else None
        self.service = service
        self.senders = senders
        self.logins = Logins(service.pool)
        self.stream = stream
        self.slow: CapacityLimiter | None = None
        environment().globals["pages"] = PAGES
        zipped = [Middleware(GZipMiddleware, minimum_size=500, compresslevel=5)]
        self.routes: list[BaseRoute] = [
            *(Route(page.path, self.endpoint(page), methods=[page.method], middleware=zipped) for page in PAGES),
            Route("/events", self.events),
            Route("/favicon.ico", favicon),
            static_files(),
        ]
        if settings.redis_url is not None:
            self.routes.append(Queues(settings.redis_url.get_secret_value(), self.refusal).mount())

    def endpoint(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            visit = self.visit(request, page)
            try:
                if request.method == "POST":
                    self.check_origin(request)
                    announced = request.headers.get("content-length", "")
                    visit.form = read_form(await read_bounded(request.stream(), announced, FORM_BYTES))
                response = await to_thread.run_sync(self.handle, visit, limiter=self.limiter(page))
                self.remember_written(visit, response)
                return response
            except AIWebhookError as error:
                return await to_thread.run_sync(refuse, visit, error)

        return answer

    def visit(self, request: Request, page: Page) -> Visit:
        secure = self.is_secure(request)
        return Visit(request=request, page=page, service=self.service, senders=self.senders, secure=secure)

    async def refusal(self, request: Request) -> Response | None:
        """What is answered to who may not see what stands beside the pages; None to who may."""
        return await to_thread.run_sync(self.refused, self.visit(request, QUEUES))

    def refused(self, visit: Visit) -> Response | None:
        self.know(visit)
        if visit.person is None:
            return to_login(visit)
        try:
            self.check_role(visit)
            if visit.request.method not in ("GET", "HEAD"):
                self.check_own_page(visit.request)
        except AIWebhookError as error:
            return refuse(visit, error)
        return None

    def or_page(self, otherwise: Answer) -> Answer:
        """How what is not there is told: as a page to a browser that looks for one, else as `otherwise` has it."""

        async def answer(request: Request, error: Exception) -> Response:
            is_missing = isinstance(error, HTTPException) and error.status_code == 404
            wants_page = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")
            if not (is_missing and wants_page) or request.url.path.startswith(("/api/", "/webhook/", "/static/")):
                return await otherwise(request, error)
            visit = self.visit(request, MISSING)
            return await to_thread.run_sync(self.refuse_known, visit, NotFound(SAID_MISSING, hint="Start at Today."))

        return answer

    def refuse_known(self, visit: Visit, error: AIWebhookError) -> Response:
        self.know(visit)
        return refuse(visit, error)

    def limiter(self, page: Page) -> CapacityLimiter | None:
        if not page.slow:
            return None
        if self.slow is None:  # belongs to the event loop that is running now
            self.slow = CapacityLimiter(SLOW_AT_ONCE)
        return self.slow

    def handle(self, visit: Visit) -> Response:
        page = visit.page
        self.know(visit)
        if page.role == OPEN:
            return page.handle(visit)
        if visit.person is None:
            return to_login(visit)
        self.check_role(visit)
        if page.method == "POST" and not is_form_token(visit.cookie or "", visit.form.get(TOKEN_FIELD, "")):
            return login.offer_again(visit, visit.here, visit.form.kept(), 403)
        response = page.handle(visit)
        if page.reads and response.status_code < 400:
            visit.note(visit.seen_as or page.reads)
        return response

    def check_role(self, visit: Visit) -> None:
        role = visit.page.role
        if role != OPEN and not (visit.person and visit.person.may_as(role)):
            raise MissingScope(f"This needs the role {role}.", hint="An admin can give it to you, under People.")

    def know(self, visit: Visit) -> None:
        visit.cookie = visit.request.cookies.get(login.cookie_name(visit.secure))
        visit.person = self.logins.find(visit.cookie)
        if visit.person is not None:
            self.service.reading.saw(reader_of(visit.caller), visit.request.cookies.get(WRITTEN_COOKIE))

    def remember_written(self, visit: Visit, response: Response) -> None:
        """The next page may be asked of another process, which then knows that a replica has to have this, too."""
        written = self.service.reading.position(reader_of(visit.caller)) if visit.person else None
        if written is not None and visit.request.method == "POST":
            response.set_cookie(
                WRITTEN_COOKIE, written, max_age=60, path="/", httponly=True, samesite="lax", secure=visit.secure
            )

    async def events(self, request: Request) -> Response:
        cookie = request.cookies.get(login.cookie_name(self.is_secure(request)))
        if await to_thread.run_sync(self.logins.find, cookie) is None:
            return Response(status_code=401, headers=HEADERS)
        batches = self.stream.events(live.position_of(request.headers.get("last-event-id")))
        await anext(batches)  # there is room, and the database answers
        told = live.told(batches, partial(self.logins.find, cookie), lambda: len(self.stream.listeners))
        return Told(told, batches)

    def is_secure(self, request: Request) -> bool:
        return request.url.scheme == "https" or (self.public is not None and self.public.scheme == "https")

    def check_origin(self, request: Request) -> None:
        """Raises Forbidden for a form that a page of another site sent, whose browser would send the cookie along."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        hosts = {request.headers.get("host"), self.public.netloc if self.public else None}
        foreign = site not in (None, "same-origin", "none")
        if foreign or (origin is not None and urlsplit(origin).netloc not in hosts):
            raise ForeignForm()

    def check_own_page(self, request: Request) -> None:
        """The same for requests that carry no token of ours: who does not say where from is foreign, too."""
        if not request.headers.get("origin") and not request.headers.get("sec-fetch-site"):
            raise ForeignForm()
        self.check_origin(request)


class ForeignForm(Forbidden):
    code = "foreign_form"
    status = 403
    hint = "Open the page here and send it again. Behind a proxy, set AI_WEBHOOK_PUBLIC_URL."

    def __init__(self) -> None:
        super().__init__("A page of another site sent this form.")


def to_login(visit: Visit) -> Response:
    """To the login page and back. What was typed into a form waits there."""
    if visit.request.method == "POST":
        headers = {"hx-retarget": "body", "hx-reswap": "innerHTML"} if visit.by_htmx else {}
        response = login.ask(visit, visit.here, 401, kept=visit.form.kept())
        response.headers.update(headers)
        return response
    if visit.by_htmx:
        parts = urlsplit(visit.request.headers.get("hx-current-url", "/"))
        seen = parts.path + (f"?{parts.query}" if parts.query else "")
        return Response(status_code=401, headers={**HEADERS, "hx-redirect": login.login_address(seen)})
    return RedirectResponse(login.login_address(visit.here), 303, HEADERS)


def refuse(visit: Visit, error: AIWebhookError) -> Response:
    """An error as a page; for htmx as a sentence above the page, which stays."""
    if error.status >= 500:
        log.warning("a page was not shown: %s %s", visit.page.path, error.code)
    template = "_error.html" if visit.by_htmx else "error.html"
    response = visit.render(template, error.status, error=error)
    if visit.by_htmx:
        response.headers.update({"hx-retarget": "#told", "hx-reswap": "innerHTML"})
    return response


async def favicon(request: Request) -> Response:
    return RedirectResponse(static_url("favicon.svg"), 308)
