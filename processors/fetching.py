"""Carries out a `Fetch` over the network: what a delivery only announces is read from its source.

The URLs stand in payloads, so they are guarded (processors/reaching.py), and narrower still: https only, ports 80 and
443, three redirects at most, each checked like the first. The operator's own API base (`FETCH_URL_<SOURCE>`) may be
http, private and on any port. The token of a source (`FETCH_TOKEN_<SOURCE>`) goes to its API base and nowhere else.
Which URL and when is left to the readers.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

import httpx2
from pydantic import SecretStr

from domain.delivery import Fetch
from domain.errors import Unreadable
from processors.reaching import (
    TOTAL_SECONDS,
    Hop,
    Unreached,
    Watch,
    authorities,
    parse_url,
    port_of,
    reached,
    read_body,
)

MAX_REDIRECTS = 3
MAX_BYTES = 50 * 1024 * 1024

# Where a URL without a host belongs. Regions and gateways differ: FETCH_URL_<SOURCE> comes first.
API_BASES: Mapping[str, str] = {
    "assemblyai": "https://api.assemblyai.com",
    "bland": "https://api.bland.ai",
    "daily": "https://api.daily.co/v1",
    "deepgram": "https://api.deepgram.com",
    "elevenlabs": "https://api.elevenlabs.io",
    "fathom": "https://api.fathom.ai",
    "fireflies": "https://api.fireflies.ai",
    "grain": "https://api.grain.com/_/public-api",
    "granola": "https://public-api.granola.ai",
    "recall": "https://us-east-1.recall.ai",
    "retell": "https://api.retellai.com",
    "tldv": "https://pasta.tldv.io",
    "twilio": "https://intelligence.twilio.com",
    "ultravox": "https://api.ultravox.ai",
    "vapi": "https://api.vapi.ai",
    "zoom": "https://api.zoom.us",
}

CREDENTIALS = frozenset({"authorization", "cookie", "x-api-key", "proxy-authorization"})
HARMLESS_HEADERS = frozenset({"accept", "content-type"})  # may follow a redirect to another host
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
REDIRECTS = frozenset({301, 302, 303, 307, 308})
LATER = frozenset({408, 425, 429})  # besides 5xx, what may be answered another time

HINT = "It is tried again; `ai-webhook replay ID` tries it once more."
REFUSED_HINT = "Only public https addresses are fetched; a gateway of your own is set as FETCH_URL_<SOURCE>."


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """What the operator set: by source, in lower case with `_` for `-`, as in the names of the settings."""

    base_urls: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, SecretStr] = field(default_factory=dict)
    max_bytes: int = MAX_BYTES


class FetchFailed(Unreadable):
    """A transcript that could not be fetched. The message names the host and no more of the URL.

    code                retried  why
    fetch_refused       no       the guard: scheme, address, port, redirects, an address in a wrong form
    fetch_no_token      no       the source's API wants a token and none is set
    fetch_unauthorized  no       401 or 403
    fetch_too_large     no       more bytes than allowed, packed or unpacked
    fetch_not_found     yes      404 or 410: transcripts appear late
    fetch_failed        yes      network, time, 408, 425, 429, 5xx; not for other answers
    """

    def __init__(self, message: str, *, code: str = "fetch_failed", retry: bool = False, hint: str = HINT) -> None:
        super().__init__(message, code=code, retry=retry)
        self.hint = hint


def fetch(wanted: Fetch, source: str, settings: FetchSettings, *, seconds: float = TOTAL_SECONDS) -> bytes:
    """The body of the answer, unpacked. `seconds` bound all of it: name, connections, redirects and body.

    Raises FetchFailed.
    """
    try:
        return followed(first_hop(wanted, source, settings), source, settings.max_bytes, seconds)
    except Unreached as error:
        raise unfetched(error) from None


def followed(hop: Hop, source: str, limit: int, seconds: float) -> bytes:
    tls = authorities()
    with Watch(seconds) as watch:
        for _ in range(MAX_REDIRECTS + 1):
            answer = request(hop, source, watch, tls, limit)
            if isinstance(answer, bytes):
                return answer
            hop = answer
    raise refused(f"{hop.host} was reached by more than {MAX_REDIRECTS} redirects.")


def unfetched(error: Unreached) -> FetchFailed:
    hint = {"refused": REFUSED_HINT, "too_large": "Raise AI_WEBHOOK_MAX_FETCH_BYTES, then replay.", "failed": HINT}
    message = f"Nothing was fetched: {error.message}"
    return FetchFailed(message, code=f"fetch_{error.kind}", retry=error.kind == "failed", hint=hint[error.kind])


def first_hop(wanted: Fetch, source: str, settings: FetchSettings) -> Hop:
    """The request to begin with, with its credentials. Raises FetchFailed: fetch_refused, fetch_no_token."""
    name = source.replace("-", "_")
    set_base = settings.base_urls.get(name)
    base = parse_url(set_base or API_BASES.get(source) or "")
    url = full_url(wanted.url, base, source)
    at_api = bool(base.host) and same_origin(url, base)
    headers = {header.lower(): value for header, value in wanted.headers.items()}
    if at_api and wanted.token_header and not headers.keys() & {*CREDENTIALS, wanted.token_header.lower()}:
        headers[wanted.token_header.lower()] = wanted.token_prefix + token_of(source, settings.tokens.get(name))
    for header, value in headers.items():
        if not HEADER_NAME.fullmatch(header) or not HEADER_VALUE.fullmatch(value):
            raise refused("A header of the request is not plain text.")
    return Hop(url, wanted.method, headers, wanted.body, own=at_api and bool(set_base))


def full_url(given: str, base: httpx2.URL, source: str) -> httpx2.URL:
    if not given.startswith("/") or given.startswith("//"):
        return parse_url(given)
    if not base.host:
        raise refused(f"No API of {source} is known.", hint=f"Set FETCH_URL_{setting_name(source)}.")
    if any(unquote(part) in (".", "..") for part in re.split(r"[/\\]", given.partition("?")[0])):
        raise refused("A path of the request leads elsewhere.")
    return parse_url(str(base).rstrip("/") + given)


def token_of(source: str, token: SecretStr | None) -> str:
    value = token.get_secret_value().strip() if token else ""
    if value:
        return value
    message = f"{source} only announces its transcripts, and no token to read them is set."
    hint = f"Set FETCH_TOKEN_{setting_name(source)}, then replay the delivery."
    raise FetchFailed(message, code="fetch_no_token", hint=hint)


def setting_name(source: str) -> str:
    return source.replace("-", "_").upper()


def refused(message: str, *, hint: str = REFUSED_HINT) -> FetchFailed:
    return FetchFailed(message, code="fetch_refused", hint=hint)


def same_origin(one: httpx2.URL, other: httpx2.URL) -> bool:
    return (one.scheme, one.raw_host, port_of(one)) == (other.scheme, other.raw_host, port_of(other))


def request(hop: Hop, source: str, watch: Watch, tls: ssl.SSLContext, limit: int) -> bytes | Hop:
    """The body that a hop leads to, or the next hop."""
    check_url(hop)
    with reached(hop, watch, tls, limit=limit) as response:
        if response.status_code in REDIRECTS:
            return next_hop(hop, response.status_code, response.headers.get("location", ""))
        check_status(response.status_code, hop.host, source)
        return read_body(response, limit)


def check_url(hop: Hop) -> None:
    if not hop.own and hop.host and (hop.url.scheme != "https" or port_of(hop.url) not in (80, 443)):
        raise refused(f"{hop.host} is to be fetched without https, or from an unusual port.")


def next_hop(hop: Hop, status: int, location: str) -> Hop:
    """Where a redirect leads. Another host gets no credentials, and they do not come back on the way."""
    if not location:
        raise FetchFailed(f"{hop.host} redirects to nowhere.")
    try:
        url = hop.url.join(location)
    except (httpx2.InvalidURL, ValueError):
        raise refused(f"{hop.host} redirects to a URL that cannot be read.") from None
    onward = replace(hop, url=url)
    if status == 303 or (status in (301, 302) and hop.method == "POST"):
        headers = {name: value for name, value in hop.headers.items() if name != "content-type"}
        onward = replace(onward, method="GET", body=None, headers=headers)
    if same_origin(hop.url, url):
        return onward
    harmless = {name: value for name, value in onward.headers.items() if name in HARMLESS_HEADERS}
    return replace(onward, headers=harmless, own=False)


def check_status(status: int, host: str, source: str) -> None:
    message = f"Fetching from {host} failed: HTTP {status}."
    if 200 <= status < 300:
        return
    if status in (401, 403):
        hint = f"Check FETCH_TOKEN_{setting_name(source)}: it must be valid and may read transcripts. Then replay."
        raise FetchFailed(message, code="fetch_unauthorized", hint=hint)
    if status in (404, 410):
        raise FetchFailed(message, code="fetch_not_found", retry=True)
    raise FetchFailed(message, retry=status in LATER or status >= 500)
