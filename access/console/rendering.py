"""Templates to HTML, and the headers under which a browser shows it.

Everything is escaped by itself. Texts that people or agents wrote go through `said`, in text, and `plain`, in
attributes and titles: both make characters visible that would hide or turn round what stands there.
"""

import re
import unicodedata
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from access.console.assets import static_url

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)  # data: is for the arrows and ticks in pico's style sheet
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "private, no-store",
}
# Controls, what turns the direction of text round, what has no width, and tags, which nobody sees and models read.
HIDING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
ISOLATED, ISOLATED_END = Markup("<bdi>"), Markup("</bdi>")
CERTAINTIES = ((0.9, "certain"), (0.7, "likely"), (0.5, "possible"), (0.0, "a guess"))
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # as in app.js


@cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("access.console"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        auto_reload=False,
    )
    made.filters |= {
        "said": said,
        "spelt": spelt,
        "plain": plain,
        "short": short,
        "when": when,
        "position": position,
        "counted": counted,
        "words": words,
        "certainty": certainty,
        "typed_time": typed_time,
    }
    made.globals["static"] = static_url
    return made


def plain(text: object) -> str:
    """With what hides made visible as ⟦U+202E⟧."""
    return HIDING.sub(lambda found: f"⟦U+{ord(found[0]):04X}⟧", str(text))


def said(text: object) -> Markup:
    """The same in HTML, apart from what stands beside it: neither turns the other round."""
    return ISOLATED + spelt(text) + ISOLATED_END


def spelt(text: object) -> Markup:
    """The same in HTML, for a part of a text, whose direction is that of the whole. A character that hides has its name
    to point at."""
    whole = str(text)
    if HIDING.search(whole) is None:
        return escape(whole)
    pieces, at = [], 0
    for found in HIDING.finditer(whole):
        pieces += [escape(whole[at : found.start()]), character(found[0])]
        at = found.end()
    return Markup("").join([*pieces, escape(whole[at:])])


def character(char: str) -> Markup:
    code = f"U+{ord(char):04X}"
    return Markup('<span class="char" title="{}">{}</span>').format(unicodedata.name(char, code), code)


def short(text: object, chars: int = 160) -> str:
    """On one line and no longer than so many characters."""
    line = " ".join(str(text)[: 4 * chars].split())
    return line if len(line) <= chars else line[: chars - 1].rstrip() + "…"


@pass_context
def when(context: Context, at: datetime | None) -> Markup:
    """An instant in the reader's zone, which a cookie of app.js names; in UTC, and saying so, until it does."""
    if at is None:
        return Markup("")
    zone: ZoneInfo | None = context["visit"].zone
    instant = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Markup('<time datetime="{}">{}</time>').format(instant, written(at, zone))


def written(at: datetime, zone: ZoneInfo | None) -> str:
    local = at.astimezone(zone or UTC)
    text = f"{local.day} {MONTHS[local.month - 1]} {local.year}, {local:%H:%M}"
    return text if zone else f"{text} UTC"


def position(seconds: float) -> str:
    """m:ss, or h:mm:ss."""
    whole = int(seconds)
    minutes = f"{whole // 60 % 60:02}" if whole >= 3600 else str(whole // 60)
    return f"{whole // 3600}:{minutes}:{whole % 60:02}" if whole >= 3600 else f"{minutes}:{whole % 60:02}"


def counted(number: int, most: int = 1000) -> str:
    """A count that the database gave up at."""
    return f"{most:,}+" if number > most else f"{number:,}"


def words(name: str) -> str:
    """A state or type as words: `needs_input` is `needs input`."""
    return name.replace("_", " ")


def certainty(confidence: float) -> str:
    """A confidence as a word."""
    return next(word for least, word in CERTAINTIES if confidence >= least)


@pass_context
def typed_time(context: Context, at: datetime | None) -> str:
    """An instant as a field takes it, in the reader's zone."""
    return f"{at.astimezone(context['visit'].zone or UTC):%Y-%m-%dT%H:%M}" if at else ""
