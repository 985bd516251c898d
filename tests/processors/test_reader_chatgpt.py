"""What a custom GPT posts, as turns, memories, tasks and questions."""

from typing import Any

import orjson
import pytest

from domain.delivery import Query, Reading
from domain.errors import UnknownEvent, Unreadable
from processors.readers import read
from tests.conftest import delivery


def sent(event: str, body: Any, **more: Any) -> Any:
    return read(delivery(orjson.dumps(body), source="chatgpt", event=event, **more))


def test_a_conversation_is_its_turns_with_title_and_summary() -> None:
    body = {
        "text": "User: We take the blue tiles.\nAssistant: Noted.",
        "title": "Tiles",
        "summary": "Blue tiles.",
        "session": "kitchen-plan",
    }
    reading = sent("save_conversation", body)
    assert isinstance(reading, Reading)
    assert [(turn.role, turn.text) for turn in reading.turns] == [
        ("user", "We take the blue tiles."),
        ("assistant", "Noted."),
    ]
    assert (reading.session.id, reading.session.title, reading.summary) == ("kitchen-plan", "Tiles", "Blue tiles.")


def test_a_conversation_without_a_name_has_a_session_of_its_own() -> None:
    first = sent("save_conversation", {"text": "User: Blue."}, delivery_id="a")
    second = sent("save_conversation", {"text": "User: Grey."}, delivery_id="b")
    assert first.session.id != second.session.id


def test_one_thing_to_remember_is_a_memory() -> None:
    reading = sent("remember", {"text": "The shop closes at six.", "type": "fact", "session": "kitchen-plan"})
    (memory,) = reading.memories
    assert (memory.type, memory.title, memory.explicit) == ("fact", "The shop closes at six.", True)
    assert reading.session.id == "kitchen-plan"
    assert (reading.turns, reading.tasks) == ((), ())


@pytest.mark.parametrize(
    ("given", "type_", "tags"), [(None, "note", ()), ("Decision", "decision", ()), ("joy", "note", ("joy",))]
)
def test_a_type_that_is_none_of_ours_is_a_note(given: str | None, type_: str, tags: tuple[str, ...]) -> None:
    (memory,) = sent("remember", {"text": "Blue it is.", "type": given}).memories
    assert (memory.type, memory.tags) == (type_, tags)


def test_a_task_is_a_task() -> None:
    body = {"title": "Order the tiles", "details": "Four square metres.", "priority": "high", "agent": "researcher"}
    reading = sent("add_task", body)
    (task,) = reading.tasks
    assert (task.title, task.agent_name, task.priority) == ("Order the tiles", "researcher", 80)
    assert task.input_data["description"] == "Four square metres."


def test_single_things_without_a_session_are_kept_together() -> None:
    assert (
        sent("remember", {"text": "Blue."}).session.id == sent("add_task", {"title": "Order"}).session.id == "chatgpt"
    )
    assert sent("remember", {"text": "Blue."}, session_id="walk").session.id == "walk"


def test_a_question_asks_for_decisions() -> None:
    asked = sent("what_was_decided", {"question": "which tiles", "limit": 5, "session": "kitchen-plan"})
    parameters = {"type": "decision", "query": "which tiles", "limit": 5.0}
    assert asked == Query("query_memories", "kitchen-plan", parameters)
    assert sent("what_was_decided", {}) == Query("query_memories", None, {"type": "decision"})


def test_the_operation_may_be_in_the_body() -> None:
    assert sent("transcript", {"operation": "remember", "text": "Blue."}).memories
    with pytest.raises(UnknownEvent):
        sent("telepathy", {"text": "Blue."})


@pytest.mark.parametrize(
    ("event", "body", "code"),
    [
        ("save_conversation", {}, "no_turns"),
        ("remember", {}, "missing_field"),
        ("remember", {"text": 7}, "wrong_type"),
        ("add_task", {"title": " "}, "missing_field"),
        ("add_task", {"title": "Order", "session": "x" * 201}, "invalid_session_id"),
        ("what_was_decided", {"limit": "many"}, "wrong_type"),
        ("what_was_decided", {"question": ["x"]}, "wrong_type"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_code(event: str, body: Any, code: str) -> None:
    with pytest.raises(Unreadable) as refusal:
        sent(event, body)
    assert refusal.value.code == code
