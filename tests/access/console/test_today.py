"""Today: what came in, what waits, what is done now, what failed; up to date by itself."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from store.database import Connection
from tests.access.console.conftest import Looks, Visitor


def test_an_empty_service_says_how_to_send_the_first_conversation(screen: Looks, address: str) -> None:
    page = screen.as_("alice")
    expect(page.get_by_role("heading", name="Nothing came in yet")).to_be_visible()
    expect(page.locator("#first")).to_contain_text(f"curl {address}/webhook/generic")


def test_today_tells_what_came_in_what_waits_what_is_done_and_what_failed(screen: Looks, talk: str) -> None:
    page = screen.as_("alice")
    expect(page.locator(".figures")).to_contain_text("4 to review")
    expect(page.locator("#task-prices")).to_contain_text("Look up its prices")
    held = page.locator("[id^=held-]")
    expect(held).to_contain_text("half way")
    expect(held).to_contain_text("desk")
    assert held.get_by_role("progressbar").get_attribute("value") == "0.5"
    expect(page.locator("[id^=failed-]")).to_contain_text("No network")
    expect(page.locator("[id^=delivery-]")).to_contain_text("unreadable")
    page.get_by_role("link", name="Carbon in the planner").last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Carbon in the planner")


def test_it_is_all_there_without_scripts(screen: Looks, talk: str) -> None:
    page = screen.as_("alice", java_script_enabled=False)
    expect(page.locator("#task-prices")).to_be_visible()
    expect(page.locator("#came-in ~ ul time").first).to_contain_text("UTC")


def test_times_are_in_the_readers_zone_and_the_server_writes_them_so_the_next_time(desktop: Looks, talk: str) -> None:
    desktop.conn.execute("UPDATE sessions SET last_activity = '2026-07-01T07:40:00Z'")
    page = desktop.as_("alice")
    time = page.locator("time[datetime='2026-07-01T07:40:00Z']").first
    expect(time).to_have_text("1 Jul 2026, 09:40")
    page.reload()
    assert "1 Jul 2026, 09:40" in page.content()
    assert page.locator("html").get_attribute("data-zone") == "Europe/Berlin"


def test_what_happens_is_seen_at_once(desktop: Looks, talk: str, conn: Connection) -> None:
    page = desktop.as_("alice")
    expect(page.locator("body[data-listening]")).to_be_attached()
    expect(page.locator("#held-new")).to_have_count(0)
    conn.execute(
        "INSERT INTO tasks (id, session_id, agent_name, title) VALUES ('new', 'walk', 'codex', 'Draw it anew')"
    )
    conn.execute("SELECT claim_task('codex', 'one', 300, 9)")
    expect(page.locator("#held-new")).to_contain_text("Draw it anew")
    conn.execute("SELECT cancel_task('new', 'no', 'bob')")
    expect(page.locator("#held-new")).to_have_count(0)


def test_who_is_not_logged_in_hears_of_nothing(visitor: Callable[..., Visitor]) -> None:
    assert visitor().get("/events").status_code == 401


@pytest.mark.parametrize("zone", ["Nowhere/Land", "../../etc/passwd", "%00", "x" * 3000])
def test_a_zone_that_there_is_not_is_as_none(visitor: Callable[..., Visitor], talk: str, zone: str) -> None:
    visit = visitor("alice")
    visit.client.cookies.set("zone", zone)
    answer = visit.get("/")
    assert answer.status_code == 200
    assert "UTC</time>" in answer.text
