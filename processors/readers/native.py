"""The kinds that our own clients post to /webhook without a source name.

`collaborative_session_command` with its commands, alone or in a batch, and `llm_conversation_insight`. Whether a
`task_command` is granted, and what it wants, is left to commanding.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from domain.delivery import TASK_COMMAND, CommandRequest, Delivery, Query, Reading
from domain.errors import Unreadable
from domain.memory import MemoryDraft
from domain.session import SessionDraft, SessionStatus, Turn, language_of
from domain.task import TaskDraft
from processors.readers.dialogue import read_dialogue
from processors.readers.items import (
    DEFAULT_AGENT,
    TITLE_CHARS,
    clamp,
    known_type,
    priority_of,
    read_answer,
    read_artifact,
    read_extracted_items,
    read_memory,
    read_task,
)
from processors.readers.payload import Fields, check_session_id, format_of, missing, parse_object, shorten
from processors.readers.quotes import Quotes

QUERIES = frozenset({"get_session_summary", "list_sessions", "retrieve_memory", "query_memories"})
INSIGHT_TYPES = ("action_item", "idea", "decision", "question", "note", "risk")
INSIGHT_PRIORITIES = ("high", "medium", "low")

Command = Callable[[str, Fields], Reading]


def read(delivery: Delivery) -> Reading | Query | CommandRequest | None:
    """What a native delivery says, asks or wants run; None for a batch of nothing but queries, whose answers nobody
    could tell apart."""
    body = parse_object(delivery.body)
    kind = body.text("type")
    if kind == "collaborative_session_command":
        return read_command(body, delivery.session_id)
    if kind == "llm_conversation_insight":
        return read_insight(body)
    if kind == TASK_COMMAND:
        return CommandRequest(body.values)
    raise Unreadable("`type` is not a kind of delivery we know.", code="unknown_kind")


def read_command(body: Fields, session_in_url: str | None) -> Reading | Query | None:
    name = known_command(body)
    if name in QUERIES:
        return read_query(name, body, session_in_url)
    session_id = session_of(body, "session_id", session_in_url)
    data = body.object("data")
    return read_batch(session_id, data) if name == "batch" else COMMANDS[name](session_id, data)


def read_query(name: str, body: Fields, session_in_url: str | None) -> Query:
    """A question; what it asks by lies in `data`, or in `data.filter`, where older clients put it."""
    data = body.object("data")
    within = data.object("filter") if isinstance(data.get("filter"), dict) else Fields({}, data.at("filter"))
    status = data.get("filter") if isinstance(data.get("filter"), str) else within.text("status")
    parameters = {
        "type": data.text("type") or within.text("type"),
        "tags": data.texts("tags") or within.texts("tags"),
        "query": data.text("query", "text"),
        "status": status if status in ("active", "paused", "completed") else None,
        "limit": data.number("limit") or within.number("limit"),
    }
    if name == "retrieve_memory":
        parameters["key"] = data.required_text("key")
    required = name in ("retrieve_memory", "get_session_summary")
    given = body.text("session_id") or (session_in_url or "").strip() or None
    session_id = session_of(body, "session_id", session_in_url) if required or given else None
    return Query(name, session_id, {key: value for key, value in parameters.items() if value})


def known_command(body: Fields, known: Sequence[str] = ()) -> str:
    name = body.required_text("command")
    known = known or (*COMMANDS, "batch", *QUERIES)
    if name not in known:
        raise Unreadable(
            f"`{body.at('command')}` is not a command we know: {', '.join(sorted(known))}.", code="unknown_command"
        )
    return name


def session_of(fields: Fields, name: str, otherwise: str | None = None) -> str:
    given = fields.text(name) or (otherwise or "").strip()
    if not given:
        raise Unreadable(f"`{fields.at(name)}` is missing or empty.", code="missing_session_id")
    return check_session_id(given, fields.at(name))


def create_session(session_id: str, data: Fields) -> Reading:
    return Reading(
        SessionDraft(
            session_id,
            title=short_title(data.text("title")),
            participants=data.participants(),
            context=data.text("context"),
            metadata=data.mapping("metadata"),
            language=language_of(data.text("language")),
        )
    )


def set_status(status: SessionStatus) -> Command:
    return lambda session_id, _: Reading(SessionDraft(session_id, status=status, must_exist=True))


def append_conversation(session_id: str, data: Fields) -> Reading:
    """A piece of the conversation, under `conversation_chunk` or, as some clients send it, directly in the data."""
    return read_chunk(session_id, data if data.get("conversation_chunk") is None else data.object("conversation_chunk"))


def read_chunk(session_id: str, chunk: Fields) -> Reading:
    chunk_format = format_of(chunk)
    content, participants = chunk.text("content"), chunk.participants()
    turns = () if content is None or chunk_format == "summary" else read_dialogue(content, participants=participants)
    turns = timed(turns, chunk)
    memories, tasks = read_extracted_items(chunk.object("extracted_items"), Quotes(turns))
    if content is None and not memories:
        raise missing(chunk.at("content"))
    return Reading(
        SessionDraft(session_id, participants=participants, metadata=chunk.mapping("metadata")),
        turns=turns,
        format=chunk_format,
        summary=content if chunk_format == "summary" else None,
        memories=memories,
        tasks=tasks,
    )


def timed(turns: tuple[Turn, ...], chunk: Fields) -> tuple[Turn, ...]:
    """The times of the chunk belong to its first and its last turn; when the others were said is not known."""
    start, end = chunk.instant("start_time"), chunk.instant("end_time")
    if not turns:
        return turns
    turns = (replace(turns[0], start_time=start), *turns[1:])
    return (*turns[:-1], replace(turns[-1], end_time=end))


def store_memory(session_id: str, data: Fields) -> Reading:
    return Reading(SessionDraft(session_id), memories=(read_memory(data),))


def add_artifact(session_id: str, data: Fields) -> Reading:
    return Reading(SessionDraft(session_id), artifacts=(read_artifact(data),))


def delegate_task(session_id: str, data: Fields) -> Reading:
    return Reading(SessionDraft(session_id), tasks=(read_task(data),))


def answer_task(session_id: str, data: Fields) -> Reading:
    return Reading(SessionDraft(session_id), answers=(read_answer(data),))


COMMANDS: Mapping[str, Command] = {
    "create_session": create_session,
    "resume_session": set_status("active"),
    "pause_session": set_status("paused"),
    "complete_session": set_status("completed"),
    "append_conversation": append_conversation,
    "conversation_chunk": append_conversation,
    "store_memory": store_memory,
    "add_artifact": add_artifact,
    "delegate_task": delegate_task,
    "answer_task": answer_task,
}


def read_batch(session_id: str, data: Fields) -> Reading | None:
    """All commands of a batch as one reading, `conversation_chunk` first; one wrong command refuses all of them."""
    readings: list[Reading] = []
    if data.get("conversation_chunk") is not None:
        readings.append(read_chunk(session_id, data.object("conversation_chunk")))
    elif data.get("commands") is None:
        raise missing(data.at("commands"))
    for command in data.objects("commands"):
        name = known_command(command, (*COMMANDS, *QUERIES))
        if name not in QUERIES:
            check_same_session(command, session_id)
            readings.append(COMMANDS[name](session_id, command.object("data")))
    return merge(readings) if readings else None


def check_same_session(command: Fields, session_id: str) -> None:
    if (command.text("session_id") or session_id) != session_id:
        message = f"`{command.at('session_id')}` is not the session of the batch; send one batch for each session."
        raise Unreadable(message, code="mixed_sessions")


def merge(readings: Sequence[Reading]) -> Reading:
    """Several readings of one session as one, in order; positions in turns and memories move along."""
    turns: list[Turn] = []
    memories: list[MemoryDraft] = []
    tasks: list[TaskDraft] = []
    for reading in readings:
        tasks += [replace(t, memory=None if t.memory is None else t.memory + len(memories)) for t in reading.tasks]
        memories += [replace(m, turn=None if m.turn is None else m.turn + len(turns)) for m in reading.memories]
        turns += reading.turns
    summaries = [reading.summary for reading in readings if reading.summary]
    formats = [reading.format for reading in readings if reading.turns] or [r.format for r in readings if r.summary]
    return Reading(
        merge_sessions([reading.session for reading in readings]),
        turns=tuple(turns),
        format=formats[0] if formats else "dialogue",
        summary="\n\n".join(summaries) or None,
        memories=tuple(memories),
        tasks=tuple(tasks),
        artifacts=tuple(artifact for reading in readings for artifact in reading.artifacts),
        answers=tuple(answer for reading in readings for answer in reading.answers),
    )


def merge_sessions(sessions: Sequence[SessionDraft]) -> SessionDraft:
    """The later word counts. The session has to exist only when the first of the commands needs it."""
    merged = sessions[0]
    for session in sessions[1:]:
        new = [person for person in session.participants if person not in merged.participants]
        merged = replace(
            merged,
            title=session.title or merged.title,
            participants=(*merged.participants, *new),
            context=session.context or merged.context,
            status=session.status or merged.status,
            metadata={**merged.metadata, **session.metadata},
            language=session.language or merged.language,
        )
    return merged


def read_insight(body: Fields) -> Reading:
    """One insight as a memory of its conversation, and a task when it is an action item."""
    insight, memory = body.object("insight"), check_insight(body)
    conversation, metadata = body.object("conversation"), body.object("metadata")
    participant = conversation.text("participant")
    details = {name: value for name, value in metadata.values.items() if name != "confidence"}
    session = SessionDraft(
        session_of(conversation, "id"),
        participants=(participant,) if participant else (),
        context=conversation.text("context"),
        metadata=details,
    )
    tasks = (task_of_insight(memory, insight),) if memory.type == "action_item" else ()
    return Reading(session, memories=(memory,), tasks=tasks)


def check_insight(body: Fields) -> MemoryDraft:
    for name in ("version", "timestamp", "conversation", "insight"):
        body.required(name)
    check_version(body)
    body.instant("timestamp")
    session_of(body.object("conversation"), "id")
    insight = body.object("insight")
    memory_type, _ = known_type(one_of(insight, "type", INSIGHT_TYPES, "invalid_insight_type"))
    priority = one_of(insight, "priority", INSIGHT_PRIORITIES, "invalid_priority")
    title, content = insight.required_text("title"), insight.required_text("content")
    follow_up = insight.text("suggested_followup")
    confidence = body.object("metadata").number("confidence")
    return MemoryDraft(
        type=memory_type,
        title=shorten(title, TITLE_CHARS),
        content={"text": content} | ({"suggested_followup": follow_up} if follow_up else {}) | {"priority": priority},
        tags=insight.texts("tags"),
        confidence=1.0 if confidence is None else clamp(confidence),
        explicit=True,
        extractor="sender",
    )


def check_version(body: Fields) -> None:
    if str(body.get("version")).strip().split(".")[0] != "1":
        raise Unreadable("`version` is not one we read; 1.0 is.", code="unsupported_version")


def one_of(fields: Fields, name: str, allowed: Sequence[str], code: str) -> str:
    value = fields.required_text(name)
    if value not in allowed:
        raise Unreadable(f"`{fields.at(name)}` is not one of {', '.join(allowed)}.", code=code)
    return value


def task_of_insight(memory: MemoryDraft, insight: Fields) -> TaskDraft:
    details = {name: value for name, value in memory.content.items() if name == "suggested_followup"}
    return TaskDraft(
        title=memory.title,
        agent_name=DEFAULT_AGENT,
        task_type="general",
        priority=priority_of(insight.get("priority")),
        input_data={"description": memory.content["text"], **details},
        memory=0,
    )


def short_title(title: str | None) -> str | None:
    return shorten(title, TITLE_CHARS) if title else None
