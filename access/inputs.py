"""What a request may bring: one model for each, from which the checks, the OpenAPI document and the client come."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from domain.memory import MemoryType
from domain.person import Role
from domain.task import TaskState

PAGE = 50
PAGE_MOST = 1000
WAIT_SECONDS = 60


class Input(BaseModel):
    """What is not named here is refused, so that a misspelt field is not silently dropped."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)


def in_utc(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def storable(at: datetime) -> datetime:
    """In UTC. What is no year there that Python knows could be written and never be read again."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("time_out_of_range", "In UTC this is not within the years 1 to 9999") from None


def kept(value: Any) -> Any:
    """JSON that comes back as it was given. A number past 64 bits cannot be written, and one past what a float holds,
    or that is none, would silently become null."""
    try:
        orjson.dumps(value)
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise PydanticCustomError(
            "cannot_be_kept", "This cannot be kept: a number is past 64 bits or is none, or it is nested too deep"
        ) from None
    return value


Text = Annotated[str, Field(min_length=1, max_length=100_000, pattern="^[^\\x00]*$")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern="^[^\\x00]*$")]
Word = Annotated[
    str, Field(max_length=10_000, pattern="^[^\\x00]*$")
]  # of a filter: one that fits nothing finds nothing
Content = Annotated[str, Field(pattern="^[^\\x00]*$")]
Limit = Annotated[int, Field(ge=1, le=PAGE_MOST)]
Integer = Annotated[int, Field(ge=0, le=2**31 - 1)]
MemoryId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Number = Annotated[int, Field(ge=0, le=2**63 - 1)]
Instant = Annotated[datetime, AfterValidator(in_utc)]
Moment = Annotated[AwareDatetime, AfterValidator(storable)]
Json = Annotated[JsonValue, AfterValidator(kept)]
Object = Annotated[dict[str, JsonValue], AfterValidator(kept)]
Position = Annotated[str, Field(max_length=40, pattern="^[0-9]{1,18}-[0-9]{1,18}$")]
Seconds = Annotated[float, Field(gt=0, le=10 * 365 * 24 * 3600)]
Priority = Annotated[int, Field(ge=-1000, le=1000)]
Version = Annotated[str, Field(min_length=1, max_length=64, pattern="^[0-9a-f]+$")]
SessionStatus = Literal["active", "paused", "completed"]
Review = Literal["proposed", "accepted", "rejected", "edited"]
DeliveryState = Literal["received", "processed", "ignored", "unknown", "failed"]
SearchKind = Literal["turns", "chunks", "memories", "tasks", "artifacts"]


class Nothing(Input):
    pass


class Page(Input):
    limit: Limit = PAGE


class PageBefore(Page):
    before: Annotated[Word | None, Field(description="`next` of the page before.")] = None


class Sessions(PageBefore):
    status: SessionStatus | None = None


class Turns(Page):
    after: Annotated[Integer, Field(description="Only turns with a greater `seq`.")] = 0


class Forgetting(Input):
    dry_run: Annotated[bool, Field(description="Only count what would go.")] = False
    unseen: Annotated[bool, Field(description="Also when nothing of it is recorded yet.")] = False


class ForgettingMore(Input):
    dry_run: Annotated[bool, Field(description="Only count what would go.")] = False
    after: Annotated[Name | None, Field(description="`next` of the request before.")] = None


class ForgettingPerson(ForgettingMore):
    person: Annotated[Name, Field(description="The name they speak under, or an id or address among participants.")]


class ForgettingSource(ForgettingMore):
    source: Name
    older_than_days: Annotated[
        int | None, Field(ge=1, le=36_500, description="Only sessions in which nothing happened for so long.")
    ] = None


class Memories(Page):
    type: MemoryType | None = None
    session_id: Annotated[Word | None, Field(alias="session")] = None
    tag: Word | None = None
    review: Review | None = None
    before: Annotated[Number | None, Field(description="`next` of the page before.")] = None


class Tasks(PageBefore):
    status: TaskState | None = None
    agent_name: Annotated[Word | None, Field(alias="agent")] = None
    session_id: Annotated[Word | None, Field(alias="session")] = None


class Artifacts(PageBefore):
    session_id: Annotated[Word | None, Field(alias="session")] = None
    task_id: Annotated[Word | None, Field(alias="task")] = None


class Deliveries(PageBefore):
    state: DeliveryState | None = None
    source: Word | None = None
    code: Word | None = None


class Related(Input):
    limit: Limit = 10


class Filters(Input):
    query: Annotated[Word, Field(alias="q", description="A question or words.")] = ""
    kinds: Annotated[list[SearchKind] | None, Field(alias="in", description="May be repeated.")] = None
    session_id: Annotated[Word | None, Field(alias="session")] = None
    type: Word | None = None
    speaker: Word | None = None
    since: Annotated[Instant | None, Field(description="UTC, unless it says its zone.")] = None
    until: Instant | None = None
    as_of: Annotated[Instant | None, Field(description="Only memories that were in force then.")] = None


class Search(Filters):
    cursor: Annotated[Integer, Field(description="`next` of the page before.")] = 0
    limit: Limit = 10
    unfinished: Annotated[bool, Field(description="The last word may be the beginning of one.")] = False


class Context(Input):
    question: Annotated[Word, Field(alias="q")] = ""
    tokens: Annotated[int, Field(ge=50, le=100_000, description="How many it may take, about.")] = 1500
    session_id: Annotated[Word | None, Field(alias="session")] = None


class Events(Input):
    after: Annotated[Position | None, Field(description="The id of an event you had; unset: from the beginning.")] = (
        None
    )
    limit: Limit = PAGE


class NewSession(Input):
    session_id: Annotated[Name | None, Field(alias="id")] = None
    title: Text | None = None
    participants: list[Name] = []
    context: Text | None = None
    metadata: Object = {}


class SessionChange(Input):
    title: Text | None = None
    status: SessionStatus | None = None
    context: Text | None = None
    version: Version | None = None


class NewMemory(Input):
    session_id: Name
    type: MemoryType
    title: Annotated[str, Field(min_length=1, max_length=2000, pattern="^[^\\x00]*$")]
    content: Object = {}
    tags: list[Name] = []
    key: Annotated[Name | None, Field(description="Its name in its session; made from type and title.")] = None


class Person(Input):
    person: Annotated[Name | None, Field(description="Who does it; unset: the token's name.")] = None


class Verdict(Person):
    version: Annotated[Version | None, Field(description="The `version` that was read; refused if it is older.")] = None


class Reason(Verdict):
    reason: Text | None = None


class Merge(Verdict):
    into: MemoryId


class Supersede(Person):
    by: MemoryId


class MemoryChange(Person):
    type: MemoryType | None = None
    title: Text | None = None
    content: Object | None = None
    tags: list[Name] | None = None
    version: Annotated[Version | None, Field(description="The `version` that was read; refused if it is older.")] = None


class NewTask(Input):
    title: Text
    task_id: Annotated[Name | None, Field(alias="id")] = None
    agent_name: Annotated[Name | None, Field(description="Unset, and no capabilities: the default agent.")] = None
    capabilities: Annotated[list[Name], Field(description="Instead of an agent: who has them all.")] = []
    task_type: Name = "general"
    status: Annotated[Literal["proposed", "pending"], Field(description="proposed waits for a person.")] = "pending"
    priority: Priority = 50
    input_data: Object = {}
    session_id: Name | None = None
    memory: MemoryId | None = None
    not_before: Moment | None = None
    depends_on: list[Name] = []
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 3
    acceptance: Object | None = None


class TaskChange(Input):
    title: Text | None = None
    agent_name: Name | None = None
    task_type: Name | None = None
    priority: Priority | None = None
    input_data: Object | None = None
    not_before: Moment | None = None
    depends_on: list[Name] | None = None
    max_attempts: Annotated[int, Field(ge=1, le=1000)] | None = None
    version: Annotated[Version | None, Field(description="The `version` that was read; refused if it is older.")] = None


class Claim(Input):
    agent_name: Name
    control_agent: Annotated[Name, Field(description="Who claims: one process of the agent.")]
    lease_seconds: int = 300
    max_tasks: int = 1
    fair: Annotated[bool, Field(description="Prefer sessions of which fewer tasks are held.")] = False
    wait_seconds: Annotated[float, Field(ge=0, le=WAIT_SECONDS, description="Wait so long for a task.")] = 0
    context: Annotated[bool, Field(description="Answer with what was decided and said about each task.")] = False


class Held(Input):
    claim_token: UUID


class Start(Held):
    process_id: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class Renew(Held):
    lease_seconds: int = 300
    progress: Annotated[float, Field(ge=0, le=1)] | None = None
    note: Text | None = None


class Complete(Held):
    output_data: Json = None
    artifacts: Annotated[list[Name], Field(description="Ids of artifacts.")] = []


class Fail(Held):
    error: Text
    retry: bool = True


class Ask(Held):
    question: Text


class Answer(Verdict):
    answer: Text


class Finish(Verdict):
    output_data: Json = None
    artifacts: list[Name] = []


class Registration(Input):
    type: Name = "cli"
    command: Text | None = None
    max_concurrent: Annotated[int, Field(ge=0, le=1000)] | None = 4
    capabilities: list[Name] = []
    metadata: Object = {}


class Replay(Input):
    states: list[Literal["processed", "ignored", "unknown", "failed"]] = ["failed"]
    source: Name | None = None
    code: Name | None = None
    session_id: Name | None = None
    since: AwareDatetime | None = None


class ArtifactPlace(Input):
    name: Annotated[Name, Field(description="A file name; folders before it are allowed, ways out of them are not.")]
    type: Name = "document"
    format: Name | None = None
    session_id: Name | None = None
    task_id: Name | None = None
    artifact: Annotated[Name | None, Field(alias="id", description="One that there is is replaced.")] = None


class NewArtifact(ArtifactPlace):
    content: Content
    metadata: Object = {}


class NewToken(Input):
    name: Annotated[str, Field(min_length=1, max_length=100, pattern="^[^\\x00]*$")]
    scopes: Annotated[list[Name], Field(description="read, write, review, admin, claim or claim:AGENT.")]
    seconds: Annotated[Seconds | None, Field(description="How long it is valid; unset: until it is revoked.")] = None


class NewSubscription(Input):
    name: Name
    kind: Literal["webhook", "github", "slack", "linear"]
    target: Annotated[Text, Field(description="A URL, owner/repo, a channel, or the id of a team.")]
    events: Annotated[list[Name], Field(description="task.STATUS, memory.EVENT, task.*, memory.* or *.")] = []
    agent_name: Name | None = None
    memory_types: list[MemoryType] | None = None
    details: Annotated[bool, Field(description="Send what people said, too, beyond the title.")] = False


class Enabling(Input):
    from_now: Annotated[bool, Field(description="Leave out what happened meanwhile.")] = False


class Outgoing(PageBefore):
    state: Literal["waiting", "delivered", "failed", "skipped"] | None = None


class Audited(Page):
    since: Annotated[Instant | None, Field(description="Only from this time on.")] = None
    actor: Annotated[Word | None, Field(description="Only of this person, or this token's name.")] = None
    action: Word | None = None
    object: Annotated[Word | None, Field(description="Only about this id.")] = None
    before: Annotated[Number | None, Field(description="`next` of the page before.")] = None


class Export(Input):
    subscription: Name


class PersonChange(Input):
    role: Role | None = None
    disabled: Annotated[bool | None, Field(description="Who is disabled is logged out at once.")] = None


class NewLoginLink(Input):
    role: Role = "viewer"
    person: Annotated[Name | None, Field(description="Who is to choose a new password; unset: somebody new.")] = None


def names_of(model: type[Input]) -> dict[str, str]:
    """The fields of a model by the names that requests use for them."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


def asked_by(model: Input) -> dict[str, Any]:
    """The model's fields as an action takes them."""
    return {name: getattr(model, name) for name in type(model).model_fields}
