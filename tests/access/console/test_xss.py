"""What people and agents wrote is text, whatever it looks like: through every field that a page shows."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from domain.caller import SCOPES
from store import people, tokens
from store.database import Connection
from tests.access.console.conftest import Looks, Visitor

CORPUS = [
    "<script>window.hacked = 1</script>",
    "</textarea></title></script><script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "' autofocus onfocus='window.hacked = 1' x='",
    '<svg onload="window.hacked = 1"><a href="javascript:window.hacked = 1">x</a>',
    "{{ 7 * 7 }}{% raw %}${7 * 7}",
    '<b hx-get="/logout" hx-trigger="load" data-hx-get="/logout">x</b>',
    "javascript:window.hacked=1",
    "&lt;script&gt; &#x202e;",
    "<!-- --><![CDATA[ ]]><?xml ?>",
    "abc\u202etxt.exe\u2066\u2069\u200b\ufeff",
    "line\u2028separator\u2029 \x1b[31mred \x07",
    "w" * 100_000,
]
# What the pages have of their own: a picture, a field that asks as people type, and counts that are asked for.
NOT_OURS = (
    "main script, main img, main svg:not(.picture), main b, main [onerror], main [onload], main svg [href^=javascript],"
    " main [hx-get]:not(#q, #facets), main [autofocus]"
)
PATHS = [
    "/",
    "/sessions",
    "/sessions/{id}",
    "/deliveries",
    f"/deliveries/{'b' * 32}",
    "/deliveries?source={id}&code={id}&state={id}&before={id}",
    "/sources",
    "/inbox",
    "/inbox?edit=memory-{memory}",
    "/inbox?edit=task-t0&kind={id}&session={id}&before={id}",
    "/people",
    "/tokens",
    "/decisions",
    "/decisions?tag={text}&session={text}",
    "/search?q={text}",
    "/search?q=odd&in=memories&in=tasks&in=turns&in=artifacts&session={id}",
    "/search/facets?q={text}",
    "/login?next=/{id}",
    "/sessions?status={id}&before={id}",
]


@pytest.fixture
def stock(conn: Connection) -> Callable[[str], None]:
    """Puts a text wherever somebody can write one that a page shows."""

    def put(text: str) -> None:
        name = "".join(c for c in text if c.isprintable())[:90]
        few = text[:3000]
        conn.execute(
            "INSERT INTO sessions (id, title, participants, context) VALUES ('odd', %s, jsonb_build_array(%s::text,"
            " jsonb_build_object('name', %s::text)), %s)",
            [text, few, few, few],
        )
        conn.execute(
            "INSERT INTO turns (session_id, seq, speaker, text, caption, language) VALUES"
            " ('odd', 1, %s, %s, %s, 'simple')",
            [few, text, text],
        )
        conn.execute(
            "INSERT INTO memories (session_id, type, key, title, content, speaker, turn, char_start, char_end, quote,"
            " language, tags)"
            " SELECT 'odd', kind, 'k' || kind, %s, '{}', %s, id, 0, length(text), text, 'simple', ARRAY[%s]"
            " FROM turns, unnest('{idea,decision,question}'::text[]) AS k (kind)",
            [text, few, few],
        )
        conn.execute("UPDATE memories SET type = 'decision' WHERE type = 'question'")
        conn.execute("INSERT INTO agents (name) VALUES (%s) ON CONFLICT DO NOTHING", [name])
        for number, status in enumerate(["proposed", "pending", "pending", "pending"]):
            conn.execute(
                "INSERT INTO tasks (id, session_id, agent_name, title, status) VALUES (%s, 'odd', %s, %s, %s)",
                [f"t{number}", name, text, status],
            )
        first, second = conn.execute("SELECT id FROM memories WHERE type = 'decision' ORDER BY id").fetchall()
        conn.execute("UPDATE tasks SET decision = %s", [first["id"]])
        conn.execute("UPDATE memories SET superseded_by = %s WHERE id = %s", [second["id"], first["id"]])
        conn.execute(
            "INSERT INTO artifacts (id, session_id, task_id, type, name, format, content)"
            " VALUES ('odd', 'odd', 't1', %s, %s, 'text', %s)",
            [few, few, text],
        )
        for row in conn.execute("SELECT task_id, claim_token FROM claim_task(%s, %s, 300, 3)", [name, name]).fetchall():
            token = row["claim_token"]
            if row["task_id"] == "t1":
                conn.execute("SELECT fail_task('t1', %s, %s, false)", [token, text[:5000]])
            elif row["task_id"] == "t2":
                conn.execute("SELECT ask_task('t2', %s, %s)", [token, text[:5000]])
            else:
                conn.execute("SELECT renew_task('t3', %s, 300, 0.2, %s)", [token, few])
        conn.execute(
            "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body, state,"
            " error_code, error) VALUES (repeat('b', 32), %s, 'd', 'e', now(), 'text/plain', '', 'failed', %s, %s)",
            [name, name, text],
        )
        tokens.create(conn, name, ["read", f"claim:{name}"])
        link = people.add_link(conn, role="viewer")["token"]
        people.use_link(conn, link, name=name, password="$argon2id$none")

    return put


@pytest.fixture(autouse=True)
def without_odd_agents(conn: Connection) -> Any:
    known = [row["name"] for row in conn.execute("SELECT name FROM agents").fetchall()]
    yield
    conn.execute("DELETE FROM tasks")
    conn.execute("DELETE FROM agents WHERE NOT name = ANY (%s)", [known])


@pytest.mark.parametrize("text", CORPUS, ids=lambda text: ascii(text[:30]))
def test_nothing_that_was_written_runs_or_changes_a_page(phone: Looks, stock: Any, conn: Connection, text: str) -> None:
    stock(text)
    memory = conn.execute("SELECT id FROM memories").fetchone()
    assert memory is not None
    page = phone.as_("carol")
    # A dialog, another page or a request of its own would be heard; the policy's complaint is one, too.
    for path in PATHS:
        there = path.replace("{id}", "odd").replace("{memory}", str(memory["id"]))
        page.goto(there.replace("{text}", quote(text[:500], safe="")))
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        assert page.evaluate("window.hacked") is None
        assert page.locator(NOT_OURS).count() == 0
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is wider than the screen"
        if path == "/sessions/{id}":
            expect(page.locator("#turn-1 .text")).to_contain_text(text[:3])


@pytest.mark.parametrize("char", ["\u202e", "\u2066", "\u200b", "\x1b", "\ufeff"])
def test_characters_that_hide_are_shown(visitor: Callable[..., Visitor], stock: Any, char: str) -> None:
    stock(f"zebra abc{char}def")
    found = "/search?q=zebra&in=tasks&in=memories&in=turns"
    for path in ("/", "/sessions", "/sessions/odd", "/inbox", "/decisions", found):
        page = visitor("bob").get(path).text
        page = page.replace(f'name="title" value="zebra abc{char}def"', "")  # a field holds what is so, to be corrected
        assert char not in page, path
        assert f"U+{ord(char):04X}" in page


@pytest.mark.parametrize("text", CORPUS[:9], ids=lambda text: ascii(text[:30]))
def test_what_is_asked_and_typed_comes_back_as_text(visitor: Callable[..., Visitor], text: str) -> None:
    visit = visitor("carol")
    answers = [
        visitor().get("/login", params={"next": f"/{text}"}),
        visitor().post(
            "/login", {"name": text, "password": text, "next": f"/{text}", "keeps": "1", f"kept.{text}": text}
        ),
        visit.get("/inbox", params=dict.fromkeys(("kind", "type", "session", "order", "before", "edit"), text)),
        visit.send("/inbox", {"do": text, "item": text, "undo": text}),
        visit.send("/inbox", {"do": "undo", "undo": text}),
        visit.send("/inbox", {"do": "accept-chosen", "chosen": f"x.task-{text}"}),
        visitor().get("/welcome/" + text.replace("/", "")),
        visit.get("/sessions", params={"status": text}),
        visit.get("/search", params={"q": text}),
        visit.get("/search", params={"q": text, "since": text, "in": text, "type": text, "speaker": text}),
        visit.get("/search/facets", params={"q": text, "session": text}),
        visit.get("/decisions", params={"as_of": text}),
        visit.get("/decisions", params={"tag": text, "session": text, "before": text}),
        visit.send("/tokens", {"do": "create", "name": text, "scope": text, "agent": text, "days": text}),
        visit.send("/people", {"do": "link", "role": text}),
        visit.post("/tokens", {text: text, "form_token": text}),
    ]
    for answer in answers:
        assert answer.status_code < 500
        assert (
            "hacked = 1</script>" not in answer.text.replace("&#34;", '"').replace("\\", "")
            or "&lt;script" in answer.text
        )
        for tag in ("<script>w", "<img src=x", "<svg onload", "<b hx-get", "' autofocus onfocus='"):
            assert tag not in answer.text


def test_what_one_page_tells_the_next_is_text(visitor: Callable[..., Visitor]) -> None:
    visit = visitor("alice")
    visit.client.cookies.set("said", "%3Cscript%3Ewindow.hacked%20%3D%201%3C%2Fscript%3E%E2%80%AE")
    page = visit.get("/").text
    assert "&lt;script&gt;window.hacked = 1&lt;/script&gt;⟦U+202E⟧" in page
    assert len(SCOPES) == 5
