"""The routes that senders post to. Answers in milliseconds: read, verify, identify, enqueue."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.body import read_bounded
from domain.delivery import NATIVE, TASK_COMMAND, Delivery
from domain.errors import (
    AIWebhookError,
    BodyTooSlow,
    MethodNotAllowed,
    NotFound,
    Refused,
    UnknownSource,
    error_body,
)
from domain.log_lines import about
from domain.settings import Settings
from domain.tracing import here, is_traced, span
from ingest import chatgpt, sources
from ingest import request as received
from ingest.accepting import Greeting, accept, accept_setup
from ingest.credentials import authenticate
from ingest.enqueueing import Enqueue, Outcome
from ingest.limiting import RateLimits
from ingest.measuring import REQUEST_SECONDS, REQUESTS, count_refused
from ingest.refusals import Refusals
from ingest.replying import Replies

log = logging.getLogger("ai_webhook.ingest")
LARGE_BYTES = 256 * 1024  # from here on, hashing and parsing would hold up the other requests


def webhook_routes(
    settings: Settings,
    enqueue: Enqueue,
    replies: Replies | None = None,
    rates: RateLimits | None = None,
    refusals: Refusals | None = None,
) -> list[Route]:
    """POST /webhook for the native kinds, POST /webhook/{source} for everybody else, with a secret in the URL for
    senders that can bring it nowhere else. Without `replies` nobody waits, without `rates` nobody is slowed, without
    `refusals` what is refused is in the log alone."""
    sources.check_secrets(settings)

    async def webhook(request: Request) -> Response:
        started = time.perf_counter()
        source = request.path_params.get("source", NATIVE)
        try:
            arrived = await receive(request, settings)
            large = len(arrived.body) > LARGE_BYTES
            accepted = await run_in_threadpool(accept, arrived, settings) if large else accept(arrived, settings)
            if isinstance(accepted, Greeting):
                return JSONResponse(accepted.answer)
            if rates is not None:
                await rates.check(source)
            named, key = sources.label(source, settings), accepted.key
            with about(delivery_id=key), span("accept", source=named, delivery_id=key):
                outcome = await enqueue(replace(accepted, trace=here()) if is_traced() else accepted)
        except AIWebhookError as error:
            named = "?" if isinstance(error, UnknownSource) else source[:64]  # it may be a secret in the wrong place
            log.info("refused source=%r code=%s status=%d", named, error.code, error.status)
            count_refused(sources.label(source, settings), error)
            if refusals is not None:
                refusals.count(source, error)
            raise
        took = time.perf_counter() - started
        REQUESTS.labels(sources.label(source, settings), outcome).inc()
        REQUEST_SECONDS.observe(took)
        with about(delivery_id=accepted.key):
            log.debug("%s delivery=%s source=%s ms=%.1f", outcome, accepted.key, source, 1e3 * took)
            return await answer(arrived, accepted, outcome, replies)

    async def setup(request: Request) -> Response:
        greeting = accept_setup(arrived_as(request, settings, b""), settings)
        if greeting is None:
            raise HTTPException(405, headers={"allow": "POST"})
        return JSONResponse(greeting.answer)

    async def chatgpt_schema(request: Request) -> Response:
        return JSONResponse(chatgpt.openapi(server_called(request, settings.public_url)))

    async def reply(request: Request) -> Response:
        return await reply_to(request, settings, replies)

    return [
        Route("/webhook", webhook, methods=["POST"]),
        Route("/webhook/{source}", webhook, methods=["POST"]),
        Route("/webhook/replies/{delivery}", reply, methods=["GET"]),
        Route("/webhook/chatgpt/openapi.json", chatgpt_schema, methods=["GET"]),
        Route("/webhook/{source}/{secret:path}", webhook, methods=["POST"]),
        Route("/webhook/{source}", setup, methods=["GET"]),
        Route("/webhook/{source}/{secret:path}", setup, methods=["GET"]),
    ]


async def receive(request: Request, settings: Settings) -> received.Request:
    """The request with its whole body, which has to come within a time and up to a length."""
    announced = request.headers.get("content-length", "")
    try:
        async with asyncio.timeout(settings.body_seconds):
            body = await read_bounded(request.stream(), announced, settings.max_body_bytes)
    except TimeoutError:
        raise BodyTooSlow(f"The body did not come within {settings.body_seconds:g} seconds.") from None
    return arrived_as(request, settings, body)


def arrived_as(request: Request, settings: Settings, body: bytes) -> received.Request:
    source, end = request.path_params.get("source", NATIVE), request.path_params.get("secret") or None
    operation = end if end in sources.source_named(source).operations else None
    return received.Request(
        source=source,
        headers={name.lower(): value for name, value in request.headers.items()},
        query=dict(request.query_params),
        body=body,
        received_at=datetime.now(UTC),
        url=url_called(request, settings.public_url),
        path_secret=end if operation is None else None,
        operation=operation,
        window_seconds=settings.signature_window_seconds,
    )


def url_called(request: Request, public_url: str | None) -> str:
    """The address as the sender wrote it, byte for byte; behind a proxy only the setting knows its beginning."""
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return server_called(request, public_url) + (path.partition(b"?")[0] + (b"?" + query if query else b"")).decode(
        "latin-1"
    )


def server_called(request: Request, public_url: str | None) -> str:
    return (public_url or f"{request.scope['scheme']}://{request.headers.get('host', '')}").rstrip("/")


async def answer(arrived: received.Request, delivery: Delivery, outcome: Outcome, replies: Replies | None) -> Response:
    """What the sender is told of a delivery that Redis has: what came of it if it waits, else where it lies."""
    source = sources.source_named(delivery.source)
    told: dict[str, Any] = {"status": outcome, "delivery": delivery.key, **source.answer(arrived)}
    if not delivery.sync or replies is None:
        return Response(status_code=204) if source.status == 204 else JSONResponse(told)
    command = delivery.source == NATIVE and delivery.event == TASK_COMMAND
    reply = await replies.wait(delivery.key, repeated=outcome == "duplicate", command=command)
    if reply is not None:
        return Response(reply, media_type="application/json")
    place = f"/webhook/replies/{delivery.key}"
    return JSONResponse(
        told | {"reply": place}, 202 if outcome == "accepted" else 200, {"location": place, "retry-after": "1"}
    )


async def reply_to(request: Request, settings: Settings, replies: Replies | None) -> Response:
    """What came of a delivery, for a sender who did not wait for it; kept for ten minutes. Only sources whose senders
    wait for answers may ask, by the credentials that they post with."""
    source = request.query_params.get("source", NATIVE)
    row = sources.source_named(source)
    if row.waits is None:
        raise NotFound("This source gets no replies.", hint="`?source=` is that of the delivery; native unless named.")
    authenticate(replace(arrived_as(request, settings, b""), source=source), row, settings)
    key = request.path_params["delivery"]
    reply, under_way = await replies.look(key) if replies is not None else (None, False)
    if reply is not None:
        return Response(reply, media_type="application/json")
    if under_way:
        return JSONResponse({"status": "waiting", "delivery": key}, 202, {"retry-after": "1"})
    raise NotFound("There is no reply to this delivery.", hint="Replies to those who wait are kept for ten minutes.")


def health_routes(ready: Callable[[], Awaitable[dict[str, bool]]]) -> list[Route]:
    """/healthz: the process answers. /readyz: whether it can take deliveries, and what answers, each by name. Redis is
    all that deliveries need: without PostgreSQL it is `degraded`, which is no reason to send them elsewhere."""

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        checks = await ready()
        status = "unavailable" if not checks["redis"] else "ready" if all(checks.values()) else "degraded"
        return JSONResponse({"status": status, **checks}, 503 if status == "unavailable" else 200)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


async def answer_error(request: Request, error: Exception) -> Response:
    """Our errors by their own status, in the one shape."""
    assert isinstance(error, AIWebhookError)
    headers = {"retry-after": str(error.retry_after_seconds)} if error.retry_after_seconds else {}
    if isinstance(error, BodyTooSlow):
        headers["connection"] = "close"  # the rest of the body would keep it open for as long as the sender likes
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


def create_app(
    settings: Settings,
    enqueue: Enqueue,
    ready: Callable[[], Awaitable[dict[str, bool]]],
    replies: Replies | None = None,
    rates: RateLimits | None = None,
    refusals: Refusals | None = None,
    more: Sequence[Route] = (),
) -> Starlette:
    """The endpoint alone, for a host that has no credentials of the database."""
    return Starlette(
        routes=[*webhook_routes(settings, enqueue, replies, rates, refusals), *health_routes(ready), *more],
        exception_handlers=ERROR_HANDLERS,
    )
