"""Answers over Redis: to queries, and to commands whose senders wait for what comes of them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import redis

from domain import envelope
from domain.delivery import Delivery
from domain.settings import Settings
from processors.answering import count, encoded, sentence
from processors.jobs import Workshop
from processors.queueing import REPLY_SECONDS
from store.database import Connection
from tests.processors.workshop import accept, command, states, work

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)


def reply_to(redis_client: "redis.Redis", delivery: Delivery) -> Any:
    """What the endpoint finds for who waits: the sign at the list, then the reply."""
    assert redis_client.blpop([envelope.replied_name(delivery.key)], timeout=1)
    raw = redis_client.get(envelope.reply_name(delivery.key))
    assert isinstance(raw, bytes)
    return orjson.loads(raw)


@pytest.fixture
def kitchen(settings: Settings, shop: Workshop) -> None:
    """A session with a decision and two facts, and another one with a decision."""
    create = command("create_session", "kitchen", {"title": "Kitchen plan", "participants": ["mara"]})
    memories = [
        (
            "kitchen",
            {"key": "wall", "type": "decision", "content": "The oven goes to the north wall", "tags": ["oven"]},
        ),
        ("kitchen", {"key": "price", "type": "fact", "content": {"value": 1e30, "currency": "EUR"}, "tags": ["tiles"]}),
        ("kitchen", {"key": "width", "type": "fact", "content": "Three metres", "tags": ["oven", "wall"]}),
        ("walk", {"key": "way", "type": "decision", "content": "We walk by the canal", "tags": ["oven"]}),
    ]
    accept(settings, create)
    work(shop)
    for session, data in memories:
        accept(settings, command("store_memory", session, data))
        work(shop)


def ask(
    settings: Settings, shop: Workshop, redis_client: "redis.Redis", name: str, session: str | None, data: Any = None
) -> Any:
    question = command(name, session, data)
    accept(settings, question)
    work(shop)
    return reply_to(redis_client, question)


@pytest.mark.parametrize(
    ("session", "data", "keys"),
    [
        ("kitchen", {}, ["width", "price", "wall"]),
        ("kitchen", {"type": "fact"}, ["width", "price"]),
        ("kitchen", {"filter": {"type": "fact", "tags": ["oven"]}}, ["width"]),
        ("kitchen", {"tags": ["oven"]}, ["width", "wall"]),
        ("kitchen", {"tags": ["tiles", "wall"]}, ["width", "price"]),
        ("kitchen", {"limit": 1}, ["width"]),
        ("kitchen", {"query": "which wall is the oven at?"}, ["wall"]),
        ("kitchen", {"type": "dream"}, []),
        ("nowhere", {}, []),
        (None, {"type": "decision"}, ["way", "wall"]),
    ],
)
@pytest.mark.usefixtures("kitchen")
def test_memories_are_found_by_type_tags_and_words(
    settings: Settings, shop: Workshop, redis_client: "redis.Redis", session: str | None, data: Any, keys: list[str]
) -> None:
    reply = ask(settings, shop, redis_client, "query_memories", session, data)
    assert (reply["type"], reply["command"], reply["status"]) == (
        "collaborative_session_response",
        "query_memories",
        "success",
    )
    assert [memory["key"] for memory in reply["data"]["memories"]] == keys
    assert reply["data"]["count"] == len(keys)


@pytest.mark.usefixtures("kitchen")
def test_a_rejected_memory_is_not_told(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    conn.execute("UPDATE memories SET review = 'rejected' WHERE key = 'wall'")
    reply = ask(settings, shop, redis_client, "query_memories", "kitchen", {"type": "decision"})
    assert (reply["message"], reply["data"]) == ("No decision found.", {"memories": [], "count": 0})


@pytest.mark.usefixtures("kitchen")
def test_a_memory_is_retrieved_by_its_key(settings: Settings, shop: Workshop, redis_client: "redis.Redis") -> None:
    reply = ask(settings, shop, redis_client, "retrieve_memory", "kitchen", {"key": "wall"})
    assert reply["session_id"] == "kitchen"
    assert "north wall" in reply["message"]
    memory = reply["data"]["memory"]
    assert (memory["key"], memory["type"], memory["tags"]) == ("wall", "decision", ["oven"])
    assert memory["timestamp"].endswith("Z")


@pytest.mark.usefixtures("kitchen")
def test_a_number_of_any_size_is_told(settings: Settings, shop: Workshop, redis_client: "redis.Redis") -> None:
    reply = ask(settings, shop, redis_client, "retrieve_memory", "kitchen", {"key": "price"})
    assert "1e+30" in str(reply["data"]["memory"]["content"]).lower()


@pytest.mark.parametrize(
    ("name", "session", "data"),
    [
        ("retrieve_memory", "kitchen", {"key": "nothing"}),
        ("retrieve_memory", "nowhere", {"key": "wall"}),
        ("get_session_summary", "nowhere", {}),
    ],
)
@pytest.mark.usefixtures("kitchen")
def test_what_is_not_there_is_an_answer_and_no_failed_delivery(
    settings: Settings,
    shop: Workshop,
    conn: Connection,
    redis_client: "redis.Redis",
    name: str,
    session: str,
    data: Any,
) -> None:
    reply = ask(settings, shop, redis_client, name, session, data)
    assert (reply["status"], reply["error"]["code"]) == ("error", "not_found")
    assert reply["message"] == reply["error"]["message"]
    assert set(states(conn)) == {"processed", "ignored"}


@pytest.mark.usefixtures("kitchen")
def test_sessions_are_listed_and_summed_up(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    listed = ask(settings, shop, redis_client, "list_sessions", None, {"filter": "active"})
    assert [session["session_id"] for session in listed["data"]["sessions"]] == ["walk", "kitchen"]
    assert listed["message"] == "2 sessions: walk; Kitchen plan."
    assert ask(settings, shop, redis_client, "list_sessions", None, {"filter": "paused"})["data"]["count"] == 0
    accept(settings, *(command("delegate_task", "kitchen", {"task_id": name, "description": "Do it"}) for name in "ab"))
    work(shop)
    conn.execute("SELECT cancel_task('a', 'No need.')")
    summed = ask(settings, shop, redis_client, "get_session_summary", "kitchen")
    assert summed["message"] == "Kitchen plan: 3 memories, 2 tasks."
    assert summed["data"]["stats"] == {
        "conversation_chunks": 0,
        "memories": 3,
        "tasks": 2,
        "active_tasks": 1,
        "artifacts": 0,
    }
    assert summed["data"]["participants"] == ["mara"]


def test_a_command_that_is_waited_for_is_answered_with_what_was_kept(
    settings: Settings, shop: Workshop, redis_client: "redis.Redis"
) -> None:
    said = {"content": "Mara: I've decided we take the blue tiles."}
    waiting = replace(command("append_conversation", "walk", said), sync=True)
    accept(settings, waiting)
    work(shop)
    reply = reply_to(redis_client, waiting)
    assert (reply["command"], reply["session_id"], reply["status"]) == ("append_conversation", "walk", "success")
    assert reply["data"] == {"turns": 1, "memories": 1, "tasks": 0}


def test_a_command_that_fails_is_answered_with_the_error(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    waiting = replace(command("pause_session", "nowhere"), sync=True)
    accept(settings, waiting)
    work(shop)
    reply = reply_to(redis_client, waiting)
    assert (reply["session_id"], reply["status"], reply["error"]["code"]) == ("nowhere", "error", "unknown_session")


def test_nobody_is_answered_who_does_not_wait(settings: Settings, shop: Workshop, redis_client: "redis.Redis") -> None:
    accept(settings, command("create_session", "walk"))
    work(shop)
    assert not list(redis_client.scan_iter("aiw:repl*"))


def test_a_question_sees_what_came_with_it_in_the_batch(
    settings: Settings, shop: Workshop, redis_client: "redis.Redis"
) -> None:
    question = command("query_memories", "a", received_at=AT)
    accept(settings, question, command("store_memory", "a", {"key": "wall", "content": "North"}))
    work(shop)
    assert reply_to(redis_client, question)["data"]["count"] == 1


@pytest.mark.usefixtures("kitchen")
def test_an_answer_is_forgotten_after_a_while(settings: Settings, shop: Workshop, redis_client: "redis.Redis") -> None:
    question = command("list_sessions", None)
    accept(settings, question)
    work(shop)
    for name in (envelope.reply_name(question.key), envelope.replied_name(question.key)):
        assert 0 < int(redis_client.ttl(name)) <= REPLY_SECONDS  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("noun", "titles", "said"),
    [
        ("memory", [], "No memory found."),
        ("action_item", ["Call Bob."], "1 action item: Call Bob."),
        ("memory", ["A", "B"], "2 memories: A; B."),
        ("decision", ["A", "B", "C", "D", "E"], "5 decisions: A; B; C; and 2 more."),
    ],
)
def test_the_message_can_be_said_aloud(noun: str, titles: list[str], said: str) -> None:
    assert sentence(noun, titles) == said


def test_numbers_have_their_nouns() -> None:
    assert [count(n, "memory") for n in (0, 1, 2)] == ["0 memories", "1 memory", "2 memories"]


def test_a_reply_is_json_with_times_in_utc() -> None:
    assert encoded({"at": AT, "text": "Grüße", "big": 10**30}) == (
        '{"at": "2026-03-02T08:00:00Z", "text": "Grüße", "big": 1000000000000000000000000000000}'.encode()
    )
