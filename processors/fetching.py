"""Carries out a `Fetch` over the network: what a delivery only announces is read from its source.

The URLs stand in payloads, so they are guarded: https only; every address that the host resolves to must be a
public one, and the connection goes to exactly the address that was checked, with the name's certificate; ports 80
and 443; three redirects at most, each checked like the first. The operator's own API base (`FETCH_URL_<SOURCE>`) may
be http, private and on any port. The token of a source (`FETCH_TOKEN_<SOURCE>`) goes to its API base and nowhere
else. Which URL and when is left to the readers.
"""

import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import httpx2
from pydantic import SecretStr

from domain.delivery import Fetch
from domain.errors import Unreadable

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 30.0
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
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215; Python 3.11 learned of it late
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


@dataclass(frozen=True, slots=True)
class Hop:
    """One request of a fetch. `own` is true at the API base that the operator set, as long as it is not left."""

    url: httpx2.URL
    method: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    own: bool = False

    @property
    def host(self) -> str:
        return self.url.raw_host.decode("ascii")


def fetch(wanted: Fetch, source: str, settings: FetchSettings, *, seconds: float = TOTAL_SECONDS) -> bytes:
    """The body of the answer, unpacked. `seconds` bound all of it: name, connections, redirects and body.

    Raises FetchFailed.
    """
    hop = first_hop(wanted, source, settings)
    tls = httpx2.create_ssl_context()  # the machine's authorities, also where OpenSSL does not find them
    with Watch(seconds) as watch:
        for _ in range(MAX_REDIRECTS + 1):
            answer = request(hop, source, watch, tls, settings.max_bytes)
            if isinstance(answer, bytes):
                return answer
            hop = answer
    raise refused(f"{hop.host} was reached by more than {MAX_REDIRECTS} redirects.")


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


def parse_url(text: str) -> httpx2.URL:
    try:
        return httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError):
        raise refused("A URL of the request cannot be read.") from None


def refused(message: str, *, hint: str = REFUSED_HINT) -> FetchFailed:
    return FetchFailed(message, code="fetch_refused", hint=hint)


def same_origin(one: httpx2.URL, other: httpx2.URL) -> bool:
    return (one.scheme, one.raw_host, port_of(one)) == (other.scheme, other.raw_host, port_of(other))


def port_of(url: httpx2.URL) -> int:
    return url.port or (80 if url.scheme == "http" else 443)


def request(hop: Hop, source: str, watch: "Watch", tls: ssl.SSLContext, limit: int) -> bytes | Hop:
    """The body that a hop leads to, or the next hop."""
    check_url(hop)
    addresses = checked_addresses(hop, watch)
    try:
        with answer_of(hop, addresses, watch, tls, limit) as response:
            if response.status_code in REDIRECTS:
                return next_hop(hop, response.status_code, response.headers.get("location", ""))
            check_status(response.status_code, hop.host, source)
            body = read_body(response, limit)
    except httpx2.HTTPError as error:
        watch.check(hop.host)
        raise FetchFailed(f"Fetching from {hop.host} failed: {type(error).__name__}.", retry=True) from None
    watch.check(hop.host)  # a body that ends with its connection looks whole when the connection is cut
    return body


def check_url(hop: Hop) -> None:
    if not hop.host or hop.url.scheme not in ("https", "http"):
        raise refused("What is to be fetched has no https address.")
    if hop.url.userinfo:
        raise refused(f"The address at {hop.host} holds a user name or password.")
    if not hop.own and (hop.url.scheme != "https" or port_of(hop.url) not in (80, 443)):
        raise refused(f"{hop.host} is to be fetched without https, or from an unusual port.")


def checked_addresses(hop: Hop, watch: "Watch") -> list[str]:
    """Every address of the host, none of which leads into a private network."""
    addresses = resolve(hop.host, port_of(hop.url), watch.left(CONNECT_SECONDS))
    watch.check(hop.host)
    if not addresses:
        raise FetchFailed(f"The name {hop.host} has no address.", retry=True)
    if not hop.own and not all(map(is_public, addresses)):
        raise refused(f"{hop.host} is not on the public internet.")
    return addresses


def resolve(host: str, port: int, seconds: float) -> list[str]:
    """The addresses of a name, in the order to try them; none when there is no answer in time."""
    pool = ThreadPoolExecutor(max_workers=1)  # getaddrinfo has no limit of its own
    try:
        found = pool.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM).result(seconds)
    except (OSError, TimeoutError):
        return []
    except UnicodeError:  # labels that no name can have
        raise refused("A host name of the request cannot be read.") from None
    finally:
        pool.shutdown(wait=False)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: str) -> bool:
    """Whether an address is of the public internet, also where it holds an IPv4 address within."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        within = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            within = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if within is not None:
            return is_public(str(within))
        if ip.is_site_local or ip in LOCAL_NAT64:
            return False
    special = ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_reserved
    return ip.is_global and not special and not ip.is_unspecified


class Watch:
    """Cuts the connection when the time is over: read timeouts begin anew with every byte that trickles in."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._sockets:
                connection.close()
            self._sockets.clear()

    def left(self, at_most: float) -> float:
        return max(min(at_most, self._until - time.monotonic()), 0.001)

    @property
    def over(self) -> bool:
        return self._over

    def check(self, host: str) -> None:
        if self._over:
            message = f"Fetching from {host} took longer than {self._seconds:g} seconds."
            raise FetchFailed(message, retry=True)

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpx2 tells what it does; from here on the connection can be cut, also within TLS."""
        if event == "connection.connect_tcp.complete":
            with self._lock:
                self._sockets.append(info["return_value"].get_extra_info("socket").dup())
                if self._over:
                    shut(self._sockets)

    def _cut(self) -> None:
        with self._lock:
            self._over = True
            shut(self._sockets)


def shut(sockets: list[socket.socket]) -> None:
    for connection in sockets:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # closed by the other side already


class Bounded(httpx2.SyncByteStream):
    """The bytes as they come from the network, counted before anything unpacks them."""

    def __init__(self, stream: httpx2.SyncByteStream, limit: int, transport: httpx2.HTTPTransport) -> None:
        self._stream = stream
        self._limit = limit
        self._transport = transport

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for piece in self._stream:
            size += len(piece)
            if size > self._limit:
                raise too_large(self._limit)
            yield piece

    def close(self) -> None:
        self._stream.close()
        self._transport.close()


def answer_of(
    hop: Hop, addresses: list[str], watch: Watch, tls: ssl.SSLContext, limit: int
) -> "closing[httpx2.Response]":
    """The head of the answer from the first address that takes a connection."""
    *first, last = addresses
    for address in first:
        try:
            return send(hop, address, watch, tls, limit)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            watch.check(hop.host)
    return send(hop, last, watch, tls, limit)


def send(hop: Hop, address: str, watch: Watch, tls: ssl.SSLContext, limit: int) -> "closing[httpx2.Response]":
    """Sends the request to an address under the host's name.

    Every hop has its own transport: a pool would hand a connection to the same address on to another name. A client
    would besides keep cookies and write whole URLs to the log.
    """
    wait = watch.left(TOTAL_SECONDS)
    extensions: dict[str, Any] = {
        "timeout": {"connect": watch.left(CONNECT_SECONDS), "read": wait, "write": wait, "pool": wait},
        "trace": watch.trace,
    }
    if not is_address(hop.host):
        extensions["sni_hostname"] = hop.host
    standard = {
        "host": hop.url.netloc.decode("ascii"),
        "accept": "*/*",
        "accept-encoding": "gzip",
        "user-agent": "ai-webhook",
    }
    outgoing = httpx2.Request(
        hop.method,
        hop.url.copy_with(host=address),
        headers={**standard, **hop.headers},
        content=hop.body,
        extensions=extensions,
    )
    transport = httpx2.HTTPTransport(verify=tls, trust_env=False)
    try:
        head = transport.handle_request(outgoing)
    except BaseException:
        transport.close()
        raise
    assert isinstance(head.stream, httpx2.SyncByteStream)
    body = Bounded(head.stream, limit, transport)
    return closing(httpx2.Response(head.status_code, headers=head.headers, stream=body, request=outgoing))


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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


def read_body(response: httpx2.Response, limit: int) -> bytes:
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > limit:
        raise too_large(limit)
    pieces, size = [], 0
    for piece in response.iter_bytes():
        size += len(piece)
        if size > limit:
            raise too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def too_large(limit: int) -> FetchFailed:
    message = f"What was to be fetched is larger than {limit} bytes."
    return FetchFailed(message, code="fetch_too_large", hint="Raise AI_WEBHOOK_MAX_FETCH_BYTES, then replay.")
