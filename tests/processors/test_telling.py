"""One talk, many deliveries, in the database: one session without duplicates, whatever comes first."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from domain import envelope
from domain.delivery import Delivery
from domain.settings import Settings
from processors.__main__ import open_workshop
from processors.jobs import Workshop, process_batch, sweep
from store.database import Connection
from tests.conftest import delivery
from tests.processors.workshop import accept, acme, states, talk, work, work_again

pytestmark = pytest.mark.usefixtures("acme_source")

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
SEGMENTS = [
    acme("live", ("Alice", 0.0, "Good morning. Add a task: look up the tile prices."), received_at=AT),
    acme("live", ("Bob", 6.0, "I've decided we take"), received_at=AT + timedelta(seconds=10)),
    acme("live", ("Bob", 6.0, "I've decided we take the blue tiles."), received_at=AT + timedelta(seconds=20)),
]
REPORT = acme(
    "whole",
    ("Alice", 0.0, "Good morning. Add a task: look up the tile prices."),
    ("Bob", 6.0, "I've decided we take the blue tiles."),
    ("Alice", 9.0, "Then we are done."),
    received_at=AT + timedelta(seconds=60),
)
ANALYSIS = acme(
    "whole", summary="Blue tiles.", decisions=["Blue it is"], tasks=["Order tiles"], artifacts=["plan.md"],
    received_at=AT + timedelta(seconds=90),
)  # fmt: skip
TALK = [*SEGMENTS, REPORT, ANALYSIS]


def rows(conn: Connection, statement: str) -> list[dict[str, Any]]:
    return conn.execute(statement).fetchall()  # type: ignore[call-overload,no-any-return]


def stored(conn: Connection) -> dict[str, Any]:
    """What a session holds, but for ids and times that differ from one database to the next."""
    return {
        "turns": rows(conn, "SELECT session_id, seq, speaker, role, text FROM turns ORDER BY session_id, seq"),
        "chunks": rows(conn, "SELECT session_id, chunk_id, content FROM conversation_chunks ORDER BY 1, chunk_id"),
        "memories": rows(
            conn,
            "SELECT m.session_id, m.key, m.type, m.title, m.quote, m.review, t.seq FROM memories m"
            " LEFT JOIN turns t ON t.id = m.turn ORDER BY m.session_id, m.key",
        ),
        "tasks": rows(conn, "SELECT session_id, title, status, agent_name FROM tasks ORDER BY session_id, title"),
        "artifacts": rows(conn, "SELECT session_id, name, content FROM artifacts ORDER BY id"),
    }


def counted(conn: Connection) -> list[tuple[int, ...]]:
    names = ("conversation_chunk_count", "memory_count", "task_count", "artifact_count")
    return [tuple(row[name] for name in names) for row in rows(conn, "SELECT * FROM sessions ORDER BY id")]


def clear(conn: Connection) -> None:
    conn.execute("TRUNCATE deliveries, sessions CASCADE")


def send_one_by_one(settings: Settings, shop: Workshop, *deliveries: Delivery) -> None:
    for one in deliveries:
        accept(settings, one)
        work(shop)


def test_segments_report_and_analysis_become_one_session(settings: Settings, shop: Workshop, conn: Connection) -> None:
    send_one_by_one(settings, shop, *TALK)
    assert states(conn) == {"processed": 5}
    kept = stored(conn)
    assert [(turn["speaker"], turn["text"]) for turn in kept["turns"]] == [
        ("Alice", "Good morning. Add a task: look up the tile prices."),
        ("Bob", "I've decided we take the blue tiles."),
        ("Alice", "Then we are done."),
        ("", "Blue tiles."),
    ]
    assert [turn["seq"] for turn in kept["turns"]] == [1, 2, 3, 4]
    assert [memory["title"] for memory in kept["memories"]] == [
        "Look up the tile prices",
        "Blue it is",
        "We take the blue tiles",
    ]
    assert [task["title"] for task in kept["tasks"]] == ["Look up the tile prices", "Order tiles"]
    assert [artifact["name"] for artifact in kept["artifacts"]] == ["plan.md"]
    assert counted(conn) == [(len(kept["chunks"]), 3, 2, 1)]


def test_any_order_gives_the_same_session(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: Any
) -> None:
    send_one_by_one(settings, shop, *TALK)
    expected = stored(conn)
    orders = list(permutations(TALK))
    for order in orders[7 :: len(orders) // 8]:
        clear(conn)
        redis_client.flushall()
        send_one_by_one(settings, shop, *order)
        assert stored(conn) == expected


def test_in_one_batch_it_is_the_same_session(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: Any
) -> None:
    send_one_by_one(settings, shop, *TALK)
    expected = stored(conn)
    clear(conn)
    redis_client.flushall()
    accept(settings, *reversed(TALK))
    work(shop)
    assert stored(conn) == expected


def test_workers_at_the_same_time_make_the_same_session(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: Any
) -> None:
    send_one_by_one(settings, shop, *TALK)
    expected = stored(conn)
    clear(conn)
    redis_client.flushall()
    for one in TALK:
        accept(settings, one)
        redis_client.delete(envelope.OPEN)  # the next delivery is in a batch of its own
    batches = [member.decode() for member in redis_client.smembers(envelope.BATCHES)]
    assert len(batches) == len(TALK)
    shops = [open_workshop(settings, f"worker-{n}") for n in range(3)]
    with ThreadPoolExecutor(len(shops)) as threads:
        list(threads.map(process_batch, (shops[n % len(shops)] for n in range(len(batches))), batches))
    for one in shops:
        one.pool.close()
    assert states(conn) == {"processed": len(TALK)}
    assert stored(conn) == expected


def test_a_claimed_task_stays_when_the_report_words_it_otherwise(
    settings: Settings, shop: Workshop, conn: Connection
) -> None:
    send_one_by_one(settings, shop, SEGMENTS[0])
    (before,) = rows(conn, "SELECT id, agent_name FROM tasks")
    claimed = conn.execute("SELECT * FROM claim_task(%s, 'me')", [before["agent_name"]]).fetchone()
    assert claimed
    report = acme(
        "whole", ("Alice", 0.5, "Good morning. Add a task: look up tile prices."), received_at=AT + timedelta(1)
    )
    send_one_by_one(settings, shop, report)
    (after,) = rows(
        conn,
        "SELECT t.*, m.quote, u.text FROM tasks t JOIN memories m ON m.id = t.memory JOIN turns u ON u.id = m.turn",
    )
    assert (after["id"], after["status"], after["claim_token"]) == (before["id"], "claimed", claimed["claim_token"])
    assert after["quote"] in after["text"]


def test_a_pending_task_is_replaced_when_the_report_says_otherwise(
    settings: Settings, shop: Workshop, conn: Connection
) -> None:
    corrected = acme("whole", ("Alice", 0.0, "Morning all. Add a task: paint the kitchen ceiling."))
    send_one_by_one(settings, shop, SEGMENTS[0], corrected)
    assert [task["title"] for task in rows(conn, "SELECT title FROM tasks")] == ["Paint the kitchen ceiling"]


def test_a_talk_leaves_what_others_added_to_its_session_alone(
    settings: Settings, shop: Workshop, conn: Connection
) -> None:
    accept(settings, SEGMENTS[0])
    work(shop)
    accept(settings, delivery(talk("meeting", "Let's go with Postgres."), received_at=AT + timedelta(seconds=5)))
    work(shop)
    send_one_by_one(settings, shop, REPORT, ANALYSIS)
    kept = stored(conn)
    assert [turn["text"] for turn in kept["turns"]][-1] == "Let's go with Postgres."
    assert [turn["seq"] for turn in kept["turns"]] == [1, 2, 3, 4, 5]
    assert [m["seq"] for m in kept["memories"] if "Postgres" in m["title"]] == [5]


def test_a_segment_that_adds_nothing_moves_nothing(settings: Settings, shop: Workshop, conn: Connection) -> None:
    send_one_by_one(settings, shop, REPORT)
    before = rows(conn, "SELECT * FROM turns ORDER BY id")
    send_one_by_one(settings, shop, SEGMENTS[1])
    assert rows(conn, "SELECT * FROM turns ORDER BY id") == before
    assert states(conn) == {"processed": 2}


# A live session that falls silent


def silent_for(conn: Connection, seconds: int) -> None:
    conn.execute("UPDATE sessions SET last_activity = clock_timestamp() - make_interval(secs => %s)", [seconds])


def status(conn: Connection) -> str:
    (row,) = rows(conn, "SELECT status, completed_at FROM sessions")
    assert (row["status"] == "completed") == (row["completed_at"] is not None)
    return str(row["status"])


def test_a_live_session_completes_itself_when_nothing_comes(
    settings: Settings, shop: Workshop, conn: Connection
) -> None:
    send_one_by_one(settings, shop, SEGMENTS[0])
    silent_for(conn, settings.live_idle_seconds - 30)
    sweep(shop)
    assert status(conn) == "active"
    silent_for(conn, settings.live_idle_seconds + 1)
    sweep(shop)
    assert status(conn) == "completed"
    send_one_by_one(settings, shop, SEGMENTS[2], REPORT)
    assert len(stored(conn)["turns"]) == 3


def test_a_session_that_is_not_told_live_stays_open(settings: Settings, shop: Workshop, conn: Connection) -> None:
    accept(settings, delivery(talk("walk", "Words.")))
    work(shop)
    silent_for(conn, 10 * settings.live_idle_seconds)
    sweep(shop)
    assert status(conn) == "active"


def test_a_paused_live_session_is_left_to_who_paused_it(settings: Settings, shop: Workshop, conn: Connection) -> None:
    send_one_by_one(settings, shop, SEGMENTS[0])
    conn.execute("UPDATE sessions SET status = 'paused'")
    silent_for(conn, 10 * settings.live_idle_seconds)
    sweep(shop)
    assert status(conn) == "paused"


# Known, ignored, unknown


def test_known_ignored_and_unknown_are_three_outcomes(settings: Settings, shop: Workshop, conn: Connection) -> None:
    ping = delivery(b"{}", source="acme", event="ping")
    new = delivery(b'{"said": "canary"}', source="acme", event="mood.changed")
    accept(settings, REPORT, ping, new)
    work(shop)
    assert states(conn) == {"processed": 1, "ignored": 1, "unknown": 1}
    (row,) = rows(conn, "SELECT event, body, error_code, error, readings FROM deliveries WHERE state = 'unknown'")
    assert (row["event"], bytes(row["body"]), row["error_code"]) == ("mood.changed", new.body, "unknown_event")
    assert "canary" not in row["error"]
    assert row["readings"] == 0
    work_again(shop, conn)
    assert states(conn) == {"processed": 1, "ignored": 1, "unknown": 1}
