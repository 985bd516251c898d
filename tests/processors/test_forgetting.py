"""What is forgotten is nowhere: not in a dump of the database, not in Redis, not in a backup; and it stays away."""

import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
import redis

from access import actions
from domain import envelope
from domain.caller import operator
from domain.errors import DatabaseUnavailable, SettingsError
from domain.settings import Settings
from ops.backup import backup
from ops.embedded_programs import postgres_programs
from processors import jobs
from processors.jobs import Workshop, process_batch, sweep
from store import deliveries, extraction, forgetting, repeats, tasks
from store.database import Connection, connect
from tests.conftest import delivery, wait_for_waiter
from tests.processors.workshop import accept, command, states, talk, work

COUNTERS = {
    "conversation_chunk_count": "conversation_chunks",
    "memory_count": "memories",
    "task_count": "tasks",
    "artifact_count": "artifacts",
}


def dump(database_url: str) -> str:
    """Everything in the database, as pg_dump writes it."""
    program = str(postgres_programs() / "pg_dump")
    done = subprocess.run([program, "--dbname", database_url], capture_output=True, text=True, check=True)
    return done.stdout


def all_of_redis(client: "redis.Redis") -> str:
    """Every key with what it holds, whatever its type."""
    parts = []
    for key in client.scan_iter(count=1000):
        kind = cast("bytes", client.type(key)).decode()
        read: dict[str, Any] = {
            "string": client.get,
            "hash": client.hgetall,
            "list": lambda name: client.lrange(name, 0, -1),
            "set": client.smembers,
            "zset": lambda name: client.zrange(name, 0, -1, withscores=True),
            "stream": client.xrange,
        }
        parts.append(f"{key} {read[kind](key)}")
    return "\n".join(parts)


def statistics(conn: Connection) -> str:
    """What the planner keeps of the columns: some of their values."""
    return str(
        conn.execute(
            "SELECT most_common_vals::text, histogram_bounds::text, most_common_elems::text"
            "  FROM pg_stats WHERE schemaname = 'public'"
        ).fetchall()
    )


def found_in(text: str, words: list[str]) -> list[str]:
    return [word for word in words if word in text.lower()]


def counters_are_right(conn: Connection) -> bool:
    for counter, table in COUNTERS.items():
        query: Any = (
            f"SELECT s.id FROM sessions s WHERE {counter} <> (SELECT count(*) FROM {table} x WHERE x.session_id = s.id)"
        )
        if conn.execute(query).fetchall():
            return False
    found = conn.execute("SELECT count(*) AS n FROM conversation_chunks").fetchone()
    counted = conn.execute("SELECT COALESCE(sum(chunks), 0) AS n FROM search_statistics WHERE word = ''").fetchone()
    assert found and counted
    return bool(found["n"] == counted["n"])


def finish_with_artifact(conn: Connection, session_id: str, content: str) -> None:
    """An agent does the one task of a session and leaves an artifact with it."""
    claims = tasks.claim(conn, "researcher", "agent", max_tasks=50)
    (mine,) = [claim for claim in claims if claim["session_id"] == session_id]
    made = actions.create_artifact(operator(), conn, name="report.md", content=content, task_id=mine["task_id"])
    tasks.complete(conn, mine["task_id"], mine["claim_token"], output_data={"said": content}, artifacts=[made["id"]])


def out_of_order(*given: Any) -> None:
    raise DatabaseUnavailable("PostgreSQL does not answer.")


@pytest.fixture
def canaries(settings: Settings, shop: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two sessions all the way through the pipeline, and what else may hold words of the first; answers its words."""
    for name, word in (("walk", "zebrafinch"), ("ride", "okapi")):
        accept(
            settings,
            delivery(
                talk(name, f"I've decided we use the {word}base API.", f"Add an action item: look up {word}prices.")
            ),
            delivery(
                talk(name, "We've decided to go with Postgres for storage.", f"The {word}fact is quite well known.")
            ),
        )
        work(shop)
        finish_with_artifact(conn, name, f"{word}report: all is well")
        conn.execute(
            "UPDATE sessions SET title = %s, context = %s WHERE id = %s", [f"{word}title", f"{word}context", name]
        )
    asked = {"session_id": "walk", "type": "fact", "title": "A zebrafinchmemory"}
    repeats.once(conn, "operator", "key-1", asked, lambda: actions.store_memory(operator(), conn, **asked))  # type: ignore[arg-type]
    (key,) = [row["id"] for row in conn.execute("SELECT min(id) AS id FROM deliveries WHERE session_id = 'walk'")]
    assert extraction.reserve(conn, "piece", "m", (1, 1), 0.5, delivery=key, daily_tokens=None, daily_cost=None)
    extraction.settle(conn, "piece", (0, 0), 0, [{"title": "zebrafinchanswer"}])
    # One that fails over a bug, one that nobody can read, one that waits in Redis, and an answer that is kept there.
    accept(
        settings,
        delivery(talk("walk", "This is the zebrafinchfailure.")),
        delivery('{"session": "walk", "zebrafinchbroken'),
    )
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "tell", lambda *given: 1 / 0)
        impatient = Workshop(shop.pool, shop.queue, settings.model_copy(update={"max_attempts": 1}))
        work(impatient)
    assert states(conn)["failed"] == 2
    # A job that fails as a whole, whose delivery is recorded and waits for its next run.
    accept(settings, delivery(talk("walk", "The zebrafinchjob.")))
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "process_deliveries", out_of_order)
        work(shop)
    assert states(conn)["received"] == 1 and shop.queue.queue.failed_job_registry.count == 1
    for batch in cast("set[bytes]", shop.queue.client.smembers(envelope.BATCHES)):
        shop.queue.client.hset(envelope.meta_name(batch.decode()), "retry_at", "0")  # nobody waits here
    accept(
        settings,
        command("query_memories", "walk", {"query": "zebrafinchquestion"}),
        delivery(talk("walk", "A zebrafinchlate.")),
    )
    shop.queue.reply({"0" * 32: b'{"data": "zebrafinchreply"}'})
    conn.execute("ANALYZE")
    return ["zebrafinch"]


def test_a_session_is_nowhere_once_it_is_forgotten(
    settings: Settings,
    shop: Workshop,
    conn: Connection,
    redis_client: "redis.Redis",
    database_url: str,
    canaries: list[str],
    tmp_path: Path,
) -> None:
    before = dump(database_url), all_of_redis(redis_client), statistics(conn)
    assert all(found_in(text, canaries) for text in before)
    others = before[0].lower().count("okapi")
    trial = actions.forget_session(operator(), conn, "walk", dry_run=True)
    assert trial["turns"] == 4 and trial["tasks"] == 1 and trial["artifacts"] == 1 and trial["deliveries"] == 2
    assert found_in(dump(database_url), canaries)
    assert actions.forget_session(operator(), conn, "walk") == trial | {"dry_run": False}
    sweep(shop)
    work(shop)
    sweep(shop)
    work(shop)
    assert found_in(dump(database_url), canaries) == []
    assert found_in(all_of_redis(redis_client), canaries) == []
    assert found_in(statistics(conn), canaries) == []
    assert redis_client.smembers(envelope.BATCHES) == set()
    backup(database_url, settings.redis_url.get_secret_value() if settings.redis_url else None, tmp_path / "b",
           programs=None, tell=lambda text: None)  # fmt: skip
    assert b"zebrafinch" not in (tmp_path / "b").read_bytes()
    # All that the other has is still there, found, and counted.
    assert dump(database_url).lower().count("okapi") == others
    for word in ("okapibase", "okapifact"):
        assert {hit["session_id"] for hit in actions.search(operator(), conn, word)["items"]} == {"ride"}
    assert counters_are_right(conn)
    assert [row["id"] for row in conn.execute("SELECT id FROM sessions")] == ["ride"]


def test_what_was_said_elsewhere_too_stays_in_the_words_of_there(
    settings: Settings, shop: Workshop, conn: Connection
) -> None:
    for name, words in (
        ("walk", "Let's go with Postgres for storage."),
        ("ride", "We've decided to go with Postgres for storage."),
    ):
        accept(settings, delivery(talk(name, words)))
        work(shop)
    rows = conn.execute("SELECT id, session_id, merged_into, title FROM memories ORDER BY id").fetchall()
    assert [(row["session_id"], row["merged_into"]) for row in rows] == [("walk", None), ("ride", rows[0]["id"])]
    (task,) = [
        actions.create_task(
            operator(), conn, title="Set it up", session_id="ride", agent_name="codex", memory=rows[0]["id"]
        )
    ]
    conn.execute("UPDATE tasks SET doubt = 'Decision 1 (“' || %s || '”) was replaced.'", [rows[0]["title"]])
    conn.execute("INSERT INTO tasks (id, session_id, agent_name) VALUES ('first', 'walk', 'codex')")
    actions.create_task(
        operator(), conn, task_id="then", title="Then", session_id="ride", agent_name="codex", depends_on=["first"]
    )
    forgetting.session(conn, "walk")
    (left,) = conn.execute("SELECT id, session_id, merged_into, title, quote FROM memories").fetchall()
    assert left == {**rows[1], "merged_into": None, "quote": left["quote"]}
    assert "Postgres" in left["quote"]
    told = conn.execute("SELECT id, memory, doubt, depends_on, waiting_for FROM tasks ORDER BY title").fetchall()
    assert told == [
        {
            "id": task["id"],
            "memory": left["id"],
            "doubt": "A decision that it rests on was replaced.",
            "depends_on": [],
            "waiting_for": 0,
        },
        {
            "id": "then",
            "memory": None,
            "doubt": "A task that it waited for is forgotten.",
            "depends_on": [],
            "waiting_for": 0,
        },
    ]
    assert counters_are_right(conn)


def test_what_comes_late_is_dropped_until_somebody_makes_the_session_anew(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    first = delivery(talk("walk", "Good morning."), delivery_id="one")
    accept(settings, first)
    work(shop)
    actions.forget_session(operator(), conn, "walk")
    sweep(shop)
    redis_client.flushall()  # and with it what answers repeats
    accept(settings, first, delivery(talk("walk", "And another thing.")), delivery(talk("ride", "Hello.")))
    work(shop)
    assert [row["id"] for row in conn.execute("SELECT id FROM sessions")] == ["ride"]
    assert states(conn) == {"processed": 1}
    actions.create_session(operator(), conn, session_id="walk")
    accept(
        settings,
        delivery(talk("walk", "From the start.")),
        delivery(talk("walk", "Old."), received_at=datetime.now(UTC) - timedelta(hours=1)),
    )
    work(shop)
    assert [row["text"] for row in conn.execute("SELECT text FROM turns WHERE session_id = 'walk' ORDER BY seq")] == [
        "Old.",
        "From the start.",
    ]


def test_a_sender_that_waits_is_told(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    forgetting.session(conn, "walk")
    asked = replace(command("create_session", "walk", {"title": "Again"}), sync=True)
    accept(settings, asked)
    work(shop)
    reply = redis_client.get(envelope.reply_name(asked.key))
    assert "session_forgotten" in str(reply)
    assert states(conn) == {}


@pytest.mark.parametrize("known", [True, False])
def test_a_job_that_is_under_way_does_not_bring_it_back(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis", database_url: str, known: bool
) -> None:
    """The worker reads a delivery of a session that is being forgotten, waits for it, and then finds it forgotten."""
    if known:
        accept(settings, delivery(talk("walk", "Good morning.")))
        work(shop)
    accept(settings, delivery(talk("walk", "A zebrafinch!")))
    with conn.transaction():
        assert forgetting.session(conn, "walk")["known"] is known
        (batch,) = redis_client.smembers(envelope.BATCHES)
        working = threading.Thread(target=process_batch, args=[shop, batch.decode()])
        working.start()
        with connect(database_url) as other:
            wait_for_waiter(other)
    working.join()
    assert conn.execute("SELECT count(*) AS n FROM sessions").fetchone() == {"n": 0}
    assert states(conn) == {}
    assert "zebrafinch" not in dump(database_url)


def test_an_answer_of_a_language_model_that_comes_late_is_not_kept(conn: Connection) -> None:
    told = delivery(talk("walk", "Good morning."))
    deliveries.record(conn, [told])
    assert extraction.reserve(conn, "piece", "m", (10, 5), 0.5, delivery=told.key, daily_tokens=None, daily_cost=None)
    forgetting.drop(conn, [told.key])
    extraction.settle(conn, "piece", (0, 0), 0, [{"title": "zebrafinch"}])
    (left,) = conn.execute("SELECT tokens_in, tokens_out, cost, items FROM llm_answers").fetchall()
    assert left == {"tokens_in": 10, "tokens_out": 5, "cost": 0.5, "items": None}  # what it cost counts for its day


# A person


MEETING = {
    "session": "meeting",
    "title": "Mara and Tom",
    "participants": [{"name": "Mara", "email": "mara@example.org"}, "Tom"],
    "turns": [
        {"speaker": "Mara", "text": "I've decided we use the zebrafinch API."},
        {"speaker": "Tom", "text": "We've decided to go with Postgres for storage."},
        {"speaker": "Mara", "text": "Add an action item: feed the zebrafinch."},
        {"speaker": "Tom", "text": "Add an action item: water the okapi."},
    ],
}


@pytest.mark.parametrize("name", ["mara", "mara@example.org"])
def test_of_a_person_what_they_said_goes_and_what_others_said_stays(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis", database_url: str, name: str
) -> None:
    accept(settings, delivery(orjson.dumps(MEETING)))
    accept(
        settings,
        delivery(orjson.dumps({"session": "alone", "turns": [{"speaker": "Mara", "text": "Zebrafinch again."}]})),
    )
    work(shop)
    conn.execute(
        "UPDATE sessions SET participants = %s WHERE id = 'meeting'", [orjson.dumps(MEETING["participants"]).decode()]
    )
    accept(settings, delivery(orjson.dumps(MEETING)))  # waits
    gone = actions.forget_person(operator(), conn, person=name)
    assert (gone["sessions"], gone["turns"], gone["next"]) == (1, 3, None)
    sweep(shop)
    work(shop)
    assert "zebrafinch" not in dump(database_url).lower()
    assert "zebrafinch" not in all_of_redis(redis_client).lower()
    turns = conn.execute("SELECT seq, speaker, text FROM turns ORDER BY seq").fetchall()
    assert [(turn["seq"], turn["speaker"]) for turn in turns] == [(1, "Tom"), (2, "Tom")]
    (chunk,) = conn.execute("SELECT content, participants FROM conversation_chunks").fetchall()
    assert chunk["content"] == "\n".join(f"Tom: {turn['text']}" for turn in turns)
    assert chunk["participants"] == ["Tom"]
    (session,) = conn.execute("SELECT id, title, participants FROM sessions").fetchall()
    assert session == {"id": "meeting", "title": None, "participants": ["Tom"]}
    assert {row["title"] for row in conn.execute("SELECT title FROM tasks")} == {"Water the okapi"}
    assert counters_are_right(conn)
    assert [hit["session_id"] for hit in actions.search(operator(), conn, "okapi", kinds=["turns"])["items"]] == [
        "meeting"
    ]
    accept(settings, delivery(orjson.dumps({"session": "new", "turns": [{"speaker": "Mara", "text": "Hello."}]})))
    work(shop)
    assert conn.execute("SELECT FROM sessions WHERE id = 'new'").rowcount == 1  # who speaks again is heard


# Sources and age


def test_a_source_goes_with_its_sessions_and_its_other_deliveries(
    settings: Settings, shop: Workshop, conn: Connection
) -> None:
    accept(
        settings, delivery(talk("walk", "Hello.")), delivery("{"), command("create_session", "made", {"title": "Made"})
    )
    work(shop)
    trial = actions.forget_source(operator(), conn, source="generic", dry_run=True)
    assert (trial["sessions"], trial["deliveries"]) == (1, 2)
    assert actions.forget_source(operator(), conn, source="generic", older_than_days=1)["sessions"] == 0
    assert actions.forget_source(operator(), conn, source="generic") == trial | {"dry_run": False}
    assert [row["id"] for row in conn.execute("SELECT id FROM sessions")] == ["made"]
    accept(settings, delivery(talk("walk", "Again.")))
    work(shop)
    assert conn.execute("SELECT FROM sessions WHERE id = 'walk'").rowcount == 1  # the source is not refused


def aged(shop: Workshop, **settings: Any) -> Workshop:
    return Workshop(shop.pool, shop.queue, shop.settings.model_copy(update=settings))


def test_what_has_outlived_its_time_goes_by_its_source(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    accept(
        settings,
        delivery(talk("old", "Hello.")),
        delivery(talk("busy", "Hello.")),
        delivery(talk("young", "Hello.")),
        delivery("{"),
    )
    accept(settings, command("create_session", "kept", {"title": "Kept"}), command("create_session", "mixed"))
    work(shop)
    accept(settings, delivery(talk("mixed", "Hello.")))
    work(shop)
    conn.execute("INSERT INTO sessions (id) VALUES ('by hand')")
    conn.execute("INSERT INTO tasks (id, session_id, agent_name, title) VALUES ('t', 'busy', 'codex', 'Long work')")
    tasks.claim(conn, "codex", "me")
    conn.execute("UPDATE sessions SET last_activity = now() - interval '40 days' WHERE id <> 'young'")
    conn.execute(
        "UPDATE deliveries SET received_at = now() - interval '40 days' WHERE session_id IS DISTINCT FROM 'young'"
    )
    sweep(shop)
    assert conn.execute("SELECT FROM sessions").rowcount == 6  # off by default
    redis_client.delete(envelope.AGED)
    sweep(aged(shop, retention_days="generic=30, *=365"))
    assert {row["id"] for row in conn.execute("SELECT id FROM sessions")} == {
        "busy", "young", "kept", "mixed", "by hand",
    }  # fmt: skip
    assert states(conn) == {"processed": 5}
    sweep(aged(shop, retention_days="*=20"))  # it has looked a moment ago
    assert conn.execute("SELECT FROM sessions").rowcount == 5
    redis_client.delete(envelope.AGED)
    sweep(aged(shop, retention_days="*=20"))
    assert {row["id"] for row in conn.execute("SELECT id FROM sessions")} == {"busy", "young"}
    accept(settings, delivery(talk("old", "Back again.")))
    work(shop)
    assert conn.execute("SELECT FROM sessions WHERE id = 'old'").rowcount == 1  # age bars nobody


def test_raw_deliveries_go_before_what_came_of_them(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    first = delivery(talk("walk", "Let's go with Postgres for storage."), delivery_id="one")
    accept(settings, first)
    work(shop)
    conn.execute("UPDATE deliveries SET received_at = now() - interval '40 days'")
    redis_client.delete(envelope.AGED)
    sweep(aged(shop, raw_days=30))
    assert states(conn) == {}
    redis_client.flushall()
    accept(settings, first)  # a sender that tries for a month
    work(shop)
    assert [row["text"] for row in conn.execute("SELECT text FROM turns")] == ["Let's go with Postgres for storage."]
    assert conn.execute("SELECT FROM memories").rowcount == 1
    conn.execute("UPDATE forgotten SET until = now() - interval '31 days'")
    redis_client.delete(envelope.AGED)
    sweep(aged(shop, raw_days=30))
    assert conn.execute("SELECT FROM forgotten").rowcount == 0


@pytest.mark.parametrize("wrong", ["generic", "generic=0", "generic=ninety", "Generic=3", "*", "a=1;b=2"])
def test_days_that_are_none_are_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match="AI_WEBHOOK_RETENTION_DAYS"):
        Settings.from_env({"AI_WEBHOOK_RETENTION_DAYS": wrong}, env_file=None)
