"""Linear: a task as an issue of a team, by GraphQL. Nothing comes back: what is done there does not move the task."""

import uuid
from typing import Any

from domain.outgoing import External, News
from processors.exporting.api import Api, NotTaken, Told, text_of, time_of
from processors.exporting.following import has_ended, next_state
from processors.exporting.wording import description, ending, title

ISSUE = "issue { id url updatedAt }"
CREATE = f"mutation($input: IssueCreateInput!) {{ issueCreate(input: $input) {{ success {ISSUE} }} }}"
GET = "query($id: String!) { issue(id: $id) { id url updatedAt } }"
STATES = "query($id: String!) { team(id: $id) { states { nodes { id type position } } } }"
UPDATE = (
    f"mutation($id: String!, $input: IssueUpdateInput!) {{ issueUpdate(id: $id, input: $input) {{ success {ISSUE} }} }}"
)
COMMENT = "mutation($input: CommentCreateInput!) { commentCreate(input: $input) { success } }"
# Teams name their states as they like; each has one of these types.
TYPES = {"completed": ("completed",), "not_planned": ("canceled",), "open": ("unstarted", "backlog", "triage")}


def tell(news: News, api: Api) -> Told | None:
    if news.task is None:
        return None
    if news.external is None:
        return None if has_ended(news.task) else Told(200, create(news, api))
    return follow(news, news.external, api)


def create(news: News, api: Api) -> External:
    """Under an id of ours, so that a second try finds what the first has made."""
    assert news.task is not None
    mark = api.mark(news.subscription, news.target, news.subject)
    issue_id = str(uuid.UUID(bytes=mark[:16], version=4))
    issue = {
        "id": issue_id,
        "teamId": news.target,
        "title": title(news.task),
        "description": description(news, api.page),
    }
    try:
        made = ask(api, CREATE, {"input": issue})
        return external(made.get("issueCreate"))
    except NotTaken as error:
        if error.code != "refused_there":
            raise
        try:
            return external({"issue": ask(api, GET, {"id": issue_id}).get("issue")})
        except NotTaken:
            raise error from None


def follow(news: News, known: External, api: Api) -> Told | None:
    state = next_state(news)
    if state is None:
        return None
    if state == "open" and not known.closed:
        return Told(None, External(known.id, known.url, state, known.updated_at))
    there = known
    if state in TYPES:
        change = {"stateId": state_id(news, state, api)}
        there = external(ask(api, UPDATE, {"id": known.id, "input": change}).get("issueUpdate"))
    ask(api, COMMENT, {"input": {"issueId": known.id, "body": ending(news, state)}})
    return Told(200, External(known.id, known.url, state, there.updated_at))


def state_id(news: News, state: str, api: Api) -> str:
    """The first of the team's states that means it."""
    team = ask(api, STATES, {"id": news.target}).get("team")
    nodes = ((team or {}).get("states") or {}).get("nodes") or []
    for wanted in TYPES[state]:
        fitting = [node for node in nodes if node.get("type") == wanted]
        if fitting:
            return text_of(min(fitting, key=lambda node: node.get("position") or 0), "id")
    raise NotTaken("no_such_state")


def ask(api: Api, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Errors come with 200 or 400. A personal key goes as it is, what OAuth gives as a bearer."""
    token = api.token if api.token.startswith("lin_api_") else f"Bearer {api.token}"
    answer = api.ask("POST", "/graphql", {"query": query, "variables": variables}, {"authorization": token})
    if not isinstance(answer, dict) or answer.get("errors") or not isinstance(answer.get("data"), dict):
        raise NotTaken("refused_there", 200)
    return dict(answer["data"])


def external(payload: Any) -> External:
    issue = payload.get("issue") if isinstance(payload, dict) else None
    return External(text_of(issue, "id"), text_of(issue, "url"), "open", time_of(issue, "updatedAt"))
