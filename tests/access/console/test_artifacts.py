"""What agents leave: Markdown, code and pictures that can do nothing, whatever they were made to do."""

import base64
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from access.console.contents import PICTURE_BYTES, SHOWN_CHARS, code, kind_of, markdown, picture_type
from domain.task import ArtifactDraft
from store import artifacts
from store.database import Connection
from tests.access.console.conftest import PNG, Looks, Visitor
from tests.access.console.test_xss import CORPUS

Come = Callable[..., Visitor]
ATTACKS = [
    "[x](javascript:window.hacked=1)",
    "[x](JaVaScRiPt:window.hacked=1)",
    "[x](&#106;avascript:window.hacked=1)",
    "[x](java\tscript:window.hacked=1)",
    "[x](\x01javascript:window.hacked=1)",
    "[x](data:text/html,<script>window.hacked=1</script>)",
    "[x](vbscript:x) [y](file:///etc/passwd) [z](//evil.example) [w](/logout) [v](https:\\\\evil.example)",
    "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    '![x" onerror="window.hacked=1](https://evil.example/"onerror="window.hacked=1)',
    "[r]: javascript:window.hacked=1\n\n[r] [r][r] ![r]",
    "<javascript:window.hacked=1>",
    '<img src=x onerror="window.hacked=1"><svg onload="window.hacked=1"><iframe src="/logout"></iframe>',
    "<script>window.hacked=1</script>\n\n<style>body{display:none}</style>\n\n<base href='//evil.example'>",
    "```\"><script>window.hacked=1</script>\n</code></pre><script>window.hacked=1</script>\n```",
    "```html onload='window.hacked=1'\n<script>window.hacked=1</script>\n```",
    "| <img src=x onerror='window.hacked=1'> |\n|--|\n| [x](javascript:window.hacked=1) |",
    "[![x](https://a.example/x.png)](javascript:window.hacked=1)",
    "[" * 400 + "x" + "](https://a.example)" * 400,
    ">" * 500 + " x",
    "# <b>h</b>\n\n`<script>window.hacked=1</script>` &lt;script&gt; \u202eevil",
]  # fmt: skip
GIF = base64.b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==")
SCRIPT = b"/*\xff*/=1;window.hacked=1;//<script>window.hacked=1</script>"


@pytest.fixture
def leave(conn: Connection) -> Callable[..., str]:
    def put(name: str, content: str | bytes, format: str = "text") -> str:
        artifacts.attach(conn, None, ArtifactDraft(name, content, id="a/1", format=format))
        return "/artifacts/a%2F1"

    return put


Leave = Callable[..., str]


def test_markdown_is_shown_as_it_is_meant_and_as_it_is_written(screen: Looks, talk: str) -> None:
    page = screen.as_("alice", "/artifacts/brief", java_script_enabled=False)
    expect(page.locator(".prose h3")).to_have_text("Prices")
    expect(page.locator(".prose em")).to_have_text("rose")
    expect(page.locator(".prose pre .c-n")).to_have_text("x")
    expect(page.locator(".prose td").first).to_have_text("1")
    link = page.get_by_role("link", name="the list")
    assert link.get_attribute("rel") == "noopener noreferrer nofollow"
    expect(page.locator(".where")).to_have_text("(prices.example)")
    page.get_by_role("link", name="As it is written").click()
    expect(page.locator("pre.code")).to_contain_text("# Prices")


def test_code_is_coloured_by_classes(screen: Looks, talk: str) -> None:
    page = screen.as_("alice", "/artifacts/fetch", java_script_enabled=False)
    expect(page.locator("pre.code .c-k").first).to_have_text("def")
    expect(page.locator("pre.code")).to_have_text("def fetch():\n    return 'prices'  # of today\n")


def test_a_picture_is_seen(screen: Looks, talk: str) -> None:
    page = screen.as_("alice", "/artifacts/map")
    picture = page.get_by_role("img", name="map.png")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 1)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "map.png"
    assert download.value.path().read_bytes() == PNG


@pytest.mark.parametrize("name", ["x.md", "x.html", "x.svg"])
def test_no_content_runs_or_loads_anything(desktop: Looks, leave: Leave, name: str) -> None:
    page = desktop.as_("alice", "/agents")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for text in [*ATTACKS, *CORPUS]:
        page.goto(leave(name, text))
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        assert page.evaluate("window.hacked") is None, text[:100]
        inside = "script, img, svg, iframe, style, base, [onerror], [onload], [hx-get], [style]"
        assert page.locator("main").locator(inside).count() == 0, text[:100]
        for link in page.locator("section a").all():
            assert re.match(r"https?://|mailto:|/artifacts/", link.get_attribute("href") or ""), text[:100]
        assert [url for url in asked if not url.startswith(desktop.address)] == [], text[:100]


def test_a_picture_of_the_network_is_a_link_that_says_where_it_leads() -> None:
    told = str(markdown("![A map](https://evil.example/map.png) [bank.example](https://evil.example)"))
    assert "<img" not in told
    assert ">Picture: A map</a>" in told
    assert told.count('<span class="where">(evil.example)</span>') == 2


@pytest.mark.parametrize(
    ("head", "media"),
    [
        (PNG, "image/png"),
        (GIF, "image/gif"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
        (b"%PDF-1.7", None),
        (b"BM\x00\x00", None),
        (b"", None),
        (None, None),
    ],
)
def test_a_picture_is_what_its_first_bytes_say(head: bytes | None, media: str | None) -> None:
    assert picture_type(head and head[:16]) == media


def test_a_picture_that_is_a_script_too_is_only_a_picture(desktop: Looks, leave: Leave) -> None:
    page = desktop.as_("alice", leave("run.js", GIF + SCRIPT))
    expect(page.get_by_role("img", name="run.js")).to_be_visible()
    answer = page.goto("/pictures/a%2F1")
    assert answer is not None
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.svg", "<svg xmlns='http://www.w3.org/2000/svg' onload='window.hacked=1'/>"),
        ("x.png", "<html><script>window.hacked=1</script>"),
        ("x.png", b"<html>\xff<script>window.hacked=1</script>"),
        ("x.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * PICTURE_BYTES),
    ],
)
def test_what_is_no_picture_is_served_as_none(visitor: Come, leave: Leave, name: str, content: str | bytes) -> None:
    path = leave(name, content)
    visit = visitor("alice")
    assert "<img class" not in visit.get(path).text
    assert visit.get("/pictures/a%2F1").status_code == 404
    given = visit.get(path + "?as=download")
    assert given.headers["content-type"] == "application/octet-stream"
    assert given.headers["content-disposition"].startswith('attachment; filename="artifact";')
    assert "sandbox" in given.headers["content-security-policy"]
    assert given.content == (content if isinstance(content, bytes) else content.encode())


def test_a_text_is_given_as_text_and_nothing_else(visitor: Come, leave: Leave) -> None:
    path = leave("x.html", "<script>window.hacked = 1</script>")
    given = visitor("alice").get(path + "?as=text")
    assert given.headers["content-type"] == "text/plain; charset=utf-8"
    assert given.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in given.headers["content-security-policy"]


def test_a_name_leads_nowhere_when_it_is_saved(visitor: Come, leave: Leave) -> None:
    header = visitor("alice").get(leave('docs/"\u202ex;\n.md', "x") + "?as=download").headers["content-disposition"]
    assert not set("\n\\/\u202e") & set(header)
    assert "%22%E2%9F%A6U%2B202E" in header


def test_a_long_text_is_shown_in_part_and_given_whole(visitor: Come, leave: Leave) -> None:
    path = leave("x.txt", "w" * (SHOWN_CHARS + 7))
    visit = visitor("alice")
    assert "7 more characters" in visit.get(path).text
    assert len(visit.get(path + "?as=text").text) == SHOWN_CHARS + 7


def test_what_is_made_to_take_forever_is_shown_as_it_is_written() -> None:
    slow = "\n" * SHOWN_CHARS
    assert code(slow, "c") == slow
    assert markdown(f"```c\n{slow}\n```") is None


def test_kinds() -> None:
    def kind(name: str, format: str = "text", *, is_text: bool = True, head: bytes | None = None) -> str:
        return kind_of(name, format, is_text=is_text, head=head, size=9)

    assert [kind("a.MD"), kind("a", "markdown"), kind("a.py"), kind("Dockerfile"), kind("a.txt")] == [
        "markdown",
        "markdown",
        "code",
        "code",
        "text",
    ]
    assert [kind("a.md", is_text=False), kind("a.md", is_text=False, head=PNG[:16])] == ["binary", "picture"]


@pytest.mark.parametrize(
    "path", ["/artifacts/nowhere", "/artifacts/nowhere?as=text", "/pictures/nowhere", "/artifacts/%00"]
)
def test_what_is_not_there_is_told_as_a_page(visitor: Come, path: str) -> None:
    answer = visitor("alice").get(path)
    assert answer.status_code in (404, 422)
    assert "<h1>" in answer.text


@pytest.mark.parametrize(
    "path", ["/artifacts/map", "/artifacts/map?as=download", "/pictures/map", "/tasks/prices", "/agents"]
)
def test_who_is_not_logged_in_sees_nothing(visitor: Come, talk: str, path: str) -> None:
    assert visitor().get(path).headers["location"].startswith("/login")
