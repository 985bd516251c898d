"""Search as people ask: plain questions, filters, the spans that matched, and queries that are none."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from domain.errors import InvalidRequest
from domain.memory import MemoryDraft
from domain.session import Chunk, SessionDraft, Turn
from domain.task import ArtifactDraft, TaskDraft
from store import artifacts, chunks, deliveries, memories, sessions, tasks
from store.database import Connection, Row, connect
from store.search import DEFAULT_KINDS, KINDS, search
from tests.conftest import delivery

MORNING = datetime(2026, 3, 2, 7, 40, tzinfo=UTC)
WALK = (
    Turn("Alice", "Good morning. Let's talk about the flights app while I walk.", "user"),
    Turn("Assistant", "Sure. Which part of it would you like to begin with?", "assistant"),
    Turn("Alice", "Emissions. I've decided we use the Carbon Interface API, because its free tier is enough.", "user"),
    Turn("Assistant", "Noted. Anything about how people would install it?", "assistant"),
    Turn("Alice", "We'll build it as a PWA. Add a task: look up what the API costs per thousand requests.", "user"),
)
DRIVE = (
    Turn("Bob", "The API of the bank is down again."),
    Turn("Charlie", "Then we wait; nothing was decided about banks anyway."),
)


def keep(
    conn: Connection, session: SessionDraft, turns: tuple[Turn, ...], at: datetime = MORNING
) -> tuple[str, list[int]]:
    """Stores a talk in one chunk; answers the key of its delivery and the ids of its turns."""
    said = delivery("{}", received_at=at)
    deliveries.record(conn, [said])
    sessions.ensure(conn, session)
    turn_ids = sessions.add_turns(conn, session.id, said.key, at, [replace(turn, start_time=at) for turn in turns])
    content = "\n".join(f"{turn.speaker}: {turn.text}" for turn in turns)
    piece = Chunk(content, "dialogue", 0, len(turns) - 1, ("Alice",), at)
    chunks.add(conn, session.id, said.key, [piece], turn_ids=turn_ids, extracted=[{}])
    return said.key, turn_ids


def fill(conn: Connection) -> None:
    key, turn_ids = keep(conn, SessionDraft("walk", "Morning walk"), WALK)
    decision, action = "we use the Carbon Interface API", "look up what the API costs per thousand requests"
    ids = memories.remember(
        conn,
        "walk",
        key,
        [
            MemoryDraft(
                "decision",
                "Use the Carbon Interface API",
                speaker="Alice",
                turn=2,
                quote=decision,
                char_start=WALK[2].text.index(decision),
                char_end=WALK[2].text.index(decision) + len(decision),
            ),
            MemoryDraft(
                "action_item",
                "Look up API costs",
                speaker="Alice",
                turn=4,
                quote=action,
                char_start=WALK[4].text.index(action),
                char_end=WALK[4].text.index(action) + len(action),
            ),
            MemoryDraft("idea", "Sell carbon certificates", speaker="Alice"),
        ],
        turn_ids,
    )
    conn.execute("UPDATE memories SET review = 'rejected' WHERE title = 'Sell carbon certificates'")
    tasks.create(conn, "walk", key, [TaskDraft("Look up API costs", "researcher", "research", memory=1)], ids)
    report = "# Costs\n\nThe free tier holds two hundred requests each month; a thousand cost nine euros."
    artifacts.attach(conn, "walk", ArtifactDraft("costs.md", report, "report", "markdown", id="costs"))
    keep(conn, SessionDraft("drive", "Drive home"), DRIVE, MORNING + timedelta(days=1))


@pytest.fixture(scope="module")
def conn(url: str) -> Iterator[Connection]:
    """Two talks; the tests of this file only read them."""
    with connect(url) as connection:
        fill(connection)
        yield connection


def texts(hits: list[Row]) -> list[str]:
    return [hit["snippet"] for hit in hits]


def marked(hit: Row) -> list[str]:
    return [hit["snippet"][start:end] for start, end in hit["highlights"]]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which API did Alice decide on for the emissions, and why?", "free tier is enough"),
        ("How are people supposed to install the thing?", "how people would install it"),
        ("what's wrong with my bank's API today?", "The API of the bank is down again."),
    ],
)
def test_a_plain_question_finds_its_answer_first_though_no_text_holds_all_its_words(
    conn: Connection, question: str, answer: str
) -> None:
    row = conn.execute(
        "SELECT count(*) AS n FROM turns WHERE to_tsvector('english', text) @@ plainto_tsquery('english', %s)",
        [question],
    ).fetchone()
    assert row == {"n": 0}
    assert answer in texts(search(conn, question, kinds=["turns"]))[0]


def test_what_shares_more_words_with_the_question_comes_first(conn: Connection) -> None:
    hits = search(conn, "carbon interface API requests", kinds=["turns"])
    assert [hit["turn_seq"] for hit in hits if hit["session_id"] == "walk"][:2] == [3, 5]
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


def test_a_hit_tells_where_it_comes_from(conn: Connection) -> None:
    (hit,) = search(conn, "emissions", kinds=["turns"])
    assert (hit["kind"], hit["session_id"], hit["session_title"]) == ("turns", "walk", "Morning walk")
    assert (hit["speaker"], hit["turn_seq"], hit["type"]) == ("Alice", 3, None)
    (hit,) = search(conn, "carbon interface", kinds=["memories"])
    assert (hit["speaker"], hit["turn_seq"], hit["type"]) == ("Alice", 3, "decision")
    assert hit["snippet"] == "we use the Carbon Interface API"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_searched_alone(conn: Connection, kind: str) -> None:
    hits = search(conn, "What does it cost per thousand requests?", kinds=[kind])
    assert hits
    assert {hit["kind"] for hit in hits} == {kind}


def test_chunks_repeat_the_turns_and_are_found_only_when_asked_for(conn: Connection) -> None:
    assert {hit["kind"] for hit in search(conn, "API costs requests")} == set(DEFAULT_KINDS) == set(KINDS) - {"chunks"}


def test_a_rejected_memory_is_not_found(conn: Connection) -> None:
    assert search(conn, "sell certificates") == []


def test_a_task_is_told_by_its_title_and_its_agent(conn: Connection) -> None:
    (hit,) = search(conn, "look up costs", kinds=["tasks"])
    assert (hit["snippet"], hit["speaker"], hit["type"]) == ("Look up API costs", "researcher", "research")


def test_an_artifact_is_told_by_its_name_and_the_place_that_matched(conn: Connection) -> None:
    (hit,) = search(conn, "euros each month", kinds=["artifacts"])
    assert (hit["id"], hit["type"]) == ("costs", "report")
    assert hit["snippet"].startswith("costs.md\n")
    assert marked(hit) == ["month", "euros"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, {"walk", "drive"}),
        ({"session_id": "walk"}, {"walk"}),
        ({"session_id": "nowhere"}, set()),
        ({"speaker": "alice"}, {"walk"}),
        ({"speaker": "Bob"}, {"drive"}),
        ({"speaker": "Ali"}, set()),
        ({"type": "decision"}, {"walk"}),
        ({"type": "risk"}, set()),
        ({"kinds": ["turns"], "since": MORNING + timedelta(days=1)}, {"drive"}),
        ({"kinds": ["chunks"], "since": MORNING + timedelta(days=1)}, {"drive"}),
        ({"kinds": ["turns"], "since": datetime(2999, 1, 1, tzinfo=UTC)}, set()),
    ],
)
def test_filters_leave_what_they_name(conn: Connection, filters: dict[str, Any], expected: set[str]) -> None:
    hits = search(conn, "the API", **filters)
    assert {hit["session_id"] for hit in hits} == expected
    if "type" in filters:
        assert all(hit["type"] == filters["type"] for hit in hits)
    if "kinds" in filters:
        assert all(hit["kind"] in filters["kinds"] for hit in hits)


def test_filters_add_up(conn: Connection) -> None:
    hits = search(conn, "API", kinds=["memories"], session_id="walk", type="action_item", speaker="ALICE")
    assert [hit["snippet"] for hit in hits] == ["look up what the API costs per thousand requests"]


def test_highlights_are_the_words_that_matched_in_any_of_their_forms(conn: Connection) -> None:
    (hit,) = search(conn, "cost of a request", kinds=["memories"])
    assert marked(hit) == ["costs", "requests"]
    (hit,) = search(conn, "emission", kinds=["turns"])
    assert marked(hit) == ["Emissions"]


def test_a_snippet_is_what_was_said_without_any_markup(conn: Connection) -> None:
    (hit,) = search(conn, "emissions", kinds=["turns"])
    assert hit["snippet"] in WALK[2].text
    (hit,) = search(conn, "PWA", kinds=["chunks"])
    assert "\x02" not in hit["snippet"] and "\x03" not in hit["snippet"]
    assert marked(hit) == ["PWA"]


def test_highlights_count_characters_not_bytes(conn: Connection) -> None:
    with conn.transaction(force_rollback=True):
        keep(conn, SessionDraft("call"), (Turn("Zoë", "🚲🚲 Grüße aus Zürich: the tandem is here."),))
        (hit,) = search(conn, "tandem")
        assert marked(hit) == ["tandem"]


def test_only_a_part_of_a_long_text_is_shown_and_it_holds_the_match(conn: Connection) -> None:
    with conn.transaction(force_rollback=True):
        long = "We talk about nothing at all. " * 200 + "Then the needle appears. " + "And nothing again. " * 200
        keep(conn, SessionDraft("long"), (Turn("Alice", long),))
        (hit,) = search(conn, "needle", kinds=["turns"])
        assert len(hit["snippet"]) < 600
        assert marked(hit) == ["needle"]


def test_a_hostile_text_is_shown_as_it_is(conn: Connection) -> None:
    with conn.transaction(force_rollback=True):
        keep(
            conn,
            SessionDraft("odd"),
            (Turn("Mallory", "\x02\x03 zebra \x03\x02 zebra <script>alert(1)</script> \x02"),),
        )
        (hit,) = search(conn, "zebra", kinds=["turns"])
        assert all(0 <= start <= end <= len(hit["snippet"]) for start, end in hit["highlights"])
        assert "zebra" in hit["snippet"]


@pytest.mark.parametrize(
    "query",
    ["", "   ", "\n\t", "the of and", "?!… – —", "'", '"', "🚲", "\x00", "& | ! ( ) <-> :*", "\\", "a" * 10_000],
)
def test_a_query_without_a_word_finds_nothing(conn: Connection, query: str) -> None:
    assert search(conn, query) == []


@pytest.mark.parametrize(
    "query",
    [
        'emissions "and an unclosed quote',
        "emissions' OR 1 = 1; DROP TABLE turns; --",
        "emissions\x00",
        "emissions & ! ( <-> :*",
        "emissions %s %(query)s {} $1 \\",
        "<b>emissions</b>",
        "EMISSIONS",
        "emissions " * 1000,
    ],
)
def test_a_strange_query_finds_what_its_words_say(conn: Connection, query: str) -> None:
    hits = search(conn, query, kinds=["turns"], session_id="walk")
    assert 3 in [hit["turn_seq"] for hit in hits]
    assert sessions.turns(conn, "walk")


def test_ten_thousand_different_words_are_asked_for_as_far_as_they_are_read(conn: Connection) -> None:
    query = "emissions " + " ".join(f"word{number}" for number in range(10_000))
    assert search(conn, query, kinds=["turns"])[0]["turn_seq"] == 3
    query = " ".join(f"word{number}" for number in range(10_000)) + " emissions"
    assert search(conn, query, kinds=["turns"]) == []


@given(st.text(max_size=60))
@rules(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_breaks_the_search(conn: Connection, query: str) -> None:
    for hit in search(conn, query + " emissions", kinds=KINDS):
        assert all(hit["snippet"][start:end].strip() for start, end in hit["highlights"])


@pytest.mark.parametrize("limit", [0, -1, 1001, 10**10])
def test_a_limit_out_of_range_is_refused(conn: Connection, limit: int) -> None:
    with pytest.raises(InvalidRequest, match="1 to 1000"):
        search(conn, "API", limit=limit)


def test_no_more_is_answered_than_asked_for_and_the_best_stays(conn: Connection) -> None:
    many = search(conn, "the carbon interface API", limit=1000)
    assert len(many) > 2
    assert search(conn, "the carbon interface API", limit=2) == many[:2]


def test_a_kind_that_is_none_is_refused_with_the_kinds_there_are(conn: Connection) -> None:
    with pytest.raises(InvalidRequest, match="turns, chunks, memories"):
        search(conn, "API", kinds=["dreams"])


def test_no_kind_at_all_finds_nothing(conn: Connection) -> None:
    assert search(conn, "API", kinds=[]) == []


FILL: LiteralString = """
INSERT INTO sessions (id) SELECT 'many-' || n FROM generate_series(1, 50) AS n;
INSERT INTO turns (session_id, seq, speaker, text)
SELECT 'many-' || 1 + n / 100, 1 + n % 100, 'Bob', 'we paint the barn with lime number ' || n
  FROM generate_series(0, 4999) AS n;
INSERT INTO conversation_chunks (session_id, chunk_id, content)
SELECT 'many-' || 1 + n / 100, n, 'we paint the barn with lime number ' || n FROM generate_series(0, 4999) AS n;
INSERT INTO memories (session_id, type, key, title, content)
SELECT 'many-1', 'idea', 'k' || n, 'Paint the barn ' || n, '{}' FROM generate_series(1, 5000) AS n;
INSERT INTO artifacts (id, session_id, name, content)
SELECT 'a' || n, 'many-1', 'barn', 'Lime ' || n FROM generate_series(1, 5000) AS n;
INSERT INTO tasks (id, session_id, agent_name, task_type, title)
SELECT 't' || n, 'many-1', 'codex', 'code', 'Paint barn ' || n FROM generate_series(1, 5000) AS n;
"""
READS: LiteralString = """
SELECT relname, seq_scan::int AS walks, (seq_tup_read + idx_tup_fetch)::int AS rows FROM pg_stat_xact_user_tables
 WHERE relname IN ('turns', 'conversation_chunks', 'memories', 'artifacts', 'task_words', 'tasks')
"""


def reads(conn: Connection) -> dict[str, Row]:
    return {row["relname"]: row for row in conn.execute(READS).fetchall()}


@pytest.mark.parametrize("where", [{}, {"session_id": "walk"}, {"since": MORNING}])
def test_a_rare_word_is_found_by_index_among_thousands_of_texts(conn: Connection, where: dict[str, Any]) -> None:
    with conn.transaction(force_rollback=True):
        conn.execute(FILL)
        conn.execute("ANALYZE")  # as autovacuum would
        before = reads(conn)
        hits = search(conn, "What does the carbon interface cost a month?", kinds=KINDS, **where)
        after = reads(conn)
        assert {hit["kind"] for hit in hits} == set(KINDS)
        assert {table: row["walks"] - before[table]["walks"] for table, row in after.items()} == dict.fromkeys(after, 0)
        assert all(row["rows"] - before[table]["rows"] < 200 for table, row in after.items())
