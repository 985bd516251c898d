"""The JSON API under /api: the route list, then parse, act, respond.

Handlers are plain functions and run in the thread pool; a request holds a database connection only while it acts.
"""

import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from access import actions
from access.context import context
from domain.body import read_bounded
from domain.errors import Forbidden, InvalidRequest, NotFound
from domain.settings import Settings
from domain.task import ArtifactDraft
from store.database import Connection, Pool, borrowed
from store.embedding import embedder, meaning_of
from store.search import DEFAULT_KINDS

MAX_BODY_BYTES = 8 * 1024 * 1024


class Body(BaseModel):
    """A request body. What is not named here is refused, so that a misspelt field is not silently dropped."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


Text = Annotated[str, Field(min_length=1, max_length=100_000, pattern="^[^\\x00]*$")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern="^[^\\x00]*$")]


class Claim(Body):
    agent_name: Name
    control_agent: Name
    lease_seconds: int = 300
    max_tasks: int = 1
    fair: bool = False


class Held(Body):
    claim_token: UUID


class Start(Held):
    process_id: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class Renew(Held):
    lease_seconds: int = 300
    progress: Annotated[float, Field(ge=0, le=1)] | None = None
    note: Text | None = None


class Complete(Held):
    output_data: JsonValue = None
    artifacts: list[Name] = []


class Fail(Held):
    error: Text
    retry: bool = True


class Ask(Held):
    question: Text


class Answer(Body):
    answer: Text
    person: Name


class Approve(Body):
    person: Name


class Retry(Body):
    person: Name


class Cancel(Body):
    reason: Text | None = None


class Review(Body):
    person: Name


class Reject(Review):
    reason: Text | None = None


class Merge(Review):
    into: Annotated[int, Field(ge=1, le=2**63 - 1)]


class Supersede(Review):
    by: Annotated[int, Field(ge=1, le=2**63 - 1)]


class Edit(Review):
    type: Name | None = None
    title: Text | None = None
    content: dict[str, JsonValue] | None = None
    tags: list[Name] | None = None


class Registration(Body):
    type: Name = "cli"
    command: Text | None = None
    max_concurrent: Annotated[int, Field(ge=0, le=1000)] | None = 4
    capabilities: list[Name] = []
    metadata: dict[str, JsonValue] = {}


class Replay(Body):
    states: list[Name] = ["failed"]
    source: Name | None = None
    code: Name | None = None
    session_id: Name | None = None
    since: AwareDatetime | None = None


class NewArtifact(Body):
    name: Name
    content: Annotated[str, Field(pattern="^[^\\x00]*$")]
    type: Name = "document"
    format: Name = "text"
    session_id: Name | None = None
    task_id: Name | None = None
    id: Name | None = None
    metadata: dict[str, JsonValue] = {}


MOVE_BODIES: dict[str, type[Body]] = {
    "start": Start,
    "renew": Renew,
    "complete": Complete,
    "fail": Fail,
    "release": Held,
    "ask": Ask,
    "answer": Answer,
    "approve": Approve,
    "cancel": Cancel,
    "retry": Retry,
}

REVIEW_BODIES: dict[str, type[Body]] = {
    "accept": Review,
    "reject": Reject,
    "restore": Review,
    "merge": Merge,
    "split": Review,
    "supersede": Supersede,
    "reinstate": Review,
}


def api_routes(settings: Settings, pool: Pool) -> list[Route]:
    """Every route of the API; each asks for the bearer token first."""
    token = settings.token.get_secret_value() if settings.token else None
    asked = embedder(settings)

    def route(
        path: str,
        act: Callable[[Connection, Request, bytes], Any],
        method: str = "GET",
        ahead: Callable[[Request], None] | None = None,
    ) -> Route:
        return Route("/api" + path, guarded(token, pool, act, ahead), methods=[method])

    def ask_meaning(request: Request) -> None:
        question = "" if query(request, "unfinished", bool, False) else query(request, "q", str, "")
        request.state.meaning = meaning_of(asked, question)

    return [
        route("/sessions", list_sessions),
        # Ids are the senders' own and may hold a slash, so the longer paths come first.
        route("/sessions/{id:path}/turns", list_turns),
        route("/sessions/{id:path}/chunks", lambda conn, r, _: actions.list_chunks(conn, r.path_params["id"])),
        route("/sessions/{id:path}", lambda conn, r, _: actions.get_session(conn, r.path_params["id"])),
        route("/memories", list_memories),
        route("/memories/{id}", get_memory),
        route("/memories/{id}/related", related_to_memory),
        route("/memories/{id}", edit_memory, "PATCH"),
        route("/memories/{id}/{verb}", review_memory, "POST"),
        route("/tasks", list_tasks),
        route("/tasks/claim", claim_task, "POST"),
        route("/tasks/{id:path}/related", related_to_task),
        route("/tasks/{id:path}", lambda conn, r, _: actions.get_task(conn, r.path_params["id"])),
        route("/tasks/{id:path}/{move}", move_task, "POST"),
        route("/artifacts", list_artifacts),
        route("/artifacts", create_artifact, "POST"),
        route("/artifacts/{id:path}", lambda conn, r, _: actions.get_artifact(conn, r.path_params["id"])),
        route("/agents", lambda conn, r, _: actions.list_agents(conn)),
        route("/agents/{name}", lambda conn, r, _: actions.get_agent(conn, r.path_params["name"])),
        route("/agents/{name}", register_agent, "PUT"),
        route(
            "/agents/{name}/heartbeat", lambda conn, r, _: actions.heartbeat_agent(conn, r.path_params["name"]), "POST"
        ),
        route(
            "/agents/{name}/deregister",
            lambda conn, r, _: actions.deregister_agent(conn, r.path_params["name"]),
            "POST",
        ),
        route("/deliveries", list_deliveries),
        route("/deliveries/count", lambda conn, r, _: actions.count_deliveries(conn)),
        route("/deliveries/{id}", lambda conn, r, _: actions.get_delivery(conn, r.path_params["id"])),
        route("/deliveries/{id}/body", get_delivery_body),
        route("/deliveries/{id}/replay", lambda conn, r, _: actions.replay_delivery(conn, r.path_params["id"]), "POST"),
        route("/deliveries/replay", replay_deliveries, "POST"),
        route("/search", search, ahead=ask_meaning),
        route("/search/facets", search_facets),
        route("/context", get_context, ahead=ask_meaning),
    ]


def guarded(
    token: str | None,
    pool: Pool,
    act: Callable[[Connection, Request, bytes], Any],
    ahead: Callable[[Request], None] | None = None,
) -> Callable[[Request], Awaitable[Response]]:
    """The four steps of every handler: who asks, what for, act, respond. `ahead` asks others, before it has a
    connection, and leaves what it learns in request.state."""

    def respond(request: Request, body: bytes) -> Response:
        if ahead is not None:
            ahead(request)
        with borrowed(pool) as conn:
            answer = act(conn, request, body)
        if isinstance(answer, Response):
            return answer
        return Response(orjson.dumps(answer, option=orjson.OPT_UTC_Z), media_type="application/json")

    async def endpoint(request: Request) -> Response:
        check_token(request, token)
        return await run_in_threadpool(
            respond,
            request,
            await read_bounded(request.stream(), request.headers.get("content-length", ""), MAX_BODY_BYTES),
        )

    return endpoint


def check_token(request: Request, token: str | None) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if token is None or scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
        raise Forbidden("The bearer token is missing or wrong.")


def parsed(model: type[Body], body: bytes) -> Body:
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise InvalidRequest(first_complaint(error)) from None


def first_complaint(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"`{where}`: {first['msg']}." if where else f"{first['msg']}."


def query(request: Request, name: str, kind: Any, default: Any = None) -> Any:
    """A parameter of the URL as `kind`, or the default when it is absent."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if "\x00" in text:
        raise InvalidRequest(f"`{name}` holds a NUL character.")
    try:
        return TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        raise InvalidRequest(f"`{name}`: {error.errors(include_input=False)[0]['msg']}.") from None


Integer = Annotated[int, Field(ge=0, le=2**31 - 1)]
Cursor = Annotated[int, Field(ge=0, le=2**63 - 1)]


def limit_of(request: Request, default: int = actions.PAGE) -> int:
    return int(query(request, "limit", Integer, default))


def list_sessions(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.list_sessions(
        conn,
        status=query(request, "status", str),
        before=query(request, "before", str),
        limit=limit_of(request),
    )


def list_turns(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.list_turns(
        conn, request.path_params["id"], after=query(request, "after", Integer, 0), limit=limit_of(request)
    )


def list_memories(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.list_memories(
        conn,
        type=query(request, "type", str),
        session_id=query(request, "session", str),
        tag=query(request, "tag", str),
        review=query(request, "review", str),
        before=query(request, "before", Cursor),
        limit=limit_of(request),
    )


def related_to_memory(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.related_to_memory(conn, memory_of(request), limit=limit_of(request, 10))


def related_to_task(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.related_to_task(conn, request.path_params["id"], limit=limit_of(request, 10))


def get_memory(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.get_memory(conn, memory_of(request))


def edit_memory(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.edit_memory(conn, memory_of(request), **dict(parsed(Edit, body)))


def review_memory(conn: Connection, request: Request, body: bytes) -> Any:
    verb = request.path_params["verb"]
    if verb not in REVIEW_BODIES:
        raise NotFound(f"A memory has no verb of this name; there are {', '.join(REVIEW_BODIES)}.")
    return actions.REVIEW_VERBS[verb](conn, memory_of(request), **dict(parsed(REVIEW_BODIES[verb], body)))


def memory_of(request: Request) -> int:
    text = request.path_params["id"]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):  # what no bigint can be is no memory either
        raise NotFound("There is no such memory.")
    return int(text)


def list_tasks(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.list_tasks(
        conn,
        status=query(request, "status", str),
        agent_name=query(request, "agent", str),
        session_id=query(request, "session", str),
        before=query(request, "before", str),
        limit=limit_of(request),
    )


def claim_task(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.claim_task(conn, **dict(parsed(Claim, body)))


def move_task(conn: Connection, request: Request, body: bytes) -> Any:
    move = request.path_params["move"]
    if move not in MOVE_BODIES:
        raise NotFound(f"A task has no move of this name; there are {', '.join(MOVE_BODIES)}.")
    return actions.TASK_MOVES[move](conn, request.path_params["id"], **dict(parsed(MOVE_BODIES[move], body)))


def list_artifacts(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.list_artifacts(
        conn,
        session_id=query(request, "session", str),
        task_id=query(request, "task", str),
        before=query(request, "before", str),
        limit=limit_of(request),
    )


def create_artifact(conn: Connection, request: Request, body: bytes) -> Any:
    new = parsed(NewArtifact, body)
    assert isinstance(new, NewArtifact)
    draft = ArtifactDraft(**new.model_dump(exclude={"session_id"}))
    return actions.create_artifact(conn, session_id=new.session_id, draft=draft)


def register_agent(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.register_agent(conn, request.path_params["name"], **dict(parsed(Registration, body)))


def list_deliveries(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.list_deliveries(
        conn,
        state=query(request, "state", str),
        source=query(request, "source", str),
        before=query(request, "before", str),
        limit=limit_of(request),
    )


def replay_deliveries(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.replay_deliveries(conn, **dict(parsed(Replay, body)))


def get_delivery_body(conn: Connection, request: Request, body: bytes) -> Response:
    row = actions.get_delivery_body(conn, request.path_params["id"])
    # Always as a download: what a sender wrote is never rendered by a browser here.
    headers = {"content-disposition": "attachment", "x-content-type-options": "nosniff"}
    return Response(row["body"], media_type=row["content_type"], headers=headers)


def filters_of(request: Request) -> dict[str, Any]:
    filters: dict[str, Any] = {
        "kinds": request.query_params.getlist("in") or DEFAULT_KINDS,
        "session_id": query(request, "session", str),
        "type": query(request, "type", str),
        "speaker": query(request, "speaker", str),
    }
    for name in ("since", "until", "as_of"):
        at = query(request, name, datetime)
        filters[name] = at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
    return filters


def search(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.search(
        conn,
        query(request, "q", str, ""),
        cursor=query(request, "cursor", Integer, 0),
        limit=limit_of(request, 10),
        unfinished=query(request, "unfinished", bool, False),
        **request.state.meaning,
        **filters_of(request),
    )


def search_facets(conn: Connection, request: Request, body: bytes) -> Any:
    return actions.search_facets(conn, query(request, "q", str, ""), **filters_of(request))


def get_context(conn: Connection, request: Request, body: bytes) -> Any:
    question, session = query(request, "q", str, ""), query(request, "session", str)
    tokens = query(request, "tokens", Integer, 1500)
    return context(conn, question, tokens=tokens, session_id=session, **request.state.meaning)
