"""GitHub: a task as an issue of a repository. REST, version 2022-11-28; the token needs Issues: read and write.

The way back is GitHub's own webhook: processors/readers/github.py and processors/returning.py.
"""

from typing import Any

from domain.outgoing import External, News, github_id, github_state
from processors.exporting.api import Api, NotTaken, Told, text_of, time_of
from processors.exporting.following import has_ended, next_state
from processors.exporting.wording import description, ending, title

NEWEST = "state=all&sort=created&direction=desc&per_page=50"
NOTE = "Closing this issue ends the task, unless an agent is at it; when the task ends, this issue follows."
REASONS = {"completed": "completed", "not_planned": "not_planned", "open": "reopened"}


def tell(news: News, api: Api) -> Told | None:
    if news.task is None:
        return None
    if news.external is None:
        return None if has_ended(news.task) else Told(201, find(news, api) or create(news, api))
    return follow(news, news.external, api)


def create(news: News, api: Api) -> External:
    assert news.task is not None
    issue = {
        "title": title(news.task),
        "body": f"{description(news, api.page)}\n\n{NOTE}\n\n<!-- {mark(news, api)} -->",
        "labels": ["ai-webhook"],  # GitHub drops it where the token may not label
    }
    return external(news, ask(api, "POST", f"/repos/{news.target}/issues", issue))


def find(news: News, api: Api) -> External | None:
    """The issue that an earlier try made, whose answer was lost: the first of the newest fifty that has our mark."""
    issues = ask(api, "GET", f"/repos/{news.target}/issues?{NEWEST}")
    ours = [one for one in issues if isinstance(one, dict) and mark(news, api) in (one.get("body") or "")]
    return external(news, ours[-1]) if ours else None


def follow(news: News, known: External, api: Api) -> Told | None:
    """First the state, then the word: told again after a break, it says it twice rather than not at all."""
    state = next_state(news)
    if state is None:
        return None
    path = f"/repos/{known.id.replace('#', '/issues/')}"
    if state == "open" and not known.closed:
        return Told(None, External(known.id, known.url, state, known.updated_at))
    try:
        there = known
        if state in REASONS:
            change = {"state": "open" if state == "open" else "closed", "state_reason": REASONS[state]}
            there = external(news, ask(api, "PATCH", path, change))
        ask(api, "POST", f"{path}/comments", {"body": ending(news, state)})
    except NotTaken as error:
        if error.status_code == 410:  # somebody deleted the issue
            return None
        raise
    return Told(201, External(known.id, known.url, state, there.updated_at))


def ask(api: Api, method: str, path: str, value: Any = None) -> Any:
    headers = {
        "authorization": f"Bearer {api.token}",
        "accept": "application/vnd.github+json",
        "x-github-api-version": "2022-11-28",
    }
    return api.ask(method, path, value, headers)


def external(news: News, issue: Any) -> External:
    number = issue.get("number") if isinstance(issue, dict) else None
    if not isinstance(number, int):
        raise NotTaken("unreadable_answer")
    state = github_state(str(issue.get("state")), issue.get("state_reason"))
    url, updated_at = text_of(issue, "html_url"), time_of(issue, "updated_at")
    return External(github_id(news.target, number), url, state, updated_at)


def mark(news: News, api: Api) -> str:
    return "ai-webhook " + api.mark(news.subscription, news.target.lower(), news.subject).hex()[:32]
