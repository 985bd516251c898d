"""The JSON API as agents and the command meet it, on a real database; and the client that speaks it."""

import re
import socket
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx2
import orjson
import pytest
from starlette.testclient import TestClient

from access.api import MAX_BODY_BYTES
from access.client import Client, ServiceError
from access.routes import ENDPOINTS, HOLDER_MOVES, PERSON_MOVES, VERBS
from domain.delivery import Delivery
from domain.errors import Unavailable
from domain.memory import MemoryDraft
from domain.session import Chunk, SessionDraft, Turn
from domain.settings import Settings
from domain.task import ArtifactDraft
from ingest.enqueueing import Enqueuer
from ingest.enqueueing import connect as connect_redis
from ops.web import create_app
from store import artifacts, chunks, deliveries, memories, sessions
from store.database import Connection, open_pool
from tests.access.conftest import Api
from tests.conftest import API_KEY, TOKEN, delivery

BEARER = {"authorization": f"Bearer {TOKEN}"}
MORNING = datetime(2026, 3, 2, 7, 40, tzinfo=UTC)
EVENING = MORNING + timedelta(hours=12)
NOWHERE = str(uuid.UUID(int=0))


@pytest.fixture
def walk(conn: Connection) -> dict[str, Any]:
    """A session with all that can be in one; answers its ids."""
    said = delivery(b'{"text": "Gr\xc3\xbc\xc3\x9fe"}', received_at=MORNING, session_id="walk")
    deliveries.record(conn, [said])
    sessions.ensure(conn, SessionDraft("walk", "Morning walk", ("Alice",)))
    text = "I've decided we use the Carbon Interface API."
    turns = [Turn("Alice", text, "user", start_time=MORNING), Turn("Assistant", "Noted.", "assistant")]
    turn_ids = sessions.add_turns(conn, "walk", said.key, MORNING, turns)
    piece = Chunk(text, "dialogue", 0, 1, ("Alice",), MORNING)
    chunks.add(conn, "walk", said.key, [piece], turn_ids=turn_ids, extracted=[{"decision": ["Use it"]}])
    decided = MemoryDraft("decision", "Use it", tags=("api",), turn=0, quote=text[5:12], char_start=5, char_end=12)
    (memory,) = memories.remember(conn, "walk", said.key, [decided], turn_ids)
    conn.execute(
        "INSERT INTO tasks (id, session_id, agent_name, title, input_data, memory)"
        """ VALUES ('look-up', 'walk', 'claude_code', 'Look up prices', '{"api": "Carbon Interface"}', %s)""",
        [memory],
    )
    artifacts.attach(conn, "walk", ArtifactDraft("notes.md", "# Carbon notes", id="notes"))
    return {"session": "walk", "memory": memory, "task": "look-up", "artifact": "notes", "delivery": said.key}


def record(conn: Connection, **more: Any) -> Delivery:
    one = delivery("{}", **{"received_at": MORNING, **more})
    deliveries.record(conn, [one])
    return one


# Who may come in


def routes() -> list[tuple[str, str]]:
    """(method, path) of every route, with ids that stand for none."""
    return [(e.method, "/api" + re.sub(r"\{[^}]*\}", "0" * 32, e.path)) for e in ENDPOINTS]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer charlies-token"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {API_KEY}"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"x-api-key": TOKEN},
        {"authorization": "Bearer é"},
    ],
    ids=str,
)
def test_no_route_opens_without_the_token(
    stranger: TestClient, api_settings: Settings, headers: dict[str, str]
) -> None:
    every = routes()
    assert len(every) > 20
    for method, path in every:
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        response = stranger.request(method, path, headers=sent, content=b"not even JSON" if method == "POST" else None)
        assert response.status_code == 401, (method, path)
        if method != "HEAD":
            assert response.json()["error"]["code"] == "forbidden"


def test_without_a_token_set_nobody_comes_in(api_settings: Settings, url: str) -> None:
    closed = api_settings.model_copy(update={"token": None})
    assert closed.redis_url is not None
    enqueuer = Enqueuer(connect_redis(closed.redis_url.get_secret_value()), batch_deliveries=1, job_timeout_seconds=60)
    with TestClient(create_app(closed, enqueuer, open_pool(url, "test", 1))) as client:
        for headers in ({}, BEARER, {"authorization": "Bearer "}, {"authorization": "Bearer None"}):
            assert client.get("/api/agents", headers=headers).status_code == 401


def test_the_token_is_no_key_of_a_sender(stranger: TestClient) -> None:
    assert stranger.post("/webhook/generic", content=b"{}", headers=BEARER).status_code == 401


def test_the_scheme_may_be_written_in_any_case(stranger: TestClient) -> None:
    assert stranger.get("/api/agents", headers={"authorization": f"bearer {TOKEN}"}).status_code == 200


# What there is to read


def test_a_session_is_told_with_its_turns_memories_and_tasks(api: Api, walk: dict[str, Any]) -> None:
    session = api.get("/sessions/walk")
    assert (session["title"], session["participants"], session["status"]) == ("Morning walk", ["Alice"], "active")
    assert [turn["seq"] for turn in session["turns"]] == [1, 2]
    assert [memory["id"] for memory in session["memories"]] == [walk["memory"]]
    assert [task["id"] for task in session["tasks"]] == ["look-up"]
    assert session["conversation_chunk_count"] == session["artifact_count"] == 1


def test_all_times_are_rfc_3339_in_utc(api: Api, walk: dict[str, Any]) -> None:
    turn = api.get("/sessions/walk/turns")["items"][0]
    assert turn["start_time"] == "2026-03-02T07:40:00Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", api.get("/sessions/walk")["created"])


def test_turns_are_told_in_order_and_page_by_page(api: Api, walk: dict[str, Any]) -> None:
    first = api.get("/sessions/walk/turns", limit=1)
    assert ([turn["speaker"] for turn in first["items"]], first["next"]) == (["Alice"], "1")
    second = api.get("/sessions/walk/turns", limit=2, after=first["next"])
    assert ([turn["speaker"] for turn in second["items"]], second["next"]) == (["Assistant"], None)


def test_chunks_tell_their_turns_and_what_was_extracted(api: Api, walk: dict[str, Any]) -> None:
    (chunk,) = api.get("/sessions/walk/chunks")["items"]
    assert (chunk["chunk_id"], chunk["first_turn"], chunk["last_turn"]) == ("0001", 1, 2)
    assert chunk["extracted_items"] == {"decision": ["Use it"]}


def test_a_memory_tells_the_words_it_came_from(api: Api, walk: dict[str, Any]) -> None:
    memory = api.get(f"/memories/{walk['memory']}")
    assert (memory["quote"], memory["turn_seq"], memory["char_start"]) == ("decided", 1, 5)


def test_a_memory_tells_every_time_that_it_was_said(api: Api, conn: Connection, walk: dict[str, Any]) -> None:
    again = remembered(conn, "Use it again", walk["memory"])
    memory = api.get(f"/memories/{walk['memory']}")
    assert memory["times_said"] == 2
    assert [(e["id"], e["quote"], e["turn_seq"], e["session_title"]) for e in memory["evidence"]] == [
        (walk["memory"], "decided", 1, "Morning walk"),
        (again, None, None, None),
    ]
    assert api.get(f"/memories/{again}")["evidence"] == memory["evidence"]
    assert [(m["id"], m["times_said"]) for m in api.get("/memories")["items"]] == [(walk["memory"], 2)]
    assert [m["merged_into"] for m in api.get("/memories", session="drive")["items"]] == [walk["memory"]]


def remembered(conn: Connection, title: str, into: int | None = None) -> int:
    """A decision of another session."""
    one = record(conn, received_at=EVENING)
    sessions.ensure(conn, SessionDraft("drive"))
    (row,) = memories.remember_merged(conn, "drive", one.key, [MemoryDraft("decision", title)], [], [into])
    return int(row["id"])


def test_a_task_tells_where_it_came_from(api: Api, walk: dict[str, Any]) -> None:
    task = api.get("/tasks/look-up")
    assert (task["session_title"], task["quote"], task["status"]) == ("Morning walk", "decided", "pending")


def test_an_artifact_is_listed_without_and_told_with_its_content(api: Api, walk: dict[str, Any]) -> None:
    (listed,) = api.get("/artifacts", session="walk")["items"]
    assert "content" not in listed
    assert api.get("/artifacts/notes")["content"] == "# Carbon notes"
    assert api.get("/artifacts", task="look-up")["items"] == []


def test_agents_tell_how_much_they_hold_and_how_much_waits(api: Api, walk: dict[str, Any]) -> None:
    agents = {agent["name"]: (agent["held"], agent["waiting"]) for agent in api.get("/agents")["items"]}
    assert agents == {"claude_code": (0, 1), "codex": (0, 0), "gemini_cli": (0, 0), "researcher": (0, 0)}


def test_deliveries_are_told_without_what_was_said(api: Api, walk: dict[str, Any]) -> None:
    (listed,) = api.get("/deliveries")["items"]
    told = api.get(f"/deliveries/{walk['delivery']}")
    for row in (listed, told):
        assert "body" not in row
        assert (row["id"], row["state"], row["body_bytes"]) == (walk["delivery"], "received", 19)
    assert api.get("/deliveries/count") == {"received": 1, "processed": 0, "ignored": 0, "unknown": 0, "failed": 0}


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "text/vtt", "text/html"])
def test_a_delivery_is_downloaded_byte_for_byte_and_never_shown(api: Api, conn: Connection, content_type: str) -> None:
    body = bytes(range(256)) + b"<script>alert(1)</script>"
    one = delivery(body, content_type=content_type)
    deliveries.record(conn, [one])
    response = api.ask("GET", f"/deliveries/{one.key}/body")
    assert response.content == body
    assert response.headers["content-disposition"] == "attachment"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-type"].startswith(content_type)


def test_a_failed_delivery_can_be_replayed_and_no_other(api: Api, conn: Connection) -> None:
    one = record(conn)
    assert api.refused("POST", f"/deliveries/{one.key}/replay") == (422, "invalid_request")
    deliveries.record_failure(conn, one.key, code="unreadable", message="No words.", retry=False, max_attempts=1)
    failed = api.get(f"/deliveries/{one.key}")
    assert (failed["state"], failed["error_code"], failed["error"]) == ("failed", "unreadable", "No words.")
    replayed = api.post(f"/deliveries/{one.key}/replay")
    assert (replayed["state"], replayed["attempts"], replayed["error"]) == ("received", 0, None)


@pytest.mark.parametrize("state", ["ignored", "unknown"])
def test_what_was_ignored_or_unknown_can_be_replayed_too(api: Api, conn: Connection, state: Any) -> None:
    one = record(conn)
    deliveries.finish(conn, one.key, state)
    assert api.get(f"/deliveries?state={state}")["items"][0]["id"] == one.key
    assert api.get("/deliveries/count")[state] == 1
    assert api.post(f"/deliveries/{one.key}/replay")["state"] == "received"


def test_deliveries_are_replayed_by_what_they_have_in_common(api: Api, conn: Connection) -> None:
    ended = [record(conn, source=source, received_at=at) for source in ("acme", "bell") for at in (MORNING, EVENING)]
    for one in ended:
        deliveries.record_failure(conn, one.key, code="no_turns", message="No.", retry=False, max_attempts=1)
    done = record(conn, source="acme", received_at=EVENING)
    deliveries.finish(conn, done.key, "processed", "walk")
    assert api.post("/deliveries/replay", source="acme", since=EVENING.isoformat()) == {"replayed": 1}
    assert api.post("/deliveries/replay", code="other") == {"replayed": 0}
    assert api.post("/deliveries/replay", code="no_turns") == {"replayed": 3}
    assert api.post("/deliveries/replay", states=["processed"], session_id="walk") == {"replayed": 1}
    assert api.get("/deliveries/count")["received"] == 5


@pytest.mark.parametrize("body", [{"states": ["received"]}, {"states": ["lost"]}, {"since": "soon"}, {"all": True}])
def test_a_replay_of_what_there_cannot_be_is_refused(api: Api, body: Any) -> None:
    assert api.refused("POST", "/deliveries/replay", json=body) == (422, "invalid_request")


# Lists


def fill(conn: Connection, number: int) -> None:
    """So many sessions, memories, tasks, artifacts and deliveries, some of the same instant."""
    at = [MORNING + timedelta(minutes=n // 3) for n in range(number)]
    names = [f"row-{n * 7 % number}" for n in range(number)]
    conn.execute("INSERT INTO sessions (id, created) SELECT * FROM unnest(%s::text[], %s::timestamptz[])", [names, at])
    conn.execute(
        "INSERT INTO memories (session_id, type, key, content)"
        " SELECT 'row-0', 'idea', n, '{}' FROM unnest(%s::text[]) AS n",
        [names],
    )
    conn.execute(
        "INSERT INTO tasks (id, session_id, agent_name, status) SELECT n, 'row-0', 'codex', 'proposed'"
        "  FROM unnest(%s::text[]) AS n",
        [names],
    )
    conn.execute(
        "INSERT INTO artifacts (id, session_id, name, content, created)"
        " SELECT n, 'row-0', n, '', at FROM unnest(%s::text[], %s::timestamptz[]) AS r (n, at)",
        [names, at],
    )
    conn.execute("UPDATE sessions SET last_activity = created")
    conn.execute("ALTER TABLE tasks DISABLE TRIGGER keep_times_updated")
    conn.execute("UPDATE tasks SET updated = s.created FROM sessions s WHERE s.id = tasks.id")
    conn.execute("ALTER TABLE tasks ENABLE TRIGGER keep_times_updated")
    deliveries.record(conn, [delivery("{}", received_at=instant) for instant in at])


LISTS = {
    "/sessions": {"status": "active"},
    "/memories": {"type": "idea", "session": "row-0"},
    "/tasks": {"status": "proposed", "agent": "codex", "session": "row-0"},
    "/artifacts": {"session": "row-0"},
    "/deliveries": {"state": "received", "source": "generic"},
}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [1, 3, 10, 11])
def test_page_by_page_everything_is_visited_once(api: Api, conn: Connection, path: str, limit: int) -> None:
    fill(conn, 10)
    whole = [row["id"] for row in api.get(path, **LISTS[path])["items"]]
    assert len(whole) == 10
    visited: list[Any] = []
    page = api.get(path, limit=limit, **LISTS[path])
    while True:
        assert len(page["items"]) <= limit
        visited += [row["id"] for row in page["items"]]
        if page["next"] is None:
            break
        page = api.get(path, limit=limit, before=page["next"], **LISTS[path])
    assert visited == whole


@pytest.mark.parametrize("path", LISTS)
def test_an_empty_list_is_a_list(api: Api, path: str) -> None:
    assert api.get(path) == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("path", "filters", "found"),
    [
        ("/sessions", {"status": "active"}, 1),
        ("/sessions", {"status": "completed"}, 0),
        ("/memories", {"type": "decision", "session": "walk", "tag": "api"}, 1),
        ("/memories", {"tag": "web"}, 0),
        ("/memories", {"type": "risk"}, 0),
        ("/memories", {"review": "proposed"}, 1),
        ("/memories", {"review": "rejected"}, 0),
        ("/tasks", {"status": "pending", "agent": "claude_code", "session": "walk"}, 1),
        ("/tasks", {"agent": "codex"}, 0),
        ("/tasks", {"status": "failed"}, 0),
        ("/artifacts", {"session": "drive"}, 0),
        ("/deliveries", {"state": "received", "source": "generic"}, 1),
        ("/deliveries", {"source": "vapi"}, 0),
        ("/deliveries", {"state": "failed"}, 0),
    ],
)
def test_lists_are_filtered(api: Api, walk: dict[str, Any], path: str, filters: dict[str, str], found: int) -> None:
    assert len(api.get(path, **filters)["items"]) == found


def test_search_answers_hits_with_what_matched(api: Api, walk: dict[str, Any]) -> None:
    answer = api.get("/search", q="Which carbon API?")
    assert answer["next"] is None
    assert {hit["kind"] for hit in answer["items"]} == {"turns", "tasks", "artifacts"}
    hit = next(hit for hit in answer["items"] if hit["kind"] == "turns")
    assert [hit["snippet"][start:end] for start, end in hit["highlights"]] == ["Carbon", "API"]


@pytest.mark.parametrize(
    ("params", "kinds"),
    [
        ({"in": "turns"}, {"turns"}),
        ({"in": ["turns", "chunks"]}, {"turns", "chunks"}),
        ({"speaker": "alice"}, {"turns"}),
        ({"session": "drive"}, set()),
        ({"in": "turns", "since": "2026-03-02T07:40:00Z"}, {"turns"}),
        ({"in": "turns", "since": "2026-03-02T09:40:00+02:00"}, {"turns"}),
        ({"in": "turns", "since": "2026-03-02T07:40"}, {"turns"}),
        ({"in": "turns", "since": "2026-03-02T07:41:00Z"}, set()),
        ({"in": "turns", "since": "2026-03-03"}, set()),
        ({"type": "document"}, {"artifacts"}),
        ({"q": ""}, set()),
    ],
)
def test_search_is_filtered(api: Api, walk: dict[str, Any], params: dict[str, Any], kinds: set[str]) -> None:
    answer = api.get("/search", **{"q": "carbon interface API", **params})
    assert {hit["kind"] for hit in answer["items"]} == kinds


def test_search_answers_the_best_of_all_kinds(api: Api, walk: dict[str, Any]) -> None:
    every = api.get("/search", q="carbon interface API")["items"]
    assert api.get("/search", q="carbon interface API", limit=2)["items"] == every[:2]


def test_search_goes_on_with_its_cursor(api: Api, walk: dict[str, Any]) -> None:
    every = api.get("/search", q="carbon interface API", limit=50)["items"]
    paged, cursor = [], "0"
    while cursor is not None:
        page = api.get("/search", q="carbon interface API", limit=1, cursor=cursor)
        paged += page["items"]
        cursor = page["next"]
    assert paged == every
    assert len(every) > 2
    assert api.refused("GET", "/search", params={"q": "carbon", "cursor": 1000}) == (422, "invalid_request")
    assert api.refused("GET", "/search", params={"q": "carbon", "cursor": "x"}) == (422, "invalid_request")


def test_search_refuses_a_time_that_ends_before_it_begins(api: Api, walk: dict[str, Any]) -> None:
    times = {"since": "2026-03-03", "until": "2026-03-02"}
    assert api.refused("GET", "/search", params={"q": "carbon", **times}) == (422, "invalid_request")
    assert api.refused("GET", "/search", params={"q": "carbon", "as_of": "soon"}) == (422, "invalid_request")


def test_search_finds_what_was_in_force(api: Api, walk: dict[str, Any]) -> None:
    kinds = [hit["kind"] for hit in api.get("/search", q="interface use it", as_of="2026-03-03")["items"]]
    assert kinds in ([], ["memories"])
    assert api.get("/search", q="use the decision", as_of="2026-03-03T00:00:00Z")["items"][0]["id"] == str(
        walk["memory"]
    )
    assert api.get("/search", q="use the decision", as_of="2026-03-01")["items"] == []


def follow(api: Api, link: str) -> Any:
    return api.ask("GET", link.removeprefix("/api")).json()


def test_every_hit_has_a_link_to_its_place(api: Api, walk: dict[str, Any]) -> None:
    hits = api.get("/search", q="carbon interface API decision", **{"in": ["turns", "memories", "tasks", "artifacts"]})[
        "items"
    ]
    assert {hit["kind"] for hit in hits} == {"turns", "memories", "tasks", "artifacts"}
    for hit in hits:
        found = follow(api, hit["link"])
        if hit["kind"] == "turns":
            assert [turn["seq"] for turn in found["items"]] == [hit["turn_seq"]]
        else:
            assert str(found["id"]) == hit["id"]


def test_facets_tell_how_the_hits_spread(api: Api, walk: dict[str, Any]) -> None:
    rows = api.get("/search/facets", q="carbon interface", **{"in": "turns"})["items"]
    assert {"facet": "session", "value": "walk", "label": "Morning walk", "hits": 1} in rows
    assert {"facet": "month", "value": "2026-03", "label": None, "hits": 1} in rows


def test_related_answers_what_else_was_said(api: Api, conn: Connection, walk: dict[str, Any]) -> None:
    sessions.ensure(conn, SessionDraft("drive"))
    other = record(conn, session_id="drive")
    sessions.add_turns(conn, "drive", other.key, MORNING, [Turn("Bob", "Use the Carbon Interface prices with care.")])
    by_memory = api.get(f"/memories/{walk['memory']}/related")["items"]
    by_task = api.get(f"/tasks/{walk['task']}/related")["items"]
    assert "drive" in [hit["session_id"] for hit in by_memory]
    assert ("memories", str(walk["memory"])) not in [(hit["kind"], hit["id"]) for hit in by_memory + by_task]
    assert [hit["session_id"] for hit in by_task if hit["kind"] == "turns"] == ["drive"]
    assert api.refused("GET", "/memories/999999/related") == (404, "not_found")
    assert api.refused("GET", "/tasks/none/related") == (404, "not_found")


# What to hand to a language model


TALK = (
    "Good morning.",
    "Which emission data do we take?",
    "We take the Carbon Interface, it is decided.",
    "And lunch?",
    *(f"Something else entirely, number {n}, about the weather and the dog." for n in range(30)),
    "The Carbon Interface has two hundred free requests a month.",
)


@pytest.fixture
def talk(conn: Connection) -> int:
    """A talk with a decision in it; answers the memory's id."""
    said = record(conn, session_id="talk")
    sessions.ensure(conn, SessionDraft("talk", "Data talk"))
    turns = [Turn(("Ada", "Bo")[n % 2], text, start_time=MORNING) for n, text in enumerate(TALK)]
    turn_ids = sessions.add_turns(conn, "talk", said.key, MORNING, turns)
    content = "\n".join(TALK)
    chunks.add(
        conn,
        "talk",
        said.key,
        [Chunk(content, "dialogue", 0, 34, ("Ada",), MORNING)],
        turn_ids=turn_ids,
        extracted=[{}],
    )
    quote = "We take the Carbon Interface"
    draft = MemoryDraft(
        "decision", "Take the Carbon Interface", speaker="Ada", turn=2, quote=quote, char_start=0, char_end=28
    )
    return memories.remember(conn, "talk", said.key, [draft], turn_ids)[0]


def test_context_is_what_is_in_force_and_what_was_said_around_it(api: Api, talk: int) -> None:
    answer = api.get("/context", q="What did we decide about the Carbon Interface?", tokens=400)
    assert [memory["id"] for memory in answer["memories"]] == [str(talk)]
    assert answer["memories"][0]["text"].startswith(
        "[decision] We take the Carbon Interface (Ada, 2026-03-02, Data talk)"
    )
    first = answer["passages"][0]
    assert "Which emission data do we take?" in first["text"]
    assert first["text"].startswith("Data talk, 2026-03-02, turns ")
    assert answer["text"].count("We take the Carbon Interface, it is decided.") == 1
    assert answer["tokens"] <= 400
    turns = follow(api, first["link"])["items"]
    assert [turn["seq"] for turn in turns] == [first["first_turn"]]


@pytest.mark.parametrize("tokens", [50, 120, 300])
def test_context_keeps_within_its_tokens(api: Api, talk: int, tokens: int) -> None:
    answer = api.get("/context", q="What about the Carbon Interface and its free requests?", tokens=tokens)
    assert answer["tokens"] <= tokens
    assert answer["text"]


def test_context_has_no_decision_that_was_replaced(api: Api, conn: Connection, talk: int) -> None:
    said = record(conn, session_id="talk")
    (new,) = memories.remember(conn, "talk", said.key, [MemoryDraft("decision", "Take Climatiq for emissions")], [])
    memories.supersede_one(conn, talk, by=new, person="ada")
    answer = api.get("/context", q="Which decision: take the Carbon Interface or take Climatiq?")
    assert [memory["id"] for memory in answer["memories"]] == [str(new)]


@pytest.mark.parametrize("tokens", [0, 49, 100_001, "many"])
def test_context_refuses_a_size_that_is_none(api: Api, talk: int, tokens: object) -> None:
    assert api.refused("GET", "/context", params={"q": "carbon", "tokens": tokens}) == (422, "invalid_request")


def test_context_of_nothing_is_empty(api: Api, talk: int) -> None:
    answer = api.get("/context", q="the of and")
    assert (answer["memories"], answer["passages"], answer["text"], answer["tokens"]) == ([], [], "", 0)


def test_search_without_a_query_finds_nothing(api: Api, walk: dict[str, Any]) -> None:
    assert api.get("/search") == {"items": [], "next": None}


# Reviewing


def test_a_person_reviews_a_memory(api: Api, walk: dict[str, Any]) -> None:
    path = f"/memories/{walk['memory']}"
    accepted = api.post(f"{path}/accept", person="Bob")
    assert (accepted["id"], accepted["review"], accepted["reviewed_by"]) == (walk["memory"], "accepted", "Bob")
    assert api.post(f"{path}/reject", person="Bob", reason="it was a joke")["review"] == "rejected"
    assert api.get("/tasks/look-up")["status"] == "cancelled"
    assert api.get("/tasks/look-up")["events"][-1]["reason"] == "it was a joke"
    assert api.get("/memories", review="rejected")["items"][0]["id"] == walk["memory"]
    assert api.post(f"{path}/restore", person="Bob")["review"] == "accepted"
    assert api.get("/tasks/look-up")["status"] == "pending"
    assert api.refused("POST", f"{path}/restore", json={"person": "Bob"}) == (422, "invalid_request")


def test_a_person_edits_a_memory(api: Api, walk: dict[str, Any]) -> None:
    body = {"person": "Bob", "title": "Use Carbon Interface", "tags": ["carbon"], "content": {"why": "it is small"}}
    response = api.ask("PATCH", f"/memories/{walk['memory']}", json=body)
    edited = response.json()
    assert response.status_code == 200
    assert (edited["title"], edited["tags"], edited["type"]) == ("Use Carbon Interface", ["carbon"], "decision")
    assert (edited["content"]["why"], edited["content"]["title"]) == ("it is small", "Use Carbon Interface")
    assert (edited["review"], edited["reviewed_by"]) == ("edited", "Bob")


def test_a_person_merges_and_splits_memories(api: Api, conn: Connection, walk: dict[str, Any]) -> None:
    other = remembered(conn, "The interface it is")
    merged = api.post(f"/memories/{other}/merge", into=walk["memory"], person="Bob")
    assert (merged["id"], merged["times_said"], len(merged["evidence"])) == (walk["memory"], 2, 2)
    split = api.post(f"/memories/{other}/split", person="Bob")
    assert (split["id"], split["merged_into"], split["merged_by"], split["times_said"]) == (other, None, "Bob", 1)
    assert api.refused("POST", f"/memories/{other}/split", json={"person": "Bob"}) == (422, "invalid_request")


def test_a_person_says_what_was_replaced(api: Api, conn: Connection, walk: dict[str, Any]) -> None:
    conn.execute("UPDATE tasks SET decision = memory")
    newer = remembered(conn, "Use Climatiq")
    old = api.post(f"/memories/{walk['memory']}/supersede", by=newer, person="Bob")
    assert (old["id"], old["superseded_by"]) == (walk["memory"], newer)
    assert "was replaced" in api.get("/tasks/look-up")["doubt"]
    assert "was replaced" in api.get("/tasks")["items"][0]["doubt"]
    claim = api.post("/tasks/claim", agent_name="claude_code", control_agent="bob")["items"][0]
    assert "was replaced" in claim["doubt"]
    assert api.post(f"/memories/{walk['memory']}/reinstate", person="Bob")["superseded_by"] is None
    assert api.get("/tasks/look-up")["doubt"] is None


BAD_REVIEWS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "accept", {"person": ""}),
    ("POST", "accept", {"person": "Bob", "reason": "x"}),
    ("POST", "reject", {"person": "Bob", "reason": ""}),
    ("POST", "merge", {"person": "Bob"}),
    ("POST", "merge", {"person": "Bob", "into": 0}),
    ("POST", "merge", {"person": "Bob", "into": "one"}),
    ("POST", "merge", {"person": "Bob", "into": 2**63}),
    ("POST", "supersede", {"person": "Bob", "by": 1.5}),
    ("POST", "split", {"person": None}),
    ("POST", "reinstate", {"person": "Bob"}),
    ("PATCH", "", {"person": "Bob"}),
    ("PATCH", "", {}),
    ("PATCH", "", {"person": "Bob", "title": ""}),
    ("PATCH", "", {"person": "Bob", "title": "a\x00b"}),
    ("PATCH", "", {"person": "Bob", "type": "hunch"}),
    ("PATCH", "", {"person": "Bob", "content": [1]}),
    ("PATCH", "", {"person": "Bob", "content": {"a": "b\x00c"}}),
    ("PATCH", "", {"person": "Bob", "tags": "web"}),
    ("PATCH", "", {"person": "Bob", "review": "accepted"}),
]


@pytest.mark.parametrize(("method", "verb", "body"), BAD_REVIEWS)
def test_a_review_that_makes_no_sense_changes_nothing(
    api: Api, walk: dict[str, Any], method: str, verb: str, body: dict[str, Any]
) -> None:
    path = f"/memories/{walk['memory']}"
    before = api.get(path)
    assert api.refused(method, f"{path}/{verb}".rstrip("/"), json=body) == (422, "invalid_request")
    assert api.get(path) == before


# What is refused


UNKNOWN = [
    ("GET", "/sessions/nothing"),
    ("GET", "/sessions/nothing/turns"),
    ("GET", "/sessions/nothing/chunks"),
    ("GET", "/memories/999999"),
    ("GET", "/memories/99999999999999999999"),
    ("GET", "/memories/" + "9" * 5000),
    ("GET", "/memories/decision"),
    ("GET", "/memories/-1"),
    ("GET", "/tasks/nothing"),
    ("GET", "/artifacts/nothing"),
    ("GET", "/deliveries/nothing"),
    ("GET", "/deliveries/nothing/body"),
    ("POST", "/deliveries/nothing/replay"),
    ("GET", "/nothing"),
    ("POST", "/memories/1/forget"),
    ("POST", "/memories/decision/accept"),
]


@pytest.mark.parametrize(("method", "path"), UNKNOWN, ids=lambda text: text[:40])
def test_what_is_not_there_is_not_found(api: Api, walk: dict[str, Any], method: str, path: str) -> None:
    assert api.refused(method, path) == (404, "not_found")


@pytest.mark.parametrize("move", [*HOLDER_MOVES, *PERSON_MOVES])
def test_a_task_that_is_not_there_cannot_be_moved(api: Api, move: str) -> None:
    every = {"claim_token": NOWHERE, "error": "x", "question": "x", "answer": "x", "person": "Bob"}
    body = {name: every[name] for name in (HOLDER_MOVES | PERSON_MOVES)[move][0].model_fields if name in every}
    assert api.refused("POST", f"/tasks/nothing/{move}", json=body) == (404, "unknown_task")


@pytest.mark.parametrize("verb", [*VERBS, "edit"])
def test_a_memory_that_is_not_there_cannot_be_reviewed(api: Api, walk: dict[str, Any], verb: str) -> None:
    body = {"person": "Bob", **{"merge": {"into": walk["memory"]}, "supersede": {"by": walk["memory"]}}.get(verb, {})}
    method, path = ("PATCH", "/memories/999999") if verb == "edit" else ("POST", f"/memories/999999/{verb}")
    more = {"title": "New"} if verb == "edit" else {}
    assert api.refused(method, path, json=body | more) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/sessions"), ("POST", "/tasks/look-up/forget"), ("PUT", "/tasks/claim")]
)
def test_a_method_that_an_address_does_not_take_is_refused(api: Api, method: str, path: str) -> None:
    assert api.refused(method, path) == (405, "method_not_allowed")


BAD_PARAMETERS = [
    *[f"{path}?limit={limit}" for path in LISTS for limit in ("0", "1001", "-1", "ten", "1.5", "", "9" * 30)],
    *[f"/sessions/walk/turns?{name}" for name in ("limit=0", "after=-1", "after=x", "after=99999999999999")],
    *[f"/search?q=API&limit={limit}" for limit in ("0", "1001", "x")],
    "/search?q=API&in=dreams",
    "/search?q=API&in=",
    "/search?q=API&since=yesterday",
    "/search?q=a%00b",
    "/search?q=API&session=%00",
    "/sessions?status=over",
    "/sessions?status=",
    "/sessions?before=%00",
    "/memories?type=hunch",
    "/memories?before=walk",
    "/memories?before=-1",
    "/memories?before=9999999999999999999",
    "/memories?tag=%00",
    "/memories?review=perhaps",
    "/tasks?status=doing",
    "/tasks?agent=%00",
    "/deliveries?state=lost",
    "/sessions/%00",
    "/tasks/%00",
]


@pytest.mark.parametrize("path", BAD_PARAMETERS)
def test_a_bad_parameter_is_told(api: Api, walk: dict[str, Any], path: str) -> None:
    assert api.refused("GET", path) == (422, "invalid_request")


CLAIM = {"agent_name": "claude_code", "control_agent": "bob"}
HELD = {"claim_token": NOWHERE}
BAD_BODIES: list[tuple[str, bytes]] = [
    ("/tasks/claim", b""),
    ("/tasks/claim", b"not JSON"),
    ("/tasks/claim", b"[]"),
    ("/tasks/claim", b"null"),
    ("/tasks/claim", b'{"agent_name": "\xff"}'),
    ("/tasks/claim", b'{"agent_name": ' + b"[" * 100_000),
    *[
        ("/tasks/claim", orjson.dumps({**CLAIM, **wrong}))
        for wrong in (
            {"agent": "codex"},
            {"agent_name": ""},
            {"agent_name": 7},
            {"agent_name": "a\x00b"},
            {"control_agent": None},
            {"control_agent": "x" * 201},
            {"lease_seconds": 0},
            {"lease_seconds": 86_401},
            {"lease_seconds": 10**15},
            {"lease_seconds": 1.5},
            {"max_tasks": 0},
            {"max_tasks": 1001},
            {"max_tasks": 10**15},
            {"max_tasks": "many"},
        )
    ],
    *[
        (f"/tasks/look-up/{move}", orjson.dumps(wrong))
        for move, wrong in (
            ("start", {}),
            ("start", {"claim_token": "mine"}),
            ("start", {"claim_token": None}),
            ("start", {**HELD, "process_id": -1}),
            ("start", {**HELD, "process_id": 2**31}),
            ("start", {**HELD, "pid": 7}),
            ("renew", {**HELD, "lease_seconds": 0}),
            ("renew", {**HELD, "lease_seconds": 10**15}),
            ("renew", {**HELD, "progress": 1.1}),
            ("renew", {**HELD, "progress": "half"}),
            ("renew", {**HELD, "note": ""}),
            ("complete", {**HELD, "output": 3}),
            ("complete", {**HELD, "artifacts": "notes"}),
            ("complete", {**HELD, "artifacts": [""]}),
            ("complete", {**HELD, "artifacts": [7]}),
            ("fail", HELD),
            ("fail", {**HELD, "error": ""}),
            ("fail", {**HELD, "error": "x" * 100_001}),
            ("fail", {**HELD, "error": "x", "retry": "perhaps"}),
            ("release", {**HELD, "why": "bored"}),
            ("ask", HELD),
            ("ask", {**HELD, "question": ""}),
            ("answer", {"person": "Alice"}),
            ("answer", {"answer": "", "person": "Alice"}),
            ("answer", {"answer": "a\x00b", "person": "Alice"}),
            ("approve", {"person": ""}),
            ("cancel", {"reason": ""}),
            ("cancel", {"claim_token": NOWHERE}),
        )
    ],
    *[
        ("/artifacts", orjson.dumps(wrong))
        for wrong in (
            {},
            {"name": "notes"},
            {"name": "", "content": "x"},
            {"name": "notes", "content": 7},
            {"name": "notes", "content": "a\x00b"},
            {"name": "notes", "content": "x", "metadata": []},
            {"name": "notes", "content": "x", "metadata": {"a": "\x00"}},
            {"name": "notes", "content": "x", "id": "x" * 201},
            {"name": "notes", "content": "x", "size": 1},
            {"name": "notes", "content": " ".join(f"word{n}" for n in range(150_000))},
        )
    ],
]


@pytest.mark.parametrize(("path", "body"), BAD_BODIES, ids=[f"{n}-{path}" for n, (path, _) in enumerate(BAD_BODIES)])
def test_a_bad_body_is_told_and_changes_nothing(
    api: Api, conn: Connection, walk: dict[str, Any], path: str, body: bytes
) -> None:
    before = [conn.execute(f"SELECT * FROM {table}").fetchall() for table in ("tasks", "artifacts")]
    assert api.refused("POST", path, content=body) == (422, "invalid_request")
    assert [conn.execute(f"SELECT * FROM {table}").fetchall() for table in ("tasks", "artifacts")] == before


@pytest.mark.parametrize("path", ["/artifacts", "/tasks/claim", "/tasks/look-up/complete"])
def test_a_body_past_the_limit_is_refused(api: Api, path: str) -> None:
    body = b'{"content": "' + b"x" * MAX_BODY_BYTES + b'"}'
    assert api.refused("POST", path, content=body) == (413, "body_too_large")
    pieces = (body[start : start + 2**20] for start in range(0, len(body), 2**20))
    assert api.refused("POST", path, content=pieces) == (413, "body_too_large")


@pytest.mark.parametrize("place", ["task_id", "session_id"])
def test_an_artifact_of_what_is_not_there_is_refused(api: Api, place: str) -> None:
    body = {"name": "x", "content": "x", place: "nothing"}
    assert api.refused("POST", "/artifacts", json=body) == (404, "not_found")


def test_an_error_quotes_nothing_that_was_sent(api: Api, walk: dict[str, Any]) -> None:
    for path, body in BAD_BODIES:
        answer = api.ask("POST", path, content=body.replace(b"bob", b"secret")).text
        assert "secret" not in answer and NOWHERE not in answer


# Work through HTTP


def test_an_agent_claims_starts_renews_and_completes_with_an_artifact(api: Api, walk: dict[str, Any]) -> None:
    (claim,) = api.post("/tasks/claim", **CLAIM, lease_seconds=60)["items"]
    assert (claim["task_id"], claim["input_data"], claim["attempt"]) == ("look-up", {"api": "Carbon Interface"}, 1)
    held = {"claim_token": claim["claim_token"]}
    assert api.post("/tasks/look-up/start", **held, process_id=4711)["status"] == "running"
    renewed = api.post("/tasks/look-up/renew", **held, lease_seconds=600, progress=0.5, note="Half of it.")
    assert (renewed["progress"], renewed["progress_note"]) == (0.5, "Half of it.")
    assert renewed["lease_until"] > claim["lease_until"]
    artifact = api.post("/artifacts", name="prices.md", content="# Prices: 3 €", task_id="look-up", format="markdown")
    assert (artifact["session_id"], artifact["task_id"], artifact["size"]) == ("walk", "look-up", 15)
    output = {"price": 3, "currency": "€", "none": None, "list": [1.5, True]}
    done = api.post("/tasks/look-up/complete", **held, output_data=output, artifacts=[artifact["id"]])
    assert (done["status"], done["output_data"], done["artifacts"]) == ("completed", output, [artifact["id"]])
    assert api.post("/tasks/look-up/complete", **held, output_data="late") == done
    assert [row["id"] for row in api.get("/artifacts", task="look-up")["items"]] == [artifact["id"]]
    assert api.refused("POST", "/tasks/look-up/renew", json=held) == (409, "claim_lost")
    assert api.post("/tasks/claim", **CLAIM) == {"items": [], "next": None}


def test_an_agent_asks_a_person_answers_and_it_goes_on(api: Api, walk: dict[str, Any]) -> None:
    (claim,) = api.post("/tasks/claim", **CLAIM)["items"]
    asked = api.post("/tasks/look-up/ask", claim_token=claim["claim_token"], question="Which airline?")
    assert (asked["status"], asked["question"]) == ("needs_input", "Which airline?")
    assert api.post("/tasks/look-up/answer", answer="Lufthansa", person="Alice")["status"] == "pending"
    (again,) = api.post("/tasks/claim", **CLAIM)["items"]
    assert again["input_data"]["answers"][0]["answer"] == "Lufthansa"
    assert api.post("/tasks/look-up/release", claim_token=again["claim_token"])["status"] == "pending"


def test_an_agent_that_fails_says_why(api: Api, walk: dict[str, Any]) -> None:
    (claim,) = api.post("/tasks/claim", **CLAIM)["items"]
    failed = api.post("/tasks/look-up/fail", claim_token=claim["claim_token"], error="No such API.", retry=False)
    assert (failed["status"], failed["error_message"]) == ("failed", "No such API.")


def test_a_person_approves_and_cancels(api: Api, conn: Connection, walk: dict[str, Any]) -> None:
    conn.execute("UPDATE tasks SET status = 'proposed'")
    assert api.post("/tasks/claim", **CLAIM)["items"] == []
    assert api.post("/tasks/look-up/approve", person="Alice")["status"] == "pending"
    assert api.refused("POST", "/tasks/look-up/approve", json={"person": "Alice"}) == (409, "invalid_move")
    assert api.post("/tasks/look-up/cancel")["status"] == "cancelled"
    assert api.refused("POST", "/tasks/look-up/cancel", json={}) == (409, "invalid_move")


def test_a_person_has_a_failed_task_tried_again(api: Api, walk: dict[str, Any]) -> None:
    (claim,) = api.post("/tasks/claim", **CLAIM)["items"]
    api.post("/tasks/look-up/fail", claim_token=claim["claim_token"], error="No such API.", retry=False)
    again = api.post("/tasks/look-up/retry", person="Alice")
    assert (again["status"], again["attempts"], again["error_message"]) == ("pending", 0, None)
    assert api.refused("POST", "/tasks/look-up/retry", json={"person": "Alice"}) == (409, "invalid_move")
    last = api.get("/tasks/look-up")["events"][-1]
    assert (last["actor"], last["from_status"], last["reason"]) == ("Alice", "failed", "retried")


def test_a_fair_claim_is_asked_for_by_name(api: Api, conn: Connection, walk: dict[str, Any]) -> None:
    conn.execute("INSERT INTO sessions (id) VALUES ('other')")
    conn.execute(
        "INSERT INTO tasks (id, session_id, agent_name, priority) VALUES ('second', 'walk', 'claude_code', 60),"
        " ('first', 'walk', 'claude_code', 70), ('elsewhere', 'other', 'claude_code', 1)"
    )
    taken = [api.post("/tasks/claim", **CLAIM, fair=fair)["items"][0]["task_id"] for fair in (False, True, False)]
    assert taken == ["first", "elsewhere", "second"]


def test_an_agent_registers_lives_and_leaves(api: Api, conn: Connection, walk: dict[str, Any]) -> None:
    mine = {"type": "script", "capabilities": ["review"], "max_concurrent": None, "metadata": {"host": "desk"}}
    response = api.ask("PUT", "/agents/reviewer", json=mine)
    assert response.status_code == 200, response.text
    assert {name: response.json()[name] for name in mine} == mine
    assert response.json()["status"] == "available"
    conn.execute("UPDATE agents SET last_heartbeat = now() - interval '1 hour' WHERE name = 'reviewer'")
    assert api.get("/agents/reviewer")["status"] == "offline"
    assert api.post("/agents/reviewer/heartbeat")["status"] == "available"
    conn.execute("INSERT INTO tasks (id, capabilities) VALUES ('read-it', '[\"review\"]')")
    api.post("/tasks/claim", agent_name="reviewer", control_agent="me")
    assert api.get("/agents/reviewer")["held"] == 1
    assert api.post("/agents/reviewer/deregister") == {"name": "reviewer", "returned": 1}
    assert api.get("/tasks/read-it")["status"] == "pending"
    assert api.get("/agents/reviewer")["status"] == "offline"
    conn.execute("DELETE FROM agents WHERE name = 'reviewer'")


@pytest.mark.parametrize(
    ("method", "path", "body", "answer"),
    [
        ("GET", "/agents/hal_9000", None, (404, "not_found")),
        ("POST", "/agents/hal_9000/heartbeat", {}, (404, "unknown_agent")),
        ("POST", "/agents/hal_9000/deregister", {}, (404, "unknown_agent")),
        ("PUT", "/agents/hal_9000", {"max_concurrent": -1}, (422, "invalid_request")),
        ("PUT", "/agents/hal_9000", {"max_concurrent": 1001}, (422, "invalid_request")),
        ("PUT", "/agents/hal_9000", {"capabilities": "all"}, (422, "invalid_request")),
        ("PUT", f"/agents/{'x' * 101}", {}, (422, "invalid_request")),
        ("PUT", "/agents/a%00b", {}, (422, "invalid_request")),
    ],
)
def test_an_agent_that_cannot_be_is_refused(
    api: Api, method: str, path: str, body: Any, answer: tuple[int, str]
) -> None:
    assert api.refused(method, path, json=body) == answer


def test_every_refused_move_has_its_own_code(api: Api, conn: Connection, walk: dict[str, Any]) -> None:
    assert api.refused("POST", "/tasks/look-up/start", json=HELD) == (409, "claim_lost")
    assert api.refused("POST", "/tasks/look-up/answer", json={"answer": "x", "person": "Bob"}) == (409, "invalid_move")
    assert api.refused("POST", "/tasks/claim", json={**CLAIM, "agent_name": "hal_9000"}) == (404, "unknown_agent")
    conn.execute("UPDATE agents SET max_concurrent = 0 WHERE name = 'claude_code'")
    assert api.refused("POST", "/tasks/claim", json=CLAIM) == (409, "agent_at_capacity")


def test_a_lapsed_lease_is_told_and_the_next_one_gets_the_task(
    api: Api, conn: Connection, walk: dict[str, Any]
) -> None:
    (first,) = api.post("/tasks/claim", **CLAIM)["items"]
    conn.execute("UPDATE tasks SET lease_until = clock_timestamp()")
    held = {"claim_token": first["claim_token"]}
    assert api.refused("POST", "/tasks/look-up/complete", json=held) == (409, "claim_lost")
    (second,) = api.post("/tasks/claim", **CLAIM)["items"]
    assert (second["task_id"], second["attempt"]) == ("look-up", 2)
    assert api.refused("POST", "/tasks/look-up/complete", json=held) == (409, "claim_lost")


def test_the_claims_token_is_told_to_its_holder_alone(api: Api, walk: dict[str, Any]) -> None:
    (claim,) = api.post("/tasks/claim", **CLAIM)["items"]
    token = claim["claim_token"]
    paths = ["/tasks", "/tasks/look-up", "/sessions/walk", "/agents", "/search?q=look+up+prices&in=tasks"]
    told = [api.ask("GET", path).text for path in paths]
    told.append(api.ask("POST", "/tasks/look-up/start", json={"claim_token": token}).text)
    told.append(api.ask("POST", "/tasks/look-up/complete", json={"claim_token": token}).text)
    told += [api.ask("GET", path).text for path in paths]
    told.append(api.ask("POST", "/tasks/look-up/release", json={"claim_token": token}).text)
    assert all("look-up" in text or "claude_code" in text for text in told)
    assert not any(token in text or "claim_token" in text or "completed_token" in text for text in told)


def test_an_artifact_sent_again_under_its_id_is_replaced(api: Api, walk: dict[str, Any]) -> None:
    new = {"name": "notes.md", "content": "# Better", "id": "notes", "session_id": "walk", "metadata": {"v": 2}}
    assert api.post("/artifacts", **new)["content"] == "# Better"
    assert api.refused("POST", "/artifacts", json={**new, "session_id": None}) == (422, "invalid_request")
    assert len(api.get("/artifacts")["items"]) == 1


def test_ids_that_senders_chose_are_found_whatever_is_in_them(api: Api, conn: Connection) -> None:
    for name in ("2026/03/02 walk", "50% ?#&;=+", "…/Grüße 🚲", "a/turns"):
        sessions.ensure(conn, SessionDraft(name))
        conn.execute("INSERT INTO tasks (id, session_id, agent_name) VALUES (%s, %s, 'codex')", [name, name])
        artifacts.attach(conn, name, ArtifactDraft("notes", "", id=name))
        id = quote(name, safe="")
        if not name.endswith("/turns"):  # an address of its own
            assert api.get(f"/sessions/{id}")["id"] == name
        assert api.get(f"/sessions/{id}/turns")["items"] == []
        assert api.get(f"/sessions/{id}/chunks")["items"] == []
        assert api.get(f"/tasks/{id}")["id"] == name
        assert api.post(f"/tasks/{id}/cancel")["status"] == "cancelled"
        assert api.get(f"/artifacts/{id}")["id"] == name
        assert len(api.get("/tasks", session=name)["items"]) == 1


def test_without_postgresql_everything_but_the_health_of_the_process_is_unavailable(api_settings: Settings) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        pool = open_pool(f"postgresql://app@127.0.0.1:{silent.getsockname()[1]}/nothing", "test", 1)
        pool.timeout = 0.05
        assert api_settings.redis_url is not None
        redis_url = api_settings.redis_url.get_secret_value()
        enqueuer = Enqueuer(connect_redis(redis_url), batch_deliveries=1, job_timeout_seconds=60)
        with TestClient(create_app(api_settings, enqueuer, pool)) as client:
            assert Api(client).refused("GET", "/sessions") == (503, "database_unavailable")
            assert int(client.get("/api/sessions", headers=BEARER).headers["retry-after"]) > 0
            assert client.get("/healthz").status_code == 200
            ready = client.get("/readyz")
            assert ready.status_code == 200  # it can take deliveries
            assert ready.json() == {"status": "degraded", "redis": True, "postgresql": False}
            text = client.get("/metrics", headers=BEARER).text
            assert "ai_webhook_database_up 0.0" in text
            assert "ai_webhook_redis_up 1.0" in text


def test_it_is_ready_when_both_servers_answer(stranger: TestClient) -> None:
    assert stranger.get("/readyz").json() == {"status": "ready", "redis": True, "postgresql": True}


# The client


@pytest.fixture
def bob(stranger: TestClient, conn: Connection) -> Iterator[Client]:
    """The client that the command line uses, connected to the service without a network."""
    with Client("http://testserver/", TOKEN) as client:
        client.http.close()
        client.http = stranger
        yield client
        client.http = httpx2.Client()


def test_the_client_reads_and_moves(bob: Client, walk: dict[str, Any]) -> None:
    assert bob.call("list_sessions", status="active", before=None)["items"][0]["id"] == "walk"
    (claim,) = bob.call("claim_task", **CLAIM, lease_seconds=None)["items"]
    assert bob.call("release_task", "look-up", claim_token=claim["claim_token"])["status"] == "pending"
    assert bob.call("get_delivery_body", walk["delivery"]) == b'{"text": "Gr\xc3\xbc\xc3\x9fe"}'


def test_the_client_delivers_as_a_sender_does(bob: Client) -> None:
    headers = {"x-api-key": API_KEY, "content-type": "text/plain", "idempotency-key": uuid.uuid4().hex}
    answer = bob.deliver("generic", b"Alice: Hello.", headers, session="walk & talk")
    assert answer["status"] == "accepted"
    assert bob.deliver("generic", b"Alice: Hello.", headers) == {**answer, "status": "duplicate"}


def test_what_the_service_refuses_is_told_with_its_own_code(bob: Client, walk: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as refusal:
        bob.call("get_session", "nothing")
    assert (refusal.value.status, refusal.value.code) == (404, "not_found")
    assert refusal.value.message == "There is no such session."
    assert refusal.value.hint
    with pytest.raises(ServiceError) as refusal:
        bob.call("start_task", "look-up", claim_token=NOWHERE)
    assert (refusal.value.status, refusal.value.code) == (409, "claim_lost")
    with pytest.raises(ServiceError) as refusal:
        bob.deliver("generic", b"{}", {"x-api-key": "charlies-key"})
    assert (refusal.value.status, refusal.value.code) == (401, "invalid_api_key")
    bob.api_headers = {"authorization": "Bearer charlies-token"}
    with pytest.raises(ServiceError) as refusal:
        bob.call("get_delivery_body", "x")
    assert (refusal.value.status, refusal.value.code) == (401, "forbidden")


def test_where_nothing_listens_the_client_says_so_and_what_to_do() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, TOKEN) as client, pytest.raises(Unavailable) as failure:
            client.call("list_sessions")
    assert failure.value.message.startswith(f"Nothing answers at {url} (")
    assert "ai-webhook up" in failure.value.hint
    assert TOKEN not in failure.value.message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"<h1>Not Found</h1>"),
        (502, b""),
        (500, b'"error"'),
        (500, b"[]"),
        (500, b'{"error": "broken"}'),
        (500, b'{"error": {"code": "x"}}'),
        (302, b""),
        (200, b"<h1>Welcome</h1>"),
        (200, b"\xff"),
    ],
)
def test_another_program_at_the_address_is_told_from_the_service(status: int, body: bytes) -> None:
    def other(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body)

    client = Client("http://other.test", TOKEN)
    client.http = httpx2.Client(base_url=client.url, transport=httpx2.MockTransport(other))
    with client, pytest.raises(ServiceError) as refusal:
        client.call("list_sessions")
    assert (refusal.value.status, refusal.value.code) == (status, "unexpected_answer")
    assert "AI_WEBHOOK_URL" in refusal.value.hint
