"""Sources: what a person needs to set a sender up, and the test by which they see that it works."""

from collections.abc import Callable

from playwright.sync_api import expect

from domain.settings import Settings
from ingest.sources import SOURCES
from processors.__main__ import open_workshop
from store import people
from store.database import Connection
from tests.access.conftest import served
from tests.access.console.conftest import Looks, Visitor
from tests.access.console.test_deliveries import add, refuse, token_of
from tests.conftest import API_KEY, GENERIC_SECRET
from tests.processors.workshop import work

Come = Callable[..., Visitor]


def test_every_source_is_there_with_its_address_and_setting(screen: Looks, conn: Connection, address: str) -> None:
    page = screen.as_("alice", "/sources", java_script_enabled=False)
    expect(page.locator(".rows > li")).to_have_count(len(SOURCES))
    zoom = page.locator("#source-zoom")
    zoom.locator("summary").click()
    expect(zoom.locator("#address-zoom")).to_have_text(f"{address}/webhook/zoom")
    expect(zoom).to_contain_text("WEBHOOK_SECRET_ZOOM, which is not set")
    expect(page.locator("#address-omi")).to_have_text(f"{address}/webhook/omi/SECRET")
    expect(page.locator("#address-native")).to_have_text(f"{address}/webhook")
    expect(page.get_by_role("button", name="Send a test")).to_have_count(0)


def test_those_in_use_stand_first_with_what_came(
    visitor: Come, conn: Connection, address: str, emptied: object
) -> None:
    add(conn, "one", source="otter")
    refuse(address, "daily")
    page = visitor("alice").get("/sources").text
    first = [part.partition('"')[0] for part in page.split('id="source-')[1:4]]
    assert sorted(first) == ["daily", "generic", "otter"]
    assert '<a href="/deliveries?source=otter&amp;state=processed">1 processed</a>' in page
    assert "1 times, last" in page


def test_no_secret_is_on_any_page(visitor: Come, conn: Connection) -> None:
    for path in ("/sources", "/deliveries", "/pictures"):
        page = visitor("carol").get(path).text
        assert GENERIC_SECRET not in page
        assert GENERIC_SECRET.removeprefix("whsec_") not in page
        assert API_KEY not in page


def test_the_address_is_copied(desktop: Looks, conn: Connection, address: str) -> None:
    page = desktop.as_("alice", "/sources", permissions=["clipboard-read", "clipboard-write"])
    page.locator("#source-generic summary").click()
    page.get_by_role("button", name="Copy the address of generic").click()
    expect(page.get_by_role("button", name="Copy the address of generic")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == f"{address}/webhook/generic"


def test_a_test_becomes_a_delivery_and_a_conversation(
    screen: Looks, conn: Connection, api_settings: Settings, emptied: object
) -> None:
    page = screen.as_("carol", "/sources", java_script_enabled=False)
    page.locator("#source-generic summary").click()
    page.get_by_role("button", name="Send a test of generic").click()
    expect(page.locator("#told")).to_contain_text("A test of generic was sent.")
    expect(page.get_by_role("heading", level=1)).to_have_text("On its way")
    shop = open_workshop(api_settings, "worker-under-test")
    work(shop)
    shop.pool.close()
    page.get_by_role("link", name="Look again").click()
    expect(page.locator(".state")).to_have_text("processed")
    page.get_by_role("link", name="test-generic").click()
    expect(page.locator(".turns")).to_contain_text("This is a test of generic")
    assert conn.execute("SELECT count(*) AS n FROM memories").fetchone() == {"n": 0}


def test_one_without_a_secret_is_tried_with_the_key(visitor: Come, conn: Connection, emptied: object) -> None:
    answer = visitor("carol").send("/sources", {"source": "zoom"})
    assert (answer.status_code, answer.headers["location"].startswith("/deliveries/")) == (303, True)


def test_a_test_that_is_refused_says_why(visitor: Come, conn: Connection) -> None:
    answer = visitor("carol").send("/sources", {"source": "nowhere"})
    assert (answer.status_code, "There is no such source." in answer.text) == (422, True)


def test_only_admins_send_tests(visitor: Come, conn: Connection) -> None:
    for name in ("alice", "bob"):
        other = visitor(name)
        assert other.post("/sources", {"form_token": token_of(other), "source": "generic"}).status_code == 403
    assert visitor("carol").post("/sources", {"source": "generic"}).status_code == 403


def test_behind_a_proxy_the_public_address_is_shown_and_signed(api_settings: Settings, conn: Connection) -> None:
    more = {"public_url": "http://hooks.example.org/voice"}
    with served(api_settings, **more) as address:
        carol = Visitor(address, people.begin_login(conn, "carol", "test"))
        assert "http://hooks.example.org/voice/webhook/zoom" in carol.get("/sources").text
        assert carol.send("/sources", {"source": "generic"}).status_code == 303
        carol.client.close()
