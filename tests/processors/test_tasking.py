"""What becomes of action items: for whom, of what kind, how urgent, and whether it may start."""

from typing import Any

import pytest

from domain.memory import MEMORY_TYPES, MemoryDraft
from domain.session import Turn
from domain.task import TaskDraft
from processors.extracting import extract
from processors.tasking import plan


def item(title: str, quote: str | None = None, **fields: Any) -> MemoryDraft:
    fields = {"explicit": True, "speaker": "Ann"} | fields
    return MemoryDraft("action_item", title, quote=quote or title, **fields)


def planned(memory: MemoryDraft, approve_confidence: float = 0.9) -> TaskDraft:
    (task,) = plan([memory], default_agent="claude_code", approve_confidence=approve_confidence)
    return task


def test_only_action_items_become_tasks_and_each_knows_its_memory() -> None:
    memories = [MemoryDraft(type, type) for type in MEMORY_TYPES if type != "action_item"]  # type: ignore[arg-type]
    memories.insert(2, item("Write the importer"))
    memories.append(item("Write the exporter"))
    tasks = plan(memories, default_agent="claude_code", approve_confidence=1.0)
    assert [(task.title, task.memory) for task in tasks] == [("Write the importer", 2), ("Write the exporter", 9)]


def test_what_was_said_outright_may_start() -> None:
    assert planned(item("Write the importer", confidence=0.1)).status == "pending"


@pytest.mark.parametrize(("confidence", "status"), [(0.69, "proposed"), (0.7, "pending"), (1.0, "pending")])
def test_a_guess_waits_until_it_is_certain_enough(confidence: float, status: str) -> None:
    assert planned(item("Write it", explicit=False, confidence=confidence), approve_confidence=0.7).status == status


@pytest.mark.parametrize(
    ("title", "task_type", "agent"),
    [
        ("Look up the sensor prices", "research", "researcher"),
        ("Find out who runs the API", "research", "researcher"),
        ("Research emission factors", "research", "researcher"),
        ("Compare the three APIs", "research", "researcher"),
        ("Investigate the slow query", "research", "researcher"),
        ("Read up on tariffs", "research", "researcher"),
        ("Get prices for the sensors", "research", "researcher"),
        ("Write tests for the importer", "test", "claude_code"),
        ("Document the importer", "docs", "claude_code"),
        ("Update the README", "docs", "claude_code"),
        ("Review the pull request", "review", "claude_code"),
        ("Fix the flaky tests", "fix", "claude_code"),
        ("Sketch the settings page", "design", "claude_code"),
        ("Build the importer", "code", "claude_code"),
        ("Call the API from the client", "code", "claude_code"),
        ("Meet the deadline", "code", "claude_code"),
    ],
)
def test_the_words_of_the_title_decide_the_kind_and_the_agent(title: str, task_type: str, agent: str) -> None:
    task = planned(item(title))
    assert (task.task_type, task.agent_name, task.status) == (task_type, agent, "pending")


@pytest.mark.parametrize(
    "title", ["Buy dog food", "Call the vet", "Phone Sam", "Pick up the badges", "Meet Ben", "Book an appointment"]
)
def test_an_errand_waits_for_a_person_even_when_said_outright(title: str) -> None:
    task = planned(item(title, f"Remind me to {title}."))
    assert (task.task_type, task.status, task.agent_name) == ("errand", "proposed", "claude_code")


def test_what_one_wants_to_be_reminded_of_is_a_reminder() -> None:
    assert planned(item("Water the plants", "Remind me to water the plants.")).task_type == "reminder"


def test_an_agent_that_was_named_gets_the_task() -> None:
    task = planned(item("Look up the prices", content={"agent": "codex"}))
    assert (task.agent_name, task.task_type) == ("codex", "research")


@pytest.mark.parametrize(
    ("said", "priority"),
    [
        (None, 50),
        ("urgent", 80),
        ("asap", 80),
        ("high priority", 80),
        ("as soon as possible", 80),
        ("low priority", 20),
        ("when you get a chance", 20),
    ],
)
def test_urgency_becomes_priority(said: str | None, priority: int) -> None:
    content = {"priority": said} if said else {}
    assert planned(item("Rotate the keys", content=content)).priority == priority


def test_an_agent_is_told_what_was_said_and_no_more() -> None:
    content = {"due": "by Friday", "owner": "Sam", "rationale": "they leaked", "instead_of": "waiting"}
    task = planned(item("Rotate the keys", "Rotate the keys by Friday.", content=content))
    assert task.input_data == {
        "title": "Rotate the keys",
        "quote": "Rotate the keys by Friday.",
        "speaker": "Ann",
        "due": "by Friday",
        "owner": "Sam",
        "rationale": "they leaked",
    }
    assert planned(MemoryDraft("action_item", "Rotate")).input_data == {"title": "Rotate"}


def test_from_speech_to_tasks() -> None:
    text = (
        "Add an urgent task for Codex: fix the login bug. We need to compare the map providers before the demo. "
        "Remind me to buy dog food."
    )
    tasks = plan(extract([Turn("Ann", text, "user")]), default_agent="claude_code", approve_confidence=0.9)
    assert [(task.title, task.agent_name, task.task_type, task.status, task.priority) for task in tasks] == [
        ("Fix the login bug", "codex", "fix", "pending", 80),
        ("Compare the map providers before the demo", "researcher", "research", "proposed", 50),
        ("Buy dog food", "claude_code", "errand", "proposed", 50),
    ]
