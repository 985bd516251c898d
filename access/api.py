"""The JSON API under /api: serves the table of routes.py. Of each request: who asks, what for, act, respond.

Actions are plain functions and run in the thread pool; a request holds a database connection only while it acts. What
waits or comes by the thousand, claims and completions, is put together by the event loop.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import orjson
from pydantic import ValidationError
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from access import inputs
from access.actions import check_holder, without_token
from access.auditing import entry_of
from access.authenticating import Tokens
from access.combining import Combiner
from access.context import context
from access.routes import ENDPOINTS, Endpoint
from access.service import Service, reader_of
from access.streaming import Stream
from access.waiting import Claims
from domain.body import read_bounded
from domain.caller import CLAIM, READ, Caller
from domain.errors import AIWebhookError, Forbidden, InvalidRequest, NotFound, Unavailable, UnsupportedMedia
from domain.settings import Settings
from store import tasks
from store.database import Connection, Pool, Row

log = logging.getLogger("ai_webhook.access")

MAX_BODY_BYTES = 8 * 1024 * 1024
SEND_SECONDS = 20  # a listener that takes nothing for so long is let go
CONTEXT_TOKENS = 1500  # with a claim
COME_BACK_MS = 500  # after which a listener that is let go, since the process stops, is to come back


class Api:
    """The routes, and what is kept between requests."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.settings = settings
        self.service = Service(settings, pool)
        self.tokens = Tokens(settings, pool)
        self.claims = Claims(settings.conninfo(), pool, settings.max_waiting)
        self.stream = Stream(self.service.reading, settings.max_streams)
        self.completions: Combiner[Completion, Row] = Combiner(pool, complete_many, complete_one)
        others = {
            "claim_task": self.claim,
            "complete_task": self.complete,
            "list_events": self.events,
            "upload_artifact": self.upload,
        }
        # HEAD comes with GET, as Starlette has it.
        self.routes = [
            Route("/api" + e.path, self.endpoint(e, others.get(e.name, self.act)), methods=[e.method])
            for e in ENDPOINTS
        ]

    def stop(self) -> None:
        """Lets go all who wait or listen."""
        self.claims.stop()
        self.stream.stop()

    def endpoint(
        self, endpoint: Endpoint, handle: Callable[[Endpoint, Request, Caller], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            caller = await self.caller(request)
            self.service.check(caller, endpoint.name)  # before anything is read
            return await handle(endpoint, request, caller)

        return answer

    async def caller(self, request: Request) -> Caller:
        authorization = request.headers.get("authorization", "")
        known = self.tokens.remembered(authorization)
        return known if known is not None else await run_in_threadpool(self.tokens.look_up, authorization)

    async def act(self, endpoint: Endpoint, request: Request, caller: Caller) -> Response:
        asked = asked_of(endpoint, request, await body_of(endpoint, request))
        tag = request.headers.get("if-match", "").strip()
        if endpoint.versioned and endpoint.method == "PATCH" and tag not in ("", "*"):
            asked["version"] = tag.removeprefix("W/").strip('"')
        key = request.headers.get("idempotency-key") if endpoint.creates else None
        answer = await run_in_threadpool(self.service.act, caller, endpoint.name, asked, key=key)
        return FILES[endpoint.name](answer) if endpoint.name in FILES else json_response(answer, endpoint)

    async def claim(self, endpoint: Endpoint, request: Request, caller: Caller) -> Response:
        asked = asked_of(endpoint, request, await body_of(endpoint, request))
        given = await self.claimed(caller, asked, request)
        return json_response({"items": given, "next": None}, endpoint)

    async def claimed(self, caller: Caller, asked: dict[str, Any], request: Request) -> list[Row]:
        """The claims given to a caller who may act as the agent, with context if that is asked for."""
        caller.require(CLAIM)
        caller.require_agent(asked["agent_name"])
        claim = {name: value for name, value in asked.items() if name not in ("wait_seconds", "context")}
        given = await self.claims.claim({"fair": False} | claim, asked["wait_seconds"], gone(request))
        if given:
            await self.wrote(caller)
        if given and asked["wait_seconds"]:
            await self.check_again(request, given)
        if asked["context"]:
            with suppress(AIWebhookError):  # the claims are given already: told without it rather than not at all
                return await run_in_threadpool(self.service.with_connection, lambda conn: with_context(conn, given))
        return [row | {"context": None} for row in given]

    async def check_again(self, request: Request, given: list[Row]) -> None:
        """That the token is good still, after a wait; else the claims are given back. Raises Forbidden."""
        try:
            await self.caller(request)
        except Forbidden:
            await run_in_threadpool(self.claims.give_back, given)
            raise
        except Unavailable:
            pass  # it was good when this was asked, and the claims are given

    async def complete(self, endpoint: Endpoint, request: Request, caller: Caller) -> Response:
        asked = asked_of(endpoint, request, await body_of(endpoint, request))
        completed = await self.completions.do((caller, asked))
        await self.wrote(caller)
        return json_response(without_token(completed), endpoint)

    async def wrote(self, caller: Caller) -> None:
        """What is not done by `service.act` is seen by who did it, too, when they read from a replica."""
        if self.service.reading.replica is not None:
            await run_in_threadpool(self.service.reading.wrote_by_now, reader_of(caller))

    async def events(self, endpoint: Endpoint, request: Request, caller: Caller) -> Response:
        if "text/event-stream" not in request.headers.get("accept", ""):
            return await self.act(endpoint, request, caller)
        asked = asked_of(endpoint, request, {})
        last = request.headers.get("last-event-id")
        after = parsed(inputs.Events, {"after": last})["after"] if last else asked["after"]
        batches = self.stream.events(after)
        await anext(batches)  # there is room, and the database answers
        self.service.audit.read(entry_of(caller, endpoint.name, {}))
        return Told(self.told(batches, request), batches)

    async def told(self, batches: AsyncIterator[list[Row]], request: Request) -> AsyncIterator[dict[str, Any]]:
        """Events for as long as the token is good for them; a comment when the process is to stop, which no reader
        takes for an event."""
        async for rows in batches:
            try:
                (await self.caller(request)).require(READ)
            except AIWebhookError:
                return
            for row in rows:
                yield {"id": row["id"], "event": row["type"], "data": written(row).decode()}
        if self.stream.stopped:
            yield {"comment": "stopping", "retry": COME_BACK_MS}

    async def upload(self, endpoint: Endpoint, request: Request, caller: Caller) -> Response:
        asked = asked_of(endpoint, request, {})
        announced = request.headers.get("content-length", "")
        content = await read_bounded(request.stream(), announced, self.settings.max_artifact_bytes)
        answer = await run_in_threadpool(self.service.act, caller, endpoint.name, asked | {"content": content})
        return json_response(answer, endpoint)


class Told(EventSourceResponse):
    """A stream of events; however it ends, its place is free for another."""

    def __init__(self, told: AsyncIterator[dict[str, Any]], batches: AsyncGenerator[list[Row]]) -> None:
        super().__init__(told, send_timeout=SEND_SECONDS, ping=15)
        self.batches = batches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:  # it stopped reading: the connection is closed, and it comes back for the rest
            log.info("a listener to the events stopped reading")
        finally:
            await self.batches.aclose()


Completion = tuple[Caller, dict[str, Any]]


def complete_many(conn: Connection, completions: Sequence[Completion]) -> Sequence[Row]:
    for caller in {caller for caller, _ in completions}:
        check_holder(caller, conn, [asked["task_id"] for other, asked in completions if other == caller])
    return tasks.complete_many(conn, [asked for _, asked in completions])


def complete_one(conn: Connection, completion: Completion) -> Row:
    return complete_many(conn, [completion])[0]


def with_context(conn: Connection, claims: list[Row]) -> list[Row]:
    told = []
    for row in claims:
        about = None
        with suppress(AIWebhookError):
            about = context(conn, f"{row['title']} {row['quote'] or ''}", tokens=CONTEXT_TOKENS)
        told.append(row | {"context": about})
    return told


def gone(request: Request) -> Callable[[], Awaitable[None]]:
    """Ends when the client hangs up. The body has to be read before."""

    async def hung_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return hung_up


async def body_of(endpoint: Endpoint, request: Request) -> dict[str, Any]:
    body = await read_bounded(request.stream(), request.headers.get("content-length", ""), MAX_BODY_BYTES)
    if endpoint.body is None:
        if body.strip() not in (b"", b"{}"):
            raise InvalidRequest("This request takes no body.")
        return {}
    media = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise UnsupportedMedia("The body is not said to be JSON.")
    return parsed(endpoint.body, body or b"{}")


def asked_of(endpoint: Endpoint, request: Request, body: dict[str, Any]) -> dict[str, Any]:
    """What path, query and body ask for, by the names that the action has for it."""
    asked = identity_of(endpoint, request) | query_of(endpoint.query, request)
    if twice := sorted(asked.keys() & body.keys()):
        raise InvalidRequest(f"`{twice[0]}` is given twice.")
    return asked | body


def identity_of(endpoint: Endpoint, request: Request) -> dict[str, Any]:
    if endpoint.identity is None:
        return {}
    text = request.path_params["id"]
    if "\x00" in text:
        raise InvalidRequest("The id holds a NUL character.")
    if endpoint.identity != "memory":
        return {endpoint.identity: text}
    if not (text.isascii() and text.isdigit() and len(text) <= 18):  # what no bigint can be is no memory either
        raise NotFound("There is no such memory.")
    return {"memory": int(text)}


def query_of(model: type[inputs.Input], request: Request) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        given[name] = values if name == "in" else values[-1]
    return parsed(model, given)


def parsed(model: type[inputs.Input], given: bytes | dict[str, Any]) -> dict[str, Any]:
    try:
        found = model.model_validate_json(given) if isinstance(given, bytes) else model.model_validate(given)
    except ValidationError as error:
        raise InvalidRequest(first_complaint(error)) from None
    return inputs.asked_by(found)


def first_complaint(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"`{where}`: {first['msg']}." if where else f"{first['msg']}."


def written(answer: Any) -> bytes:
    return orjson.dumps(answer, option=orjson.OPT_UTC_Z)


def json_response(answer: Any, endpoint: Endpoint) -> Response:
    headers = {"etag": f'"{answer["version"]}"'} if endpoint.versioned else {}
    return Response(written(answer), media_type="application/json", headers=headers)


def delivery_body(row: Row) -> Response:
    # Always as a download: what a sender wrote is never rendered by a browser here.
    headers = {"content-disposition": "attachment", **SAFE}
    return Response(row["body"], media_type=row["content_type"], headers=headers)


def artifact_body(row: Row) -> Response:
    """Whatever an agent left, no browser of ours shows or runs it."""
    name = quote(row["name"].rpartition("/")[2], safe="")
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{name}", **SAFE}
    media = "text/plain; charset=utf-8" if row["is_text"] else "application/octet-stream"
    return Response(bytes(row["content"]), media_type=media, headers=headers)


SAFE = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'; sandbox"}
FILES: dict[str, Callable[[Row], Response]] = {
    "get_delivery_body": delivery_body,
    "download_artifact": artifact_body,
}
