"""How it looks: every page on both screens in light and dark, without violations of WCAG AA (axe); headers and size.

`AI_WEBHOOK_SCREENSHOTS=1 pytest -n 0 tests/access/console/test_look.py -k documentation` makes the pictures in
docs/screenshots anew.
"""

import gzip
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from access.console.assets import FOLDER, static_url
from access.console.pages import FILE, OPEN, PAGES
from access.console.rendering import plain, position, short
from store import people
from store.database import Connection
from tests.access.console.conftest import PHONE, Looks, Visitor
from tests.conftest import ROOT

AXE = (Path(__file__).parent / "axe.min.js").read_text("utf-8")
SHOWN = [page for page in PAGES if page.method == "GET" and page.template != FILE]
IDS = {"/sessions": "walk", "/tasks": "prices", "/artifacts": "brief", "/forget": "walk"}
PICTURES = ROOT / "docs" / "screenshots"
FIRST_LOAD_BYTES = 120_000
# Only what is wrong: all that was looked at would take longer to tell than to look at.
RUN = """async runOnly => (await axe.run({runOnly, resultTypes: ["violations"]})).violations.map(
  wrong => `${wrong.id}: ${wrong.nodes.map(node => node.html).join(" ")}`)"""
COLOURS = ["color-contrast", "link-in-text-block"]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def path_of(path: str, conn: Connection) -> str:
    if "{token}" in path:
        return path.replace("{token}", people.add_link(conn, role="viewer")["token"])
    if path.startswith("/deliveries/"):
        return path.replace("{id}", "a" * 32)
    return path.replace("{id:path}", IDS.get(path.partition("/{")[0], ""))


def violations(page: Any) -> list[str]:
    """By daylight, then what the night changes: the colours."""
    # As the browser's own tool, which the page's policy does not hold back.
    page.emulate_media(color_scheme="light")
    page.evaluate(AXE)
    found = page.evaluate(RUN, {"type": "tag", "values": TAGS})
    page.emulate_media(color_scheme="dark")
    # One that a change of the page cut short is over, too.
    page.evaluate("Promise.allSettled(document.getAnimations().map(fading => fading.finished))")
    return [*found, *page.evaluate(RUN, {"type": "rule", "values": COLOURS})]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda page: page.path)
def test_every_page_is_fit_for_everybody(screen: Looks, talk: str, conn: Connection, shown: Any) -> None:
    who = None if shown.role == OPEN else "carol"
    page = screen.as_(who, path_of(shown.path, conn))
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true }")
    assert violations(page) == []
    # Nothing is wider than the screen.
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    expect(page.get_by_role("main")).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/inbox", "/sessions", "/search", "/search?q=nothing", "/search/facets", "/decisions", "/tasks",
        "/tasks?list=all", "/deliveries", "/tokens",
    ],
)  # fmt: skip
def test_an_empty_page_is_fit_for_everybody_and_says_what_to_do(screen: Looks, path: str) -> None:
    page = screen.as_("carol", path)
    assert violations(page) == []
    expect(page.locator(".empty, .none").first).to_be_visible()


@pytest.mark.parametrize(
    "path", ["/search?q=carbon&in=turns&in=memories", "/search/facets?q=carbon", "/search?q=a&since=x"]
)
def test_what_was_found_is_fit_for_everybody(screen: Looks, talk: str, path: str) -> None:
    page = screen.as_("alice", path)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_a_refusal_is_a_page_too(screen: Looks) -> None:
    page = screen.as_("alice", "/people")
    expect(page.get_by_role("heading", level=1)).to_have_text("This needs the role admin.")
    assert violations(page) == []


def test_the_content_is_one_key_away(desktop: Looks, talk: str) -> None:
    page = desktop.as_("alice")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_the_navigation_names_the_pages_that_there_are_and_one_may_see(visitor: Callable[..., Visitor]) -> None:
    def named(who: str) -> list[str]:
        nav = visitor(who).get("/").text.partition('aria-label="Pages"')[2].partition("</nav>")[0]
        return re.findall(r">([^<]+)</a>", nav)

    assert named("carol") == [page.nav for page in PAGES if page.nav]
    assert named("alice") == [page.nav for page in PAGES if page.nav and page.role == "viewer"]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda page: page.path)
def test_every_answer_carries_the_policy(
    visitor: Callable[..., Visitor], talk: str, conn: Connection, shown: Any
) -> None:
    for who in ("carol", None):
        answer = visitor(who).get(path_of(shown.path, conn))
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert not {"unsafe-inline", "unsafe-eval", "*"} & set(re.split(r"[ ;']+", policy))
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "private, no-store"
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=|javascript:", answer.text)
        # Nothing is loaded from elsewhere; only a link, which somebody clicks, leads there.
        assert not re.search(r"""<(?!a )[^>]*(src|href)=["'](https?:)?//""", answer.text)


def test_a_first_load_is_small(visitor: Callable[..., Visitor], talk: str) -> None:
    answer = visitor("carol").get("/", headers={"accept-encoding": "gzip"})
    loaded = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text))
    assert answer.headers["content-encoding"] == "gzip"
    sent = int(answer.headers["content-length"])
    for path in loaded:
        with visitor().client.stream("GET", path, headers={"accept-encoding": "gzip"}) as file:
            assert file.headers["cache-control"].endswith("immutable")
            sent += sum(len(chunk) for chunk in file.iter_raw())
    assert len(loaded) == 5
    assert sent < FIRST_LOAD_BYTES


def test_a_file_is_kept_only_by_the_address_of_its_contents(visitor: Callable[..., Visitor]) -> None:
    assert visitor().get(static_url("app.css")).headers["cache-control"].endswith("immutable")
    assert visitor().get("/static/000000000000/app.css").headers["cache-control"] == "no-cache"
    for path in (
        "/static/x/nothing.js",
        "/static/x/../../pages.py",
        "/static/x/%2e%2e/pages.py",
        "/static/",
        "/static/x",
    ):
        assert visitor().get(path).status_code == 404
    assert visitor().get("/favicon.ico").headers["location"] == static_url("favicon.svg")


def test_what_others_wrote_has_its_licence_and_source() -> None:
    vendor = FOLDER / "vendor"
    told = (vendor / "README.md").read_text("utf-8")
    for file in vendor.iterdir():
        name = file.name.partition(".")[0]
        assert file.name == "README.md" or f"`{file.name}`" in told
        assert file.name == "README.md" or list(vendor.glob(f"{name}.LICENSE*"))
    assert (Path(__file__).parent / "axe.LICENSE").exists()


def test_only_the_console_is_compressed(visitor: Callable[..., Visitor]) -> None:
    answer = visitor().get("/openapi.json", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers


def test_texts_are_shown_so_that_nothing_hides() -> None:
    assert plain("a\u202eb\x00c\u200bd\U000e0041") == "a⟦U+202E⟧b⟦U+0000⟧c⟦U+200B⟧d⟦U+E0041⟧"
    assert plain("שלום عليكم 👩‍🚀 e\u0301\n\t") == "שלום عليكم 👩‍🚀 e\u0301\n\t"
    assert short("one  two\nthree", 9) == "one two…"
    assert [position(s) for s in (0, 65.9, 3600, 36_061)] == ["0:00", "1:05", "1:00:00", "10:01:01"]


# Pictures for the documentation

DRAWN = {
    "today": "/",
    "today-phone": "/",
    "inbox": "/inbox",
    "session": "/sessions/walk",
    "session-phone": "/sessions/walk",
    "search": "/search?q=carbon",
    "board": "/tasks",
    "task-phone": "/tasks/prices",
    "decisions": "/decisions",
    "deliveries": "/deliveries",
    "pictures": "/pictures",
}
# More in daylight, slower at noon.
A_DAY = """
INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body, state, processed_at)
SELECT md5(h || '-' || n), 'zoom', h || '-' || n, 'e', d.at, 'text/plain', '', 'processed',
       d.at + (0.1 + 0.05 * n % 0.7 + exp(-abs(h - 12))) * interval '1 s'
  FROM generate_series(0, 23) AS h, generate_series(1, (30 + 25 * sin(h * 0.4))::int) AS n
 CROSS JOIN LATERAL (SELECT now() - h * interval '1 hour' - n * interval '1 minute' AS at) AS d
"""
WHAT_IS_SEEN = """() => {
  const main = document.querySelector("main").cloneNode(true);
  for (const passing of main.querySelectorAll("time, [data-left], table, svg")) passing.remove();
  return main.textContent.replace(/[0-9]+/g, "0").replace(/\\s+/g, " ");
}"""


@pytest.mark.parametrize("name", DRAWN)
def test_the_documentation_has_pictures_of_what_is_there(
    desktop: Looks, talk: str, conn: Connection, name: str
) -> None:
    """Beside the pictures lies of which words and styles each was made. Where they differ, it is to be made anew."""
    if name == "pictures":
        conn.execute(A_DAY)
    picture, made_of = PICTURES / f"{name}.png", PICTURES / "made_of.json"
    page = desktop.as_(
        "carol",
        DRAWN[name],
        color_scheme="dark" if name == "today-phone" else "light",
        **(PHONE if name.endswith("phone") else {}),
    )
    seen = hashlib.sha256(page.evaluate(WHAT_IS_SEEN).encode())
    for style in sorted(FOLDER.glob("*.css")):
        seen.update(style.read_bytes())
    if os.environ.get("AI_WEBHOOK_SCREENSHOTS"):
        page.wait_for_load_state("networkidle")
        page.screenshot(path=picture)
        known = json.loads(made_of.read_text()) if made_of.exists() else {}
        made_of.write_text(json.dumps(known | {name: seen.hexdigest()}, indent=2, sort_keys=True) + "\n")
    assert picture.exists()
    assert json.loads(made_of.read_text())[name] == seen.hexdigest(), "make it anew, as told at the top of this file"
    assert f"screenshots/{name}.png" in (ROOT / "docs" / "console.md").read_text("utf-8")


def test_pages_weigh_what_they_say() -> None:
    """What is vendored is minified; the sizes that make the budget are those of the files as they are here."""
    sizes = {file.name: len(gzip.compress(file.read_bytes(), 9)) for file in FOLDER.rglob("*.*s*") if file.is_file()}
    assert sizes["htmx.min.js"] + sizes["pico.min.css"] + sizes["app.js"] + sizes["app.css"] < 40_000
