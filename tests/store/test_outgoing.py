"""Subscriptions, what is put down for them to be sent, and how a message is taken, recorded and sent again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import InvalidRequest, NotFound, UnknownTask
from domain.outgoing import EVENTS, External
from store import events, memories, outgoing, tasks
from store.database import Connection, Row, connect
from store.migrate import migrate

NOON = datetime(2030, 3, 2, 12, tzinfo=UTC)  # past everything that the database's clock has written
TEAM = "9cfb482a-81e3-4154-b5b9-2c805e70a02d"


@pytest.fixture
def other(database_url: str) -> Iterator[Connection]:
    """A second worker's connection."""
    with connect(database_url, "other") as connection:
        yield connection


def insert_task(conn: Connection, task_id: str = "t1", agent: str = "codex", status: str = "pending") -> None:
    conn.execute(
        "INSERT INTO tasks (id, agent_name, title, status) VALUES (%s, %s, 'Look up prices', %s)",
        [task_id, agent, status],
    )


def insert_memory(conn: Connection, type: str = "decision") -> int:
    conn.execute("INSERT INTO sessions (id) VALUES ('walk') ON CONFLICT DO NOTHING")
    row = conn.execute(
        "INSERT INTO memories (session_id, type, key, title, content) VALUES ('walk', %s, %s, 'We use Postgres', '{}')"
        " RETURNING id",
        [type, f"{type}-1"],
    ).fetchone()
    assert row is not None
    return int(row["id"])


def subscribe(conn: Connection, name: str = "crm", **more: Any) -> Row:
    given = {"kind": "webhook", "target": "https://crm.example/hook", "events": ["*"], **more}
    return outgoing.add(conn, name, **given)


def noted(conn: Connection, name: str = "crm") -> list[tuple[str, str]]:
    """What is put down for a subscription, first to last."""
    outgoing.pump(conn)
    return [(row["event"], row["subject"]) for row in reversed(outgoing.log(conn, name))]


def only(conn: Connection, name: str = "crm") -> Row:
    (row,) = outgoing.log(conn, name)
    return row


# Subscriptions


def test_a_subscription_is_told_of_what_happens_after_it_was_made(conn: Connection) -> None:
    insert_task(conn, "before")
    subscribe(conn)
    insert_task(conn, "after")
    assert noted(conn) == [("task.pending", "after")]


def test_a_subscription_may_begin_in_the_past(conn: Connection) -> None:
    insert_task(conn, "before")
    subscribe(conn, position=events.BEGINNING)
    assert noted(conn) == [("task.pending", "before")]


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["*"], ["task.pending", "task.claimed", "task.completed", "memory.created", "memory.accepted"]),
        (["task.*"], ["task.pending", "task.claimed", "task.completed"]),
        (["memory.*"], ["memory.created", "memory.accepted"]),
        (["task.completed", "memory.created"], ["task.completed", "memory.created"]),
        (["task.failed"], []),
    ],
)
def test_a_subscription_gets_the_events_that_it_names(conn: Connection, patterns: list[str], wanted: list[str]) -> None:
    subscribe(conn, events=patterns)
    insert_task(conn)
    [claim] = tasks.claim(conn, "codex", "me")
    tasks.complete(conn, "t1", claim["claim_token"])
    memories.accept(conn, insert_memory(conn), person="bob")
    assert [event for event, _ in noted(conn)] == wanted


def test_filters_by_agent_and_by_type_of_memory(conn: Connection) -> None:
    subscribe(conn, agent_name="codex", memory_types=["risk"])
    insert_task(conn, "hers", agent="codex")
    insert_task(conn, "others", agent="claude_code")
    insert_memory(conn, "decision")
    risk = insert_memory(conn, "risk")
    assert noted(conn) == [("task.pending", "hers"), ("memory.created", str(risk))]


def test_every_event_that_the_stream_knows_can_be_named(conn: Connection) -> None:
    subscribe(conn, events=list(EVENTS))
    row = conn.execute(
        "SELECT pg_get_constraintdef(oid) AS rule FROM pg_constraint WHERE conname = 'memory_events_event_check'"
    ).fetchone()
    assert row is not None
    known = {name.removeprefix("memory.") for name in EVENTS if name.startswith("memory.")}
    assert all(f"'{name}'" in row["rule"] for name in known)
    assert row["rule"].count("::text") >= len(known) == row["rule"].count("'") / 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "CRM"},
        {"name": ""},
        {"name": "a b"},
        {"kind": "mail"},
        {"events": []},
        {"events": ["task.done"]},
        {"events": ["task"]},
        {"memory_types": ["wish"]},
        {"agent_name": ""},
        {"target": ""},
        {"target": "crm.example"},
        {"target": "ftp://crm.example/"},
        {"target": "https://"},
        {"target": "https://user:secret@crm.example/"},
        {"target": "https://crm.example/a b"},
        {"target": "https://crm.example:99999/"},
        {"target": "https://crm.example/\n"},
        {"kind": "github", "target": "tiles", "events": ["task.*"]},
        {"kind": "github", "target": "mara/..", "events": ["task.*"]},
        {"kind": "github", "target": "mara/tiles/../../user", "events": ["task.*"]},
        {"kind": "github", "target": "mara/tiles", "events": ["memory.created"]},
        {"kind": "github", "target": "mara/tiles", "events": ["*"]},
        {"kind": "linear", "target": "ENG", "events": []},
        {"kind": "slack", "target": "general", "events": ["*"]},
        {"position": "yesterday"},
    ],
)
def test_what_could_never_be_sent_is_refused(conn: Connection, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        subscribe(conn, **wrong)
    assert "secret" not in caught.value.message
    assert outgoing.listing(conn) == []


@pytest.mark.parametrize(
    "right",
    [
        {"kind": "github", "target": "mara/tiles.js", "events": []},
        {"kind": "linear", "target": TEAM, "events": ["task.*"]},
        {"kind": "slack", "target": "#general"},
        {"kind": "slack", "target": "C0123456789"},
        {"target": "http://hooks.internal:8080/x?y=1"},
        {"name": "a-b_2"},
    ],
)
def test_what_can_be_sent_is_taken(conn: Connection, right: dict[str, Any]) -> None:
    assert subscribe(conn, **right)["enabled"]


def test_a_name_is_given_once(conn: Connection) -> None:
    subscribe(conn)
    with pytest.raises(InvalidRequest):
        subscribe(conn, target="https://elsewhere.example/")
    (row,) = outgoing.listing(conn)
    assert row["target"] == "https://crm.example/hook"


def test_a_disabled_subscription_keeps_its_place(conn: Connection) -> None:
    subscribe(conn)
    outgoing.disable(conn, "crm")
    insert_task(conn, "meanwhile")
    assert noted(conn) == []
    assert outgoing.enable(conn, "crm")["enabled"]
    assert noted(conn) == [("task.pending", "meanwhile")]


def test_one_that_is_enabled_from_now_on_leaves_out_what_was_meanwhile(conn: Connection) -> None:
    subscribe(conn)
    outgoing.disable(conn, "crm", why="answered 410 Gone")
    assert outgoing.health(conn)["ended"] == ["crm"]
    insert_task(conn, "meanwhile")
    outgoing.enable(conn, "crm", from_now=True)
    insert_task(conn, "now")
    assert noted(conn) == [("task.pending", "now")]
    assert outgoing.health(conn) == {"failed": 0, "waiting": 1, "enabled": ["crm"], "ended": []}


def test_what_is_removed_takes_its_log_with_it(conn: Connection) -> None:
    subscribe(conn)
    insert_task(conn)
    noted(conn)
    outgoing.remove(conn, "crm")
    assert outgoing.health(conn)["waiting"] == 0


def test_a_subscription_that_there_is_not(conn: Connection) -> None:
    for call in (outgoing.remove, outgoing.enable, outgoing.disable, outgoing.get, outgoing.log):
        with pytest.raises(NotFound):
            call(conn, "nobody")  # type: ignore[operator]


# From the stream into the log


def test_reading_on_tells_each_event_once(conn: Connection) -> None:
    subscribe(conn)
    insert_task(conn, "t1")
    assert outgoing.pump(conn) == 1
    assert outgoing.pump(conn) == 0
    insert_task(conn, "t2")
    assert noted(conn) == [("task.pending", "t1"), ("task.pending", "t2")]


def test_a_long_stream_is_read_in_pieces_and_in_order(conn: Connection) -> None:
    subscribe(conn)
    for n in range(5):
        insert_task(conn, f"t{n}")
    assert [outgoing.pump(conn, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert noted(conn) == [("task.pending", f"t{n}") for n in range(5)]


def test_what_breaks_while_it_is_put_down_moves_the_place_not_at_all(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe(conn)
    insert_task(conn)
    with monkeypatch.context() as patch:
        patch.setitem(outgoing.SQL, "move_on", "SELECT 1 / 0")
        with pytest.raises(Exception, match="value does not fit"):
            outgoing.pump(conn)
    assert noted(conn) == [("task.pending", "t1")]


def test_two_who_read_on_at_once_do_not_tell_twice(conn: Connection, other: Connection) -> None:
    subscribe(conn)
    insert_task(conn)
    with conn.transaction():
        assert outgoing.pump_one(conn, "crm", 500) == 1
        assert outgoing.pump(other) == 0  # the other one steps over it, and does not wait
    assert outgoing.pump(other) == 0
    assert noted(conn) == [("task.pending", "t1")]


def test_an_event_that_is_committed_late_is_told(conn: Connection, other: Connection) -> None:
    subscribe(conn)
    with other.transaction():
        insert_task(other, "late")
        insert_task(conn, "early")
        assert noted(conn) == []
    assert noted(conn) == [("task.pending", "late"), ("task.pending", "early")]


def test_after_a_restore_nothing_is_lost_or_told_twice(conn: Connection, database_url: str) -> None:
    subscribe(conn)
    insert_task(conn, "told")
    noted(conn)
    insert_task(conn, "not yet told")
    conn.execute("ALTER TABLE task_events DISABLE TRIGGER append_only")
    conn.execute("UPDATE task_events SET xact = xact + 1000000000000")
    conn.execute("ALTER TABLE task_events ENABLE TRIGGER append_only")
    conn.execute(
        "UPDATE subscriptions SET position = split_part(position, '-', 1)::bigint + 1000000000000"
        " || '-' || split_part(position, '-', 2)"
    )
    migrate(database_url)
    insert_task(conn, "new")
    assert noted(conn) == [("task.pending", name) for name in ("told", "not yet told", "new")]


# Taken and recorded


def test_a_message_is_in_one_hand_at_a_time(conn: Connection, other: Connection) -> None:
    subscribe(conn)
    insert_task(conn)
    outgoing.pump(conn)
    news = outgoing.take(conn, now=NOON)
    assert news is not None
    assert (news.event, news.subject, news.attempt, news.target) == (
        "task.pending", "t1", 1, "https://crm.example/hook",
    )  # fmt: skip
    assert news.task is not None and news.task["title"] == "Look up prices"
    assert "claim_token" not in news.task
    assert outgoing.take(other, now=NOON + timedelta(seconds=outgoing.LEASE_SECONDS - 1)) is None
    again = outgoing.take(other, now=NOON + timedelta(seconds=outgoing.LEASE_SECONDS))
    assert again is not None
    assert (again.id, again.attempt) == (news.id, 2)  # whoever had it died; the id is the same


def test_a_message_that_somebody_is_taking_is_stepped_over(conn: Connection, other: Connection) -> None:
    subscribe(conn)
    insert_task(conn)
    outgoing.pump(conn)
    with conn.transaction():
        assert outgoing.take(conn, now=NOON) is not None
        assert outgoing.take(other, now=NOON) is None


def test_a_delivered_message_is_done(conn: Connection) -> None:
    subscribe(conn)
    insert_task(conn)
    outgoing.pump(conn)
    news = outgoing.take(conn, now=NOON)
    assert news is not None
    outgoing.delivered(conn, news, status_code=204, external=None, now=NOON)
    assert outgoing.take(conn, now=NOON + timedelta(days=9)) is None
    row = only(conn)
    assert (row["state"], row["status_code"], row["delivered_at"], row["attempts"]) == ("delivered", 204, NOON, 1)
    assert outgoing.listing(conn)[0]["last_delivered"] == NOON


def fail(conn: Connection, **more: Any) -> Any:
    news = outgoing.take(conn, now=NOON)
    assert news is not None
    given = {"error_code": "refused_there", "status_code": 500, "pause_seconds": 30.0, "now": NOON, **more}
    return outgoing.failed_try(conn, news, **given)


def test_a_failed_try_waits_for_its_time(conn: Connection) -> None:
    subscribe(conn)
    insert_task(conn)
    outgoing.pump(conn)
    assert fail(conn) == "waiting"
    assert outgoing.take(conn, now=NOON + timedelta(seconds=29)) is None
    assert outgoing.take(conn, now=NOON + timedelta(seconds=30)) is not None


def test_a_rest_holds_up_the_subscription_and_no_other(conn: Connection) -> None:
    subscribe(conn, "away")
    subscribe(conn, "here")
    insert_task(conn, "t1")
    insert_task(conn, "t2")
    outgoing.pump(conn)
    conn.execute("UPDATE outgoing SET next_attempt_at = now() - interval '1 minute' WHERE subscription = 'away'")
    fail(conn, rest_seconds=60.0)
    taken = [outgoing.take(conn, now=NOON) for _ in range(3)]
    assert [news and news.subscription for news in taken] == ["here", "here", None]
    late = outgoing.take(conn, now=NOON + timedelta(seconds=60))
    assert late is not None and late.subscription == "away"


def test_who_comes_too_late_with_a_failure_puts_nothing_off(conn: Connection) -> None:
    subscribe(conn)
    insert_task(conn)
    outgoing.pump(conn)
    slow = outgoing.take(conn, now=NOON)
    assert slow is not None
    later = NOON + timedelta(seconds=outgoing.LEASE_SECONDS)
    assert outgoing.take(conn, now=later) is not None
    assert outgoing.failed_try(conn, slow, error_code="x", status_code=None, pause_seconds=None) is None
    assert only(conn)["state"] == "waiting"


def test_what_failed_is_listed_and_sent_again_by_hand(conn: Connection) -> None:
    subscribe(conn)
    insert_task(conn)
    outgoing.pump(conn)
    assert fail(conn, pause_seconds=None, rest_seconds=600.0) == "failed"
    assert outgoing.take(conn, now=NOON + timedelta(days=9)) is None
    (row,) = outgoing.log(conn, "crm", state="failed")
    assert (row["error_code"], row["status_code"]) == ("refused_there", 500)
    assert outgoing.health(conn)["failed"] == 1
    again = outgoing.replay(conn, row["id"])
    assert (again["id"], again["state"], again["attempts"]) == (row["id"], "waiting", 0)
    assert outgoing.take(conn) is not None  # the subscription's rest is over, too


def test_what_is_being_sent_is_not_sent_again_by_hand(conn: Connection) -> None:
    subscribe(conn)
    insert_task(conn)
    outgoing.pump(conn)
    news = outgoing.take(conn)
    assert news is not None
    assert outgoing.replay(conn, news.id)["attempts"] == 1
    assert outgoing.take(conn) is None


def test_what_never_went_out_cannot_be_sent_again(conn: Connection) -> None:
    with pytest.raises(NotFound):
        outgoing.replay(conn, "msg_1")


def test_the_log_comes_in_pages(conn: Connection) -> None:
    subscribe(conn)
    for n in range(3):
        insert_task(conn, f"t{n}")
    outgoing.pump(conn)
    first = outgoing.log(conn, "crm", limit=2)
    assert [row["subject"] for row in first] == ["t2", "t1"]
    assert [row["subject"] for row in outgoing.log(conn, "crm", before=first[-1]["id"])] == ["t0"]


def test_what_is_done_is_forgotten_after_a_while_and_what_failed_is_not(conn: Connection) -> None:
    subscribe(conn)
    for n in range(3):
        insert_task(conn, f"t{n}")
    outgoing.pump(conn)
    conn.execute("UPDATE outgoing SET state = 'delivered', delivered_at = now() WHERE subject IN ('t0', 't1')")
    conn.execute("UPDATE outgoing SET state = 'failed', error_code = 'x' WHERE subject = 't2'")
    conn.execute("UPDATE outgoing SET created = now() - interval '31 days' WHERE subject IN ('t1', 't2')")
    assert outgoing.forget(conn) == 1
    assert [row["subject"] for row in outgoing.log(conn, "crm")] == ["t2", "t0"]


def test_of_a_memory_that_is_gone_there_is_nothing_to_tell(conn: Connection) -> None:
    subscribe(conn)
    memory = insert_memory(conn)
    outgoing.pump(conn)
    conn.execute("DELETE FROM memories WHERE id = %s", [memory])
    news = outgoing.take(conn)
    assert news is not None
    assert (news.event, news.memory, news.task) == ("memory.created", None, None)


# Exports


def issue(state: Any = "open", number: int = 12) -> External:
    return External(f"mara/tiles#{number}", f"https://github.com/mara/tiles/issues/{number}", state)


def test_an_export_is_asked_for_by_hand(conn: Connection) -> None:
    subscribe(conn, "tiles", kind="github", target="mara/tiles", events=[])
    insert_task(conn)
    made = outgoing.export(conn, "t1", "tiles")
    assert (made["task_id"], made["subscription"], made["external_id"]) == ("t1", "tiles", None)
    outgoing.export(conn, "t1", "tiles")  # a repeat asks no second time
    assert noted(conn, "tiles") == [("task.exported", "t1"), ("task.pending", "t1")]
    news = outgoing.take(conn)
    assert news is not None
    assert (news.event, news.external) == ("task.exported", None)
    outgoing.delivered(conn, news, status_code=201, external=issue())
    assert outgoing.exports_of(conn, "t1")[0]["url"] == "https://github.com/mara/tiles/issues/12"


def test_what_cannot_be_exported_says_why(conn: Connection) -> None:
    subscribe(conn, "crm")
    subscribe(conn, "tiles", kind="github", target="mara/tiles", events=[])
    insert_task(conn)
    for task, name, error in [
        ("t1", "nobody", NotFound),
        ("t1", "crm", InvalidRequest),
        ("nothing", "tiles", UnknownTask),
    ]:
        with pytest.raises(error):
            outgoing.export(conn, task, name)
    outgoing.disable(conn, "tiles")
    with pytest.raises(InvalidRequest):
        outgoing.export(conn, "t1", "tiles")
    assert outgoing.exports_of(conn, "t1") == []


def test_an_exported_task_is_followed_whatever_the_subscription_asked_for(conn: Connection) -> None:
    subscribe(conn, "tiles", kind="github", target="mara/tiles", events=["task.pending"])
    insert_task(conn, "exported")
    noted(conn, "tiles")
    insert_task(conn, "guess", status="proposed")
    for task in ("exported", "guess"):
        tasks.cancel(conn, task)
    assert noted(conn, "tiles") == [("task.pending", "exported"), ("task.cancelled", "exported")]


def test_what_becomes_of_one_task_is_told_in_order(conn: Connection) -> None:
    subscribe(conn, "tiles", kind="github", target="mara/tiles", events=["task.*"])
    subscribe(conn, "crm")
    insert_task(conn, "t1")
    insert_task(conn, "t2")
    tasks.cancel(conn, "t1")
    outgoing.pump(conn)
    taken = []
    while news := outgoing.take(conn, now=NOON):
        taken.append((news.subscription, news.event, news.subject))
    assert sorted(taken) == [
        ("crm", "task.cancelled", "t1"),
        ("crm", "task.pending", "t1"),
        ("crm", "task.pending", "t2"),
        ("tiles", "task.pending", "t1"),  # and its end only after it
        ("tiles", "task.pending", "t2"),
    ]


def test_an_export_goes_with_its_task(conn: Connection) -> None:
    subscribe(conn, "tiles", kind="github", target="mara/tiles", events=[])
    insert_task(conn)
    outgoing.export(conn, "t1", "tiles")
    conn.execute("DELETE FROM tasks WHERE id = 't1'")
    assert outgoing.exports_of(conn, "t1") == []
    news = outgoing.take(conn)
    assert news is not None
    assert news.task is None


def test_the_tables_hold_no_secret(conn: Connection) -> None:
    columns = conn.execute(
        "SELECT table_name || '.' || column_name AS name FROM information_schema.columns"
        " WHERE table_name IN ('subscriptions', 'outgoing', 'exports')"
    ).fetchall()
    assert len(columns) > 20
    assert [c["name"] for c in columns if any(word in c["name"] for word in ("secret", "token", "body", "key"))] == []
