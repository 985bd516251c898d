"""What search makes of a question: forms of words, spelling, quotes, languages, neighbours, and what was in force."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from domain.memory import MemoryDraft
from domain.session import SessionDraft, Turn
from store import memories
from store.database import Connection
from store.search import facets, related, search
from tests.store.test_search import MORNING, keep


def say(conn: Connection, *texts: str, session: str = "walk", speakers: Sequence[str] = ("Alice", "Bob")) -> None:
    turns = tuple(Turn(speakers[n % len(speakers)], text) for n, text in enumerate(texts))
    keep(conn, SessionDraft(session), turns)


def first(conn: Connection, question: str, **filters: Any) -> str | None:
    hits = search(conn, question, kinds=["turns"], **filters)
    return str(hits[0]["snippet"]) if hits else None


def found(conn: Connection, question: str, **filters: Any) -> list[str]:
    return [hit["snippet"] for hit in search(conn, question, kinds=["turns"], **filters)]


SAID = (
    "We bought the new bikes in Lyon.",
    "The carbon report is late again.",
    "Nobody wrote to the landlord about the heating.",
    "The bikes are in the cellar now.",
    "Let us paint the fence green next spring.",
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Where did we buy them?", SAID[0]),
        ("Who should write to the landlord?", SAID[2]),
        ("painting fences", SAID[4]),
        ("carbn reprot", SAID[1]),
        ("the lanlord", SAID[2]),
    ],
    ids=["bought", "wrote", "stems", "two slips", "a letter missing"],
)
def test_other_forms_and_near_spellings_of_a_word_are_found(conn: Connection, question: str, answer: str) -> None:
    say(conn, *SAID)
    assert first(conn, question) == answer


def test_a_word_that_somebody_said_is_never_taken_for_a_slip(conn: Connection) -> None:
    say(conn, "The carbon report.", "The carton of milk.")
    assert found(conn, "carton") == ["The carton of milk."]


def test_the_last_word_may_be_unfinished(conn: Connection) -> None:
    say(conn, *SAID)
    assert found(conn, "he") == []
    assert found(conn, "he", unfinished=True) == [SAID[2]]
    assert found(conn, "the carbon rep", unfinished=True)[0] == SAID[1]


def test_words_in_quotes_stand_together_and_a_minus_takes_out(conn: Connection) -> None:
    say(conn, "The free tier of the Carbon Interface.", "The interface, with carbon copies.", "Carbon steel.")
    assert found(conn, '"carbon interface"') == ["The free tier of the Carbon Interface."]
    assert set(found(conn, "carbon -steel")) == {
        "The free tier of the Carbon Interface.",
        "The interface, with carbon copies.",
    }
    assert set(found(conn, "steel or tier")) == {"The free tier of the Carbon Interface.", "Carbon steel."}
    assert found(conn, '"interface carbon"') == []


def test_a_question_that_quotes_what_nobody_said_so_is_a_plain_question(conn: Connection) -> None:
    say(conn, *SAID)
    assert first(conn, 'Did she say "the report was late" about carbon?') == SAID[1]


def test_an_answer_without_the_words_of_the_question_is_found_beside_it(conn: Connection) -> None:
    say(conn, "Good morning.", "Which colour does the new fence get?", "Green, I think.", "Fine. And lunch?", "At one.")
    hits = found(conn, "What colour did we choose for the new fence?")
    assert hits[0] == "Which colour does the new fence get?"
    assert "Green, I think." in hits[:3]


def test_who_is_named_in_the_question_comes_first(conn: Connection) -> None:
    say(conn, "My favourite is tea.", "My favourite is coffee.", speakers=("Caroline Ek", "Melanie"))
    assert first(conn, "What is the favourite of Melanie?") == "My favourite is coffee."
    assert first(conn, "What is Caroline's favourite?") == "My favourite is tea."


def test_a_caption_is_searched_with_its_turn(conn: Connection) -> None:
    keep(conn, SessionDraft("walk"), (Turn("Alice", "Look at this.", caption="a photo of a zebra in the kitchen"),))
    (hit,) = search(conn, "zebra", kinds=["turns"])
    assert "zebra" in hit["snippet"]


@pytest.mark.parametrize(
    ("language", "text", "question"),
    [
        ("german", "Die Häuser sind verkauft.", "Haus"),
        ("french", "Les chevaux mangent.", "cheval mange"),
        ("simple", "Ruletka ruletki.", "ruletki"),
    ],
)
def test_a_session_is_searched_in_its_language(conn: Connection, language: str, text: str, question: str) -> None:
    conn.execute("INSERT INTO sessions (id, language) VALUES ('call', %s)", [language])
    say(conn, *SAID)
    say(conn, text, session="call")
    assert first(conn, question, session_id="call") == text
    assert first(conn, question) == text


def test_a_session_that_turns_out_to_be_in_another_language_is_read_anew(conn: Connection) -> None:
    say(conn, "Die Häuser sind verkauft.", session="call")
    assert found(conn, "Haus", session_id="call") == []
    conn.execute("UPDATE sessions SET language = 'german' WHERE id = 'call'")
    assert found(conn, "Haus", session_id="call") == ["Die Häuser sind verkauft."]


def test_memories_are_searched_as_they_stood(conn: Connection) -> None:
    key, _ = keep(conn, SessionDraft("walk"), (Turn("Alice", "x"),))
    old, new = memories.remember(
        conn,
        "walk",
        key,
        [MemoryDraft("decision", "Use SQLite for storage"), MemoryDraft("decision", "Use Postgres for storage")],
        [],
    )
    conn.execute("UPDATE memories SET said_at = %s WHERE id = %s", [MORNING, old])
    conn.execute("UPDATE memories SET said_at = %s WHERE id = %s", [MORNING + timedelta(days=2), new])
    conn.execute(
        "UPDATE memories SET superseded_by = %s, superseded_at = %s WHERE id = %s",
        [new, MORNING + timedelta(days=2), old],
    )

    def stood(day: int) -> list[str]:
        hits = search(conn, "What do we use for storage?", as_of=MORNING + timedelta(days=day))
        return [hit["snippet"] for hit in hits]

    assert stood(-1) == []
    assert stood(1) == ["Use SQLite for storage"]
    assert stood(3) == ["Use Postgres for storage"]


def test_it_is_told_what_each_word_gives_to_the_score(conn: Connection) -> None:
    say(conn, *SAID)
    hit = search(conn, "Is the carbon report in Lyon?", kinds=["turns"])[0]
    assert set(hit["explained"]) == {"carbon", "report"}
    assert 0 < sum(hit["explained"].values()) < 1
    assert 0 < hit["score"] < 1


def test_facets_count_the_hits(conn: Connection) -> None:
    say(conn, "The carbon report.", "The carbon price.", "Lunch?")
    say(conn, "More carbon.", session="drive", speakers=("Carla",))
    counts = {(row["facet"], row["value"]): row["hits"] for row in facets(conn, "carbon")}
    assert counts["session", "walk"] == 2
    assert counts["session", "drive"] == 1
    assert counts["speaker", "Alice"] == counts["speaker", "Carla"] == 1
    assert counts["kind", "turns"] == 3
    assert {value for facet, value in counts if facet == "month"} == {"2026-03"}


def test_what_else_was_said_of_it_is_related_and_what_says_the_same_is_not(conn: Connection) -> None:
    key, turn_ids = keep(
        conn, SessionDraft("walk"), (Turn("Alice", "We use the Carbon Interface."), Turn("Bob", "Fine."))
    )
    said = "We use the Carbon Interface."
    draft = MemoryDraft("decision", "Use the Carbon Interface", turn=0, quote=said, char_start=0, char_end=len(said))
    (memory,) = memories.remember(conn, "walk", key, [draft], turn_ids)
    (again,) = memories.remember_merged(
        conn, "walk", key, [MemoryDraft("decision", "The Carbon Interface it is")], [], [memory]
    )
    say(conn, "The Carbon Interface was down on Monday.", session="drive")
    hits = related(conn, said, memory=memory, limit=5)
    assert [hit["session_id"] for hit in hits if hit["kind"] == "turns"] == ["drive"]
    assert {(hit["kind"], hit["id"]) for hit in hits} & {
        ("memories", str(memory)),
        ("memories", str(again["id"])),
    } == set()
    assert ("turns", str(turn_ids[0])) not in {(hit["kind"], hit["id"]) for hit in hits}


def test_the_database_alone_ranks_as_the_service_does(conn: Connection) -> None:
    say(conn, *SAID)
    ours = [(hit["kind"], hit["id"]) for hit in search(conn, "Who wrote about the carbon report?")]
    rows = conn.execute("SELECT kind, id FROM search('Who wrote about the carbon report?')").fetchall()
    assert [(row["kind"], row["id"]) for row in rows] == ours != []


def test_how_soon_a_repeated_word_counts_no_more_is_a_setting(conn: Connection) -> None:
    say(conn, "carbon carbon carbon carbon and many other things here", "carbon paper", "x", "y", "z")
    (before, *_) = search(conn, "carbon", kinds=["turns"])
    conn.execute("UPDATE search_settings SET turn_k1 = 0, turn_b = 0")
    scores = {hit["score"] for hit in search(conn, "carbon", kinds=["turns"])}
    assert before["snippet"].startswith("carbon carbon")
    assert len({round(score, 2) for score in scores}) == 1


@pytest.mark.parametrize("skip", [-1, 1000])
def test_a_page_that_cannot_be_is_refused(conn: Connection, skip: int) -> None:
    with pytest.raises(Exception, match="best 1000"):
        search(conn, "carbon", skip=skip)


def test_pages_follow_one_another(conn: Connection) -> None:
    say(conn, *(f"carbon number {n}" for n in range(25)))
    whole = [hit["id"] for hit in search(conn, "carbon", kinds=["turns"], limit=25)]
    pages = [hit["id"] for skip in (0, 10, 20) for hit in search(conn, "carbon", kinds=["turns"], limit=10, skip=skip)]
    assert pages == whole
    assert len(set(whole)) == 25


def test_since_after_until_is_refused(conn: Connection) -> None:
    with pytest.raises(Exception, match="after `until`"):
        search(conn, "carbon", since=MORNING, until=MORNING - timedelta(days=1))
