"""A session: what was said, what came of it in place and beside, changed and taken along; also when it is very long."""

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import expect

from access.console.exports import cue_time
from access.console.highlights import pieces
from access.console.sessions import TURN_CHARS, WINDOW, Window
from store.database import Connection
from tests.access.console.conftest import Looks, Visitor, add_memory

Come = Callable[..., Visitor]
LONG = 20_000


@pytest.fixture
def long_talk(conn: Connection) -> str:
    conn.execute("INSERT INTO sessions (id, title) VALUES ('long', 'A long day')")
    conn.execute(
        "INSERT INTO turns (session_id, seq, speaker, text, start_seconds, language) SELECT 'long', n, 'Mara',"
        " 'This is turn ' || n || ' of a long day.', 3 * n, 'english' FROM generate_series(1, %s) AS n",
        [LONG],
    )
    add_memory(conn, "long", 12_345, "idea", "Walk more", "turn 12345")
    return "long"


# In place and beside


def test_what_was_extracted_is_marked_where_it_was_said_and_a_click_goes_there(screen: Looks, talk: str) -> None:
    page = screen.as_("alice", "/sessions/walk")
    expect(page.locator("#turn-1 mark")).to_have_text("I've decided we use the Carbon Interface API")
    expect(page.locator("#turn-3 .text")).to_have_text("Add an action item: look up its prices. Is it fast enough?")
    assert page.locator("#turn-3 mark").all_text_contents() == ["look up ", "its prices", ". Is it fast enough?"]
    expect(page.locator("#turn-3 .speaker")).to_have_text("Mara 1:05")
    page.get_by_role("link", name="Is it fast enough?", exact=True).click()
    expect(page).to_have_url(re.compile(r"#said-\d+$"))
    expect(page.locator("#turn-3 .text")).to_be_in_viewport()


def test_it_is_read_without_scripts(screen: Looks, talk: str) -> None:
    page = screen.as_("alice", "/sessions/walk", java_script_enabled=False)
    expect(page.locator(".turns > li")).to_have_count(3)
    expect(page.locator(".items .title")).to_have_count(3)


def test_a_rejected_item_is_listed_and_no_longer_marked(desktop: Looks, talk: str, conn: Connection) -> None:
    conn.execute("UPDATE memories SET review = 'rejected' WHERE type = 'decision'")
    page = desktop.as_("alice", "/sessions/walk")
    expect(page.locator("#turn-1 mark")).to_have_count(0)
    expect(page.locator(".items .rejected")).to_contain_text("We use the Carbon Interface API")


def test_an_item_that_is_extracted_meanwhile_appears(desktop: Looks, talk: str, conn: Connection) -> None:
    page = desktop.as_("alice", "/sessions/walk")
    expect(page.locator("body[data-listening]")).to_be_attached()
    add_memory(conn, "walk", 2, "question", "Prices?", "What about prices?")
    expect(page.locator("#turn-2 mark")).to_have_text("What about prices?")


def test_a_session_without_anything_says_so(desktop: Looks, conn: Connection) -> None:
    conn.execute("INSERT INTO sessions (id) VALUES ('a/b c?d#e%2F')")
    page = desktop.as_("alice", "/sessions")
    page.get_by_role("link", name="Untitled conversation").click()
    expect(page.get_by_text("No turn yet.")).to_be_visible()


@pytest.mark.parametrize("path", ["/sessions/nowhere", "/sessions/%00", "/sessions/" + "x" * 3000, "/sessions/walk/"])
def test_a_wrong_id_is_told_as_a_page(visitor: Come, talk: str, path: str) -> None:
    answer = visitor("alice").get(path)
    assert answer.status_code in (404, 422)
    assert "<h1>" in answer.text


@st.composite
def spans(draw: st.DrawFn) -> tuple[str, list[dict[str, int | None]]]:
    text = draw(st.text(max_size=30))
    place = st.none() | st.integers(-3, 35)
    made = draw(st.lists(st.tuples(place, place), max_size=6))
    return text, [{"id": n, "char_start": start, "char_end": end} for n, (start, end) in enumerate(made)]


@given(spans())
def test_pieces_joined_are_the_text_and_each_item_has_its_own_words(case: tuple[str, list[dict[str, int]]]) -> None:
    text, items = case
    cut = pieces(text, items)
    assert "".join(piece.text for piece in cut) == text
    for item in items:
        start, end = item["char_start"], item["char_end"]
        words = "".join(piece.text for piece in cut if item in piece.items)
        whole = text[max(0, start) : max(0, end)] if start is not None and end is not None and start < end else ""
        assert words == whole
        assert sum(item in piece.starts for piece in cut) == (1 if words else 0)


# Long ones


def test_of_twenty_thousand_turns_a_page_shows_one_window(visitor: Come, long_talk: str) -> None:
    visit = visitor("alice")
    first = visit.get("/sessions/long")
    assert first.text.count('<li id="turn-') == WINDOW
    assert "Turns 1 to 100 of 20,000" in first.text
    last = visit.get("/sessions/long?turn=20000")
    assert "Turns 19,901 to 20,000 of 20,000" in last.text
    assert len(last.content) < 200_000
    for odd in ("0", "-1", "99999999999999", "x", "20001"):
        assert visit.get(f"/sessions/long?turn={odd}").status_code == 200


def test_an_address_leads_to_a_turn_in_the_middle_and_on_from_there(screen: Looks, long_talk: str) -> None:
    page = screen.as_("alice", "/sessions/long?turn=12345#turn-12345")
    expect(page.locator("#turn-12345")).to_be_in_viewport()
    expect(page.locator("#turn-12345 mark")).to_have_text("turn 12345")
    expect(page.locator(".items .title")).to_have_text("Walk more")
    page.get_by_role("link", name="Later").first.click()
    expect(page.locator("#turn-12401")).to_be_visible()
    page.get_by_text("Change or export").click()
    page.get_by_label("Go to turn").fill("20000")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(page.locator("#turn-20000")).to_be_attached()
    expect(page.get_by_role("link", name="Later")).to_have_count(0)


def test_windows_are_whole_pages() -> None:
    assert Window.around(1, 0) == Window(1, 0, 0)
    assert (Window.around(100, 250).first, Window.around(101, 250).first) == (1, 101)
    assert (Window.around(201, 250).before, Window.around(201, 250).after) == (101, None)


def test_a_turn_of_a_million_characters_is_shown_in_part_and_given_whole(visitor: Come, conn: Connection) -> None:
    conn.execute("INSERT INTO sessions (id) VALUES ('word')")
    conn.execute(
        "INSERT INTO turns (session_id, seq, text, language) VALUES ('word', 1, repeat('w', 1000000), 'simple')"
    )
    visit = visitor("alice")
    page = visit.get("/sessions/word").text
    assert f"w{'w' * (TURN_CHARS - 1)}<" in page
    assert "980,000 more characters" in page
    whole = visit.get("/sessions/word?turn=1&export=turn")
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert len(whole.text) == 1_000_000


# Changes


def test_a_reviewer_changes_the_title_pauses_and_completes(screen: Looks, talk: str) -> None:
    page = screen.as_("bob", "/sessions/walk")
    for button, told in (("Pause", "Paused."), ("Go on", "Goes on."), ("Complete", "Completed.")):
        page.get_by_text("Change or export").click()
        page.get_by_role("button", name=button).click()
        expect(page.locator("#told")).to_have_text(told)
    page.get_by_text("Change or export").click()
    page.get_by_label("Title").fill("Carbon, again")
    page.get_by_role("button", name="Save the title").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Carbon, again")


def test_of_two_who_change_a_title_the_second_sees_the_first_and_keeps_what_was_typed(visitor: Come, talk: str) -> None:
    visit = visitor("bob")
    version = visit.get("/sessions/walk").text.partition('name="version" value="')[2].partition('"')[0]
    assert visit.send("/sessions/walk", {"title": "Mine", "version": version}).status_code == 303
    second = visit.send("/sessions/walk", {"title": "No, mine", "version": version})
    assert second.status_code == 412
    assert "was changed since" in second.text
    assert 'value="No, mine"' in second.text
    assert "<bdi>Mine</bdi></h1>" in second.text
    fresh = second.text.partition('name="version" value="')[2].partition('"')[0]
    assert visit.send("/sessions/walk", {"title": "No, mine", "version": fresh}).status_code == 303


def test_a_viewer_is_shown_no_button_that_would_be_refused(visitor: Come, talk: str) -> None:
    visit = visitor("alice")
    page = visit.get("/sessions/walk").text
    assert "Save the title" not in page
    token = visit.get("/").text.partition('name="form_token" value="')[2].partition('"')[0]
    assert visit.post("/sessions/walk", {"form_token": token, "title": "x"}).status_code == 403


@pytest.mark.parametrize("fields", [{}, {"title": ""}, {"move": "burn"}, {"title": "x" * 100_001}, {"version": "zz"}])
def test_a_change_that_makes_no_sense_is_told(visitor: Come, talk: str, fields: dict[str, str]) -> None:
    answer = visitor("bob").send("/sessions/walk", fields)
    assert (answer.status_code, 'role="alert"' in answer.text) == (422, True)


# Exports


def test_a_session_is_taken_along_as_markdown_json_and_webvtt(desktop: Looks, talk: str) -> None:
    page = desktop.as_("alice", "/sessions/walk")
    page.get_by_text("Change or export").click()
    names = {}
    for label in ("Markdown", "JSON", "WebVTT"):
        with page.expect_download() as download:
            page.get_by_role("link", name=label).click()
        names[download.value.suggested_filename] = download.value.path().read_text("utf-8")
    assert set(names) == {"Carbon in the planner.md", "Carbon in the planner.json", "Carbon in the planner.vtt"}
    told = json.loads(names["Carbon in the planner.json"])
    assert [turn["seq"] for turn in told["turns"]] == [1, 2, 3]
    assert len(told["memories"]) == 3
    assert "**Mara** (1:05): Add an action item" in names["Carbon in the planner.md"]
    assert "00:00:04.500 --> 00:01:05.000\n<v Assistant>Noted." in names["Carbon in the planner.vtt"]


def test_a_long_one_is_exported_whole(visitor: Come, long_talk: str) -> None:
    visit = visitor("alice")
    assert len(json.loads(visit.get("/sessions/long?export=json").content)["turns"]) == LONG
    assert visit.get("/sessions/long?export=vtt").text.count(" --> ") == LONG
    assert visit.get("/sessions/long?export=md").text.count("**Mara**") == LONG


def test_what_was_said_is_text_in_every_export(visitor: Come, conn: Connection) -> None:
    conn.execute("INSERT INTO sessions (id, title) VALUES ('odd', '../<b>\"; x=\n# y')")
    conn.execute(
        "INSERT INTO turns (session_id, seq, speaker, text, start_seconds, language) VALUES"
        " ('odd', 1, '<v X>', E'# no\n\n00:00 --> 00:09\n<script>x</script> [a](b)', 1, 'simple')"
    )
    visit = visitor("alice")
    markdown, vtt = visit.get("/sessions/odd?export=md"), visit.get("/sessions/odd?export=vtt").text
    assert "\\<script\\>" in markdown.text
    assert "\n# no" not in markdown.text
    assert "\\[a\\]" in markdown.text
    assert vtt.count("-->") == 1
    assert "<script>" not in vtt
    disposition = markdown.headers["content-disposition"]
    assert disposition.startswith("attachment; filename=\"conversation.md\"; filename*=UTF-8''")
    assert not set("\n\\/") & set(disposition)
    assert markdown.headers["x-content-type-options"] == "nosniff"


def test_without_times_there_is_no_webvtt(visitor: Come, conn: Connection, talk: str) -> None:
    conn.execute("UPDATE turns SET start_seconds = NULL")
    visit = visitor("alice")
    assert "export=vtt" not in visit.get("/sessions/walk").text
    assert visit.get("/sessions/walk?export=vtt").status_code == 422
    assert visit.get("/sessions/walk?export=exe").status_code == 404


def test_times_of_cues() -> None:
    assert [cue_time(s) for s in (0, 59.9996, 3661.5)] == ["00:00:00.000", "00:01:00.000", "01:01:01.500"]


# The list


def test_sessions_are_listed_by_state_a_page_at_a_time(screen: Looks, conn: Connection) -> None:
    conn.execute(
        "INSERT INTO sessions (id, title, status, last_activity) SELECT 's/' || n, 'Talk ' || n,"
        " CASE n WHEN 7 THEN 'paused' ELSE 'active' END, now() - n * interval '1 minute'"
        " FROM generate_series(1, 60) AS n"
    )
    page = screen.as_("alice", "/sessions")
    expect(page.locator(".rows .title").first).to_have_text("Talk 1")
    page.get_by_role("link", name="Older conversations").click()
    expect(page.locator(".rows .title")).to_have_count(10)
    page.get_by_role("link", name="Paused").click()
    expect(page.locator(".rows .title")).to_have_text("Talk 7")
    page.get_by_role("link", name="Completed").click()
    expect(page.get_by_role("heading", name="No conversation here")).to_be_visible()


# Forgotten


def test_an_admin_forgets_it_with_two_clicks_and_no_scripts(desktop: Looks, talk: str, conn: Connection) -> None:
    page = desktop.as_("carol", "/sessions/walk", java_script_enabled=False)
    page.get_by_text("Change or export").click()
    page.get_by_role("link", name="Forget this conversation").click()
    expect(page.locator("dd").first).to_have_text("3")
    assert conn.execute("SELECT FROM sessions WHERE id = 'walk'").rowcount == 1
    page.get_by_role("button", name="Forget it").click()
    expect(page.locator(".told")).to_contain_text("is forgotten")
    assert conn.execute("SELECT FROM sessions WHERE id = 'walk'").rowcount == 0
    assert page.goto("/forget/walk").status == 404  # type: ignore[union-attr]


def test_who_is_no_admin_is_not_offered_it(visitor: Come, talk: str, conn: Connection) -> None:
    assert "/forget/" not in visitor("bob").get("/sessions/walk").text
    assert visitor("carol").post("/forget/walk", {}).status_code == 403  # not their own form
    assert conn.execute("SELECT FROM sessions WHERE id = 'walk'").rowcount == 1
