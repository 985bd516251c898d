"""Files of a tree of JSON files, as rows: what we know goes into its column, what we do not know is kept beside it.

Pure. A wrong type of a field that we know ends in Unreadable, as it does for what senders post.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from domain.errors import Unreadable
from domain.session import SESSION_ID_CHARS, Turn, language_of
from processors.readers.dialogue import read_dialogue
from processors.readers.items import AGENT_CHARS, TITLE_CHARS, content_of, priority_of, read_memory, statement_of
from processors.readers.native import timed
from processors.readers.payload import Fields, format_of, shorten

COUNTERS = ("conversation_chunk_count", "memory_count", "task_count", "artifact_count", "chunk_count")
SESSION_FIELDS = ("id", "session_id", "title", "name", "participants", "context", "status", "created", "created_at",
                  "last_activity", "updated", "updated_at", "completed_at", "language", *COUNTERS)  # fmt: skip
CHUNK_FIELDS = ("id", "chunk_id", "session_id", "content", "format", "start_time", "end_time", "participants",
                "extracted_items", "metadata", "created", "created_at", "timestamp")  # fmt: skip
MEMORY_FIELDS = ("session_id", "type", "key", "title", "content", "tags", "confidence", "created", "created_at",
                 "timestamp")  # fmt: skip
TASK_FIELDS = ("id", "task_id", "session_id", "agent_name", "agent", "task_type", "type", "status", "priority", "title",
               "input_data", "process_id", "claimed_by", "claimed_at", "started", "started_at", "completed",
               "completed_at", "output_data", "artifacts", "error_message", "error", "created", "created_at",
               "depends_on", "question")  # fmt: skip
ARTIFACT_FIELDS = ("id", "artifact_id", "session_id", "task_id", "type", "name", "title", "format", "created",
                   "created_at", "content")  # fmt: skip
CREATED = ("created", "created_at", "timestamp")
STATES = {
    "todo": "pending", "open": "pending", "new": "pending", "queued": "pending",
    "done": "completed", "complete": "completed", "finished": "completed", "success": "completed",
    "error": "failed", "canceled": "cancelled",
    # Whoever had it in hand has no lease here; another may take it.
    "claimed": "pending", "running": "pending", "in_progress": "pending",
    **{state: state for state in ("proposed", "pending", "completed", "failed", "cancelled", "needs_input")},
}  # fmt: skip


def read_session(data: Fields, folder: str, language: str) -> dict[str, Any]:
    status = (data.text("status") or "active").lower()
    metadata = rest_of(data, SESSION_FIELDS)
    if status not in ("active", "paused", "completed"):
        metadata["status"], status = status, "paused"
    title = data.text("title", "name")
    last = instant(data, "last_activity", "updated", "updated_at", "completed_at", *CREATED)
    return {
        "id": data.identifier("id", "session_id") or folder,
        "title": shorten(title, TITLE_CHARS) if title else None,
        "participants": list(data.participants()),
        "context": data.text("context"),
        "status": status,
        "created": instant(data, *CREATED),
        "last_activity": last,
        "completed_at": instant(data, "completed_at"),
        "metadata": metadata,
        "language": language_of(data.text("language")) or language,
    }


def read_chunk(data: Fields, stem: str) -> tuple[dict[str, Any], tuple[Turn, ...]]:
    """The chunk, and the turns that its words are; a summary is one turn."""
    content, chunk_format = data.required_text("content"), format_of(data)
    participants = data.participants()
    if chunk_format == "summary":
        turns: tuple[Turn, ...] = (Turn(speaker="", role="summary", text=content),)
    else:
        turns = timed(read_dialogue(content, participants=participants), data)
    extracted = data.values.get("extracted_items")
    values = {
        "id": data.identifier("chunk_id", "id") or stem.removeprefix("chunk_"),
        "content": content,
        "format": chunk_format,
        "start_time": data.instant("start_time"),
        "end_time": data.instant("end_time"),
        "participants": list(participants),
        "extracted_items": extracted if isinstance(extracted, dict) else {"items": extracted} if extracted else {},
        "metadata": rest_of(data, CHUNK_FIELDS),
        "created": instant(data, *CREATED),
    }
    return values, turns


def read_memory_file(data: Fields, stem: str) -> dict[str, Any]:
    key = data.identifier("key") or stem
    draft = read_memory(Fields({**data.values, "key": key}, data.path))
    content = dict(draft.content)
    rest = rest_of(data, MEMORY_FIELDS)
    if rest:
        content["metadata"] = {**rest, **content["metadata"]} if isinstance(content.get("metadata"), dict) else rest
    return {
        "id": key,
        "type": draft.type,
        "title": draft.title,
        "content": content,
        "tags": list(draft.tags),
        "confidence": draft.confidence,
        "created": instant(data, *CREATED),
    }


def read_task_file(data: Fields, stem: str, default_agent: str) -> dict[str, Any]:
    """A state that we do not know waits for a person (`proposed`); what the file said stands beside."""
    said = (data.text("status") or "pending").lower().replace("-", "_").replace(" ", "_")
    status, question = STATES.get(said, "proposed"), data.text("question")
    if status == "needs_input" and question is None:
        status = "proposed"
    given = data.values.get("input_data")
    input_data = {} if given is None else dict(content_of(given))
    rest = rest_of(data, TASK_FIELDS)
    if said != status:
        rest["status"] = said
    if rest:
        own = input_data.get("metadata")
        input_data["metadata"] = {**rest, **own} if isinstance(own, dict) else rest
    task_id = data.identifier("task_id", "id") or stem
    title = data.text("title", "description") or statement_of(input_data)[1] or task_id
    process = data.number("process_id")
    return {
        "id": task_id,
        "agent_name": data.identifier("agent_name", "agent", limit=AGENT_CHARS) or default_agent,
        "task_type": data.text("task_type", "type") or "general",
        "title": shorten(title, TITLE_CHARS),
        "status": status,
        "priority": priority_of(data.values.get("priority")),
        "input_data": input_data,
        "process_id": int(process) if process is not None and 0 <= process < 2**31 else None,
        "claimed_by": data.text("claimed_by"),
        "claimed_at": data.instant("claimed_at"),
        "started": instant(data, "started", "started_at"),
        "completed": instant(data, "completed", "completed_at"),
        "output_data": data.values.get("output_data"),
        "artifacts": list(data.texts("artifacts")),
        "error_message": data.text("error_message", "error"),
        "attempts": 1 if said in ("claimed", "running", "in_progress") else 0,
        "question": question if status == "needs_input" else None,
        "depends_on": list(data.texts("depends_on")),
        "created": instant(data, *CREATED),
    }


def read_artifact_file(data: Fields, session_id: str, file_name: str, content: bytes) -> dict[str, Any]:
    """`data` is what its `_meta.json` says, empty where there is none."""
    made = "artifact_" + hashlib.sha256(f"{session_id}/{file_name}".encode()).hexdigest()[:12]
    text = text_of(content)
    task_id = data.identifier("task_id")
    metadata = rest_of(data, ARTIFACT_FIELDS)
    return {
        "id": data.identifier("artifact_id", "id") or made,
        "task_id": task_id,
        "type": data.text("type") or "document",
        "name": data.text("name", "title") or file_name,
        "content": text or "",
        "bytes": content if text is None else None,
        "format": data.text("format") or file_name.rpartition(".")[2].lower() or "text",
        "metadata": metadata | ({"task_id": task_id} if task_id else {}),
        "created": instant(data, *CREATED),
    }


def text_of(content: bytes) -> str | None:
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def instant(data: Fields, *names: str) -> datetime | None:
    return next((found for name in names if (found := data.instant(name)) is not None), None)


def rest_of(data: Fields, known: Iterable[str]) -> dict[str, Any]:
    """`metadata`, and every field that we do not know."""
    told: Any = data.values.get("metadata")
    own: Mapping[str, Any] = told if isinstance(told, dict) else {} if told is None else {"metadata": told}
    known = set(known) | {"metadata"}
    return {**{name: value for name, value in data.values.items() if name not in known}, **own}


def check_name(name: str) -> str:
    """An id that is the name of a file."""
    if not name.isprintable() or not 0 < len(name) <= SESSION_ID_CHARS:
        raise Unreadable("The name of the file cannot be an id.", code="invalid_id")
    return name
