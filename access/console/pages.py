"""Every page of the console, once: who may see it, what answers it, and which template shows it.

To add a page: a module with its handler, a template, and a row here. A page that names no role is for admins; only one
that says OPEN is for everybody. Rows with `nav` make up the navigation, in this order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from starlette.responses import Response

from access.console import (
    agents,
    artifacts,
    decisions,
    deliveries,
    forgetting,
    inbox,
    login,
    people,
    pictures,
    reviewing,
    search,
    sessions,
    sources,
    tasks,
    today,
    tokens,
)
from access.console.visit import Visit
from domain.person import Role

OPEN: Literal["open"] = "open"
FILE = ""  # the template of what is no page


@dataclass(frozen=True, slots=True)
class Page:
    """`handle` is a plain function and runs in a thread. One that is `slow` on purpose, as passwords are, shares two
    threads with its like, so that the others do not wait for it. `reads` is the action as which the audit log keeps
    that somebody saw the page, where its handler calls no action that is kept."""

    method: Literal["GET", "POST"]
    path: str
    handle: Callable[[Visit], Response]
    template: str
    role: Role | Literal["open"] = "admin"
    nav: str = ""
    slow: bool = False
    reads: str = ""

    def holds(self, path: str) -> bool:
        """Whether a path is this page or beneath it, for the mark in the navigation."""
        return path == self.path or (self.path != "/" and path.startswith(self.path + "/"))


MISSING = Page("GET", "/", today.show, "error.html", OPEN)  # for what is at no address
QUEUES = Page("GET", "/rq", today.show, "error.html", "admin")  # rq-dashboard, which answers by itself
# Ids of sessions, tasks and artifacts are the senders' own and may hold a slash: what else there is to say of one
# stands in the query.
PAGES: tuple[Page, ...] = (
    Page("GET", "/", today.show, "today.html", "viewer", nav="Today", reads="list_sessions"),
    Page("GET", "/inbox", inbox.show, "inbox.html", "viewer", nav="Inbox", reads="list_memories"),
    Page("POST", "/inbox", reviewing.change, "inbox.html", "reviewer"),
    Page("GET", "/sessions", sessions.show_all, "sessions.html", "viewer", nav="Sessions"),
    Page("GET", "/sessions/{id:path}", sessions.show, "session.html", "viewer", reads="get_session"),
    Page("POST", "/sessions/{id:path}", sessions.change, "session.html", "reviewer"),
    Page("GET", "/forget/{id:path}", forgetting.ask, "forget.html"),
    Page("POST", "/forget/{id:path}", forgetting.forget, "forget.html"),
    Page("GET", "/search", search.show, "search.html", "viewer", nav="Search"),
    Page("GET", "/search/facets", search.spread, "facets.html", "viewer"),
    Page("GET", "/tasks", tasks.show_all, "board.html", "viewer", nav="Tasks", reads="list_tasks"),
    Page("GET", "/tasks/{id:path}", tasks.show, "task.html", "viewer", reads="get_task"),
    Page("POST", "/tasks/{id:path}", tasks.change, "task.html", "reviewer"),
    Page("GET", "/decisions", decisions.show, "decisions.html", "viewer", nav="Decisions", reads="list_memories"),
    Page("GET", "/agents", agents.show, "agents.html", "viewer", nav="Agents"),
    Page("GET", "/artifacts/{id:path}", artifacts.show, "artifact.html", "viewer", reads="get_artifact"),
    Page("GET", "/pictures/{id:path}", artifacts.picture, FILE, "viewer", reads="get_artifact"),
    Page("GET", "/deliveries", deliveries.show_all, "deliveries.html", "viewer", nav="Deliveries"),
    Page("POST", "/deliveries", deliveries.replay_all, "deliveries.html"),
    Page("GET", "/deliveries/{id}", deliveries.show, "delivery.html", "viewer"),
    Page("POST", "/deliveries/{id}", deliveries.replay, "delivery.html"),
    Page("GET", "/sources", sources.show, "sources.html", "viewer", nav="Sources"),
    Page("POST", "/sources", sources.test, "sources.html"),
    Page("GET", "/pictures", pictures.show, "pictures.html", "viewer", nav="Pictures"),
    Page("GET", "/people", people.show, "people.html", nav="People"),
    Page("POST", "/people", people.change, "people.html"),
    Page("GET", "/tokens", tokens.show, "tokens.html", nav="Tokens"),
    Page("POST", "/tokens", tokens.change, "tokens.html"),
    Page("GET", "/login", login.show, "login.html", OPEN),
    Page("POST", "/login", login.log_in, "login.html", OPEN, slow=True),
    Page("POST", "/logout", login.log_out, "login.html", "viewer"),
    Page("GET", "/welcome/{token}", login.show_welcome, "welcome.html", OPEN),
    Page("POST", "/welcome/{token}", login.welcome, "welcome.html", OPEN, slow=True),
)
