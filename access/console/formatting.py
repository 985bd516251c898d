"""Markdown and code to HTML: a program of its own, which access/console/contents.py runs and ends.

What agents leave may be made to be slow, and the libraries that read it are regular expressions: 50,000 empty lines
take the lexer of C three minutes. So this runs apart, with two seconds of processor time. It reads one JSON object,
`{"markdown": text}` or `{"code": text, "language": word}`, and writes HTML in which nothing of the text is markup.
"""

import json
import sys
from collections.abc import MutableMapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

CPU_SECONDS = 2
MEMORY_BYTES = 1024**3
LINK_CHARS = 2000
PROTOCOLS = ("http", "https", "mailto")


def limit() -> None:
    """Where there are such limits; elsewhere the caller's patience is one."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


# Code


# The lexers that are asked for, by what names end in and formats are called.
LEXERS = {
    "bash": "bash", "sh": "bash", "shell": "bash", "zsh": "bash", "console": "console",
    "c": "c", "h": "c", "cpp": "cpp", "cc": "cpp", "hpp": "cpp", "cs": "csharp",
    "css": "css", "diff": "diff", "patch": "diff", "dockerfile": "docker",
    "go": "go", "html": "html", "htm": "html", "ini": "ini", "cfg": "ini",
    "java": "java", "js": "javascript", "javascript": "javascript", "jsx": "javascript", "mjs": "javascript",
    "json": "json", "jsonl": "json", "kt": "kotlin", "lua": "lua", "php": "php",
    "py": "python", "python": "python", "rb": "ruby", "ruby": "ruby", "rs": "rust", "rust": "rust",
    "sql": "sql", "svg": "xml", "swift": "swift", "toml": "toml",
    "ts": "typescript", "typescript": "typescript", "tsx": "typescript", "xml": "xml",
    "yaml": "yaml", "yml": "yaml",
}  # fmt: skip


def code(text: str, language: str) -> str:
    """With classes alone, which static/code.css colours: the console's policy takes no styles in a page. What is in
    no language that we know is escaped."""
    if (known := LEXERS.get(language.lower())) is None:
        return escape(text)
    lexer = get_lexer_by_name(known, stripnl=False, ensurenl=False)
    return str(highlight(text, lexer, HtmlFormatter(nowrap=True, classprefix="c-")))


def fenced(text: str, language: str, attributes: str) -> str:
    return code(text, language)


# Markdown


def markdown(text: str) -> str:
    """Raw HTML is text, a link leads to http, https or mailto and says where, a picture is a link to it."""
    made = MarkdownIt("commonmark", {"html": False, "highlight": fenced})
    made.enable(["table", "strikethrough"])
    made.validateLink = is_link  # type: ignore[method-assign]
    for name, rule in (("link_open", open_link), ("link_close", close_link), ("image", picture_link)):
        made.add_render_rule(name, rule)
    for name in ("heading_open", "heading_close"):
        made.add_render_rule(name, heading)
    return str(made.render(text))


def is_link(url: str) -> bool:
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return False
    known = parts.scheme.lower() in PROTOCOLS and (bool(parts.netloc) or parts.scheme.lower() == "mailto")
    return known and len(url) <= LINK_CHARS and "\\" not in url


def open_link(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    return opened(str(tokens[at].attrs.get("href", "")))


def opened(url: str) -> str:
    return f'<a href="{escape(url)}" rel="noopener noreferrer nofollow">'


def close_link(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    """Links say where they lead, since their words may say something else. Markdown has no link within a link."""
    start = next(n for n in range(at - 1, -1, -1) if tokens[n].type == "link_open")
    return closed(str(tokens[start].attrs.get("href", "")), "".join(token.content for token in tokens[start + 1 : at]))


def closed(url: str, words: str) -> str:
    parts = urlsplit(url)
    where = parts.netloc or parts.path
    return "</a>" if words == url else f'</a> <span class="where">({escape(where)})</span>'


def picture_link(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    """A picture of the network would tell its server who reads this, and when."""
    url = str(tokens[at].attrs.get("src", ""))
    words = f"Picture: {tokens[at].content or 'without words'}"
    if any(token.type == "link_open" for token in tokens[:at]) and not is_closed(tokens[:at]):
        return str(escape(words))
    return f"{opened(url)}{escape(words)}{closed(url, words)}"


def is_closed(tokens: Sequence[Token]) -> bool:
    """Whether every link that begins here ends here, too."""
    return sum(token.nesting for token in tokens if token.type.startswith("link_")) == 0


def heading(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    """Beneath the two of the page."""
    level = min(6, int(tokens[at].tag[1:]) + 2)
    return f"<h{level}>" if tokens[at].nesting == 1 else f"</h{level}>\n"


def main() -> None:
    limit()
    asked = json.load(sys.stdin.buffer)
    told = markdown(asked["markdown"]) if "markdown" in asked else code(asked["code"], asked["language"])
    sys.stdout.buffer.write(told.encode())


if __name__ == "__main__":
    main()
