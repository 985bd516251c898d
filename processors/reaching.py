"""Reaches a host over HTTP and no further than it may: the one guard of all that workers ask and send.

URLs stand in payloads and in what people subscribe to. Every address that a host resolves to must be a public one,
and the connection goes to exactly the address that was checked, with the name's certificate: no second look-up can
lead elsewhere. What is the operator's own may be private, and http. Time and size are bounded, redirects are the
caller's. Which URL, with which credentials, is the caller's, too.
"""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import httpx2

from domain.errors import AIWebhookError

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 30.0
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215; Python 3.11 learned of it late

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LookUp = Callable[[str, int, float], list[str]]


class Unreached(AIWebhookError):
    """A host that was not reached, or gave no answer that can be used. The message names it and no more of the URL.

    kind       why
    refused    the guard: scheme, address, an address in a wrong form
    too_large  more bytes than allowed, packed or unpacked
    failed     network or time
    """

    code = "unreached"
    status = 502

    def __init__(self, message: str, kind: Literal["refused", "too_large", "failed"] = "failed") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Hop:
    """One request. `own`: its host is the operator's, wherever it is; `own_networks`: so are these addresses."""

    url: httpx2.URL
    method: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    own: bool = False
    own_networks: tuple[Network, ...] = ()

    @property
    def host(self) -> str:
        return self.url.raw_host.decode("ascii")


def parse_url(text: str) -> httpx2.URL:
    try:
        return httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError):
        raise Unreached("A URL of the request cannot be read.", "refused") from None


def authorities() -> ssl.SSLContext:
    """The machine's, also where OpenSSL does not find them."""
    return httpx2.create_ssl_context()


@contextmanager
def reached(
    hop: Hop, watch: "Watch", tls: ssl.SSLContext, *, limit: int, look_up: LookUp | None = None
) -> Iterator[httpx2.Response]:
    """The head of the answer, whatever its status; its body is still to be read, with `read_body`.

    Raises Unreached. `look_up` gives the addresses of a name, else the machine's resolver does.
    """
    check_form(hop)
    addresses = checked_addresses(hop, watch, look_up or resolve)
    try:
        with answer_of(hop, addresses, watch, tls, limit) as response:
            yield response
    except httpx2.HTTPError as error:
        watch.check(hop.host)
        raise Unreached(f"Asking {hop.host} failed: {type(error).__name__}.") from None
    watch.check(hop.host)  # a body that ends with its connection looks whole when the connection is cut


def check_form(hop: Hop) -> None:
    if not hop.host or hop.url.scheme not in ("https", "http"):
        raise Unreached("What is to be reached has no https address.", "refused")
    if hop.url.userinfo:
        raise Unreached(f"The address at {hop.host} holds a user name or password.", "refused")


def port_of(url: httpx2.URL) -> int:
    return url.port or (80 if url.scheme == "http" else 443)


def checked_addresses(hop: Hop, watch: "Watch", look_up: LookUp) -> list[str]:
    """Every address of the host, none of which leads into a private network, or without TLS over a public one."""
    addresses = look_up(hop.host, port_of(hop.url), watch.left(CONNECT_SECONDS))
    watch.check(hop.host)
    if not addresses:
        raise Unreached(f"The name {hop.host} has no address.")
    foreign = [] if hop.own else [one for one in addresses if not is_within(one, hop.own_networks)]
    if not all(map(is_public, foreign)):
        raise Unreached(f"{hop.host} is not on the public internet.", "refused")
    if foreign and hop.url.scheme != "https":
        raise Unreached(f"{hop.host} would be reached without https.", "refused")
    return addresses


def resolve(host: str, port: int, seconds: float) -> list[str]:
    """The addresses of a name, in the order to try them; none when there is no answer in time."""
    pool = ThreadPoolExecutor(max_workers=1)  # getaddrinfo has no limit of its own
    try:
        found = pool.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM).result(seconds)
    except (OSError, TimeoutError):
        return []
    except UnicodeError:  # labels that no name can have
        raise Unreached("A host name of the request cannot be read.", "refused") from None
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


def is_within(address: str, networks: Sequence[Network]) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return any(ip in network for network in networks)


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
            raise Unreached(f"{host} took longer than {self._seconds:g} seconds.")

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


def too_large(limit: int) -> Unreached:
    return Unreached(f"The answer is larger than {limit} bytes.", "too_large")
