"""The MCP server at /mcp: streamable HTTP, a bearer token on every request, nothing kept between two requests."""

from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Any

from mcp.server.transport_security import TransportSecuritySettings
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from access.api import Api
from access.mcp_server import CALLER, build
from domain.errors import AIWebhookError, Forbidden, error_body

REQUEST: ContextVar[Request] = ContextVar("request")


class LocalActions:
    """Does actions in this process, for the caller of the request that is under way."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def act(self, name: str, asked: dict[str, Any]) -> Any:
        caller = CALLER.get()
        if name == "claim_task":
            return {"items": await self.api.claimed(caller, asked, REQUEST.get()), "next": None}
        return await run_in_threadpool(self.api.service.act, caller, name, asked)


class McpEndpoint:
    def __init__(self, api: Api) -> None:
        self.api = api
        self.server = build(LocalActions(api))
        # Which host names a request may be for is checked against pages of a browser that find a server without a
        # password on this machine; here they would need the token.
        security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        self.app = self.server.streamable_http_app(
            streamable_http_path="/mcp", json_response=True, stateless_http=True, transport_security=security
        )

    def running(self) -> AbstractAsyncContextManager[None]:
        """What has to be entered for as long as requests are answered."""
        return self.server.session_manager.run()

    def route(self) -> Route:
        # GET would be a stream on which nothing is ever said, and without a limit.
        return Route("/mcp", endpoint=self, methods=["POST"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            caller = await self.api.caller(request)
        except AIWebhookError as error:
            headers = {"www-authenticate": "Bearer"} if isinstance(error, Forbidden) else {}
            if error.retry_after_seconds:
                headers["retry-after"] = str(error.retry_after_seconds)
            await JSONResponse(error_body(error), error.status, headers)(scope, receive, send)
            return
        caller_before, request_before = CALLER.set(caller), REQUEST.set(request)
        try:
            await self.app(scope, receive, send)
        finally:
            CALLER.reset(caller_before)
            REQUEST.reset(request_before)
