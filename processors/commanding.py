"""What a native client wants run (`task_command`): checked for its form, made a task, and answered when that has ended.

Nothing is run here and nothing is decided about programs and folders: the runner does both, by settings of its own. A
command becomes a task by `order` alone, from the body of a native delivery, so that no text of a transcript, and no
request to the API, can become one.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from domain.delivery import TASK_COMMAND, CommandRequest, Delivery
from domain.errors import Unreadable
from domain.settings import Settings
from processors.answering import Reply, encoded
from processors.queueing import DeliveryQueue
from processors.readers.items import TITLE_CHARS
from processors.readers.payload import Fields, missing, shorten, wrong_type
from store import agents, tasks
from store.database import Connection, Pool, Row, borrowed

PROMPTED = "claude_code"
TITLES = {"git": "Run git", "shell": "Run a program"}
SECONDS, MOST_SECONDS = 30.0, 300.0
MOST_WORDS, MOST_CHARACTERS = 200, 64 * 1024
OLDEST_SECONDS = 3600  # a command that is replayed, or comes late, was meant for another hour
# What only a shell understands, as a word of its own.
SHELL_WORDS = frozenset({"|", "||", "|&", "&", "&&", ";", "<", "<<", "<<<", ">", ">>", "&>", ">&", "2>", "2>>", "2>&1"})
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
TAKEN_OUT = re.compile(r"\[(?:card number|key|phone number|mail address)\]")  # by redacting.py
ERROR = re.compile(r"([a-z]+(?:_[a-z]+)+): (.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Ordered:
    """The task that was made of a command; its sender is told how it ends."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Wish:
    """The columns of the task that a command becomes. `command` is None for a prompt, which an agent reads."""

    task_id: str
    title: str
    agent_name: str
    task_type: str
    input_data: Mapping[str, Any]
    command: Mapping[str, Any] | None
    max_attempts: int = 1  # whether a command that was lost on its way did its work nobody knows


def order(conn: Connection, settings: Settings, delivery: Delivery, request: CommandRequest) -> Ordered:
    """Makes the task; the same id with the same command again is the same task, and is not run again.

    A sender who waits is refused at once when no runner is there. What was processed before makes nothing anew.
    """
    if not settings.task_commands:
        raise Unreadable(
            "Running commands that a webhook sends is off; send `delegate_task` and an agent will claim the task.",
            code="task_command_disabled",
        )
    wish = wish_of(Fields(request.body).object("data"), settings.task_commands)
    if b"\\u0000" in delivery.body:  # which is gone from what was read
        raise invalid("has a NUL character")
    if delivery.readings:
        return Ordered(wish.task_id)
    if (datetime.now(UTC) - delivery.received_at).total_seconds() > OLDEST_SECONDS:
        raise Unreadable("The command came more than an hour ago; send it again.", code="command_too_old")
    columns = {name: getattr(wish, name) for name in ("title", "agent_name", "task_type", "input_data", "command")}
    is_new = tasks.order_command(conn, delivery.key, wish.task_id, **columns, max_attempts=wish.max_attempts)
    if is_new and delivery.sync and not is_there(conn, wish.agent_name):  # what was made goes back with this error
        raise Unreadable(
            "No runner is there for the agent that does this; start one and send it again.", code="no_agent"
        )
    return Ordered(wish.task_id)


def is_there(conn: Connection, agent: str) -> bool:
    row = agents.get(conn, agent)
    return row is not None and row["last_heartbeat"] is not None and row["status"] in ("available", "busy")


def wish_of(data: Fields, agent: str) -> Wish:
    task_id = data.identifier("task_id")
    if task_id is None:
        raise missing(data.at("task_id"))
    kind, params = data.required_text("action_type"), data.object("params")
    if kind == PROMPTED:
        return prompted(task_id, params)
    if kind not in TITLES:
        raise Unreadable(f"`{data.at('action_type')}` is git, shell or claude_code.", code="unknown_command")
    command = {
        "argv": words_of(params, kind),
        "working_dir": params.text("working_dir"),
        "timeout": seconds_of(params),
    }
    return Wish(task_id, TITLES[kind], agent, f"{kind}_command", {"origin": TASK_COMMAND}, command)


def prompted(task_id: str, params: Fields) -> Wish:
    """A task as any other, for the program that does the agent's tasks; the folder is the repository to work in."""
    prompt, folder = params.required_text("prompt"), params.text("working_dir")
    input_data = {"description": prompt, "origin": TASK_COMMAND} | ({"repository": folder} if folder else {})
    return Wish(task_id, shorten(prompt, TITLE_CHARS), PROMPTED, PROMPTED, input_data, None, max_attempts=3)


def words_of(params: Fields, kind: str) -> list[str]:
    """The program and its arguments. A text is split as a shell would, and no shell ever sees it."""
    given, path = params.required("command"), params.at("command")
    if isinstance(given, str) and kind == "shell":
        words = split(given)
    elif isinstance(given, list):
        words = [word if isinstance(word, str) else not_a_word(path, place, word) for place, word in enumerate(given)]
    else:
        raise wrong_type(path, given, "a list of strings")
    check_words(words)
    if kind == "git" and words[0] != "git":
        raise invalid("has to begin with git")
    return words


def not_a_word(path: str, place: int, value: Any) -> str:
    raise wrong_type(f"{path}[{place}]", value, "a string")


def split(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError:
        raise invalid("has a quotation that does not end") from None
    if SHELL_WORDS & set(words):
        raise invalid("is for a shell: | ; & < and > have no meaning here, since no shell runs it; send one program")
    return words


def check_words(words: Sequence[str]) -> None:
    if not words or not words[0]:
        raise invalid("names no program")
    if len(words) > MOST_WORDS or sum(map(len, words)) > MOST_CHARACTERS:
        raise invalid(f"is longer than {MOST_WORDS} words or {MOST_CHARACTERS} characters")
    if any(CONTROL.search(word) for word in words):
        raise invalid("has control characters")
    if any(TAKEN_OUT.search(word) for word in words):
        raise invalid("had something in it that was taken out as a secret, so it is not what was sent")


def invalid(what: str) -> Unreadable:
    return Unreadable(f"`data.params.command` {what}.", code="invalid_command")


def seconds_of(params: Fields) -> float:
    seconds = params.number("timeout")
    return SECONDS if seconds is None or seconds <= 0 else min(seconds, MOST_SECONDS)


def answer_awaited(pool: Pool, queue: DeliveryQueue) -> None:
    """Tells those who wait for a task that has ended how it ended. Two workers may tell the same."""
    awaited = queue.awaited()
    if not awaited:
        return
    with borrowed(pool) as conn:
        endings = {row["id"]: row for row in tasks.endings(conn, sorted({task for task, _ in awaited.values()}))}
    ended = {key: endings[task] for key, (task, _) in awaited.items() if task in endings}
    queue.reply({key: encoded(reply_of(row)) for key, row in ended.items()})
    queue.await_no_more([*ended, *(key for key, (_, for_long) in awaited.items() if for_long and key not in ended)])


def reply_of(task: Row) -> Reply:
    """The answer in the form that our clients know: `status` is success, failed (the program said so) or error (it was
    not run, or not to its end)."""
    left = task["output_data"] if isinstance(task["output_data"], dict) else {}
    code = left.get("exit_code")
    reply: Reply = {"type": f"{TASK_COMMAND}_response", "task_id": task["id"], "clients_notified": 0}
    if task["status"] != "completed":
        name, message = error_of(task)
        return reply | {"status": "error", "message": message, "error": {"code": name, "message": message}}
    success = code in (0, None)
    reply["output"] = {
        "success": success,
        "stdout": left.get("stdout", ""),
        "stderr": left.get("stderr", ""),
        "returncode": code,
    }
    reply["execution_time_ms"] = round(1000 * (left.get("seconds") or 0))
    reply["artifacts"] = task["artifacts"]
    message = "Done." if success else f"It ended with exit code {code}."
    return reply | {"status": "success" if success else "failed", "message": message}


def error_of(task: Row) -> tuple[str, str]:
    """(code, sentence) of a task that did not come to its end; runners write `code: sentence`."""
    if task["status"] is None:
        return "unknown_task", "The task is gone."
    message = task["error_message"] or "The task was cancelled."
    found = ERROR.match(message) if task["status"] == "failed" else None
    return (found[1], found[2]) if found else (f"task_{task['status']}", message)
