"""The routes that senders post to. Answers in milliseconds: read, verify, identify, enqueue."""

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.body import read_bounded
from domain.delivery import NATIVE
from domain.errors import AIWebhookError, MethodNotAllowed, NotFound, Refused, Unavailable, error_body
from domain.settings import Settings
from ingest import sources
from ingest.enqueueing import Enqueue

log = logging.getLogger("ai_webhook.ingest")
LARGE_BYTES = 256 * 1024  # from here on, hashing and parsing would hold up the other requests


def webhook_routes(settings: Settings, enqueue: Enqueue) -> list[Route]:
    """POST /webhook for the native kinds, POST /webhook/{source} for everybody else."""
    sources.check_secrets(settings)

    async def webhook(request: Request) -> Response:
        started = time.perf_counter()
        source = request.path_params.get("source", NATIVE)
        announced = request.headers.get("content-length", "")
        try:
            received = sources.Request(
                source=source,
                headers={name.lower(): value for name, value in request.headers.items()},
                query=dict(request.query_params),
                body=await read_bounded(request.stream(), announced, settings.max_body_bytes),
                received_at=datetime.now(UTC),
            )
            if len(received.body) > LARGE_BYTES:
                delivery = await run_in_threadpool(sources.accept, received, settings)
            else:
                delivery = sources.accept(received, settings)
            outcome = await enqueue(delivery)
        except AIWebhookError as error:
            log.info("refused source=%r code=%s status=%d", source[:64], error.code, error.status)
            raise
        took = 1e3 * (time.perf_counter() - started)
        log.debug("%s delivery=%s source=%s ms=%.1f", outcome, delivery.key, source, took)
        return JSONResponse({"status": outcome, "delivery": delivery.key})

    return [Route("/webhook", webhook, methods=["POST"]), Route("/webhook/{source}", webhook, methods=["POST"])]


def health_routes(ready: Callable[[], Awaitable[dict[str, bool]]]) -> list[Route]:
    """/healthz: the process answers. /readyz: what it needs answers too, each by name."""

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        checks = await ready()
        good = all(checks.values())
        return JSONResponse({"status": "ready" if good else "unavailable", **checks}, 200 if good else 503)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


async def answer_error(request: Request, error: Exception) -> Response:
    """Our errors by their own status, in the one shape."""
    assert isinstance(error, AIWebhookError)
    headers = {"retry-after": "5"} if isinstance(error, Unavailable) else None
    return JSONResponse(error_body(error), error.status, headers)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """What Starlette refuses by itself (no such route, wrong method), in the same shape."""
    assert isinstance(error, HTTPException)
    ours: Refused
    if error.status_code == 404:
        ours = NotFound("There is nothing at this address.", hint="Post to /webhook or /webhook/{source}.")
    elif error.status_code == 405:
        ours = MethodNotAllowed("This address does not take this method.")
    else:
        ours = Refused(f"{error.detail}.", hint="Use the method and form that the documentation names.")
    return JSONResponse(error_body(ours), error.status_code, error.headers)


async def answer_nobody(request: Request, error: Exception) -> Response:
    """The sender hung up before its body was complete: nothing was kept, and nothing of ours broke."""
    log.info("a sender hung up")
    return Response(status_code=400)


async def answer_crash(request: Request, error: Exception) -> Response:
    return JSONResponse(error_body(AIWebhookError("Something of ours broke while answering.")), 500)


ERROR_HANDLERS = {
    AIWebhookError: answer_error,
    HTTPException: answer_http_error,
    ClientDisconnect: answer_nobody,
    Exception: answer_crash,
}


def create_app(settings: Settings, enqueue: Enqueue, ready: Callable[[], Awaitable[dict[str, bool]]]) -> Starlette:
    """The endpoint alone, for a host that has no credentials of the database."""
    return Starlette(
        routes=[*webhook_routes(settings, enqueue), *health_routes(ready)],
        exception_handlers=ERROR_HANDLERS,
    )
