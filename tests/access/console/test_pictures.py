"""Pictures: the figures are right, in tables for everybody, and drawn where scripts run."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from access.console.pictures import SPANS, Span, quantile, start_of
from store.database import Connection
from tests.access.console.conftest import Looks, Visitor
from tests.access.console.test_deliveries import add, failed

Come = Callable[..., Visitor]
PICTURES = ("came", "latency", "waited", "memories")


def figures(page: str, table: str) -> list[list[str]]:
    """The values of a table's cells, by rows, as they are drawn."""
    rows = page.partition(f'<table id="{table}">')[2].partition("</table>")[0].split("<tr>")[2:]
    return [[cell.partition('"')[0] for cell in row.split('data-value="')[1:]] for row in rows]


@pytest.mark.parametrize("span", SPANS)
def test_the_figures_are_right(visitor: Come, conn: Connection, talk: str, span: str) -> None:
    conn.execute("DELETE FROM deliveries")
    for number in range(20):
        key = add(conn, str(number))
        took = 120 if number == 0 else 2
        conn.execute(
            "UPDATE deliveries SET processed_at = received_at + %s * interval '1 s' WHERE id = %s", [took, key]
        )
    failed(conn, "failed")
    add(conn, "waiting", state="received")
    old = add(conn, "old", state="received")
    conn.execute("UPDATE deliveries SET received_at = now() - interval '90 days' WHERE id = %s", [old])
    page = visitor("alice").get(f"/pictures?span={span}").text
    came, latency, waited = (figures(page, name) for name in PICTURES[:3])
    assert [row[1:] for row in came if row[1] != "0"] == [["22", "1"]]
    half, most = next(row[1:] for row in latency if len(row) > 1)
    assert 1.7 < float(half) < 2.4
    assert 1.7 < float(most) < 2.4
    assert waited[0][1] == "1"
    assert max(int(row[1]) for row in waited) >= 2
    assert len(came) == SPANS[span].steps
    memories = figures(page, "memories")
    assert sum(int(n) for row in memories for n in row[1:]) == 3


def test_they_are_drawn_and_told(screen: Looks, conn: Connection, talk: str) -> None:
    page = screen.as_("alice", "/pictures")
    for name in PICTURES:
        picture = page.locator(f'[data-table="{name}"]')
        expect(picture.locator("canvas")).to_be_visible()
        expect(picture).to_have_attribute("aria-label", re.compile(f"^{re.escape(heads(page, name))}, drawn;"))
    page.set_viewport_size({"width": 700, "height": 800})
    expect(page.locator("canvas").first).to_be_visible()


def heads(page: Page, name: str) -> str:
    return ", ".join(page.locator(f"#{name} thead th").all_text_contents()[1:])


def test_without_scripts_the_tables_say_it(screen: Looks, conn: Connection, talk: str) -> None:
    page = screen.as_("alice", "/pictures", java_script_enabled=False)
    expect(page.locator(".picture").first).to_be_hidden()
    page.get_by_text("The figures of: deliveries", exact=True).click()
    expect(page.locator("#came tbody tr")).to_have_count(SPANS["day"].steps)
    page.get_by_role("link", name="A month").click()
    page.get_by_text("The figures of: deliveries", exact=True).click()
    expect(page.locator("#came tbody tr")).to_have_count(SPANS["month"].steps)


def test_what_draws_is_loaded_there_alone(visitor: Come, conn: Connection) -> None:
    assert "uplot" in visitor("alice").get("/pictures").text
    assert "uplot" not in visitor("alice").get("/deliveries").text


@pytest.mark.parametrize("hours", [0, 5, 23])
@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS)
def test_the_last_step_holds_now(hours: int, span: Span) -> None:
    before = datetime.now(UTC)
    end = start_of(span, before - timedelta(hours=hours)) + span.step * span.steps
    assert before < end <= datetime.now(UTC) + span.step


def test_a_share_lies_in_the_middle_of_its_class() -> None:
    assert quantile(Counter(), 0.5) is None
    assert quantile(Counter({0: 10}), 0.5) == 1.1
    assert quantile(Counter({0: 94, 8: 6}), 0.95) == 8.4
    assert quantile(Counter({0: 95, 8: 5}), 0.95) == 1.1
