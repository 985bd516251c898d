"""Search: as people type, by address, without scripts; every result leads to its place."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from store import search
from store.database import Connection
from tests.access.console.conftest import Looks, Visitor, add_memory

Come = Callable[..., Visitor]


@pytest.fixture
def stock(conn: Connection, talk: str) -> dict[str, Any]:
    """Beside the conversation an artifact, and a decision that was said again in another one."""
    conn.execute(
        "INSERT INTO artifacts (id, session_id, task_id, type, name, format, content)"
        " VALUES ('a/1', 'walk', 'prices', 'document', 'prices.md', 'text', 'Carbon prices per thousand requests')"
    )
    conn.execute("INSERT INTO sessions (id, title) VALUES ('gym/1', 'At the gym')")
    conn.execute(
        "INSERT INTO turns (session_id, seq, speaker, role, text, language) VALUES"
        " ('gym/1', 1, 'Bea', 'user', 'Again: the Carbon Interface API it is, zebras agree.', 'english')"
    )
    root = conn.execute("SELECT id FROM memories WHERE type = 'decision'").fetchone()
    assert root is not None
    again = add_memory(conn, "gym/1", 1, "decision", "Carbon Interface API again", "the Carbon Interface API it is")
    conn.execute("UPDATE memories SET merged_into = %s WHERE id = %s", [root["id"], again])
    conn.execute(
        "INSERT INTO conversation_chunks (session_id, chunk_id, content, first_turn, last_turn, language)"
        " SELECT session_id, '0001', string_agg(text, E'\\n' ORDER BY seq), min(id), max(id), 'english'"
        " FROM turns GROUP BY session_id"
    )
    search.fold(conn)  # by which beginnings of words are found
    return {"decision": root["id"], "again": again}


def test_results_change_while_somebody_types_and_so_does_the_address(screen: Looks, stock: Any) -> None:
    page = screen.as_("alice", "/search")
    expect(page.get_by_role("heading", name="Ask, or type words")).to_be_visible()
    with page.expect_response(lambda response: "unfinished=true" in response.url):
        page.get_by_label("Question or words").press_sequentially("carb")
    expect(page.locator("#hit-turns-" + turn_id(screen.conn, 1))).to_contain_text("Carbon Interface API")
    expect(page.locator("#found mark").first).to_have_text("Carbon")
    expect(page).to_have_url(f"{screen.address}/search?q=carb")
    expect(page.get_by_label("Question or words")).to_be_focused()


def test_a_filter_holds_as_soon_as_it_is_set(screen: Looks, stock: Any) -> None:
    page = screen.as_("alice", "/search?q=carbon")
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("artifacts").check()
    expect(page.locator("#found .title a")).to_have_count(1)
    expect(page).to_have_url(f"{screen.address}/search?q=carbon&in=artifacts")


def turn_id(conn: Connection, seq: int) -> str:
    row = conn.execute("SELECT id FROM turns WHERE session_id = 'walk' AND seq = %s", [seq]).fetchone()
    assert row is not None
    return str(row["id"])


def test_the_address_is_the_search_and_back_leads_to_it(screen: Looks, stock: Any) -> None:
    page = screen.as_("alice", "/search?q=mara+decided&in=memories")
    expect(page.get_by_label("Question or words")).to_have_value("mara decided")
    expect(page.get_by_label("memories")).to_be_checked()
    page.locator("#found .title a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Carbon in the planner")
    page.go_back()
    expect(page).to_have_url(f"{screen.address}/search?q=mara+decided&in=memories")
    expect(page.locator("#found .title a")).to_have_count(3)


def test_back_leads_to_what_was_typed(desktop: Looks, stock: Any) -> None:
    page = desktop.as_("alice", "/search")
    page.get_by_label("Question or words").press_sequentially("prices")
    expect(page).to_have_url(f"{desktop.address}/search?q=prices")
    page.locator("#found .title a").first.click()
    expect(page.get_by_role("searchbox")).to_have_count(0)
    page.go_back()
    expect(page.get_by_label("Question or words")).to_have_value("prices")
    expect(page.locator("#found .title a").first).to_be_visible()


def test_it_is_all_there_without_scripts(screen: Looks, stock: Any) -> None:
    page = screen.as_("alice", "/search", java_script_enabled=False)
    page.get_by_label("Question or words").fill("carbon")
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("turns", exact=True).check()
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#found .title a")).to_have_count(2)
    page.get_by_role("link", name="Count by kind").click()
    page.locator("#facets").get_by_role("link", name="At the gym").click()
    expect(page.locator("#found .title a")).to_have_count(1)
    page.get_by_role("link", name="Without filters").click()
    assert page.locator("#found .title a").count() > 2


def test_results_are_counted_after_them_and_counts_narrow_and_widen(screen: Looks, stock: Any) -> None:
    page = screen.as_("alice", "/search?q=carbon")
    facets = page.locator("#facets")
    facets.get_by_role("link", name="artifacts").click()
    expect(page).to_have_url(f"{screen.address}/search?q=carbon&in=artifacts")
    expect(page.locator("#found .title a")).to_have_count(1)
    expect(facets.get_by_role("link", name="artifacts")).to_have_attribute("aria-current", "true")
    facets.get_by_role("link", name="artifacts").click()
    expect(page).to_have_url(f"{screen.address}/search?q=carbon")


@pytest.mark.parametrize(
    ("query", "kind", "place"),
    [
        ("assistant prices noted", "turns", "/sessions/walk?turn=2#turn-2"),
        ("what did Mara decide on carbon", "memories", "/sessions/walk?turn=1#said-{decision}"),
        ("carbon as Bea has it again", "memories", "/sessions/gym%2F1?turn=1#turn-1"),
        ("draw the map", "tasks", "/tasks/broken"),
        ("carbon prices thousand", "artifacts", "/artifacts/a%2F1"),
    ],
)
def test_every_result_leads_to_its_place(visitor: Come, stock: Any, query: str, kind: str, place: str) -> None:
    page = visitor("alice").get("/search", params={"q": query, "in": kind}).text
    assert f'<p class="title"><a href="{place.format(**stock)}">' in page


@pytest.mark.parametrize("anchor", ["#turn-3", "#said-{id}", "#item-{id}"])
def test_the_place_is_on_the_page(desktop: Looks, talk: str, anchor: str) -> None:
    kind = {"#turn-3": "turns"}.get(anchor, "memories")
    if anchor.startswith("#item"):
        desktop.conn.execute(
            "UPDATE memories SET char_start = NULL, char_end = NULL, quote = NULL WHERE type = 'action_item'"
        )
    page = desktop.as_("alice", f"/search?q=look+up+its+prices&in={kind}")
    row = desktop.conn.execute("SELECT id FROM memories WHERE type = 'action_item'").fetchone()
    assert row is not None
    page.locator("#found .title a").first.click()
    expect(page.locator(f"{anchor.format(**row)}:target")).to_have_count(1)


def test_filters_hold_and_days_are_the_readers(visitor: Come, stock: Any, conn: Connection) -> None:
    conn.execute("UPDATE memories SET said_at = '2026-03-04T23:30:00Z' WHERE id = %s", [stock["decision"]])
    visit = visitor("alice")
    visit.client.cookies.set("zone", "Europe/Berlin")  # where it was the fifth by then

    def hits(**asked: str) -> int:
        return visit.get("/search", params={"q": "carbon interface", "in": "memories", **asked}).text.count('id="hit-')

    assert (hits(since="2026-03-05", until="2026-03-05"), hits(until="2026-03-04")) == (1, 0)
    assert (hits(as_of="2026-03-05"), hits(as_of="2026-03-04")) == (1, 0)
    assert (hits(type="decision"), hits(type="idea")) == (1, 0)
    assert (hits(speaker="mara"), hits(speaker="bea"), hits(speaker="nobody")) == (1, 1, 0)
    assert (hits(session="gym/1"), hits(session="other")) == (1, 0)


def test_what_cannot_be_asked_says_so_and_keeps_what_was_typed(visitor: Come, talk: str) -> None:
    for asked in ({"since": "yesterday"}, {"cursor": "1000"}, {"since": "2026-03-05", "until": "2026-03-01"}):
        answer = visitor("alice").get("/search", params={"q": "carbon"} | asked)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert 'value="carbon"' in answer.text
    for odd in ({"in": "nothing"}, {"cursor": "-1"}, {"as_of": "9999-12-31"}, {"since": "0001-01-01"}):
        assert visitor("alice").get("/search", params={"q": "carbon"} | odd).status_code == 200


def test_more_results_are_on_the_next_page(visitor: Come, conn: Connection, talk: str) -> None:
    conn.execute(
        "INSERT INTO turns (session_id, seq, speaker, text, language)"
        " SELECT 'walk', n, 'Mara', 'Zebras, number ' || n, 'english' FROM generate_series(10, 40) AS n"
    )
    first = visitor("alice").get("/search?q=zebras").text
    assert "Results 1 to 20" in first
    assert 'rel="next" href="/search?q=zebras&amp;cursor=20"' in first
    second = visitor("alice").get("/search?q=zebras&cursor=20").text
    assert "Results 21 to 31" in second
    assert 'rel="prev" href="/search?q=zebras"' in second


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/search", "Ask, or type words"),
        ("/search?q=xylophone", "Nothing found"),
        ("/search?q=carbon&in=chunks&speaker=nobody", "Search everywhere"),
        ("/search/facets", "Search for something"),
    ],
)
def test_where_nothing_is_found_it_says_what_to_do(visitor: Come, talk: str, path: str, words: str) -> None:
    assert words in visitor("alice").get(path).text


def test_the_count_asks_for_no_results_and_the_results_for_no_count(visitor: Come, stock: Any) -> None:
    assert 'id="hit-' not in visitor("alice").get("/search/facets?q=carbon").text
    assert 'class="counts"' not in visitor("alice").get("/search?q=carbon").text
