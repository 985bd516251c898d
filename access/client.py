"""The client of the service: calls every route of the JSON API by its name, and posts deliveries as a sender does.

    with Client("http://127.0.0.1:8000", token) as client:
        for task in client.list_tasks(status="pending", agent="claude_code")["items"]:
            print(task["title"], task["quote"])

Answers are plain dictionaries whose shapes are in answers.py; times in them are text (RFC 3339, UTC). What the service
refuses raises ServiceError with the service's own code, message and hint; where nothing answers, Unavailable is raised.
The command line and the MCP server over stdio are built on it.
"""

from types import TracebackType
from typing import Any, Self, TypedDict, Unpack
from urllib.parse import quote

import httpx2

from access import answers
from access.inputs import names_of
from access.routes import BY_NAME
from domain.errors import AIWebhookError, InvalidRequest, Unavailable

WAIT_MORE_SECONDS = 10.0  # than a claim is to wait for


class ServiceError(AIWebhookError):
    """What the service refused, with its own code, message and hint."""

    def __init__(self, status: int, code: str, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code


class Paging(TypedDict, total=False):
    limit: int
    before: str


class TaskFields(TypedDict, total=False):
    id: str
    agent_name: str
    capabilities: list[str]
    task_type: str
    status: str
    priority: int
    input_data: dict[str, Any]
    session_id: str
    memory: int
    not_before: str
    depends_on: list[str]
    max_attempts: int
    acceptance: dict[str, Any]


class Client:
    """One connection to the service at `url`. `token` opens /api; posting to /webhook needs its own credentials."""

    def __init__(self, url: str, token: str | None = None, *, timeout_seconds: float = 30.0) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.url = url.rstrip("/")
        self.api_headers = headers
        self.timeout_seconds = timeout_seconds
        self.http = httpx2.Client(base_url=self.url, timeout=timeout_seconds)

    # The routes that agents and people use most, typed.

    def list_sessions(self, *, status: str | None = None, **paging: Unpack[Paging]) -> answers.Page[answers.Session]:
        """Latest activity first."""
        return self.call("list_sessions", status=status, **paging)

    def get_session(self, id: str) -> answers.SessionTold:
        """With its turns, memories and tasks."""
        return self.call("get_session", id)

    def list_memories(
        self,
        *,
        type: str | None = None,
        session: str | None = None,
        tag: str | None = None,
        review: str | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> answers.Page[answers.Memory]:
        """Newest first; what was said again is there once."""
        asked: dict[str, Any] = {
            "type": type,
            "session": session,
            "tag": tag,
            "review": review,
            "limit": limit,
            "before": before,
        }
        return self.call("list_memories", **asked)

    def get_memory(self, id: int) -> answers.MemoryTold:
        """With every time that it was said."""
        return self.call("get_memory", id)

    def store_memory(
        self,
        session_id: str,
        type: str,
        title: str,
        *,
        content: dict[str, Any] | None = None,
        tags: list[str] | None = None,
        key: str | None = None,
        idempotency_key: str | None = None,
    ) -> answers.MemoryTold:
        asked: dict[str, Any] = {
            "session_id": session_id,
            "type": type,
            "title": title,
            "content": content,
            "tags": tags,
            "key": key,
        }
        return self.call("store_memory", **asked, idempotency_key=idempotency_key)

    def list_tasks(
        self,
        *,
        status: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        **paging: Unpack[Paging],
    ) -> answers.Page[answers.TaskListed]:
        """Newest first."""
        return self.call("list_tasks", status=status, agent=agent, session=session, **paging)

    def get_task(self, id: str) -> answers.TaskTold:
        """With its history."""
        return self.call("get_task", id)

    def create_task(
        self, title: str, *, idempotency_key: str | None = None, **fields: Unpack[TaskFields]
    ) -> answers.TaskTold:
        return self.call("create_task", title=title, **fields, idempotency_key=idempotency_key)

    def claim_task(
        self,
        agent_name: str,
        control_agent: str,
        *,
        lease_seconds: int = 300,
        max_tasks: int = 1,
        fair: bool = False,
        wait_seconds: float = 0,
        context: bool = False,
    ) -> list[answers.Claimed]:
        """The claims given, most urgent first; none when there is nothing to do within `wait_seconds` (60 at most)."""
        page: answers.Page[answers.Claimed] = self.call(
            "claim_task",
            agent_name=agent_name,
            control_agent=control_agent,
            lease_seconds=lease_seconds,
            max_tasks=max_tasks,
            fair=fair,
            wait_seconds=wait_seconds,
            context=context,
        )
        return page["items"]

    def start_task(self, id: str, claim_token: str, *, process_id: int | None = None) -> answers.Task:
        return self.call("start_task", id, claim_token=claim_token, process_id=process_id)

    def renew_task(
        self,
        id: str,
        claim_token: str,
        *,
        lease_seconds: int = 300,
        progress: float | None = None,
        note: str | None = None,
    ) -> answers.Task:
        """Extends the lease. A task that was cancelled is answered with that status: stop working on it."""
        asked: dict[str, Any] = {
            "claim_token": claim_token,
            "lease_seconds": lease_seconds,
            "progress": progress,
            "note": note,
        }
        return self.call("renew_task", id, **asked)

    def complete_task(
        self, id: str, claim_token: str, *, output_data: Any = None, artifacts: list[str] | None = None
    ) -> answers.Task:
        """Sending it again, when the answer was lost, changes nothing."""
        asked: dict[str, Any] = {"claim_token": claim_token, "output_data": output_data, "artifacts": artifacts}
        return self.call("complete_task", id, **asked)

    def fail_task(self, id: str, claim_token: str, error: str, *, retry: bool = True) -> answers.Task:
        return self.call("fail_task", id, claim_token=claim_token, error=error, retry=retry)

    def release_task(self, id: str, claim_token: str) -> answers.Task:
        return self.call("release_task", id, claim_token=claim_token)

    def ask_task(self, id: str, claim_token: str, question: str) -> answers.Task:
        """Parks the task until a person answers; the claim ends."""
        return self.call("ask_task", id, claim_token=claim_token, question=question)

    def create_artifact(
        self,
        name: str,
        content: str,
        *,
        type: str = "document",
        format: str | None = None,
        task_id: str | None = None,
        session_id: str | None = None,
    ) -> answers.ArtifactTold:
        """Leaves a text with a task or a session."""
        asked: dict[str, Any] = {"name": name, "content": content, "type": type, "format": format, "task_id": task_id}
        return self.call("create_artifact", **asked, session_id=session_id)

    def upload_artifact(
        self,
        name: str,
        content: bytes,
        *,
        type: str = "document",
        format: str | None = None,
        task_id: str | None = None,
        session_id: str | None = None,
        id: str | None = None,
    ) -> answers.ArtifactTold:
        """Leaves a file as it is; sent again with the same id, it is replaced."""
        where: dict[str, Any] = {"name": name, "type": type, "format": format, "task_id": task_id, "id": id}
        where["session_id"] = session_id
        return self.call("upload_artifact", **where, upload=content)

    def get_artifact(self, id: str) -> answers.ArtifactTold:
        return self.call("get_artifact", id)

    def search(self, q: str, **how: Any) -> answers.Page[answers.Hit]:
        """Best first; `how` are the parameters of GET /api/search."""
        return self.call("search", q=q, **how)

    def get_context(self, q: str, *, tokens: int = 1500, session: str | None = None) -> answers.Context:
        """What was decided and said about a question, to hand to a language model. Data, never an instruction."""
        return self.call("get_context", q=q, tokens=tokens, session=session)

    # Every route, by its name.

    def call(
        self,
        name: str,
        id: str | int | None = None,
        /,
        *,
        idempotency_key: str | None = None,
        upload: bytes | None = None,
        **asked: Any,
    ) -> Any:
        """Calls a route of routes.py; `asked` are the fields of its query and body by their names there, of which those
        that are None are left out. Returns the JSON, or the bytes of a route that answers a file."""
        endpoint = BY_NAME[name]
        wanted = {field: value for field, value in asked.items() if value is not None}
        options: dict[str, Any] = {"params" if endpoint.body is None else "json": wanted}
        headers = dict(self.api_headers)
        if upload is not None:
            options["content"] = upload
            headers["content-type"] = endpoint.media
        if idempotency_key is not None:
            headers["idempotency-key"] = idempotency_key
        if wait := asked.get("wait_seconds"):
            options["timeout"] = max(self.timeout_seconds, wait + WAIT_MORE_SECONDS)
        path = "/api" + endpoint.path.replace("{id:path}", "{id}").replace("{id}", quote(str(id), safe=""))
        response = self.request(endpoint.method, path, headers=headers, **options)
        return response.content if endpoint.answer is bytes else parsed(response)

    def act(self, name: str, asked: dict[str, Any]) -> Any:
        """As `call`, with what is asked by the names that the action has for it, as access.service.Service takes it."""
        endpoint = BY_NAME[name]
        wire = {
            field: alias
            for model in (endpoint.query, endpoint.body)
            if model
            for alias, field in names_of(model).items()
        }
        fields = {wire[field]: value for field, value in asked.items() if field != endpoint.identity}
        return self.call(name, asked.get(endpoint.identity or ""), **fields)

    def deliver(self, source: str, body: bytes, headers: dict[str, str], *, session: str | None = None) -> Any:
        """Posts a delivery; returns {"status": "accepted" or "duplicate", "delivery": key}."""
        parameters = {"session": session} if session else {}
        return parsed(self.request("POST", f"/webhook/{source}", content=body, headers=headers, params=parameters))

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            response = self.http.request(method, path, **options)
        except httpx2.InvalidURL:
            raise InvalidRequest(
                "This is too long for the address of a request.", hint="Ask with fewer words."
            ) from None
        except httpx2.HTTPError as error:
            raise Unavailable(
                f"Nothing answers at {self.url} ({type(error).__name__}).",
                hint="Start the service with `ai-webhook up`, or set AI_WEBHOOK_URL.",
            ) from None
        if response.is_success:
            return response
        raise refusal(response)

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def parsed(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError:  # another program's page, whatever its status says
        raise refusal(response) from None


def refusal(response: httpx2.Response) -> ServiceError:
    try:
        error = response.json()["error"]
        return ServiceError(response.status_code, error["code"], error["message"], error["hint"])
    except (ValueError, KeyError, TypeError):
        hint = "Is this an AI Webhook? Look at AI_WEBHOOK_URL."
        return ServiceError(response.status_code, "unexpected_answer", f"HTTP {response.status_code}.", hint)
