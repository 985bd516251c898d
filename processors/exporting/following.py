"""What an exported task should be elsewhere, and what is to be done about it: pure, and the same for every place."""

from typing import Any

from domain.outgoing import ENDED, ExternalState, News

STATES: dict[str, ExternalState] = {"completed": "completed", "cancelled": "not_planned", "failed": "failed"}


def state_of(task: dict[str, Any]) -> ExternalState:
    return STATES.get(task["status"], "open")


def has_ended(task: dict[str, Any]) -> bool:
    return task["status"] in ENDED


def next_state(news: News) -> ExternalState | None:
    """The state to bring the external to; None when it is to be left alone.

    What is closed there stays as it is when the task ends, too. It is opened again only when the task was at its end
    and is not now: not when a lease lapsed on a task whose issue a person has closed.
    """
    if news.task is None or news.external is None:
        return None
    wanted, external = state_of(news.task), news.external
    if wanted == external.state:
        return None
    if external.closed:
        return "open" if wanted == "open" and news.from_status in ENDED else None
    return wanted
