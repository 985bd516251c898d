"""What the store's functions write: sessions, turns, chunks, memories, tasks, artifacts, deliveries; and its errors."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from domain.delivery import Delivery
from domain.errors import AIWebhookError, DatabaseUnavailable, InvalidRequest
from domain.memory import MemoryDraft
from domain.session import Chunk, SessionDraft, Turn
from domain.task import ArtifactDraft, TaskDraft
from store import agents, artifacts, chunks, deliveries, memories, sessions, tasks
from store.database import Connection, Row, borrowed, connect, open_pool, our_errors
from tests.conftest import delivery

MORNING = datetime(2026, 3, 2, 7, 40, tzinfo=UTC)


@pytest.fixture(scope="module")
def connection(url: str) -> Iterator[Connection]:
    with connect(url) as conn:
        yield conn


@pytest.fixture
def conn(connection: Connection) -> Iterator[Connection]:
    """An empty database; what a test writes is gone after it."""
    yield connection
    for statement in (
        "DELETE FROM artifacts",
        "DELETE FROM tasks",
        "DELETE FROM sessions",
        "DELETE FROM deliveries",
        "DELETE FROM agents WHERE type = 'unknown'",
    ):
        connection.execute(statement)


@pytest.fixture
def walk(conn: Connection) -> Connection:
    """The connection, with an empty session `walk`."""
    sessions.ensure(conn, SessionDraft("walk"))
    return conn


def session(conn: Connection, session_id: str = "walk") -> Row:
    row = sessions.get(conn, session_id)
    assert row is not None
    return row


def recorded(conn: Connection, received_at: datetime = MORNING, **more: Any) -> Delivery:
    one = delivery("{}", received_at=received_at, **more)
    deliveries.record(conn, [one])
    return one


def say(conn: Connection, received_at: datetime, *texts: str) -> list[int]:
    """Turns of one delivery that came in at this instant."""
    one = recorded(conn, received_at)
    return sessions.add_turns(conn, "walk", one.key, received_at, [Turn("Alice", text) for text in texts])


def said(conn: Connection) -> list[tuple[int, str]]:
    return [(turn["seq"], turn["text"]) for turn in sessions.turns(conn, "walk")]


# Sessions


def test_a_session_is_made_of_what_the_first_delivery_says(conn: Connection) -> None:
    assert not sessions.exists(conn, "walk")
    people = ("Alice", {"name": "Bob", "role": "reviewer"})
    sessions.ensure(conn, SessionDraft("walk", "Morning walk", people, "planning", metadata={"app": "voice"}))
    assert sessions.exists(conn, "walk")
    row = session(conn)
    assert (row["title"], row["context"], row["status"]) == ("Morning walk", "planning", "active")
    assert (row["participants"], row["metadata"]) == (list(people), {"app": "voice"})


def test_what_a_later_delivery_leaves_out_stays_as_it_is(conn: Connection) -> None:
    sessions.ensure(conn, SessionDraft("walk", "Morning walk", ("Alice",), "planning", metadata={"app": "voice"}))
    before = session(conn)
    sessions.ensure(conn, SessionDraft("walk"))
    after = session(conn)
    assert after.pop("last_activity") >= before.pop("last_activity")
    assert after == before


def test_what_a_later_delivery_says_is_merged(conn: Connection) -> None:
    sessions.ensure(conn, SessionDraft("walk", "Walk", ("Alice", {"name": "Bob"}), metadata={"app": "voice", "v": 1}))
    sessions.ensure(
        conn,
        SessionDraft("walk", "Morning walk", ({"name": "Bob"}, "Alice", "Charlie"), "planning", metadata={"v": 2}),
    )
    row = session(conn)
    assert (row["title"], row["context"]) == ("Morning walk", "planning")
    assert row["participants"] == ["Alice", {"name": "Bob"}, "Charlie"]
    assert row["metadata"] == {"app": "voice", "v": 2}


def test_a_session_is_paused_completed_and_begun_again(conn: Connection) -> None:
    for status in ("paused", "completed", "completed", "active"):
        sessions.ensure(conn, SessionDraft("walk", status=status))
        row = session(conn)
        assert (row["status"], row["completed_at"] is not None) == (status, status == "completed")


def test_a_session_stays_locked_for_the_rest_of_the_transaction(walk: Connection, url: str) -> None:
    order: list[str] = []
    with connect(url) as other:

        def write() -> None:
            sessions.ensure(other, SessionDraft("walk", "Second"))
            order.append("second")

        second = threading.Thread(target=write)
        with walk.transaction():
            sessions.ensure(walk, SessionDraft("walk", "First"))
            second.start()
            with connect(url) as third, pytest.raises(psycopg.errors.LockNotAvailable):
                third.execute("SELECT FROM sessions WHERE id = 'walk' FOR NO KEY UPDATE NOWAIT")
            order.append("first")
        second.join()
    assert order == ["first", "second"]
    assert session(walk)["title"] == "Second"


@pytest.mark.parametrize("session_id", ["", "x" * 201])
def test_an_id_that_is_none_is_refused(conn: Connection, session_id: str) -> None:
    with pytest.raises(InvalidRequest):
        sessions.ensure(conn, SessionDraft(session_id))


# Turns


def test_turns_keep_all_that_the_reader_knows(walk: Connection) -> None:
    turn = Turn("Alice", "Hello.\nAre you there?", "user", 1.5, 2.25, MORNING, MORNING + timedelta(seconds=1))
    (turn_id,) = sessions.add_turns(walk, "walk", recorded(walk).key, MORNING, [turn])
    assert sessions.turns(walk, "walk") == [
        {
            "id": turn_id,
            "seq": 1,
            "speaker": "Alice",
            "role": "user",
            "text": "Hello.\nAre you there?",
            "start_seconds": 1.5,
            "end_seconds": 2.25,
            "start_time": MORNING,
            "end_time": MORNING + timedelta(seconds=1),
        }
    ]


def test_turns_of_later_deliveries_go_on_counting(walk: Connection) -> None:
    first = say(walk, MORNING, "One.", "Two.")
    second = say(walk, MORNING + timedelta(minutes=1), "Three.")
    assert said(walk) == [(1, "One."), (2, "Two."), (3, "Three.")]
    assert [turn["id"] for turn in sessions.turns(walk, "walk")] == first + second


def test_a_late_delivery_is_put_where_it_was_said(walk: Connection) -> None:
    say(walk, MORNING, "One.", "Two.")
    say(walk, MORNING + timedelta(minutes=2), "Five.", "Six.")
    say(walk, MORNING + timedelta(minutes=1), "Three.", "Four.")
    say(walk, MORNING - timedelta(minutes=1), "Zero.")
    assert said(walk) == list(enumerate(["Zero.", "One.", "Two.", "Three.", "Four.", "Five.", "Six."], start=1))


def test_deliveries_of_the_same_instant_stay_in_the_order_of_writing(walk: Connection) -> None:
    say(walk, MORNING, "One.")
    say(walk, MORNING, "Two.")
    assert said(walk) == [(1, "One."), (2, "Two.")]


def test_turns_whose_delivery_is_gone_stay_before_the_new_ones(walk: Connection) -> None:
    say(walk, MORNING + timedelta(days=1), "One.")
    walk.execute("DELETE FROM deliveries")
    say(walk, MORNING, "Two.")
    assert said(walk) == [(1, "One."), (2, "Two.")]


def test_turns_of_another_session_stay_where_they_are(walk: Connection) -> None:
    sessions.ensure(walk, SessionDraft("drive"))
    late = recorded(walk, MORNING + timedelta(days=1))
    sessions.add_turns(walk, "drive", late.key, late.received_at, [Turn("Bob", "Hi.")])
    say(walk, MORNING, "One.")
    assert said(walk) == [(1, "One.")]
    assert [turn["seq"] for turn in sessions.turns(walk, "drive")] == [1]


def test_no_turns_are_no_work(walk: Connection) -> None:
    assert sessions.add_turns(walk, "walk", recorded(walk).key, MORNING, []) == []


def test_turns_are_read_from_a_place_on(walk: Connection) -> None:
    say(walk, MORNING, "One.", "Two.", "Three.")
    assert [turn["text"] for turn in sessions.turns(walk, "walk", after=1, limit=1)] == ["Two."]


# Chunks


def cut(content: str, first: int = 0, last: int = 0) -> Chunk:
    return Chunk(content, "dialogue", first, last, ("Alice",), MORNING)


def keep_chunks(conn: Connection, *contents: str, freed: tuple[str, ...] = ()) -> None:
    turn_ids = say(conn, MORNING, *contents)
    chunks.add(
        conn,
        "walk",
        recorded(conn).key,
        [cut(content, i, i) for i, content in enumerate(contents)],
        turn_ids=turn_ids,
        extracted=[{"decision": [content]} for content in contents],
        freed=freed,
    )


def chunk_ids(conn: Connection) -> list[tuple[str, str]]:
    return [(row["chunk_id"], row["content"]) for row in chunks.listing(conn, "walk")]


def test_chunks_are_numbered_through_the_session(walk: Connection) -> None:
    keep_chunks(walk, "One.", "Two.")
    keep_chunks(walk, "Three.")
    assert chunk_ids(walk) == [("0001", "One."), ("0002", "Two."), ("0003", "Three.")]
    row = chunks.listing(walk, "walk")[1]
    assert (row["first_turn"], row["last_turn"], row["participants"]) == (2, 2, ["Alice"])
    assert (row["extracted_items"], row["format"], row["start_time"]) == ({"decision": ["Two."]}, "dialogue", MORNING)
    assert session(walk)["conversation_chunk_count"] == 3


def test_chunks_that_stand_in_for_others_take_their_ids_and_count_on(walk: Connection) -> None:
    keep_chunks(walk, "One.", "Two.", "Three.")
    walk.execute("DELETE FROM conversation_chunks WHERE chunk_id IN ('0001', '0003')")
    keep_chunks(walk, "Uno.", "Tre.", "Quattro.", freed=("0001", "0003"))
    assert chunk_ids(walk) == [("0001", "Uno."), ("0002", "Two."), ("0003", "Tre."), ("0004", "Quattro.")]


def test_the_ten_thousandth_chunk_of_a_session_comes_after_the_one_before(walk: Connection) -> None:
    walk.execute("INSERT INTO conversation_chunks (session_id, chunk_id, content) VALUES ('walk', '9999', 'Nearly.')")
    keep_chunks(walk, "One.", "Two.")
    assert chunk_ids(walk) == [("9999", "Nearly."), ("10000", "One."), ("10001", "Two.")]


def test_chunk_ids_that_are_no_numbers_do_not_count(walk: Connection) -> None:
    walk.execute(
        "INSERT INTO conversation_chunks (session_id, chunk_id, content)"
        " VALUES ('walk', 'intro', 'Hi.'), ('walk', '99999999999', 'Hello.')"
    )
    keep_chunks(walk, "One.")
    assert ("0001", "One.") in chunk_ids(walk)


def test_no_chunks_are_no_work(walk: Connection) -> None:
    chunks.add(walk, "walk", recorded(walk).key, [], turn_ids=[], extracted=[])
    assert chunks.listing(walk, "walk") == []


# Memories


def remember(conn: Connection, *drafts: MemoryDraft, turn_ids: tuple[int, ...] = ()) -> list[int]:
    return memories.remember(conn, "walk", recorded(conn).key, drafts, turn_ids)


def memory(conn: Connection, memory_id: int) -> Row:
    row = memories.get(conn, memory_id)
    assert row is not None
    return row


def test_a_memory_keeps_the_words_it_came_from(walk: Connection) -> None:
    turn_ids = say(walk, MORNING, "Hello.", "So: we build a PWA.")
    draft = MemoryDraft(
        "decision",
        "Build a PWA",
        content={"rationale": "one code base"},
        tags=("web",),
        confidence=0.75,
        speaker="Alice",
        turn=1,
        char_start=4,
        char_end=19,
        quote="we build a PWA.",
    )
    (memory_id,) = remember(walk, draft, turn_ids=tuple(turn_ids))
    row = memory(walk, memory_id)
    assert (row["turn"], row["turn_seq"], row["speaker"], row["extractor"]) == (turn_ids[1], 2, "Alice", "rules")
    assert (row["type"], row["title"], row["tags"], row["review"]) == ("decision", "Build a PWA", ["web"], "proposed")
    assert row["confidence"] == 0.75
    assert row["content"]["title"] == "Build a PWA"
    assert row["content"]["rationale"] == "one code base"
    quoted = walk.execute(
        "SELECT substr(t.text, m.char_start + 1, m.char_end - m.char_start) = m.quote AS right"
        "  FROM memories m JOIN turns t ON t.id = m.turn"
    ).fetchone()
    assert quoted == {"right": True}


def test_ids_come_in_the_order_of_the_drafts(walk: Connection) -> None:
    first, second = remember(walk, MemoryDraft("idea", "One"), MemoryDraft("idea", "Two"))
    again = remember(walk, MemoryDraft("idea", "Two"), MemoryDraft("idea", "Three"), MemoryDraft("idea", "One"))
    assert (again[0], again[2]) == (second, first)
    assert again[1] not in (first, second)
    assert session(walk)["memory_count"] == 3


def test_a_memory_without_a_key_is_known_by_type_and_title(walk: Connection) -> None:
    ids = remember(
        walk,
        MemoryDraft("decision", "Use the API!"),
        MemoryDraft("decision", "use the api"),
        MemoryDraft("idea", "Use the API!"),
    )
    keys = [memory(walk, memory_id)["key"] for memory_id in ids]
    assert keys == ["decision-use-the-api", "decision-use-the-api", "idea-use-the-api"]
    assert ids[0] == ids[1]


def test_titles_that_differ_only_where_a_key_is_cut_or_holds_no_word_are_different(walk: Connection) -> None:
    long = "to go on and on " * 20
    drafts = [MemoryDraft("idea", title) for title in (long + "left", long + "right", "…", "?!", "走ろう")]
    ids = remember(walk, *drafts)
    assert len(set(ids)) == len(drafts)
    assert remember(walk, *drafts) == ids


def test_the_same_key_in_another_session_is_another_memory(walk: Connection) -> None:
    sessions.ensure(walk, SessionDraft("drive"))
    (here,) = remember(walk, MemoryDraft("idea", "One"))
    (there,) = memories.remember(walk, "drive", recorded(walk).key, [MemoryDraft("idea", "One")], [])
    assert here != there


def test_what_the_sender_stores_again_replaces_it(walk: Connection) -> None:
    for number in (1, 2):
        (memory_id,) = remember(
            walk,
            MemoryDraft(
                "fact", f"Fact {number}", {"value": number}, (f"tag-{number}",), key="price", extractor="sender"
            ),
        )
    row = memory(walk, memory_id)
    assert (row["title"], row["content"]["value"], row["tags"]) == ("Fact 2", 2, ["tag-2"])
    assert row["updated"] > row["created"]
    assert session(walk)["memory_count"] == 1


def test_what_the_sender_stores_replaces_what_was_extracted(walk: Connection) -> None:
    remember(walk, MemoryDraft("fact", "Guess", key="price", confidence=0.5))
    (memory_id,) = remember(walk, MemoryDraft("fact", "Given", key="price", extractor="sender"))
    row = memory(walk, memory_id)
    assert (row["title"], row["extractor"], row["confidence"]) == ("Given", "sender", 1.0)


def test_what_is_extracted_again_changes_nothing(walk: Connection) -> None:
    (memory_id,) = remember(walk, MemoryDraft("fact", "Given", key="price", extractor="sender"))
    before = memory(walk, memory_id)
    assert remember(walk, MemoryDraft("fact", "Guess", key="price", confidence=0.5)) == [memory_id]
    assert memory(walk, memory_id) == before


@pytest.mark.parametrize("extractor", ["sender", "rules"])
def test_what_a_person_edited_survives(walk: Connection, extractor: Any) -> None:
    (memory_id,) = remember(walk, MemoryDraft("fact", "Given", key="price", extractor="sender"))
    walk.execute("UPDATE memories SET title = 'Mine', review = 'edited'")
    before = memory(walk, memory_id)
    assert remember(walk, MemoryDraft("idea", "New", key="price", extractor=extractor)) == [memory_id]
    assert memory(walk, memory_id) == before


def test_what_a_person_rejected_stays_rejected(walk: Connection) -> None:
    (memory_id,) = remember(walk, MemoryDraft("fact", "Wrong", key="price"))
    walk.execute("UPDATE memories SET review = 'rejected'")
    remember(walk, MemoryDraft("fact", "Wrong", key="price"))
    assert memory(walk, memory_id)["review"] == "rejected"


@pytest.mark.parametrize("change", ["title = 'Mine'", "type = 'idea'", """content = '{"a": 1}'""", "tags = '{mine}'"])
def test_a_memory_changed_in_sql_counts_as_edited(walk: Connection, change: str) -> None:
    (memory_id,) = remember(walk, MemoryDraft("fact", "Given", key="price"))
    before = memory(walk, memory_id)
    walk.execute("UPDATE memories SET title = title, confidence = 0.5")
    assert memory(walk, memory_id)["review"] == "proposed"
    walk.execute(f"UPDATE memories SET {change}")  # type: ignore[arg-type]
    after = memory(walk, memory_id)
    assert after["review"] == "edited"
    assert after["updated"] > before["updated"]


def test_a_memory_whose_review_is_set_keeps_that(walk: Connection) -> None:
    (memory_id,) = remember(walk, MemoryDraft("fact", "Given", key="price"))
    walk.execute("UPDATE memories SET title = 'Better', review = 'accepted'")
    assert memory(walk, memory_id)["review"] == "accepted"


def test_what_the_sender_gives_outright_is_accepted(walk: Connection) -> None:
    ids = remember(walk, MemoryDraft("fact", "Given", extractor="sender"), MemoryDraft("fact", "Guessed"))
    assert [memory(walk, memory_id)["review"] for memory_id in ids] == ["accepted", "proposed"]


def test_memories_are_listed_newest_first_and_by_what_they_are(walk: Connection) -> None:
    one, two, three = remember(
        walk,
        MemoryDraft("idea", "One", tags=("web", "app")),
        MemoryDraft("fact", "Two", tags=("web",)),
        MemoryDraft("idea", "Three"),
    )

    def listed(**filters: Any) -> list[int]:
        every = {"type": None, "session_id": None, "tag": None, "before": None, "limit": 10}
        return [row["id"] for row in memories.listing(walk, **{**every, **filters})]

    assert listed() == [three, two, one]
    assert listed(type="idea") == [three, one]
    assert listed(tag="web") == [two, one]
    assert listed(session_id="walk", before=three, limit=1) == [two]
    assert listed(session_id="drive") == []


# Tasks


def create(conn: Connection, *drafts: TaskDraft, key: str = "0" * 32, memory_ids: tuple[int, ...] = ()) -> list[str]:
    conn.execute(
        "INSERT INTO deliveries (id, source, delivery_id, event, received_at, content_type, body)"
        " VALUES (%s, 'generic', %s, 'transcript', now(), 'application/json', '') ON CONFLICT DO NOTHING",
        [key, key],
    )
    return tasks.create(conn, "walk", key, drafts, memory_ids)


def test_a_task_of_the_same_memory_is_one_task_whoever_brings_it(walk: Connection) -> None:
    (memory_id,) = remember(walk, MemoryDraft("action_item", "Look up prices"))
    draft = TaskDraft("Look up prices", "claude_code", "research", memory=0, input_data={"due": "Friday"})
    first = create(walk, draft, memory_ids=(memory_id,))
    again = create(walk, draft, key="1" * 32, memory_ids=(memory_id,))
    assert first == again
    row = tasks.get(walk, first[0])
    assert row is not None
    assert (row["memory"], row["memory_key"], row["status"]) == (memory_id, "action_item-look-up-prices", "pending")
    assert (row["input_data"], row["priority"], row["task_type"]) == ({"due": "Friday"}, 50, "research")
    assert session(walk)["task_count"] == 1


def test_a_delivery_that_is_processed_twice_makes_its_tasks_once(walk: Connection) -> None:
    drafts = [TaskDraft("Same words", "codex", "code"), TaskDraft("Same words", "codex", "code")]
    first = create(walk, *drafts)
    assert len(set(first)) == 2
    assert create(walk, *drafts) == first
    assert session(walk)["task_count"] == 2


def test_a_task_that_is_under_way_is_left_as_it_is(walk: Connection) -> None:
    create(walk, TaskDraft("Report", "codex", "docs", id="report"))
    (given,) = tasks.claim(walk, "codex", "bob")
    create(walk, TaskDraft("Another title", "claude_code", "code", id="report", status="proposed"))
    row = tasks.get(walk, "report")
    assert row is not None
    assert (row["title"], row["agent_name"], row["status"]) == ("Report", "codex", "claimed")
    assert row["claim_token"] == given["claim_token"]


def test_a_task_for_an_agent_that_nobody_knows_waits_for_it(walk: Connection) -> None:
    create(walk, TaskDraft("Report", "hal_9000", "docs"))
    row = next(row for row in agents.listing(walk) if row["name"] == "hal_9000")
    assert (row["type"], row["status"], row["waiting"], row["held"]) == ("unknown", "offline", 1, 0)
    assert len(tasks.claim(walk, "hal_9000", "bob")) == 1
    row = next(row for row in agents.listing(walk) if row["name"] == "hal_9000")
    assert (row["waiting"], row["held"]) == (0, 1)


def test_an_agent_that_is_known_is_left_as_it_is(walk: Connection) -> None:
    create(walk, TaskDraft("Report", "codex", "docs"))
    row = next(row for row in agents.listing(walk) if row["name"] == "codex")
    assert (row["type"], row["status"], row["command"]) == ("cli", "available", "codex")


def test_a_guess_is_stored_as_proposed(walk: Connection) -> None:
    (task_id,) = create(walk, TaskDraft("Maybe", "codex", "docs", status="proposed"))
    row = tasks.get(walk, task_id)
    assert row is not None
    assert row["status"] == "proposed"


# Artifacts


def artifact(conn: Connection, artifact_id: str) -> Row:
    row = artifacts.get(conn, artifact_id)
    assert row is not None
    return row


def test_an_artifact_gets_an_id_a_size_and_a_digest(walk: Connection) -> None:
    artifact_id = artifacts.attach(walk, "walk", ArtifactDraft("notes.md", "Grüße", "report", "markdown"))
    row = artifact(walk, artifact_id)
    assert artifact_id.startswith("artifact_")
    assert (row["name"], row["type"], row["format"], row["size"]) == ("notes.md", "report", "markdown", 7)
    assert row["sha256"] == hashlib.sha256("Grüße".encode()).hexdigest()
    assert session(walk)["artifact_count"] == 1


def test_an_artifact_stored_again_under_its_id_is_replaced(walk: Connection) -> None:
    for content in ("First", "Second"):
        artifacts.attach(walk, "walk", ArtifactDraft("notes", content, id="notes", metadata={"said": content}))
    row = artifact(walk, "notes")
    assert (row["content"], row["metadata"]) == ("Second", {"said": "Second"})
    assert session(walk)["artifact_count"] == 1


def test_an_artifact_of_another_session_is_not_overwritten(walk: Connection) -> None:
    sessions.ensure(walk, SessionDraft("drive"))
    artifacts.attach(walk, "walk", ArtifactDraft("notes", "Mine", id="notes"))
    for thief in ("drive", None):
        with pytest.raises(InvalidRequest, match="another session"):
            artifacts.attach(walk, thief, ArtifactDraft("notes", "Theirs", id="notes"))
    assert artifact(walk, "notes")["content"] == "Mine"


def test_an_artifact_needs_no_session(conn: Connection) -> None:
    for content in ("First", "Second"):
        artifacts.attach(conn, None, ArtifactDraft("notes", content, id="notes"))
    assert artifact(conn, "notes")["content"] == "Second"


# Deliveries


def state(conn: Connection, one: Delivery) -> Row:
    row = deliveries.get(conn, one.key)
    assert row is not None
    return row


def fail(conn: Connection, one: Delivery, *, retry: bool = True, max_attempts: int = 3) -> str | None:
    failed = deliveries.record_failure(
        conn, one.key, code="unreadable", message="No words.", retry=retry, max_attempts=max_attempts
    )
    return None if failed is None else str(failed["state"])


def next_try(conn: Connection, one: Delivery) -> datetime:
    row = conn.execute("SELECT next_attempt_at AS at FROM deliveries WHERE id = %s", [one.key]).fetchone()
    assert row is not None
    at = row["at"]
    assert isinstance(at, datetime)
    return at


def now(conn: Connection) -> datetime:
    """By the database's clock."""
    row = conn.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None
    at = row["now"]
    assert isinstance(at, datetime)
    return at


def make_due(conn: Connection, *ones: Delivery) -> None:
    deliveries.postpone(conn, [one.key for one in ones], -1)


def test_a_delivery_is_recorded_once_byte_for_byte(conn: Connection) -> None:
    body = bytes(range(256)) * 3
    one = Delivery("generic", "one", "transcript", MORNING, "text/plain", body, session_id="walk")
    deliveries.record(conn, [one, one])
    deliveries.record(conn, [Delivery("generic", "one", "other", MORNING, "text/plain", b"changed")])
    assert deliveries.body(conn, one.key) == {"content_type": "text/plain", "body": body}
    row = state(conn, one)
    assert (row["event"], row["received_at"], row["body_bytes"]) == ("transcript", MORNING, 768)
    assert (row["state"], row["attempts"], row["session_id"]) == ("received", 0, "walk")


def test_the_same_id_of_another_source_is_another_delivery(conn: Connection) -> None:
    recorded(conn, delivery_id="one", source="generic")
    recorded(conn, delivery_id="one", source="vapi")
    assert deliveries.count_states(conn) == {"received": 2}


def test_what_is_taken_is_what_was_recorded_oldest_first(conn: Connection) -> None:
    late, early = (delivery(text, received_at=at) for text, at in (("2", MORNING + timedelta(1)), ("1", MORNING)))
    deliveries.record(conn, [late, early])
    with conn.transaction():
        assert deliveries.take(conn, [late.key, early.key, "f" * 32]) == [early, late]


def test_what_another_worker_has_taken_is_left_to_it(conn: Connection, url: str) -> None:
    one, two = recorded(conn), recorded(conn)
    keys = [one.key, two.key]
    with connect(url) as other, other.transaction():
        assert deliveries.take(other, [one.key]) == [one]
        with conn.transaction():
            assert deliveries.take(conn, keys) == [two]
        deliveries.finish(other, one.key, "processed", None)
    with conn.transaction():
        assert deliveries.take(conn, keys) == [two]


@pytest.mark.parametrize("end", ["processed", "ignored"])
def test_a_finished_delivery_is_taken_no_more(conn: Connection, end: Any) -> None:
    one = recorded(conn)
    assert fail(conn, one) == "received"
    deliveries.finish(conn, one.key, end, "walk")
    row = state(conn, one)
    assert (row["state"], row["attempts"], row["error"], row["error_code"]) == (end, 2, None, None)
    assert (row["session_id"], row["processed_at"] is not None) == ("walk", True)
    assert deliveries.take(conn, [one.key]) == []
    assert fail(conn, one) is None
    assert state(conn, one) == row


def test_finishing_without_a_session_keeps_the_one_of_the_url(conn: Connection) -> None:
    one = recorded(conn, session_id="walk")
    deliveries.finish(conn, one.key, "ignored", None)
    assert state(conn, one)["session_id"] == "walk"


def test_a_failed_try_is_made_again_later_and_later_until_none_is_left(conn: Connection) -> None:
    one = recorded(conn)
    for attempt, pause in enumerate((5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600), start=1):
        before = now(conn)
        assert fail(conn, one, max_attempts=12) == "received"
        assert before <= next_try(conn, one) - timedelta(seconds=pause) <= now(conn)
        row = state(conn, one)
        assert (row["attempts"], row["error_code"], row["error"]) == (attempt, "unreadable", "No words.")
    assert fail(conn, one, max_attempts=12) == "failed"
    row = state(conn, one)
    assert (row["state"], row["attempts"], row["error"]) == ("failed", 12, "No words.")
    assert deliveries.take(conn, [one.key]) == []


def test_a_failure_that_no_retry_helps_is_the_end(conn: Connection) -> None:
    one = recorded(conn)
    assert fail(conn, one, retry=False) == "failed"
    assert fail(conn, one) is None


def test_what_is_in_hand_is_due_only_after_a_while(conn: Connection) -> None:
    fresh, waiting, done, failed = (recorded(conn) for _ in range(4))
    assert deliveries.due(conn) == []
    assert next_try(conn, fresh) <= now(conn) + timedelta(seconds=60)
    make_due(conn, waiting, done, failed)
    deliveries.finish(conn, done.key, "processed", None)
    fail(conn, failed, retry=False)
    assert deliveries.due(conn) == [waiting.key]
    deliveries.postpone(conn, [waiting.key], 60)
    assert deliveries.due(conn) == []


def test_the_longest_due_come_first_and_no_more_than_asked_for(conn: Connection) -> None:
    ones = [recorded(conn) for _ in range(3)]
    for seconds, one in zip((-1, -3, -2), ones, strict=True):
        deliveries.postpone(conn, [one.key], seconds)
    assert deliveries.due(conn, limit=2) == [ones[1].key, ones[2].key]


def test_a_finished_delivery_cannot_be_postponed(conn: Connection) -> None:
    one = recorded(conn)
    deliveries.finish(conn, one.key, "processed", None)
    before = next_try(conn, one)
    make_due(conn, one)
    assert next_try(conn, one) == before


def test_a_failed_delivery_is_replayed_with_all_its_tries(conn: Connection) -> None:
    failed, waiting, done = (recorded(conn) for _ in range(3))
    fail(conn, failed, retry=False)
    deliveries.finish(conn, done.key, "processed", None)
    assert deliveries.replay(conn, [failed.key, waiting.key, done.key, "f" * 32]) == [failed.key]
    row = state(conn, failed)
    assert (row["state"], row["attempts"], row["error"], row["error_code"]) == ("received", 0, None, None)
    assert deliveries.due(conn) == [failed.key]
    assert deliveries.body(conn, failed.key) == {"content_type": failed.content_type, "body": failed.body}


def test_deliveries_are_listed_newest_first_by_state_and_source(conn: Connection) -> None:
    one = recorded(conn, MORNING, source="vapi")
    two = recorded(conn, MORNING + timedelta(1))
    three = recorded(conn, MORNING + timedelta(2))
    fail(conn, three, retry=False)

    def listed(**filters: Any) -> list[str]:
        every = {"state": None, "source": None, "before": None, "limit": 10}
        return [row["id"] for row in deliveries.listing(conn, **{**every, **filters})]

    assert listed() == [three.key, two.key, one.key]
    assert listed(state="failed") == [three.key]
    assert listed(source="vapi") == [one.key]
    assert listed(before=three.key, limit=1) == [two.key]
    assert deliveries.count_states(conn) == {"failed": 1, "received": 2}


# Errors


def silent_url() -> tuple[socket.socket, str]:
    """A port that is taken and does not answer."""
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    return silent, f"postgresql://app@127.0.0.1:{silent.getsockname()[1]}/nothing"


def test_a_server_that_is_not_there_is_our_fault(conn: Connection) -> None:
    silent, nowhere = silent_url()
    with silent, pytest.raises(DatabaseUnavailable) as refusal:
        connect(nowhere)
    assert refusal.value.status == 503
    assert nowhere not in refusal.value.message


def test_a_pool_without_a_server_gives_up() -> None:
    silent, nowhere = silent_url()
    with silent:
        pool = open_pool(nowhere, "test", 1)
        pool.timeout = 0.05
        with pytest.raises(DatabaseUnavailable), borrowed(pool):
            pass
        pool.close()


def test_a_connection_that_the_server_ended_is_our_fault(conn: Connection, url: str) -> None:
    with connect(url) as victim:
        conn.execute("SELECT pg_terminate_backend(%s)", [victim.info.backend_pid])
        with pytest.raises(DatabaseUnavailable):
            sessions.get(victim, "walk")
        with pytest.raises(DatabaseUnavailable):  # and of a connection that is known to be lost
            sessions.get(victim, "walk")


def test_a_statement_that_waits_too_long_is_our_fault(walk: Connection, url: str) -> None:
    with connect(url) as other, walk.transaction():
        sessions.ensure(walk, SessionDraft("walk"))
        other.execute("SET lock_timeout = '1ms'")
        with pytest.raises(DatabaseUnavailable):
            sessions.ensure(other, SessionDraft("walk"))


WRITES: dict[str, Callable[[Connection, str], object]] = {
    "a session's id": lambda conn, text: sessions.ensure(conn, SessionDraft(text)),
    "a session's title": lambda conn, text: sessions.ensure(conn, SessionDraft("walk", text)),
    "a participant": lambda conn, text: sessions.ensure(conn, SessionDraft("walk", participants=(text,))),
    "a turn": lambda conn, text: sessions.add_turns(conn, "walk", recorded(conn).key, MORNING, [Turn("Alice", text)]),
    "a memory's title": lambda conn, text: remember(conn, MemoryDraft("idea", text)),
    "a memory's content": lambda conn, text: remember(conn, MemoryDraft("idea", "One", {"why": text})),
    "a memory's key": lambda conn, text: remember(conn, MemoryDraft("idea", "One", key=text)),
    "a task's id": lambda conn, text: create(conn, TaskDraft("One", "codex", "code", id=text)),
    "a task's input": lambda conn, text: create(conn, TaskDraft("One", "codex", "code", input_data={"a": text})),
    "an agent's name": lambda conn, text: create(conn, TaskDraft("One", text, "code")),
    "an artifact's content": lambda conn, text: artifacts.attach(conn, "walk", ArtifactDraft("notes", text)),
    "a search for a session": lambda conn, text: sessions.get(conn, text),
}


@pytest.mark.parametrize("place", WRITES)
def test_a_nul_character_is_refused_with_a_sentence_that_quotes_nothing(walk: Connection, place: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        WRITES[place](walk, "my secret\x00")
    assert "secret" not in refusal.value.message
    assert sessions.get(walk, "walk") is not None  # the connection is good for more


WRONG: dict[str, Callable[[Connection], object]] = {
    "a turn that says nothing": lambda conn: sessions.add_turns(
        conn, "walk", recorded(conn).key, MORNING, [Turn("", "")]
    ),
    "a memory of no type": lambda conn: remember(conn, MemoryDraft("hunch", "secret")),  # type: ignore[arg-type]
    "a session that is not there": lambda conn: memories.remember(
        conn, "nowhere", recorded(conn).key, [MemoryDraft("idea", "secret")], []
    ),
    "a delivery that is not there": lambda conn: sessions.add_turns(
        conn, "walk", "f" * 32, MORNING, [Turn("Alice", "secret")]
    ),
    "a priority past all numbers": lambda conn: create(conn, TaskDraft("secret", "codex", "code", priority=10**12)),
    "an artifact of a task that is not there": lambda conn: artifacts.attach(
        conn, "walk", ArtifactDraft("secret", "secret", task_id="nothing")
    ),
    "a text too long to be indexed": lambda conn: artifacts.attach(
        conn, "walk", ArtifactDraft("secret", " ".join(f"secret{number}" for number in range(120_000)))
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_the_database_refuses_is_the_requests_fault_and_quotes_nothing(walk: Connection, what: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        WRONG[what](walk)
    assert "secret" not in refusal.value.message
    assert refusal.value.status == 422


def test_an_error_of_ours_passes_through_as_it_is() -> None:
    error = InvalidRequest("Wrong.")
    with pytest.raises(InvalidRequest) as passed, our_errors():
        raise error
    assert passed.value is error


def test_a_statement_that_is_wrong_is_our_fault(conn: Connection) -> None:
    with pytest.raises(AIWebhookError, match="UndefinedTable") as failure, our_errors():
        conn.execute("SELECT secret FROM nothing")
    assert (failure.value.status, "secret" in failure.value.message) == (500, False)
