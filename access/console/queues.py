"""rq-dashboard at /rq, for admins who are logged in. What it needs is imported at the first visit, not at every start.

Its pages are its own, with scripts that know nothing of our forms' tokens: a change is taken only if the browser says
that a page of this service asked for it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from threading import Lock

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

PLACE = "/rq"
Guard = Callable[[Request], Awaitable[Response | None]]


@dataclass(slots=True)
class Queues:
    """`refusal` answers who may not come in."""

    redis_url: str
    refusal: Guard
    made: ASGIApp | None = None
    making: Lock = field(default_factory=Lock)

    def mount(self) -> Mount:
        return Mount(PLACE, app=self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        app: ASGIApp | None = await self.refusal(Request(scope)) or self.made
        if app is None:
            app = await to_thread.run_sync(self.make)
        await app(scope, receive, send)

    def make(self) -> ASGIApp:
        from access.rq_dashboard import create_rq_dashboard

        with self.making:
            self.made = self.made or create_rq_dashboard(self.redis_url)
        return self.made
