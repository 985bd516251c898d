"""What is said to people elsewhere: what was said here is quoted there so that it does nothing.

A title or a quote is somebody's speech: no name in it may notify anybody, no number in it may point to an issue, and
no word in it may close one.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from domain.outgoing import News

TITLE_CHARS = 240  # GitHub takes 256
TEXT_CHARS = 4_000
UNSEEN = "\u200b"  # breaks a mention and is not seen
CALLS = re.compile(r"@(?=[\w/])|#(?=\d)|\b[Gg][Hh]-(?=\d)")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
BACKTICKS = re.compile("`+")

ENDINGS = {
    "completed": "The task was completed.",
    "not_planned": "The task was cancelled.",
    "failed": "The task failed: its agent gave up. A person may retry it.",
    "open": "The task is to be done again.",
}


def neutral(text: str) -> str:
    """The text with its mentions and references broken, and without characters that turn or hide it."""
    return CALLS.sub(lambda call: call[0] + UNSEEN, CONTROL.sub("", text))


def one_line(text: str, limit: int = TITLE_CHARS) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def title(subject: Mapping[str, Any]) -> str:
    return neutral(one_line(str(subject["title"]))) or str(subject["id"])


def fenced(text: str) -> str:
    """A block of code, in which Markdown reads nothing; its fence is longer than any in the text."""
    text = neutral(text[:TEXT_CHARS])
    fence = "`" * max(3, 1 + max((len(run) for run in BACKTICKS.findall(text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def description(news: News, page: str | None) -> str:
    """What an issue says of its task, in Markdown."""
    task = news.task or {}
    name = f"`{task['id']}`"
    if page:
        name = f"[{name}]({page.rstrip('/')}/tasks/{quote(str(task['id']), safe='')})"
    kind, agent = (neutral(one_line(str(task[field] or "any"), 100)) for field in ("task_type", "agent_name"))
    lines = [f"Task {name} of AI Webhook: {kind}, for {agent}, priority {task['priority']}."]
    if news.details and task["quote"]:
        lines.append(fenced(str(task["quote"])))
    return "\n\n".join(lines)


def ending(news: News, state: str) -> str:
    """What is said there of a task's new state, in Markdown."""
    why = (news.task or {}).get("error_message")
    said = ENDINGS[state]
    return f"{said}\n\n{fenced(str(why))}" if news.details and why and state in ("failed", "not_planned") else said
