"""Fetching over real sockets: what comes back, what is tried again, and what no payload can make us do.

The sender's API is a server on this machine, allowed as FETCH_URL_<SOURCE> is. What has to look public is a name that
resolves to a public address; the connection to that address is led to a local server with a certificate for the name.
"""

import gzip
import socket
import ssl
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from domain.delivery import Fetch
from processors.fetching import MAX_REDIRECTS, FetchFailed, FetchSettings, fetch
from processors.reaching import is_public
from tests.processors.sender_api import TOKEN, Answer, Api, answering, redirecting

PUBLIC = "93.184.216.34"
NAME = "transcripts.example"


@pytest.fixture
def elsewhere() -> Iterator[Api]:
    server = Api()
    yield server
    server.close()


def failure(wanted: Fetch | str, settings: FetchSettings, **more: Any) -> FetchFailed:
    with pytest.raises(FetchFailed) as caught:
        fetch(wanted if isinstance(wanted, Fetch) else Fetch(wanted), "acme", settings, **more)
    return caught.value


# What comes back


def test_a_path_is_of_the_sources_api_and_brings_its_token(api: Api) -> None:
    api.routes["/base/calls/1?part=2"] = answering(b'{"turns": []}')
    settings = api.settings(base_urls={"acme": f"{api.url}/base/"})
    assert fetch(Fetch("/calls/1?part=2"), "acme", settings) == b'{"turns": []}'
    (method, _, headers, _) = api.asked[0]
    assert (method, headers["authorization"], headers["host"]) == ("GET", f"Bearer {TOKEN}", f"127.0.0.1:{api.port}")


def test_a_post_sends_its_body_and_the_token_in_the_header_that_the_api_wants(api: Api) -> None:
    api.routes["/graphql"] = answering(b"{}")
    wanted = Fetch("/graphql", "POST", b'{"query": "x"}', {"Content-Type": "application/json"}, "X-Key", "")
    fetch(wanted, "acme", api.settings())
    (method, _, headers, body) = api.asked[0]
    assert (method, body, headers["x-key"]) == ("POST", b'{"query": "x"}', TOKEN)
    assert headers["content-type"] == "application/json"
    assert "authorization" not in headers


@pytest.mark.parametrize("wanted", [Fetch("/signed", token_header=""), Fetch("/signed", headers={"Cookie": "own=1"})])
def test_no_token_goes_to_a_url_that_is_signed_or_brings_its_own(api: Api, wanted: Fetch) -> None:
    api.routes["/signed"] = answering(b"words")
    assert fetch(wanted, "acme", api.settings(tokens={})) == b"words"
    assert "authorization" not in api.asked[0][2]


def test_gzip_is_unpacked_and_nothing_else_is_asked_for(api: Api) -> None:
    api.routes["/calls"] = answering(gzip.compress(b"words " * 1000), content_encoding="gzip")
    assert fetch(Fetch("/calls"), "acme", api.settings()) == b"words " * 1000
    assert api.asked[0][2]["accept-encoding"] == "gzip"


def test_a_redirect_within_the_api_keeps_method_body_and_token(api: Api) -> None:
    api.routes |= {"/old": redirecting("/new", 307), "/new": answering(b"words")}
    assert fetch(Fetch("/old", "POST", b"body"), "acme", api.settings()) == b"words"
    assert [(m, p, h["authorization"], b) for m, p, h, b in api.asked] == [
        ("POST", "/old", f"Bearer {TOKEN}", b"body"),
        ("POST", "/new", f"Bearer {TOKEN}", b"body"),
    ]


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_post_that_is_sent_on_becomes_a_get(api: Api, status: int) -> None:
    api.routes |= {"/old": redirecting("/new", status), "/new": answering(b"words")}
    fetch(Fetch("/old", "POST", b"body", {"Content-Type": "text/plain"}), "acme", api.settings())
    method, _, headers, body = api.asked[1]
    assert (method, body, headers.get("content-type")) == ("GET", b"", None)


# What fails, and whether it is tried again


@pytest.mark.parametrize(
    ("status", "code", "retry"),
    [
        (400, "fetch_failed", False),
        (401, "fetch_unauthorized", False),
        (403, "fetch_unauthorized", False),
        (404, "fetch_not_found", True),
        (410, "fetch_not_found", True),
        (429, "fetch_failed", True),
        (500, "fetch_failed", True),
        (503, "fetch_failed", True),
        (304, "fetch_failed", False),
    ],
)
def test_a_status_says_whether_it_is_tried_again(api: Api, status: int, code: str, retry: bool) -> None:
    api.routes["/calls"] = answering(b"", status)
    error = failure("/calls", api.settings())
    assert (error.code, error.retry) == (code, retry)
    assert str(status) in error.message


def test_an_error_names_the_host_and_nothing_else_of_the_url(api: Api) -> None:
    api.routes["/calls/secret?key=secret"] = answering(b"secret", 500)
    error = failure("/calls/secret?key=secret", api.settings())
    assert "127.0.0.1" in error.message
    assert "secret" not in error.message + error.hint + repr(error)
    assert TOKEN not in error.message + error.hint


def test_without_a_token_nothing_is_asked(api: Api) -> None:
    error = failure("/calls", api.settings(tokens={"acme": SecretStr(" ")}))
    assert (error.code, error.retry, api.asked) == ("fetch_no_token", False, [])
    assert "FETCH_TOKEN_ACME" in error.hint


def test_a_source_without_an_api_names_its_setting() -> None:
    error = failure("/calls", FetchSettings())
    assert (error.code, error.hint) == ("fetch_refused", "Set FETCH_URL_ACME.")


def test_a_server_that_is_not_there_is_tried_again(api: Api) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        error = failure("/calls", api.settings(base_urls={"acme": url}))
    assert (error.code, error.retry) == ("fetch_failed", True)


def trickle(api: Api, piece: bytes, **headers: str) -> Answer:
    """A byte now and then, for ever: no single read takes long."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        try:
            while not api.released.wait(0.02):
                request.wfile.write(piece)
                request.wfile.flush()
        except OSError:
            request.close_connection = True  # the other side has had enough

    return answer


@pytest.mark.parametrize("headers", [{}, {"content-length": "100000"}])
def test_a_body_that_trickles_is_cut_when_the_time_is_over(api: Api, headers: dict[str, str]) -> None:
    api.routes["/calls"] = trickle(api, b"x", **headers)
    error = failure("/calls", api.settings(), seconds=0.5)
    assert (error.code, error.retry) == ("fetch_failed", True)
    assert "0.5 seconds" in error.message


def silence(api: Api) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        api.released.wait(10)

    return answer


def test_a_server_that_says_nothing_is_given_up(api: Api) -> None:
    api.routes["/calls"] = silence(api)
    # Either the socket's own timeout ends it, or the watch over the whole: both at the same moment.
    assert failure("/calls", api.settings(), seconds=0.3).retry


def test_a_body_shorter_than_announced_is_not_taken_for_the_whole(api: Api) -> None:
    api.routes["/calls"] = answering(b"half", content_length="8")
    assert failure("/calls", api.settings()).retry


# Sizes


def test_a_body_of_just_the_limit_is_taken(api: Api) -> None:
    api.routes["/calls"] = answering(b"x" * 2048)
    assert len(fetch(Fetch("/calls"), "acme", api.settings(max_bytes=2048))) == 2048


def test_an_announced_size_over_the_limit_is_refused_before_it_is_read(api: Api) -> None:
    api.routes["/calls"] = answering(b"", content_length="999999999999")
    error = failure("/calls", api.settings(max_bytes=2048))
    assert (error.code, error.retry) == ("fetch_too_large", False)
    assert "AI_WEBHOOK_MAX_FETCH_BYTES" in error.hint


def test_an_endless_body_is_cut_at_the_limit(api: Api) -> None:
    api.routes["/calls"] = trickle(api, b"x" * 4096)
    assert failure("/calls", api.settings(max_bytes=20_000), seconds=10).code == "fetch_too_large"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_unpacks_to_more_than_the_limit_is_refused(api: Api, encoding: str) -> None:
    zeros = b"\0" * 10_000_000
    packed = gzip.compress(zeros) if encoding == "gzip" else zlib.compress(zeros)
    api.routes["/calls"] = answering(packed, content_encoding=encoding)
    assert failure("/calls", api.settings(max_bytes=1_000_000)).code == "fetch_too_large"


def test_what_only_claims_to_be_packed_fails(api: Api) -> None:
    api.routes["/calls"] = answering(b"no gzip", content_encoding="gzip")
    assert failure("/calls", api.settings()).code == "fetch_failed"


# Where nobody may send us


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0/",
        "http://93.184.216.34/",
        "https://93.184.216.34:8443/",
        "https://user:secret@93.184.216.34/",
        "ftp://93.184.216.34/",
        "file:///etc/passwd",
        "//93.184.216.34/x",
        "calls/1",
        "",
        "https://",
        "https://[::1",
        "https://a\nb/",
    ],
)
def test_an_address_that_is_not_public_https_is_refused(url: str) -> None:
    error = failure(url, FetchSettings())
    assert (error.code, error.retry) == ("fetch_refused", False)
    assert "secret" not in error.message


@pytest.mark.parametrize("path", ["/../admin", "/calls/%2e%2e/admin", "/calls\\..\\admin", "/./x"])
def test_a_path_that_climbs_out_of_the_base_is_refused(api: Api, path: str) -> None:
    assert failure(path, api.settings()).code == "fetch_refused"
    assert api.asked == []


@pytest.mark.parametrize("header", [("X-A", "1\r\nX-B: 2"), ("X A", "1"), ("X-Ü", "1"), ("X-A", "ü")])
def test_a_header_that_holds_more_than_itself_is_refused(api: Api, header: tuple[str, str]) -> None:
    assert failure(Fetch("/calls", headers=dict([header])), api.settings()).code == "fetch_refused"
    assert api.asked == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.0.2.1", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::7f00:1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::7f00:1", False),
        ("2001:db8::1", False),
        ("2001::7f00:1", False),
        ("2002:7f00:1::", False),
        ("fc00::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("ff02::1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) == public


def test_a_redirect_into_a_private_network_is_refused(api: Api, elsewhere: Api) -> None:
    elsewhere.routes["/"] = answering(b"inside")
    api.routes["/calls"] = redirecting(f"{elsewhere.url}/")
    assert failure("/calls", api.settings()).code == "fetch_refused"
    assert elsewhere.asked == []


@pytest.mark.parametrize("location", ["http://[::1", "https://localhost/", "file:///etc/passwd", "//10.0.0.1/"])
def test_a_redirect_is_checked_like_the_first_address(api: Api, location: str) -> None:
    api.routes["/calls"] = redirecting(location)
    assert failure("/calls", api.settings()).code == "fetch_refused"


def test_a_redirect_to_nowhere_fails(api: Api) -> None:
    api.routes["/calls"] = answering(b"", 302)
    assert failure("/calls", api.settings()).code == "fetch_failed"


def test_redirects_come_to_an_end(api: Api) -> None:
    api.routes["/calls"] = redirecting("/calls")
    assert failure("/calls", api.settings()).code == "fetch_refused"
    assert len(api.asked) == MAX_REDIRECTS + 1


# A public name, as far as we can tell


class Internet:
    """Names that resolve as a test wants; public addresses are led to a local server and remembered."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: dict[str, list[list[str]]] = {NAME: [[PUBLIC]]}
        self.connected: list[tuple[str, int]] = []
        look_up, connect = socket.getaddrinfo, socket.create_connection

        def resolve(host: Any, port: Any, *more: Any, **others: Any) -> Any:
            if host not in self.names:
                return look_up(host, port, *more, **others)
            answers = self.names[host]
            addresses = answers.pop(0) if len(answers) > 1 else answers[0]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        def reach(address: tuple[str, int], *more: Any, **others: Any) -> socket.socket:
            self.connected.append(address)
            if address[0] == "203.0.114.1":
                raise ConnectionRefusedError
            return connect(("127.0.0.1", api.port), *more, **others)

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr(socket, "create_connection", reach)


@pytest.fixture
def public_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(tls)
    server = Api(tls)
    yield server
    server.close()


@pytest.fixture
def internet(public_api: Api, monkeypatch: pytest.MonkeyPatch) -> Internet:
    return Internet(public_api, monkeypatch)


def test_a_public_name_is_fetched_under_its_own_certificate(public_api: Api, internet: Internet) -> None:
    public_api.routes["/signed"] = answering(b"words")
    assert fetch(Fetch(f"https://{NAME}/signed"), "acme", FetchSettings()) == b"words"
    assert internet.connected == [(PUBLIC, 443)]
    assert public_api.asked[0][2]["host"] == NAME


def test_the_token_does_not_go_to_another_host_than_the_api(public_api: Api, internet: Internet) -> None:
    public_api.routes["/signed"] = answering(b"words")
    settings = FetchSettings({"acme": "https://api.example"}, {"acme": SecretStr(TOKEN)})
    fetch(Fetch(f"https://{NAME}/signed"), "acme", settings)
    assert TOKEN not in str(public_api.asked)


def test_credentials_do_not_follow_a_redirect_to_another_origin(public_api: Api, internet: Internet) -> None:
    public_api.routes |= {
        "/calls": redirecting(f"https://{NAME}/stored", 307),
        "/stored": answering(b"words"),
    }
    settings = FetchSettings({"acme": f"https://{NAME}:80"}, {"acme": SecretStr(TOKEN)})
    assert fetch(Fetch("/calls", headers={"X-Own": "1"}), "acme", settings) == b"words"
    first, second = (headers for _, _, headers, _ in public_api.asked)
    assert (first["authorization"], first["x-own"]) == (f"Bearer {TOKEN}", "1")
    assert "authorization" not in second
    assert "x-own" not in second


def test_the_connection_goes_to_the_address_that_was_checked(public_api: Api, internet: Internet) -> None:
    public_api.routes["/"] = answering(b"words")
    internet.names[NAME] = [[PUBLIC], ["127.0.0.1"]]  # another answer to whoever asks again
    fetch(Fetch(f"https://{NAME}/"), "acme", FetchSettings())
    assert internet.connected == [(PUBLIC, 443)]


def test_one_private_address_among_public_ones_is_refused(public_api: Api, internet: Internet) -> None:
    internet.names[NAME] = [[PUBLIC, "10.0.0.1"]]
    assert failure(f"https://{NAME}/", FetchSettings()).code == "fetch_refused"
    assert internet.connected == []


def test_the_next_address_is_tried_when_one_does_not_answer(public_api: Api, internet: Internet) -> None:
    public_api.routes["/"] = answering(b"words")
    internet.names[NAME] = [["203.0.114.1", PUBLIC]]
    assert fetch(Fetch(f"https://{NAME}/"), "acme", FetchSettings()) == b"words"
    assert [address for address, _ in internet.connected] == ["203.0.114.1", PUBLIC]


def test_a_certificate_of_another_name_is_not_taken(public_api: Api, internet: Internet) -> None:
    internet.names["other.example"] = [[PUBLIC]]
    error = failure("https://other.example/", FetchSettings())
    assert (error.code, public_api.asked) == ("fetch_failed", [])


def test_a_body_that_trickles_through_tls_is_cut_too(public_api: Api, internet: Internet) -> None:
    public_api.routes["/"] = trickle(public_api, b"x")
    assert "0.5 seconds" in failure(f"https://{NAME}/", FetchSettings(), seconds=0.5).message


def test_a_name_that_has_no_address_is_tried_again(internet: Internet) -> None:
    internet.names[NAME] = [[]]
    error = failure(f"https://{NAME}/", FetchSettings())
    assert (error.code, error.retry) == ("fetch_failed", True)
