"""What the console reads of deliveries, and that it stays quick where there are many: by indexes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from store import console, deliveries
from store.database import Connection, connect

MANY = 20_000


@pytest.fixture
def many(conn: Connection) -> Connection:
    """Twenty thousand deliveries of a day, of which the earliest few are of a source of their own."""
    conn.execute(
        "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body, state, attempts,"
        " error_code, error, processed_at)"
        " SELECT md5(n::text), CASE WHEN n > %(many)s - 3 THEN 'grain' ELSE 'zoom' END, n::text, 'transcript',"
        " now() - n * interval '4 s', 'text/plain', decode(repeat(md5(n::text), 30), 'hex'),"
        " CASE WHEN n %% 100 = 0 THEN 'failed' ELSE 'processed' END, 1,"
        " CASE WHEN n %% 100 = 0 THEN 'no_turns' END, CASE WHEN n %% 100 = 0 THEN 'Nothing was said.' END,"
        " CASE WHEN n %% 100 > 0 THEN now() - n * interval '4 s' + interval '3 s' END"
        " FROM generate_series(1, %(many)s) AS n",
        {"many": MANY},
    )
    conn.execute("VACUUM ANALYZE deliveries")
    return conn


def plan(conn: Connection, statement: Any, parameters: dict[str, Any]) -> str:
    return "\n".join(row["QUERY PLAN"] for row in conn.execute("EXPLAIN " + statement, parameters).fetchall())


def test_whatever_is_asked_for_is_found_by_an_index(many: Connection) -> None:
    found = deliveries.listing(many, state=None, source="grain", before=None, limit=50)
    assert [row["delivery_id"] for row in found] == [str(MANY - 2), str(MANY - 1), str(MANY)]
    for source in ("grain", "zoom", None):
        asked = {"state": None, "source": source, "error_code": None, "before": None, "limit": 50}
        assert "Seq Scan" not in plan(many, deliveries.SQL["listing"], asked)


def test_pages_follow_one_another_within_a_filter(many: Connection) -> None:
    seen: list[str] = []
    before = None
    while rows := deliveries.listing(many, state="failed", source=None, error_code="no_turns", before=before, limit=70):
        seen += [row["delivery_id"] for row in rows]
        before = rows[-1]["id"]
    assert seen == [str(n) for n in range(100, MANY + 1, 100)]


def test_what_fits_is_counted_up_to_a_limit(many: Connection) -> None:
    def count(most: int = 1000, code: str | None = None, source: str | None = None) -> int:
        return deliveries.count_fitting(many, states=["failed"], source=source, error_code=code, most=most)

    assert (count(), count(code="no_turns"), count(code="x"), count(source="grain")) == (200, 200, 0, 1)
    assert count(most=10) == 11
    assert len(deliveries.replay(many, None, states=["failed"], source="grain")) == 1


def figures(conn: Connection) -> list[tuple[Any, ...]]:
    since = datetime.now(UTC) - timedelta(days=40)
    rows = conn.execute("SELECT quarter, source, state, processed, class, n, last FROM delivery_figures(%s)", [since])
    return sorted((tuple(row.values()) for row in rows.fetchall()), key=repr)


def count_all(conn: Connection) -> None:
    """As many sweeps as it takes."""
    before = -1
    while (now := counted(conn)) != before:
        before = now
        deliveries.count_quarters(conn)


def counted(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) AS n FROM delivery_quarters").fetchone()
    assert row is not None
    return int(row["n"])


def test_figures_are_the_same_counted_or_not(many: Connection) -> None:
    before = figures(many)
    assert sum(row[5] for row in before) == MANY
    deliveries.count_quarters(many)
    assert counted(many) == 50
    assert figures(many) == before
    count_all(many)
    assert counted(many) > 80
    assert figures(many) == before


@pytest.mark.parametrize("name", ["deliveries_by_source", "deliveries_over_time"])
def test_of_what_is_counted_no_delivery_is_read(many: Connection, name: str) -> None:
    count_all(many)
    many.execute("VACUUM ANALYZE delivery_counts, delivery_quarters")
    asked = {"since": datetime.now(UTC) - timedelta(hours=20), "step": timedelta(minutes=30)}
    with many.transaction():
        before = rows_read(many)
        many.execute(console.SQL[name], asked).fetchall()
        assert 0 < rows_read(many) - before < 2_000  # those of the last half hour; 18,000 are asked for


def rows_read(conn: Connection) -> int:
    """Rows and index entries of deliveries that this connection read."""
    row = conn.execute(READ).fetchone()
    assert row is not None
    return int(row["n"])


READ = """
SELECT sum(pg_stat_get_xact_tuples_returned(c.oid)) AS n FROM pg_class c
 WHERE c.oid = 'deliveries'::regclass
    OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'deliveries'::regclass)
"""


CHANGES = (
    "UPDATE deliveries SET state = 'received', processed_at = NULL WHERE delivery_id = '999'",
    "UPDATE deliveries SET state = 'processed', processed_at = clock_timestamp() WHERE delivery_id = '999'",
    "DELETE FROM deliveries WHERE delivery_id IN ('5000', '19999')",
    "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body)"
    " VALUES (repeat('a', 32), 'zoom', 'late', 'e', now() - interval '3 hours', 'text/plain', '')",
    "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body)"
    " VALUES (repeat('b', 32), 'zoom', 'very late', 'e', now() - interval '90 days', 'text/plain', '')",
)


def test_what_changes_later_is_counted_anew(many: Connection) -> None:
    count_all(many)
    for change in CHANGES:
        before = figures(many)
        with many.transaction():
            many.execute(change)
        changed = figures(many)
        if "90 days" not in change:
            assert changed != before
        deliveries.count_quarters(many)
        count_all(many)
        assert figures(many) == changed
        assert many.execute("SELECT FROM delivery_changes").fetchall() == []
    many.execute("TRUNCATE delivery_changes, delivery_quarters CASCADE")
    assert figures(many) == changed


def test_a_change_that_commits_while_it_is_counted_is_not_lost(many: Connection, database_url: str) -> None:
    count_all(many)
    with connect(database_url, "test") as other:
        with other.transaction():
            other.execute("UPDATE deliveries SET state = 'ignored' WHERE delivery_id = '5001'")
            many.execute("DELETE FROM delivery_quarters")
            count_all(many)
            assert ("zoom", "ignored") not in {row[1:3] for row in figures(many)}
        assert ("zoom", "ignored") in {row[1:3] for row in figures(many)}
        count_all(many)
        assert ("zoom", "ignored") in {row[1:3] for row in figures(many)}


def test_deliveries_are_counted_over_time(many: Connection) -> None:
    now = datetime.now(UTC)
    since = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0) - timedelta(hours=2)
    rows = console.deliveries_over_time(many, since, timedelta(minutes=30))
    assert sum(row["n"] for row in rows) == pytest.approx((now - since).total_seconds() / 4, abs=2)
    assert {row["class"] for row in rows if row["processed"]} == {4}  # e^(4/4) to e^(5/4) s: 3 s
    assert {(row["state"], row["class"]) for row in rows if row["processed"] is None} == {("failed", None)}
    assert {row["received"] for row in rows} <= {since + n * timedelta(minutes=30) for n in range(5)}


def test_they_are_counted_by_source_and_state(many: Connection) -> None:
    rows = console.deliveries_by_source(many, datetime.now(UTC) - timedelta(days=2))
    assert {(row["source"], row["state"]): row["n"] for row in rows} == {
        ("grain", "failed"): 1,
        ("grain", "processed"): 2,
        ("zoom", "failed"): 199,
        ("zoom", "processed"): MANY - 202,
    }


def test_of_a_body_the_beginning_is_read(conn: Connection) -> None:
    conn.execute(
        "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body)"
        " VALUES (repeat('a', 32), 'zoom', 'd', 'e', now(), 'text/plain', 'Hello, world')"
    )
    assert console.body(conn, "a" * 32, 5) == {"content_type": "text/plain", "bytes": 12, "head": b"Hello"}
    assert console.body(conn, "b" * 32, 5) is None


def test_what_waits_from_before_is_counted(conn: Connection) -> None:
    conn.execute(
        "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body)"
        " SELECT md5(n::text), 'zoom', n::text, 'e', now() - n * interval '1 day', 'text/plain', ''"
        " FROM generate_series(1, 5) AS n"
    )
    assert console.unfinished_before(conn, datetime.now(UTC) - timedelta(days=3)) == 3


def test_memories_and_tasks_are_counted(conn: Connection) -> None:
    conn.execute("INSERT INTO sessions (id) VALUES ('walk')")
    conn.execute(
        "INSERT INTO memories (session_id, type, key, title, content, confidence, language, created)"
        " SELECT 'walk', 'idea', n::text, 'Idea ' || n, '{}', n / 10.0, 'english', now() - n * interval '3 days'"
        " FROM generate_series(0, 10) AS n"
    )
    conn.execute(
        "INSERT INTO tasks (id, title, agent_name) SELECT n::text, 'Do ' || n, 'codex' FROM generate_series(1, 3) AS n"
    )
    tenths = {row["tenth"]: row["n"] for row in console.confidence(conn)}
    assert tenths == {**dict.fromkeys(range(9), 1), 9: 2}
    since = datetime.now(UTC) - timedelta(days=14) + timedelta(hours=1)
    weeks = console.memories_by_week(conn, since, ["idea", "risk"])
    assert [(row["type"], row["n"]) for row in weeks] == [("idea", 2), ("idea", 3)]
    assert [row["n"] for row in console.tasks_by_state(conn, since)] == [3]
    assert console.tasks_by_state(conn, datetime.now(UTC) + timedelta(days=1)) == []
