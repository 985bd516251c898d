"""A sender's own memories, tasks and artifacts to drafts: for every reader that meets them.

What the sender gave is kept as given. Finding more in the turns is left to the extractor.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import orjson

from domain.memory import MEMORY_TYPES, MemoryDraft, MemoryType
from domain.task import ArtifactDraft, TaskAnswer, TaskDraft
from processors.readers.payload import Fields, is_identifier, missing, shorten, wrong_type
from processors.readers.quotes import Quotes

# Deliveries name agents seldom; the setting AI_WEBHOOK_DEFAULT_AGENT is for those that the planner makes.
DEFAULT_AGENT = "claude_code"
AGENT_CHARS = 100  # as agents.name in the store
TITLE_CHARS = 200

ITEM_TYPES: Mapping[str, MemoryType] = {
    "ideas": "idea",
    "decisions": "decision",
    "questions": "question",
    "action_items": "action_item",
    "facts": "fact",
    "notes": "note",
    "risks": "risk",
    "preferences": "preference",
}
TITLE_FIELDS = (
    *("title", "task", "text", "name", "item", "summary", "description", "content", "value"),
    *("idea", "decision", "question", "action_item", "action", "fact", "note", "risk", "preference"),
)
TASK_FIELDS = ("agent", "agent_name", "priority", "task_type")
PRIORITIES = {"urgent": 90, "critical": 90, "high": 80, "medium": 50, "normal": 50, "low": 20}
ORDINARY_PRIORITY = 50

NOWHERE = Quotes(())

Items = tuple[tuple[MemoryDraft, ...], tuple[TaskDraft, ...]]


def read_extracted_items(extracted: Fields, quotes: Quotes) -> Items:
    """The memories in `extracted_items`, with their place in the turns, and a task for every action item."""
    memories: list[MemoryDraft] = []
    tasks: list[TaskDraft] = []
    for name, memory_type in ITEM_TYPES.items():
        for path, item in extracted.each(name):
            fields = item_fields(path, item)
            if not any(fields.values.values()):
                continue
            memory = read_item(memory_type, fields, quotes)
            if memory_type == "action_item" and "text" in memory.content:
                tasks.append(task_of_item(memory, fields, len(memories)))
            memories.append(memory)
    return tuple(memories), tuple(tasks)


def item_fields(path: str, item: Any) -> Fields:
    if isinstance(item, str):
        return Fields({"text": item.strip()}, path)
    if isinstance(item, dict):
        return Fields(item, path)
    raise wrong_type(path, item, "a string or an object")


def read_item(memory_type: MemoryType, item: Fields, quotes: Quotes) -> MemoryDraft:
    """One extracted item. One without words is kept too, under the name of its type, but never becomes a task."""
    name, statement = statement_of(item.values)
    rest = {field: value for field, value in item.values.items() if field != name}
    tags, confidence = item.get("tags"), item.get("confidence")
    memory = MemoryDraft(
        type=memory_type,
        title=shorten(statement or memory_type.replace("_", " "), TITLE_CHARS),
        content={"text": statement, **rest} if statement else rest,
        tags=item.texts("tags") if isinstance(tags, list) and all(isinstance(t, str) for t in tags) else (),
        confidence=clamp(confidence) if is_number(confidence) else 1.0,
        explicit=True,
        extractor="sender",
    )
    return located(memory, statement, quotes)


def located(memory: MemoryDraft, statement: str, quotes: Quotes) -> MemoryDraft:
    """The memory with the place where its statement was said, if it was said in these words."""
    quote = quotes.find(statement)
    if quote is None:
        return memory
    return replace(
        memory,
        speaker=quote.speaker or None,
        turn=quote.turn,
        char_start=quote.start,
        char_end=quote.end,
        quote=quote.text,
    )


def task_of_item(memory: MemoryDraft, item: Fields, position: int) -> TaskDraft:
    """The task of an action item that the sender gave outright: it need not wait for approval."""
    rest = {name: value for name, value in memory.content.items() if name not in (*TASK_FIELDS, "text")}
    return TaskDraft(
        title=memory.title,
        agent_name=agent_or(item.get("agent"), agent_or(item.get("agent_name"), DEFAULT_AGENT)),
        task_type=text_or(item.get("task_type"), "general"),
        priority=priority_of(item.get("priority")),
        input_data={"description": memory.content["text"], **rest},
        memory=position,
    )


def read_memory(data: Fields, quotes: Quotes = NOWHERE) -> MemoryDraft:
    """A memory that the sender stores: `type`, `key`, `content`, `tags`, and `title` and `confidence` where given."""
    given_type = data.text("type") or "general"
    memory_type, type_tags = known_type(given_type)
    title, key = data.text("title"), data.identifier("key")
    content = content_of(title if title and data.get("content") is None else data.required("content"))
    statement = title or statement_of(content)[1] or key or given_type
    confidence = data.number("confidence")
    memory = MemoryDraft(
        type=memory_type,
        title=shorten(statement, TITLE_CHARS),
        content=content,
        tags=tuple(dict.fromkeys((*data.texts("tags"), *type_tags))),
        key=key,
        confidence=1.0 if confidence is None else clamp(confidence),
        explicit=True,
        extractor="sender",
    )
    return located(memory, statement_of(content)[1] or statement, quotes)


def known_type(given: str) -> tuple[MemoryType, tuple[str, ...]]:
    """Our type for any word, and a tag that keeps a word that is none of ours."""
    name = given.strip().lower().replace("-", "_").replace(" ", "_")
    if name in MEMORY_TYPES:
        return cast(MemoryType, name), ()
    return "note", () if name == "general" else (given.strip(),)


def content_of(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return {"text" if isinstance(value, str) else "value": value}


def statement_of(content: Mapping[str, Any]) -> tuple[str | None, str]:
    """The field that says it in words, by name or else the first text, and those words; empty when there is none."""
    for name in (*TITLE_FIELDS, *(name for name in content if name not in TASK_FIELDS)):
        value = content.get(name)
        if isinstance(value, str) and value.strip():
            return name, value.strip()
    return None, ""


def read_task(data: Fields) -> TaskDraft:
    """A task that the sender gives outright, in the names of `delegate_task` or of our own transcript format."""
    task_id = data.identifier("task_id", "id")
    input_data = data.mapping("input_data")
    description = data.text("title", "description")
    statement = description or statement_of(input_data)[1] or task_id
    if statement is None:
        raise missing(data.at("description"))
    if detail := data.text("description") or description:
        input_data.setdefault("description", detail)  # an agent that claims by SQL gets input_data and no more
    return TaskDraft(
        title=shorten(statement, TITLE_CHARS),
        agent_name=data.identifier("agent_name", "agent", limit=AGENT_CHARS) or DEFAULT_AGENT,
        task_type=data.text("task_type", "type") or "general",
        id=task_id,
        priority=priority_of(data.get("priority")),
        input_data=input_data,
    )


def read_answer(data: Fields) -> TaskAnswer:
    """An answer to the question of a task that waits for one."""
    task_id = data.identifier("task_id", "id")
    if task_id is None:
        raise missing(data.at("task_id"))
    return TaskAnswer(task_id, data.required_text("answer"), data.text("person", "participant") or "the sender")


def read_artifact(data: Fields) -> ArtifactDraft:
    """An artifact; content that is not text is kept as JSON."""
    artifact_id = data.identifier("artifact_id", "id")
    content = data.required("content")
    text = content if isinstance(content, str) else None
    return ArtifactDraft(
        name=data.text("name", "title") or artifact_id or "artifact",
        content=orjson.dumps(content, option=orjson.OPT_INDENT_2).decode() if text is None else text,
        type=data.text("type") or "document",
        format=data.text("format") or ("json" if text is None else "text"),
        id=artifact_id,
        task_id=data.identifier("task_id"),
        metadata=data.mapping("metadata"),
    )


def priority_of(value: Any) -> int:
    """0 to 100 from a number or a word; anything else is ordinary."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in PRIORITIES:
            return PRIORITIES[word]
        value = int(word) if word.isdecimal() and len(word) < 10 else None
    return round(min(max(value, 0), 100)) if is_number(value) else ORDINARY_PRIORITY


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def clamp(confidence: float) -> float:
    return float(min(max(confidence, 0.0), 1.0))


def agent_or(value: Any, default: str) -> str:
    """The agent of an item, which is often written by a model: what cannot be a name is no agent."""
    name = text_or(value, default)
    return name if is_identifier(name, AGENT_CHARS) else default


def text_or(value: Any, default: str) -> str:
    return value.strip() if isinstance(value, str) and value.strip() else default
