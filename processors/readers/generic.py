"""Our own transcript JSON, for every source that has no reader of its own.

    {"session": "walk-1" or {"id", "title", "participants", "context", "metadata"},
     "turns": [{"speaker", "role"?, "text", "start"?, "end"?, "caption"?}],
     or "text" or "transcript": lines such as "Mara: …",
     "session_id"?, "title"?, "participants"?, "context"?, "status"?, "language"?, "metadata"?,
     "format"?, "summary"?,
     "extracted_items"?, "memories"?, "tasks"?, "artifacts"?, "answers"? [{"task_id", "answer", "person"?}]}

Fields that are not named here are ignored, so that senders may add to theirs.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.delivery import Delivery, Reading
from domain.errors import Unreadable
from domain.memory import MemoryDraft
from domain.session import Role, SessionDraft, SessionStatus, Turn, language_of
from domain.task import TaskDraft
from processors.readers.captions import looks_like_captions, read_captions
from processors.readers.dialogue import Labels, Line, bounded, clean_speaker, parse_line, read_dialogue, role_of
from processors.readers.items import (
    TITLE_CHARS,
    read_answer,
    read_artifact,
    read_extracted_items,
    read_memory,
    read_task,
)
from processors.readers.payload import (
    Fields,
    format_of,
    instant_of,
    parse_object,
    seconds_of,
    session_id_of,
    shorten,
    wrong_type,
)
from processors.readers.quotes import Quotes

STATUSES: Mapping[str, SessionStatus] = {"active": "active", "paused": "paused", "completed": "completed"}

Time = float | datetime | None


def read(delivery: Delivery) -> Reading:
    """The turns of a transcript with whatever else the sender gave. Raises Unreadable: no_turns when it is empty."""
    body = parse_object(delivery.body)
    session = read_session(body, delivery)
    text, text_format = body.text("text", "transcript"), format_of(body)
    summary = body.text("summary") or (text if text_format == "summary" else None)
    turns = read_turns(body, session.participants)
    if not turns and text and text_format != "summary":
        turns = read_text(text, session.participants)
    memories, tasks = read_drafts(body, Quotes(turns))
    artifacts = tuple(read_artifact(artifact) for artifact in body.objects("artifacts"))
    answers = tuple(read_answer(answer) for answer in body.objects("answers"))
    if not (turns or summary or memories or tasks or artifacts or answers):
        raise Unreadable("There is nothing to keep: no `turns`, no `text`, no `summary`.", code="no_turns")
    return Reading(
        session,
        turns=turns,
        format="dialogue" if turns and text_format == "summary" else text_format,
        summary=summary,
        memories=memories,
        tasks=tasks,
        artifacts=artifacts,
        answers=answers,
    )


def read_session(body: Fields, delivery: Delivery) -> SessionDraft:
    """The session from `session`, else from fields of the same names at the top."""
    given = body.get("session")
    if given is not None and not isinstance(given, str | dict):
        raise wrong_type("session", given, "a string or an object")
    session = body.object("session") if isinstance(given, dict) else Fields({"id": given})
    session_id, path = session.text("id"), "session.id" if isinstance(given, dict) else "session"
    if session_id is None:
        session_id, path = body.text("session_id"), "session_id"
    title = session.text("title") or body.text("title")
    return SessionDraft(
        session_id_of(delivery, session_id, path),
        title=shorten(title, TITLE_CHARS) if title else None,
        participants=session.participants() or body.participants(),
        context=session.text("context") or body.text("context"),
        status=STATUSES.get(body.text("status") or session.text("status") or ""),
        metadata={**session.mapping("metadata"), **body.mapping("metadata")},
        language=language_of(session.text("language") or body.text("language")),
    )


def read_turns(body: Fields, participants: Sequence[Any]) -> tuple[Turn, ...]:
    """The entries of `turns` in which something was said."""
    entries = body.each("turns")
    lines = {path: parse_line(entry) for path, entry in entries if isinstance(entry, str)}
    labels = Labels([line.label for line in lines.values()], participants)
    turns = [turn_of_line(lines[path], labels) if path in lines else read_turn(path, entry) for path, entry in entries]
    return bounded(turn for turn in turns if turn is not None)


def read_text(text: str, participants: Sequence[Any]) -> tuple[Turn, ...]:
    if looks_like_captions(text):
        return read_captions(text, participants=participants)
    return read_dialogue(text, participants=participants)


def turn_of_line(line: Line, labels: Labels) -> Turn | None:
    speaker = labels.speaker(line.label)
    text = (line.text if speaker is None else line.rest).strip()
    name = speaker or ""
    return Turn(name, text, role_of(name), start_seconds=line.start, end_seconds=line.end) if text else None


def read_turn(path: str, entry: Any) -> Turn | None:
    """One entry of `turns`, or None when nothing was said in it."""
    if not isinstance(entry, dict):
        raise wrong_type(path, entry, "an object or a string")
    fields = Fields(entry, path)
    text, role = fields.text("text"), fields.text("role") or ""
    speaker = clean_speaker(fields.text("speaker") or role)
    if text is None:
        return None
    start, end = time_of(fields, "start"), time_of(fields, "end")
    return Turn(
        speaker,
        text,
        known_role(role, speaker),
        start_seconds=start if isinstance(start, float) else None,
        end_seconds=end if isinstance(end, float) else None,
        start_time=start if isinstance(start, datetime) else None,
        end_time=end if isinstance(end, datetime) else None,
        caption=fields.text("caption"),
    )


def known_role(role: str, speaker: str) -> Role:
    if role.lower() == "summary":
        return "summary"
    return role_of(role or speaker)


def time_of(fields: Fields, name: str) -> Time:
    """Seconds from the start of the conversation, from a number or `HH:MM:SS`; or an RFC 3339 instant."""
    value = fields.get(name)
    if not isinstance(value, str):
        return fields.number(name)
    if not value.strip():
        return None
    seconds = seconds_of(value)
    time = instant_of(value.strip()) if seconds is None else seconds
    if time is None:
        raise wrong_type(fields.at(name), value, "a number of seconds, HH:MM:SS or a time such as 2026-03-02T07:40:00Z")
    return time


def read_drafts(body: Fields, quotes: Quotes) -> tuple[tuple[MemoryDraft, ...], tuple[TaskDraft, ...]]:
    memories, tasks = read_extracted_items(body.object("extracted_items"), quotes)
    given = tuple(read_memory(memory, quotes) for memory in body.objects("memories"))
    return (*memories, *given), (*tasks, *(read_task(task) for task in body.objects("tasks")))
