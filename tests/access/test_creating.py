"""What people and agents make and change over HTTP: once, and never over somebody else's change."""

import json
import threading
from typing import Any

import pytest

from access.actions import checked_name
from domain.errors import InvalidRequest
from store.database import Connection
from tests.access.conftest import Api


@pytest.fixture
def walk(api: Api) -> str:
    return str(api.post("/sessions", id="walk", title="Morning walk", participants=["Alice"])["id"])


# Making


def test_a_session_is_made(api: Api) -> None:
    made = api.post("/sessions", title="Kitchen", participants=["Alice", "Bob"], metadata={"room": 4})
    assert made["id"].startswith("session_")
    assert (made["status"], made["turns"], made["participants"]) == ("active", [], ["Alice", "Bob"])
    assert [session["id"] for session in api.get("/sessions", status="active")["items"]] == [made["id"]]


def test_a_session_of_an_id_that_there_is_is_not_made(api: Api, walk: str) -> None:
    assert api.refused("POST", "/sessions", json={"id": walk, "title": "Other"}) == (422, "invalid_request")
    assert api.get("/sessions/walk")["title"] == "Morning walk"


def test_a_memory_is_stored_and_found(api: Api, walk: str) -> None:
    made = api.post("/memories", session_id=walk, type="decision", title="Use the Carbon Interface API", tags=["api"])
    assert (made["review"], made["extractor"], made["tags"]) == ("proposed", "person", ["api"])
    assert [hit["id"] for hit in api.get("/search", q="carbon")["items"]] == [str(made["id"])]
    assert api.get("/sessions/walk")["memory_count"] == 1


def test_the_same_memory_again_is_the_same_memory(api: Api, walk: str) -> None:
    same = {"session_id": walk, "type": "decision", "title": "Use Postgres"}
    assert api.post("/memories", **same)["id"] == api.post("/memories", **same)["id"]


def test_a_memory_of_no_session_is_refused(api: Api) -> None:
    body = {"session_id": "nowhere", "type": "fact", "title": "x"}
    assert api.refused("POST", "/memories", json=body) == (404, "not_found")


def test_a_task_is_made_for_an_agent_or_a_capability(api: Api, walk: str) -> None:
    first = api.post("/tasks", title="Look up prices", session_id=walk)
    assert (first["agent_name"], first["status"], first["priority"]) == ("claude_code", "pending", 50)
    second = api.post("/tasks", title="Review it", capabilities=["review"], depends_on=[first["id"]])
    assert (second["agent_name"], second["waiting_for"]) == (None, 1)
    third = api.post("/tasks", title="Perhaps", agent_name="codex", status="proposed", id="third")
    assert (third["id"], third["status"]) == ("third", "proposed")
    assert [event["actor"] for event in third["events"]] == ["operator"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"agent_name": "nobody"},
        {"id": "there"},
        {"memory": 999999},
        {"session_id": "nowhere"},
        {"depends_on": ["nothing"]},
        {"depends_on": ["self"], "id": "self"},
        {"status": "completed"},
        {"acceptance": {"output_matches": "("}},
        {"input_data": {"a": "\x00"}},
        {"title": ""},
        {"priority": 10**9},
        {"input_data": {"n": 10**30}},
        {"input_data": {"n": [float("nan")]}},
        {"input_data": {"n": [float("inf")]}},
        {"not_before": "9999-12-31T23:59:59-12:00"},
        {"not_before": "0001-01-01T00:00:00+12:00"},
    ],
    ids=str,
)
def test_a_task_that_cannot_be_is_refused_and_not_made(api: Api, wrong: dict[str, Any]) -> None:
    api.post("/tasks", title="There", id="there")
    body = json.dumps({"title": "New"} | wrong)
    status, code = api.refused("POST", "/tasks", content=body)
    assert (status, code) in {(422, "invalid_request"), (404, "not_found"), (404, "unknown_agent")}
    assert [task["id"] for task in api.get("/tasks")["items"]] == ["there"]


def test_what_a_number_cannot_be_is_no_output_either(api: Api) -> None:
    api.post("/tasks", title="Look up", id="look-up", agent_name="codex")
    (claim,) = api.post("/tasks/claim", agent_name="codex", control_agent="one")["items"]
    for output in (f"1{'0' * 30}", "NaN", "-Infinity", "1e999"):
        body = f'{{"claim_token": "{claim["claim_token"]}", "output_data": {{"n": {output}}}}}'
        assert api.refused("POST", "/tasks/look-up/complete", content=body) == (422, "invalid_request"), output
    assert api.get("/tasks/look-up")["status"] == "claimed"


def test_a_person_says_that_a_task_is_done(api: Api) -> None:
    api.post("/tasks", title="Call the plumber", id="call")
    done = api.post("/tasks/call/finish", output_data={"said": "Tuesday"}, person="Alice")
    assert (done["status"], done["output_data"]) == ("completed", {"said": "Tuesday"})
    assert api.get("/tasks/call")["events"][-1]["actor"] == "Alice"
    assert api.refused("POST", "/tasks/call/finish", json={}) == (409, "invalid_move")


def test_a_person_cannot_finish_what_an_agent_holds(api: Api) -> None:
    api.post("/tasks", title="Look up", id="held")
    api.post("/tasks/claim", agent_name="claude_code", control_agent="one")
    assert api.refused("POST", "/tasks/held/finish", json={}) == (409, "invalid_move")


def test_what_a_completion_has_to_bring_holds_for_people_too(api: Api) -> None:
    api.post("/tasks", title="Measure", id="measure", acceptance={"exit_code": 0})
    assert api.refused("POST", "/tasks/measure/finish", json={}) == (409, "completion_not_accepted")


# Once


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tasks", {"title": "Look up prices"}),
        ("/sessions", {"title": "Kitchen"}),
        ("/artifacts", {"name": "a.md", "content": "x"}),
    ],
)
def test_a_creation_sent_again_with_its_key_is_done_once(api: Api, path: str, body: dict[str, Any]) -> None:
    key = {"idempotency-key": f"key-of-{path}"}
    first, second = (api.answered("POST", path, json=body, headers=key) for _ in range(2))
    assert first == second
    assert len(api.get(path)["items"]) == 1
    assert api.answered("POST", path, json=body)["id"] != first["id"]


def test_a_key_is_for_one_request_of_one_caller(api: Api, conn: Connection) -> None:
    key = {"idempotency-key": "one"}
    first = api.answered("POST", "/tasks", json={"title": "One"}, headers=key)
    assert api.refused("POST", "/tasks", json={"title": "Two"}, headers=key) == (422, "idempotency_key_reused")
    other = api.with_token(conn, "write").answered("POST", "/tasks", json={"title": "Two"}, headers=key)
    assert other["id"] != first["id"]


def test_a_later_token_of_the_same_name_sees_nothing_of_the_earlier_ones(api: Api) -> None:
    key, body = {"idempotency-key": "one"}, {"title": "One"}
    made = []
    for _ in range(2):
        token = api.post("/tokens", name="mac", scopes=["write"])["token"]
        made.append(Api(api.client, token).answered("POST", "/tasks", json=body, headers=key)["id"])
        api.post("/tokens/mac/revoke")
    assert len(set(made)) == 2


def test_a_request_that_failed_leaves_its_key_free(api: Api) -> None:
    key = {"idempotency-key": "one"}
    assert api.refused("POST", "/tasks", json={"title": "x", "memory": 99}, headers=key)[0] in (404, 422)
    assert api.answered("POST", "/tasks", json={"title": "x"}, headers=key)["title"] == "x"


def test_the_same_request_at_the_same_moment_is_done_once(api: Api) -> None:
    answers: list[Any] = []

    def send() -> None:
        body = {"title": "Look up prices"}
        answers.append(api.answered("POST", "/tasks", json=body, headers={"idempotency-key": "race"}))

    senders = [threading.Thread(target=send) for _ in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len({answer["id"] for answer in answers}) == 1
    assert len(answers) == 8
    assert len(api.get("/tasks")["items"]) == 1


@pytest.mark.parametrize("key", ["x" * 201, "a\tb", "a b", ""])
def test_what_is_no_key_is_refused(api: Api, key: str) -> None:
    answer = api.refused("POST", "/tasks", json={"title": "x"}, headers={"idempotency-key": key})
    assert answer == (422, "invalid_request")


# Changing


def test_a_task_is_changed_while_nobody_holds_it(api: Api) -> None:
    api.post("/tasks", title="Look up", id="look-up")
    changed = api.answered("PATCH", "/tasks/look-up", json={"title": "Look up prices", "priority": 90})
    assert (changed["title"], changed["priority"], changed["agent_name"]) == ("Look up prices", 90, "claude_code")
    api.post("/tasks/claim", agent_name="claude_code", control_agent="one")
    assert api.refused("PATCH", "/tasks/look-up", json={"title": "Other"}) == (409, "invalid_move")
    assert api.refused("PATCH", "/tasks/nothing", json={"title": "Other"}) == (404, "not_found")
    assert api.refused("PATCH", "/tasks/look-up", json={}) == (422, "invalid_request")


def test_a_session_is_changed(api: Api, walk: str) -> None:
    changed = api.answered("PATCH", "/sessions/walk", json={"status": "completed", "title": "Walk"})
    assert (changed["status"], changed["title"]) == ("completed", "Walk")
    assert changed["completed_at"] is not None
    assert api.refused("PATCH", "/sessions/nothing", json={"title": "x"}) == (404, "not_found")


CHANGED = [
    ("/sessions/walk", {"title": "Alice's"}, {"title": "Bob's"}),
    ("/tasks/look-up", {"title": "Alice's"}, {"title": "Bob's"}),
    ("/memories/{memory}", {"title": "Alice's"}, {"title": "Bob's"}),
]


@pytest.mark.parametrize(("path", "alices", "bobs"), CHANGED, ids=[path for path, _, _ in CHANGED])
def test_nobody_changes_over_a_change_that_they_have_not_seen(
    api: Api, walk: str, path: str, alices: dict[str, Any], bobs: dict[str, Any]
) -> None:
    api.post("/tasks", title="Look up", id="look-up", session_id=walk)
    memory = api.post("/memories", session_id=walk, type="fact", title="It rains")["id"]
    path = path.format(memory=memory)
    read = api.ask("GET", path)
    assert read.headers["etag"] == f'"{read.json()["version"]}"'
    unchanged = {"if-match": read.headers["etag"]}
    first = api.ask("PATCH", path, json=alices, headers=unchanged)
    assert (first.status_code, first.json()["title"]) == (200, "Alice's")
    assert api.refused("PATCH", path, json=bobs, headers=unchanged) == (412, "changed_meanwhile")
    assert api.refused("PATCH", path, json=bobs | {"version": read.json()["version"]}) == (412, "changed_meanwhile")
    assert api.get(path)["title"] == "Alice's"
    again = api.ask("PATCH", path, json=bobs, headers={"if-match": first.headers["etag"]})
    assert again.json()["title"] == "Bob's"
    whatever = api.ask("PATCH", path, json=alices, headers={"if-match": "*"})
    assert whatever.json()["title"] == "Alice's"


def test_a_body_that_is_not_said_to_be_json_is_refused(api: Api) -> None:
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = api.refused("POST", "/tasks", content=b'{"title": "x"}', headers={"content-type": media})
        assert answer == (415, "unsupported_media_type")
    assert api.get("/tasks")["items"] == []


# Files


def upload(api: Api, content: Any, **where: str) -> Any:
    return api.answered("POST", "/artifacts/upload", content=content, params=where)


def test_a_file_is_left_and_read_byte_for_byte(api: Api) -> None:
    import hashlib

    picture = bytes(range(256)) * 100
    left = upload(api, picture, name="charts/prices.png", type="image")
    assert (left["size"], left["content"], left["format"]) == (25_600, None, "binary")
    assert left["sha256"] == hashlib.sha256(picture).hexdigest()
    read = api.ask("GET", f"/artifacts/{left['id']}/content")
    assert read.content == picture
    assert read.headers["content-type"] == "application/octet-stream"
    assert read.headers["content-disposition"] == "attachment; filename*=UTF-8''prices.png"
    assert read.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in read.headers["content-security-policy"]


def test_a_file_of_text_is_searched_and_never_rendered(api: Api) -> None:
    page = "<b onclick='alert(1)'>Zürich</b>"
    left = upload(api, page.encode(), name="page.html")
    assert (left["content"], left["format"]) == (page, "text")
    read = api.ask("GET", f"/artifacts/{left['id']}/content")
    assert (read.text, read.headers["content-type"]) == (page, "text/plain; charset=utf-8")
    assert [hit["id"] for hit in api.get("/search", q="Zürich")["items"]] == [left["id"]]


def test_a_file_past_the_limit_is_refused_however_it_comes(api: Api) -> None:
    piece = b"x" * 2**20
    where = {"name": "big.bin"}
    assert api.refused("POST", "/artifacts/upload", content=piece * 21, params=where) == (413, "body_too_large")
    pieces = (piece for _ in range(21))
    assert api.refused("POST", "/artifacts/upload", content=pieces, params=where) == (413, "body_too_large")
    assert api.get("/artifacts")["items"] == []


BAD_NAMES = [
    "/etc/passwd", "../x", "a/../b", "..", ".", "a//b", "a/", "/", "C:\\x", "c:/x", "a\\b", "a\nb", " ", "a/ /b", "...",
    "\u202egpj.exe",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_a_name_that_leads_elsewhere_is_refused(api: Api, name: str) -> None:
    assert api.refused("POST", "/artifacts/upload", content=b"x", params={"name": name}) == (422, "invalid_request")
    assert api.refused("POST", "/artifacts", json={"name": name, "content": "x"}) == (422, "invalid_request")


@pytest.mark.parametrize("name", ["report.md", "docs/a b.md", ".env.example", "größe.txt", "docs/a:b", "x/.gitignore"])
def test_a_name_of_a_file_is_taken(name: str) -> None:
    assert checked_name(name) == name
    with pytest.raises(InvalidRequest):
        checked_name(name + "/..")
