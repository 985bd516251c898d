"""How often words are said is always what counting afresh gives, whatever was written, changed or deleted."""

import threading
from typing import Any, LiteralString

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from ops.embedded import Servers
from store.database import Connection, connect

AFRESH: LiteralString = """
SELECT word, count(*) AS chunks FROM conversation_chunks c, unnest(tsvector_to_array(c.lexemes) || ARRAY['']) AS word
 GROUP BY word
"""
WORDS = ("carbon", "prices", "the", "dog", "Postgres", "Bäume", "läuft", "42")


def counted(conn: Connection) -> dict[str, int]:
    return {row["word"]: row["chunks"] for row in conn.execute("SELECT word, chunks FROM search_statistics")}


def afresh(conn: Connection) -> dict[str, int]:
    return {row["word"]: row["chunks"] for row in conn.execute(AFRESH)}


texts = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
session = st.sampled_from(["a", "b"])
writes = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), session, st.lists(texts, min_size=1, max_size=20)),
        st.tuples(st.just("edit"), session, texts),
        st.tuples(st.just("delete"), session, st.integers(0, 3)),
        st.tuples(st.just("language"), session, st.sampled_from(["english", "german", "simple"])),
        st.tuples(st.just("move"), session, session),
        st.tuples(st.just("fold"), st.none(), st.none()),
        st.tuples(st.just("undo"), session, texts),
        st.tuples(st.just("truncate"), st.none(), st.none()),
    ),
    max_size=25,
)


def write(conn: Connection, what: str, session: str | None, value: Any) -> None:
    match what:
        case "insert":
            add: LiteralString = """
                INSERT INTO conversation_chunks (session_id, chunk_id, content)
                SELECT %s, gen_random_uuid()::text, text FROM unnest(%s::text[]) AS text"""
            conn.execute(add, [session, value])
        case "edit":
            conn.execute("UPDATE conversation_chunks SET content = %s WHERE session_id = %s", [value, session])
        case "delete":
            conn.execute("DELETE FROM conversation_chunks WHERE session_id = %s AND id %% 4 = %s", [session, value])
        case "language":
            conn.execute("UPDATE sessions SET language = %s WHERE id = %s", [value, session])
        case "move":
            conn.execute("UPDATE conversation_chunks SET session_id = %s WHERE session_id = %s", [value, session])
        case "fold":
            conn.execute("SELECT fold_search_changes()")
        case "undo":
            with conn.transaction(force_rollback=True):
                write(conn, "insert", session, [value])
        case "truncate":
            conn.execute("TRUNCATE conversation_chunks")


@given(writes)
@rules(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_writes_the_counts_are_those_counted_afresh(
    conn: Connection, wanted: list[tuple[str, Any, Any]]
) -> None:
    with conn.transaction(force_rollback=True):
        conn.execute("INSERT INTO sessions (id, language) VALUES ('a', 'english'), ('b', 'german')")
        for what, session, value in wanted:
            write(conn, what, session, value)
        assert counted(conn) == afresh(conn)


def test_writers_at_the_same_time_wait_for_no_word_and_lose_none(conn: Connection, servers: Servers) -> None:
    conn.execute("INSERT INTO sessions (id) SELECT 's' || n FROM generate_series(1, 4) AS n")

    def say(number: int) -> None:
        with connect(conn.info.dsn + f" password={conn.info.password}", "test") as own:
            for _ in range(30):
                with own.transaction():
                    write(own, "insert", f"s{number}", ["the dog and the carbon prices", "the dog"])

    writers = [threading.Thread(target=say, args=[number]) for number in range(1, 5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert counted(conn) == afresh(conn) == {"": 240, "dog": 240, "carbon": 120, "price": 120}
    row = conn.execute("SELECT count(*) AS n FROM search_changes").fetchone()
    assert row is not None
    assert row["n"] < 120  # most was added up on the way


@pytest.mark.parametrize("language", ["klingon", "English", "", "pg_catalog.english"])
def test_a_language_that_is_none_is_refused(conn: Connection, language: str) -> None:
    with pytest.raises(Exception, match="check constraint"):
        conn.execute("INSERT INTO sessions (id, language) VALUES ('x', %s)", [language])


def test_what_was_counted_twice_is_counted_afresh(conn: Connection) -> None:
    conn.execute("INSERT INTO sessions (id) VALUES ('a')")
    write(conn, "insert", "a", ["the dog and the carbon prices", "the dog"])
    conn.execute("UPDATE search_words SET chunks = chunks * 2")
    conn.execute("INSERT INTO search_changes (words, counts) VALUES ('{dog,ghost}', '{1,1}')")
    assert counted(conn) != afresh(conn)
    conn.execute("SELECT recount_search_words()")
    assert counted(conn) == afresh(conn) == {"": 2, "dog": 2, "carbon": 1, "price": 1}
