"""The console in a real browser and over plain HTTP: who looks at it, and on which screen.

Alice may read, Bob reviews, Carol is admin; Charlie must not get in. `phone` and `desktop` open pages; a page on which
a script breaks or the policy is violated fails its test.
"""

import base64
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, sync_playwright
from psycopg import sql

from access.console import passwords
from access.console.login import cookie_name
from domain.settings import Settings
from domain.task import ArtifactDraft
from store import artifacts, people
from store.database import Connection, connect
from tests.access.conftest import served

PASSWORD = "walk the dog twice"
ROLES = {"alice": "viewer", "bob": "reviewer", "carol": "admin"}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
SCREENS = {"phone": PHONE, "desktop": DESKTOP}
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
BRIEF = """# Prices

They *rose*, see [the list](https://prices.example/list).

```python
x = 1
```

| a | b |
|---|---|
| 1 | 2 |
"""
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
TABLES = (
    "artifacts",
    "tasks",
    "memories",
    "sessions",
    "deliveries",
    "tokens",
    "logins",
    "login_links",
    "failed_logins",
)


def program(playwright: Playwright) -> str:
    """A Chromium: that of the system, else Playwright's own."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), playwright.chromium.executable_path)
    if not Path(found).exists():
        pytest.skip(
            "There is no Chromium here: `apt-get install chromium-headless-shell` or `playwright install chromium`."
        )
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Its event loop runs in this thread, so it ends with the module: other tests run one of their own.
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program(playwright), args=ARGUMENTS) as browser,
    ):
        yield browser


@pytest.fixture(scope="module")
def address(api_settings: Settings) -> Iterator[str]:
    with served(api_settings) as address:
        yield address


@pytest.fixture(scope="module")
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as conn:
        hashed = passwords.hashed(PASSWORD)
        for name, role in ROLES.items():
            conn.execute("INSERT INTO people (name, password, role) VALUES (%s, %s, %s)", [name, hashed, role])
        yield conn


@pytest.fixture
def conn(connection: Connection) -> Iterator[Connection]:
    """A connection to the service's database; what a test writes is gone after it."""
    yield connection
    connection.execute("DELETE FROM people WHERE NOT name = ANY (%s)", [list(ROLES)])
    for table in TABLES:
        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    for name, role in ROLES.items():
        connection.execute("UPDATE people SET role = %s, disabled = NULL WHERE name = %s", [role, name])


class Visitor:
    """Somebody's requests over plain HTTP; no redirect is followed."""

    def __init__(self, address: str, cookie: str | None = None) -> None:
        cookies = {cookie_name(False): cookie} if cookie else {}
        self.client = httpx2.Client(base_url=address, cookies=cookies, timeout=20)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.client.get(path, **options)

    def post(self, path: str, fields: dict[str, Any], **options: Any) -> httpx2.Response:
        return self.client.post(path, data=fields, **options)

    def send(self, path: str, fields: dict[str, Any], *, page: str | None = None) -> httpx2.Response:
        """Posts a form as its page has it, with its token."""
        return self.post(path, {"form_token": token_in(self.get(page or path).text)} | fields)


def token_in(html: str) -> str:
    return html.partition('name="form_token" value="')[2].partition('"')[0]


@pytest.fixture
def visitor(address: str, conn: Connection) -> Iterator[Callable[..., Visitor]]:
    """`visitor("bob")` is logged in, `visitor()` is nobody."""
    with ExitStack() as stack:

        def come(name: str | None = None) -> Visitor:
            made = Visitor(address, people.begin_login(conn, name, "test") if name else None)
            stack.enter_context(made.client)
            return made

        yield come


class Looks:
    """Opens browsers for people and watches what they say."""

    def __init__(self, browser: Browser, address: str, conn: Connection, screen: dict[str, Any]) -> None:
        self.browser, self.address, self.conn, self.screen = browser, address, conn, screen
        self.complaints: list[str] = []
        self.contexts: list[BrowserContext] = []

    def as_(self, name: str | None, path: str = "/", **options: Any) -> Page:
        how = {"timezone_id": "Europe/Berlin", "locale": "en-GB"} | self.screen | options
        context = self.browser.new_context(base_url=self.address, **how)
        self.contexts.append(context)
        if name:
            cookie = people.begin_login(self.conn, name, "test")
            context.add_cookies([{"name": cookie_name(False), "value": cookie, "url": self.address}])
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self.hear)
        page.goto(path)
        return page

    def hear(self, message: ConsoleMessage) -> None:
        # That an answer was a refusal is no fault of the page.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        assert self.complaints == []


@pytest.fixture
def desktop(browser: Browser, address: str, conn: Connection) -> Iterator[Looks]:
    looks = Looks(browser, address, conn, DESKTOP)
    yield looks
    looks.close()


@pytest.fixture
def phone(browser: Browser, address: str, conn: Connection) -> Iterator[Looks]:
    looks = Looks(browser, address, conn, PHONE)
    yield looks
    looks.close()


@pytest.fixture(params=SCREENS)
def screen(request: pytest.FixtureRequest, browser: Browser, address: str, conn: Connection) -> Iterator[Looks]:
    """Both, one after the other."""
    looks = Looks(browser, address, conn, SCREENS[request.param])
    yield looks
    looks.close()


@pytest.fixture
def talk(conn: Connection) -> str:
    """A conversation with memories in place, tasks in every state that Today shows, and a delivery that failed."""
    conn.execute(
        "INSERT INTO sessions (id, title, participants) VALUES ('walk', 'Carbon in the planner', '[\"Mara\"]')"
    )
    said = [
        ("Mara", "user", "So I've decided we use the Carbon Interface API.", 0.0),
        ("Assistant", "assistant", "Noted. What about prices?", 4.5),
        ("Mara", "user", "Add an action item: look up its prices. Is it fast enough?", 65.0),
    ]
    for seq, (speaker, role, text, start) in enumerate(said, 1):
        conn.execute(
            "INSERT INTO turns (session_id, seq, speaker, role, text, start_seconds, language)"
            " VALUES ('walk', %s, %s, %s, %s, %s, 'english')",
            [seq, speaker, role, text, start],
        )
    for seq, kind, title, quote in [
        (1, "decision", "We use the Carbon Interface API", "I've decided we use the Carbon Interface API"),
        (3, "action_item", "Look up its prices", "look up its prices"),
        (3, "question", "Is it fast enough?", "its prices. Is it fast enough?"),
    ]:
        add_memory(conn, "walk", seq, kind, title, quote)
    conn.execute(
        "INSERT INTO tasks (id, session_id, agent_name, title, status) VALUES"
        " ('prices', 'walk', 'claude_code', 'Look up its prices', 'proposed'),"
        " ('schema', 'walk', 'codex', 'Write the schema', 'pending'),"
        " ('broken', 'walk', 'codex', 'Draw the map', 'pending')"
    )
    conn.execute("SELECT claim_task('codex', 'one')")
    held = conn.execute("SELECT id, claim_token FROM tasks WHERE status = 'claimed'").fetchone()
    assert held is not None
    conn.execute("SELECT fail_task(%s, %s, 'No network', false)", [held["id"], held["claim_token"]])
    claim = conn.execute("SELECT task_id, claim_token FROM claim_task('codex', 'desk')").fetchone()
    assert claim is not None
    conn.execute("SELECT renew_task(%s, %s, 300, 0.5, 'half way')", [claim["task_id"], claim["claim_token"]])
    conn.execute(
        "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body, state, error_code,"
        " error) VALUES (repeat('a', 32), 'zoom', 'd1', 'transcript', now(), 'text/plain', '', 'failed', 'unreadable',"
        " 'No turns.')"
    )
    for artifact in (
        ArtifactDraft("brief.md", BRIEF, id="brief", task_id="prices", type="report"),
        ArtifactDraft("fetch.py", "def fetch():\n    return 'prices'  # of today\n", id="fetch", task_id="prices"),
        ArtifactDraft("output.log", "looked\nfound\n", id="log", task_id="prices", type="log"),
        ArtifactDraft("map.png", PNG, id="map", task_id="prices", type="image", format="png"),
    ):
        artifacts.attach(conn, "walk", artifact)
    return "walk"


def add_memory(conn: Connection, session: str, seq: int, kind: str, title: str, quote: str) -> int:
    row = conn.execute(
        "INSERT INTO memories (session_id, type, key, title, content, speaker, turn, char_start, char_end, quote,"
        " language)"
        " SELECT %(session)s, %(kind)s, %(title)s, %(title)s, '{}', t.speaker, t.id, strpos(t.text, %(quote)s) - 1,"
        " strpos(t.text, %(quote)s) - 1 + length(%(quote)s), %(quote)s, 'english'"
        " FROM turns t WHERE t.session_id = %(session)s AND t.seq = %(seq)s RETURNING id",
        {"session": session, "seq": seq, "kind": kind, "title": title, "quote": quote},
    ).fetchone()
    assert row is not None
    return int(row["id"])


@pytest.fixture
def emptied(redis_client: "redis.Redis") -> Iterator["redis.Redis"]:
    """The Redis of the module's web process, empty before the test and after it."""
    yield redis_client
    redis_client.flushall()
