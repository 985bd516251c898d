"""What a custom GPT posts by its actions: a model wrote it, so it is short, and may shorten and mislabel turns.

    operation           body (`session` may name the conversation in each)
    save_conversation   text: lines `Speaker: …`; title?, summary?
    remember            text; type?
    add_task            title; details?, priority?, agent?
    what_was_decided    question?, limit?

The operation is the delivery's event, from the address that was called, or the body's `operation`. What names no
session is kept in one of its own for a conversation, and in the session `chatgpt` for single things.
"""

from collections.abc import Callable, Mapping

from domain.delivery import Delivery, Query, Reading
from domain.errors import UnknownEvent
from domain.session import SessionDraft
from processors.readers import generic
from processors.readers.items import read_memory, read_task
from processors.readers.payload import Fields, check_session_id, parse_object

SESSION = "chatgpt"


def read(delivery: Delivery) -> Reading | Query:
    """Raises Unreadable for a body without what its operation needs, UnknownEvent for another operation."""
    body = parse_object(delivery.body)
    operation = body.text("operation") or delivery.event
    if operation == "save_conversation":
        return generic.read(delivery)
    if operation not in OPERATIONS:
        raise UnknownEvent(delivery.source)
    return OPERATIONS[operation](body, delivery)


def remember(body: Fields, delivery: Delivery) -> Reading:
    given = {"type": body.text("type") or "note", "content": body.required_text("text"), "tags": body.get("tags")}
    return Reading(session_of(body, delivery), memories=(read_memory(Fields(given)),))


def add_task(body: Fields, delivery: Delivery) -> Reading:
    given = {
        "title": body.required_text("title"),
        "description": body.text("details"),
        "priority": body.get("priority"),
        "agent": body.text("agent"),
    }
    return Reading(session_of(body, delivery), tasks=(read_task(Fields(given)),))


def what_was_decided(body: Fields, delivery: Delivery) -> Query:
    asked = {"type": "decision", "query": body.text("question"), "limit": body.number("limit")}
    given = named_session(body, delivery)
    return Query("query_memories", given, {name: value for name, value in asked.items() if value})


OPERATIONS: Mapping[str, Callable[[Fields, Delivery], Reading | Query]] = {
    "remember": remember,
    "add_task": add_task,
    "what_was_decided": what_was_decided,
}


def session_of(body: Fields, delivery: Delivery) -> SessionDraft:
    given = named_session(body, delivery)
    return SessionDraft(given) if given else SessionDraft(SESSION, title="ChatGPT")


def named_session(body: Fields, delivery: Delivery) -> str | None:
    given = body.text("session") or (delivery.session_id or "").strip()
    return check_session_id(given, "session") if given else None
