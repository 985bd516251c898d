"""Ultravox: a call that ended; what was said in it is fetched, page by page.

    {"event": "call.ended", "call": {"callId", "created", "joined", "ended", "endReason", "shortSummary", "summary"}}
    GET /api/calls/{callId}/messages  →  {"results": [{"role": "MESSAGE_ROLE_USER" | "MESSAGE_ROLE_AGENT" | …, "text",
                                          "timespan": {"start": "1.5s", "end": "2.75s"}}], "next": URL or null}

The form of a page is that of the vendor's API reference; the timespan counts from the start of the call.
"""

from urllib.parse import parse_qs, quote, urlencode, urlsplit

from domain.delivery import Delivery, Fetch, Reading
from domain.errors import UnknownEvent
from domain.session import Turn
from processors.readers.calls import after, call_of, spoken, turns_of
from processors.readers.meetings import answered, number_of
from processors.readers.payload import Fields, parse_object, wrong_type
from processors.readers.words import details

IGNORED = ("call.started", "call.joined", "call.billed")
ROLE = "message_role_"


def read(delivery: Delivery) -> Reading | Fetch | None:
    body = parse_object(delivery.body)
    event = body.required_text("event")
    if event in IGNORED:
        return None
    if event != "call.ended":
        raise UnknownEvent("ultravox")
    call = body.object("call")
    own_id = call.required_text("callId")
    pages = [answered(delivery, number) for number in range(len(delivery.fetched))]
    cursor = next_cursor(pages[-1]) if pages else None
    if not pages or cursor:
        address = f"/api/calls/{quote(own_id, safe='')}/messages"
        query = f"?{urlencode({'cursor': cursor})}" if cursor else ""
        return Fetch(address + query, token_header="X-API-Key", token_prefix="")  # noqa: S106 - the name of a header
    begin = call.instant("joined") or call.instant("created")

    def turn(entry: Fields) -> Turn | None:
        span = entry.object("timespan")
        start = seconds_of(span, "start")
        role = (entry.text("role") or "").lower().removeprefix(ROLE)
        return spoken(
            entry.text("text"), role, seconds=(start, seconds_of(span, "end")), start_time=after(begin, start)
        )

    return call_of(
        delivery,
        own_id,
        turns_of([entry for page in pages for entry in page.objects("results")], turn),
        title=call.text("shortSummary"),
        summary=call.text("summary"),
        metadata=details(call, "created", "joined", "ended", "endReason"),
    )


def next_cursor(page: Fields) -> str | None:
    """Where the next page begins. The address that the answer gives is not followed, but for this part of it."""
    address = page.text("next")
    if address is None:
        return None
    try:
        found = parse_qs(urlsplit(address).query).get("cursor")
    except ValueError:
        found = None
    if not found:
        raise wrong_type(page.at("next"), address, "a URL with a cursor")
    return found[0]


def seconds_of(span: Fields, name: str) -> float | None:
    """Seconds from a text such as `1.5s`, which is how durations are written in protocol buffers' JSON."""
    text = span.text(name)
    return None if text is None else number_of(text.removesuffix("s"))
