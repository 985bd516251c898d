"""The native kinds: what each command leaves behind, and what is refused."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.delivery import NATIVE, CommandRequest, Delivery, Query, Reading
from domain.errors import Unreadable
from domain.task import TaskAnswer
from processors.readers import Outcome, native, read

PAYLOADS = Path(__file__).parents[1] / "payloads" / "native"
SESSION = "kitchen_planning"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def deliver(body: Any, session_id: str | None = None) -> Delivery:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(NATIVE, "d-1", "event", datetime(2026, 3, 2, tzinfo=UTC), "application/json", raw, session_id)


def recorded(name: str) -> Outcome:
    return read(deliver((PAYLOADS / f"{name}.json").read_bytes()))


def reading_of(name: str) -> Reading:
    reading = recorded(name)
    assert isinstance(reading, Reading)
    return reading


def command(name: str, data: Any = None, **others: Any) -> dict[str, Any]:
    kind = {"type": "collaborative_session_command", "command": name, "session_id": SESSION}
    return {**kind, "data": {} if data is None else data, **others}


def read_body(body: Any) -> Reading:
    reading = read(deliver(body))
    assert isinstance(reading, Reading)
    return reading


def refusal(body: Any) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read(deliver(body))
    return caught.value


def assert_places_hold(reading: Reading) -> None:
    for memory in reading.memories:
        if memory.turn is not None:
            assert reading.turns[memory.turn].text[memory.char_start : memory.char_end] == memory.quote
    for task in reading.tasks:
        assert task.memory is None or reading.memories[task.memory].type == "action_item"


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.json")), ids=lambda path: path.stem)
def test_every_recorded_payload_is_read_answered_or_refused(path: Path) -> None:
    if path.stem == "batch_with_a_wrong_command":
        assert refusal(path.read_bytes()).message.endswith(".")
        return
    outcome = read(deliver(path.read_bytes()))
    if isinstance(outcome, Query):
        assert outcome.command == path.stem
    elif isinstance(outcome, CommandRequest):
        assert path.stem == outcome.body["type"]
    else:
        assert isinstance(outcome, Reading)
        assert outcome.session.id in (SESSION, "walk-0302")


def test_create_session_sets_title_participants_and_context() -> None:
    session = reading_of("create_session").session
    assert (session.id, session.title, session.context) == (SESSION, "Kitchen plan", "Moving the oven, on a walk")
    assert session.participants == ("mara", "assistant")
    assert not session.must_exist


@pytest.mark.parametrize(
    ("name", "status"), [("resume_session", "active"), ("pause_session", "paused"), ("complete_session", "completed")]
)
def test_lifecycle_commands_set_the_status_of_a_session_that_exists(name: str, status: str) -> None:
    session = reading_of(name).session
    assert (session.id, session.status, session.must_exist) == (SESSION, status, True)


@pytest.mark.parametrize(
    ("name", "session_id", "parameters"),
    [
        ("list_sessions", None, {"status": "active", "limit": 20}),
        ("get_session_summary", SESSION, {}),
        ("retrieve_memory", SESSION, {"key": "oven_wall"}),
        ("query_memories", SESSION, {"type": "decision", "tags": ("oven",), "limit": 10}),
    ],
)
def test_a_query_is_a_question_and_nothing_to_keep(
    name: str, session_id: str | None, parameters: dict[str, Any]
) -> None:
    assert recorded(name) == Query(name, session_id, parameters)


def test_a_query_is_read_in_the_form_of_the_documents_too() -> None:
    body = command("query_memories", {"type": "idea", "tags": ["tiles"], "query": "blue"})
    assert read(deliver(body)) == Query(
        "query_memories", SESSION, {"type": "idea", "tags": ("tiles",), "query": "blue"}
    )
    del body["session_id"]
    assert read(deliver(body, "walk")) == Query(
        "query_memories", "walk", {"type": "idea", "tags": ("tiles",), "query": "blue"}
    )
    everywhere = read(deliver(body))
    assert isinstance(everywhere, Query)
    assert everywhere.session_id is None


@pytest.mark.parametrize("name", ["get_session_summary", "retrieve_memory"])
def test_a_question_about_a_session_names_it(name: str) -> None:
    body = command(name, {"key": "oven_wall"})
    del body["session_id"]
    assert refusal(body).code == "missing_session_id"
    assert refusal(command("retrieve_memory")).code == "missing_field"


def test_a_conversation_becomes_turns_with_the_times_of_the_chunk() -> None:
    reading = reading_of("append_conversation")
    assert [(t.speaker, t.role) for t in reading.turns] == [
        ("User", "user"),
        ("Assistant", "assistant"),
        ("User", "user"),
    ]
    assert reading.turns[0].text == "The oven has to move. So the oven goes to\nthe north wall."
    assert reading.turns[0].start_time == datetime(2026, 3, 2, 7, 40, tzinfo=UTC)
    assert reading.turns[-1].end_time == datetime(2026, 3, 2, 7, 52, tzinfo=UTC)
    assert reading.turns[1].start_time is None
    assert (reading.format, reading.session.metadata) == ("dialogue", {"source": "voice"})


def test_extracted_items_become_memories_as_given() -> None:
    reading = reading_of("append_conversation")
    assert [m.type for m in reading.memories] == [
        "idea",
        "decision",
        "question",
        "action_item",
        "action_item",
        "risk",
    ]
    assert all(m.explicit and m.extractor == "sender" for m in reading.memories)
    idea = reading.memories[0]
    assert (idea.title, idea.turn) == ("Go electric", 2)
    assert idea.content == {"text": "Go electric", "description": "An induction hob needs no gas line"}


def test_an_item_said_in_these_words_points_to_them_across_lines_and_case() -> None:
    reading = reading_of("append_conversation")
    decision, question = reading.memories[1], reading.memories[2]
    assert decision.quote == "the oven goes to\nthe north wall"
    assert (decision.turn, decision.speaker) == (0, "User")
    assert (question.turn, question.quote) == (2, "Could we go electric?")
    assert_places_hold(reading)


def test_action_items_become_tasks_that_need_no_approval() -> None:
    first, second = reading_of("append_conversation").tasks
    assert (first.title, first.agent_name, first.task_type) == ("Ask about the gas permit", "claude_code", "general")
    assert (first.status, first.priority, first.memory) == ("pending", 80, 3)
    assert first.input_data == {"description": "Ask about the gas permit", "due": "2026-03-06"}
    assert (second.title, second.priority, second.memory) == ("Measure the wall", 50, 4)


def test_an_item_whose_agent_is_no_name_goes_to_the_default_agent() -> None:
    items = {
        "action_items": [
            {"task": "a", "agent": "c" * 101},
            {"task": "b", "agent_name": "codex"},
            {"task": "c", "agent": 5},
        ]
    }
    tasks = read_body(command("conversation_chunk", {"content": "User: x", "extracted_items": items})).tasks
    assert [task.agent_name for task in tasks] == ["claude_code", "codex", "claude_code"]


def test_a_chunk_sent_directly_in_the_data_is_read_too() -> None:
    reading = reading_of("conversation_chunk")
    assert [t.text for t in reading.turns] == ["Which tiles?", "The blue ones cost less."]
    assert reading.format == "transcript"
    assert (reading.memories[0].type, reading.memories[0].turn) == ("fact", 1)


def test_a_summary_is_kept_as_the_summary() -> None:
    reading = reading_of("append_summary")
    assert (reading.turns, reading.format) == ((), "summary")
    assert reading.summary == "They moved the oven and left the tiles open."


def test_store_memory_keeps_key_content_and_tags() -> None:
    (memory,) = reading_of("store_memory").memories
    assert (memory.type, memory.key, memory.title) == ("decision", "oven_wall", "Oven on the north wall")
    assert memory.content == {"title": "Oven on the north wall", "rationale": "light"}
    assert memory.tags == ("kitchen", "oven")


@pytest.mark.parametrize(
    ("data", "memory_type", "content", "tags", "title"),
    [
        ({"content": "Buy tiles"}, "note", {"text": "Buy tiles"}, (), "Buy tiles"),
        ({"type": "general", "content": 7, "key": "n"}, "note", {"value": 7}, (), "n"),
        ({"type": "Musing", "content": [1], "tags": ["x"]}, "note", {"value": [1]}, ("x", "Musing"), "Musing"),
        ({"type": "Action-Item", "content": {"task": "Go"}}, "action_item", {"task": "Go"}, (), "Go"),
        ({"content": {"colour": "blue"}, "key": "c"}, "note", {"colour": "blue"}, (), "blue"),
    ],
)
def test_store_memory_takes_any_type_and_any_json(
    data: dict[str, Any], memory_type: str, content: dict[str, Any], tags: tuple[str, ...], title: str
) -> None:
    (memory,) = read_body(command("store_memory", data)).memories
    assert (memory.type, memory.content, memory.tags, memory.title) == (memory_type, content, tags, title)


def test_an_answer_is_for_the_question_of_a_task() -> None:
    assert reading_of("answer_task").answers == (TaskAnswer("task_tiles", "The matte ones.", "Mara"),)
    answer = command("answer_task", {"task_id": "t", "answer": "Yes"})
    (batched,) = read_body(command("batch", {"commands": [answer]})).answers
    assert batched == TaskAnswer("t", "Yes", "the sender")


def test_a_delegated_task_keeps_its_id_agent_and_input() -> None:
    (task,) = reading_of("delegate_task").tasks
    assert (task.id, task.agent_name, task.task_type, task.priority) == ("code_001", "codex", "code", 80)
    assert (task.title, task.status, task.memory) == ("Draw the plan as SVG", "pending", None)
    assert task.input_data == {"width_cm": 420, "description": "Draw the plan as SVG"}


@pytest.mark.parametrize(
    ("given", "priority"),
    [("low", 20), ("HIGH", 80), (7, 7), (1000, 100), (-3, 0), ("33", 33), ("soon", 50), (True, 50), (None, 50)],
)
def test_priorities_are_words_or_numbers_from_0_to_100(given: Any, priority: int) -> None:
    (task,) = read_body(command("delegate_task", {"description": "x", "priority": given})).tasks
    assert task.priority == priority


def test_an_artifact_keeps_its_text_and_other_content_becomes_json() -> None:
    (artifact,) = reading_of("add_artifact").artifacts
    assert (artifact.id, artifact.name, artifact.format) == ("plan_1", "Floor plan", "markdown")
    assert artifact.content == "# Plan\n\nOven: north."
    (data,) = read_body(command("add_artifact", {"name": "n", "content": {"a": [1]}})).artifacts
    assert (json.loads(data.content), data.format, data.id) == ({"a": [1]}, "json", None)


def test_a_batch_is_one_reading_with_its_chunk_first() -> None:
    reading = reading_of("batch")
    assert [t.text for t in reading.turns] == ["The sink stays.", "Good.", "Book the plumber."]
    assert [m.title for m in reading.memories] == ["The sink stays", "Order taps", "A window seat", "Book the plumber"]
    assert [(t.title, t.memory) for t in reading.tasks] == [
        ("Order taps", 1),
        ("Book the plumber", 3),
        ("Compare ovens", None),
    ]
    assert reading.memories[3].turn == 2
    assert (reading.session.title, reading.session.status, reading.session.must_exist) == (
        "Kitchen plan",
        "completed",
        False,
    )
    assert_places_hold(reading)


def test_one_wrong_command_refuses_the_whole_batch_and_names_its_position() -> None:
    with pytest.raises(Unreadable, match=r"data\.commands\[1\]\.command") as caught:
        recorded("batch_with_a_wrong_command")
    assert caught.value.code == "unknown_command"
    error = refusal(command("batch", {"commands": [{"command": "store_memory", "data": {"content": "x", "key": 1}}]}))
    assert (error.code, error.message) == (
        "wrong_type",
        "`data.commands[0].data.key` is a number; a string is expected.",
    )


def test_a_batch_of_queries_carries_nothing_to_keep() -> None:
    assert read(deliver(command("batch", {"commands": [{"command": "list_sessions"}]}))) is None
    assert read(deliver(command("batch", {"commands": []}))) is None


def test_a_batch_holds_no_other_session_and_no_other_batch() -> None:
    other = {"command": "store_memory", "session_id": "garden", "data": {"content": "x"}}
    assert refusal(command("batch", {"commands": [other]})).code == "mixed_sessions"
    assert refusal(command("batch", {"commands": [{"command": "batch"}]})).code == "unknown_command"


def test_a_batch_that_begins_with_a_lifecycle_command_needs_the_session() -> None:
    reading = read_body(
        command("batch", {"commands": [{"command": "pause_session"}, {"command": "create_session", "data": {}}]})
    )
    assert reading.session.must_exist


def test_an_action_item_insight_is_a_memory_and_a_task() -> None:
    reading = reading_of("llm_conversation_insight")
    (memory,), (task,) = reading.memories, reading.tasks
    assert (memory.type, memory.title, memory.confidence) == ("action_item", "Call the city office", 0.8)
    assert memory.content == {
        "text": "The gas line move needs a city permit.",
        "suggested_followup": "Ask how long it takes",
        "priority": "medium",
    }
    assert (memory.tags, memory.explicit) == (("kitchen",), True)
    assert (task.title, task.status, task.priority, task.memory) == ("Call the city office", "pending", 50, 0)
    assert (reading.session.participants, reading.session.context) == (("mara",), "Kitchen plan on a walk")
    assert reading.session.metadata == {"llm_model": "voice-model", "source": "natural_conversation"}


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("version", None, "missing_field"),
        ("version", "2.0", "unsupported_version"),
        ("timestamp", None, "missing_field"),
        ("timestamp", "yesterday", "wrong_type"),
        ("conversation", None, "missing_field"),
        ("conversation.id", "", "missing_session_id"),
        ("conversation.id", "a\u0007b", "invalid_session_id"),
        ("insight.type", "musing", "invalid_insight_type"),
        ("insight.priority", "soon", "invalid_priority"),
        ("insight.title", " ", "missing_field"),
        ("insight.content", ["x"], "wrong_type"),
        ("metadata.confidence", "high", "wrong_type"),
    ],
)
def test_an_insight_without_a_required_field_names_it(path: str, value: Any, code: str) -> None:
    body = json.loads((PAYLOADS / "llm_conversation_insight.json").read_bytes())
    *outer, name = path.split(".")
    (body[outer[0]] if outer else body)[name] = value
    error = refusal(body)
    assert error.code == code
    assert f"`{path}`" in error.message


def test_a_risk_insight_makes_no_task() -> None:
    body = json.loads((PAYLOADS / "llm_conversation_insight.json").read_bytes())
    body["insight"]["type"] = "risk"
    body["metadata"] = None
    reading = read_body(body)
    assert (reading.tasks, reading.memories[0].type, reading.memories[0].confidence) == ((), "risk", 1.0)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"\xff\xfe", "invalid_utf8"),
        ([1], "wrong_type"),
        ({}, "unknown_kind"),
        ({"type": 1}, "wrong_type"),
        ({"type": "collaborative_session_command"}, "missing_field"),
        (command("dance"), "unknown_command"),
        (command("create_session", session_id=None), "missing_session_id"),
        (command("create_session", session_id=" "), "missing_session_id"),
        (command("create_session", session_id="x" * 201), "invalid_session_id"),
        (command("create_session", session_id="a\nb"), "invalid_session_id"),
        (command("create_session", session_id=5), "wrong_type"),
        (command("create_session", [1]), "wrong_type"),
        (command("create_session", {"participants": [1]}), "wrong_type"),
        (command("append_conversation", {}), "missing_field"),
        (command("append_conversation", {"conversation_chunk": "User: x"}), "wrong_type"),
        (command("append_conversation", {"conversation_chunk": {"content": " "}}), "missing_field"),
        (command("conversation_chunk", {"content": "x", "start_time": "noon"}), "wrong_type"),
        (command("conversation_chunk", {"content": "x", "extracted_items": {"ideas": "y"}}), "wrong_type"),
        (command("conversation_chunk", {"content": "x", "extracted_items": {"ideas": [5]}}), "wrong_type"),
        (command("store_memory", {"key": "k"}), "missing_field"),
        (command("store_memory", {"content": "x", "key": "k" * 201}), "invalid_id"),
        (command("store_memory", {"content": "x", "tags": "one"}), "wrong_type"),
        (command("delegate_task", {"agent_name": "codex"}), "missing_field"),
        (command("answer_task", {"task_id": "t"}), "missing_field"),
        (command("answer_task", {"answer": "Yes"}), "missing_field"),
        (command("delegate_task", {"agent_name": "c" * 101, "description": "x"}), "invalid_id"),
        (command("add_artifact", {"name": "n"}), "missing_field"),
        (command("batch", {}), "missing_field"),
        (command("batch", {"commands": ["store_memory"]}), "wrong_type"),
    ],
)
def test_what_cannot_be_read_has_a_stable_code(body: Any, code: str) -> None:
    assert refusal(body).code == code


def test_messages_never_quote_what_was_said() -> None:
    secret = "the safe opens with 4711"
    for body in (
        command(secret),
        command("store_memory", {"content": "x", "tags": [secret, 1]}),
        command("create_session", session_id=secret * 20),
        command("append_conversation", {"conversation_chunk": {"content": secret, "start_time": secret}}),
        command("append_conversation", {"conversation_chunk": {"content": [secret]}}),
        {"type": secret},
        json.dumps(secret).encode(),
        b'{"a": "' + secret.encode(),
    ):
        assert secret not in refusal(body).message


def test_the_url_may_name_the_session() -> None:
    body = command("store_memory", {"content": "x"}, session_id=None)
    reading = native.read(deliver(body, session_id=" walk "))
    assert reading is not None
    assert reading.session.id == "walk"


def test_nul_characters_are_removed_and_backslashes_stay() -> None:
    body = rb'{"type":"collaborative_session_command","command":"store_memory","session_id":"a\u0000b",'
    body += rb'"data":{"content":{"x\u0000":"1\u00002","y":"\\u0000","z":"\\\u0000!"}}}'
    reading = read_body(body)
    assert reading.session.id == "ab"
    assert reading.memories[0].content == {"x": "12", "y": "\\u0000", "z": "\\!"}


def test_deep_nesting_is_refused() -> None:
    deep = b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"
    assert refusal(deep).code == "invalid_json"
    assert refusal(b'{"a":' + b"[" * 98 + b"]" * 98 + b"}").code == "unknown_kind"
    assert refusal(b'{"a":' + b"[" * 99_999).code == "invalid_json"


def test_an_item_without_words_is_kept_but_never_becomes_a_task() -> None:
    items = {"action_items": [{"priority": "high"}, {}, None, "  "]}
    reading = read_body(command("conversation_chunk", {"content": "User: x", "extracted_items": items}))
    assert [(m.title, m.content) for m in reading.memories] == [("action item", {"priority": "high"})]
    assert reading.tasks == ()


def test_an_item_is_found_only_as_whole_words() -> None:
    chunk = {"content": "User: I am going, so go now.", "extracted_items": {"notes": ["go", "goin", "İstanbul"]}}
    memories = read_body(command("conversation_chunk", chunk)).memories
    assert [(m.char_start, m.quote) for m in memories] == [(15, "go"), (None, None), (None, None)]


@pytest.mark.parametrize("name", [*native.COMMANDS, "batch"])
@settings(deadline=None)
@given(data=JSON)
def test_any_data_is_read_or_refused(name: str, data: Any) -> None:
    try:
        reading = native.read(deliver(command(name, data)))
    except Unreadable:
        return
    assert reading is None or reading.session.id == SESSION


@settings(deadline=None)
@given(body=JSON)
def test_any_json_is_read_or_refused(body: Any) -> None:
    with pytest.raises(Unreadable):
        native.read(deliver(body))


@settings(deadline=None)
@given(
    content=st.text(),
    items=st.dictionaries(st.sampled_from(["ideas", "action_items", "facts"]), st.lists(JSON, max_size=4)),
)
def test_places_hold_for_any_text(content: str, items: dict[str, Any]) -> None:
    items = {**items, "notes": content.split()}
    try:
        reading = native.read(deliver(command("conversation_chunk", {"content": content, "extracted_items": items})))
    except Unreadable:
        return
    assert reading is not None
    assert_places_hold(reading)
