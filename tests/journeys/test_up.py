"""`ai-webhook up` and the commands that talk to it, each as a process of its own, as a person types them."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from store.database import connect
from tests.conftest import ROOT, reachable_folder
from tests.journeys.stack import Up, environment, running_up
from tests.journeys.test_plugs_pulled import leftovers

WALK = "Me: I've decided we use Postgres.\nMe: Add an action item: write the schema."


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with running_up() as running:
        yield running


def command(*arguments: str, up: Up | None = None, **more: str) -> "subprocess.CompletedProcess[str]":
    data = ["--data", str(up.folder)] if up else []
    return subprocess.run(
        [sys.executable, "-m", "ops", *arguments, *data],
        cwd=ROOT,
        env=environment() | more,
        capture_output=True,
        text=True,
        timeout=120,
    )


def told(up: Up, *arguments: str) -> Any:
    done = command(*arguments, "--json", up=up)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def sent(up: Up, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A walk that was sent and processed."""
    path = tmp_path_factory.mktemp("talks") / "walk.txt"
    path.write_text(WALK)
    rows = told(up, "send", str(path), "--session", "walk", "--wait")
    assert rows[0]["state"] == "processed"
    return dict(rows[0])


def test_up_says_where_it_is_and_shows_the_key_once(up: Up) -> None:
    text = "\n".join(up.lines)
    assert up.url in text
    assert text.count(up.secrets["api_key"]) == 2  # once to keep, once in the command to try
    assert up.secrets["token"] not in text


def test_the_first_person_comes_in_by_the_link_that_up_shows_and_others_by_more(up: Up) -> None:
    shown = up.wait_for("/welcome/").strip()
    made = told(up, "console", "link", "--role", "viewer")
    assert (made["role"], made["url"]) == ("viewer", up.url + made["path"])
    for name, link in (("bob", shown), ("alice", made["url"])):
        answer = httpx2.post(link, data={"name": name, "password": "walk the dog twice"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
    again = command("console", "link", "--person", "bob", up=up)
    assert again.stdout.startswith(f"{up.url}/welcome/")
    assert command("console", "link", "--role", "king", up=up).returncode == 1


def test_up_shows_one_line_for_a_delivery_and_none_of_its_words(up: Up, sent: dict[str, Any]) -> None:
    line = up.wait_for(sent["delivery"])
    assert "processed" in line
    assert "Postgres" not in "\n".join(line for line in up.lines if "curl" not in line and "-d '" not in line)


def test_what_was_sent_is_found_and_claimed_and_finished(up: Up, sent: dict[str, Any], tmp_path: Path) -> None:
    assert told(up, "search", "what did we decide about postgres?")[0]["session_id"] == "walk"
    assert [m["type"] for m in told(up, "memories", "list", "--session", "walk")] == ["action_item", "decision"]
    claim = told(up, "tasks", "claim", "claude_code", "--as", "alice")[0]
    held = ["--token", claim["claim_token"]]
    assert told(up, "tasks", "start", claim["task_id"], *held)["status"] == "running"
    assert told(up, "tasks", "renew", claim["task_id"], *held, "--progress", "0.5")["progress"] == 0.5
    result = tmp_path / "schema.sql"
    result.write_text("CREATE TABLE dogs ();")
    done = told(up, "tasks", "complete", claim["task_id"], *held, "--artifact", str(result), "--output", '{"n": 1}')
    assert (done["status"], done["output_data"]) == ("completed", {"n": 1})
    artifact = told(up, "artifacts", "show", done["artifacts"][0])
    assert (artifact["content"], artifact["task_id"]) == ("CREATE TABLE dogs ();", claim["task_id"])
    assert told(up, "sessions", "show", "walk")["artifact_count"] == 1
    lost = command("tasks", "complete", claim["task_id"], "--token", "00000000-0000-0000-0000-000000000000", up=up)
    assert lost.returncode == 1
    assert "claim" in lost.stderr


def test_a_person_reviews_what_was_heard(up: Up, tmp_path: Path) -> None:
    talk = tmp_path / "review.txt"
    talk.write_text("Ann: I've decided we paint the shed green.\nAnn: The decision is that the hut becomes green.\n")
    told(up, "send", str(talk), "--session", "review", "--wait")
    second, first = (memory["id"] for memory in told(up, "memories", "list", "--session", "review"))
    assert said(up, "memories", "accept", str(first)) == f"Memory {first} is accepted: We paint the shed green\n"
    said(up, "memories", "reject", str(second), "--reason", "there is no hut")
    assert [m["id"] for m in told(up, "memories", "list", "--review", "rejected")] == [second]
    assert said(up, "memories", "restore", str(second)).startswith(f"Memory {second} is proposed: ")
    edited = told(up, "memories", "edit", str(first), "--title", "The shed is green", "--tag", "shed", "--as", "bob")
    assert (edited["title"], edited["tags"], edited["reviewed_by"]) == ("The shed is green", ["shed"], "bob")
    assert told(up, "memories", "edit", str(first), "--content", '{"why": "paint"}')["content"]["why"] == "paint"
    assert command("memories", "edit", str(first), "--content", "why", up=up).returncode == 1
    said(up, "memories", "merge", str(second), str(first))
    shown = said(up, "memories", "show", str(first))
    assert "said 2 times" in shown
    assert "the hut becomes green" in shown
    said(up, "memories", "split", str(second))
    assert said(up, "memories", "supersede", str(first), str(second)).startswith(f"Memory {first} is replaced by ")
    said(up, "memories", "reinstate", str(first))
    assert "said once" in said(up, "memories", "show", str(second))
    refused = command("memories", "split", str(second), up=up)
    assert (refused.returncode, "is not merged" in refused.stderr) == (1, True)


def test_an_agent_asks_a_person_and_is_answered(up: Up) -> None:
    said(up, "agents", "register", "reviewer", "--can", "review")
    with connect(up.database_url()) as conn:
        conn.execute("""INSERT INTO tasks (id, capabilities) VALUES ('read-it', '["review"]')""")
    (claim,) = told(up, "tasks", "claim", "reviewer", "--as", "me", "--fair")
    said(up, "tasks", "ask", "read-it", "Which part?", "--token", claim["claim_token"])
    assert told(up, "tasks", "show", "read-it")["question"] == "Which part?"
    assert said(up, "tasks", "answer", "read-it", "All of it") == "read-it is pending.\n"
    (claim,) = told(up, "tasks", "claim", "reviewer", "--as", "me")
    assert claim["input_data"]["answers"][0]["answer"] == "All of it"
    assert said(up, "agents", "deregister", "reviewer").startswith("reviewer is offline; 1 task")
    said(up, "tasks", "cancel", "read-it")
    assert said(up, "tasks", "retry", "read-it") == "read-it is pending.\n"
    said(up, "tasks", "cancel", "read-it")
    assert said(up, "agents", "heartbeat", "reviewer") == "reviewer is available.\n"


def test_deliveries_are_shown_replayed_and_reprocessed(up: Up, sent: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "empty.json"
    path.write_text('{"turns": []}')
    done = command("send", str(path), "--wait", "--json", up=up)
    (row,) = json.loads(done.stdout)
    assert (done.returncode, row["state"]) == (1, "failed")
    assert [one["id"] for one in told(up, "deliveries", "list", "--state", "failed")] == [row["delivery"]]
    assert said(up, "deliveries", "show", row["delivery"], "--body") == '{"turns": []}'
    assert told(up, "replay", "--source", "nobody", "--since", "2020-01-01") == {"replayed": 0}
    assert told(up, "replay", "--code", "no_turns") == {"replayed": 1}
    settled(up, row["delivery"])
    assert said(up, "replay", row["delivery"]) == f"{row['delivery']} will be processed again.\n"
    assert settled(up, row["delivery"])["state"] == "failed"
    before = told(up, "sessions", "show", "walk")
    assert told(up, "reprocess", "--session", "walk") == {"replayed": 1}
    assert settled(up, sent["delivery"])["state"] == "processed"
    after = told(up, "sessions", "show", "walk")
    assert after["turns"] != before["turns"]  # other ids
    assert [turn | {"id": 0} for turn in after["turns"]] == [turn | {"id": 0} for turn in before["turns"]]
    assert command("replay", up=up).returncode == 2
    assert command("replay", sent["delivery"], "--all", up=up).returncode == 2


def settled(up: Up, delivery: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (row := told(up, "deliveries", "show", delivery))["state"] == "received" and time.monotonic() < deadline:
        time.sleep(0.5)
    return dict(row)


def said(up: Up, *arguments: str) -> str:
    done = command(*arguments, up=up)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plain_output_is_aligned_and_without_colour(up: Up, sent: dict[str, Any]) -> None:
    done = command("sessions", "list", up=up)
    assert "\x1b[" not in done.stdout
    assert done.stdout.splitlines()[0].startswith("id ")
    assert any(line.startswith("walk ") for line in done.stdout.splitlines())


def test_a_failed_delivery_is_listed_shown_and_replayed(up: Up, tmp_path: Path) -> None:
    path = tmp_path / "empty.json"
    path.write_text('{"session": "nothing", "turns": []}')
    done = command("send", str(path), "--wait", "--json", up=up)
    assert done.returncode == 1
    row = json.loads(done.stdout)[0]
    assert (row["state"], row["error_code"]) == ("failed", "no_turns")
    assert row["delivery"] in [d["id"] for d in told(up, "deliveries", "list", "--state", "failed")]
    assert command("deliveries", "show", row["delivery"], "--body", up=up).stdout == path.read_text()
    assert told(up, "replay", row["delivery"])["state"] == "received"


def test_doctor_finds_everything_in_order(up: Up) -> None:
    checks = {check["name"]: check["state"] for check in told(up, "doctor")}
    assert checks["postgresql"] == checks["redis"] == checks["workers"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["tasks", "show", "nope"], 1, "no such task"),
        (["search", "x", "--limit", "0"], 2, "greater than or equal to 1"),
        (["send", "missing.txt"], 2, "does not exist"),
        (["tasks", "claim", "nobody", "--as", "me"], 1, "no agent nobody"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_wrong_use_ends_with_a_sentence_and_its_exit_code(up: Up, arguments: list[str], code: int, words: str) -> None:
    done = command(*arguments, up=None if arguments == ["frobnicate"] else up)
    assert done.returncode == code, done.stderr
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_without_a_service_the_command_says_how_to_start_one(tmp_path: Path) -> None:
    done = command("sessions", "list", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "ai-webhook up" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("AI_WEBHOOK_PORT", "eighty"), ("AI_WEBHOOK_WORKERS", "0"), ("WEBHOOK_API_KEY_FILE", "/nowhere")],
)
def test_a_wrong_setting_is_named_in_a_sentence(name: str, value: str) -> None:
    done = command("up", **{name: value})
    assert done.returncode == 2
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_a_source_that_lacks_its_secret_keeps_up_from_starting_and_leaves_nothing_running() -> None:
    folder = reachable_folder()
    done = command("up", "--port", "0", "--data", str(folder), WEBHOOK_SOURCES="generic,zoom")
    assert done.returncode == 2
    assert "WEBHOOK_SECRET_ZOOM" in done.stderr
    assert "GENERIC" not in done.stderr  # `up` has made that one
    assert not leftovers(str(folder))
    shutil.rmtree(folder)


def test_up_stops_at_once_and_a_second_start_keeps_data_and_key() -> None:
    with running_up() as first:
        with first.client() as client:
            client.deliver("generic", WALK.encode(), first.headers("text/plain"), session="walk")
        key = first.secrets["api_key"]
        assert first.stop() == 0
        assert not leftovers(str(first.folder))
        second = Up(first.folder)
        try:
            assert key not in "\n".join(second.lines)
            first.wait_for("(ended)")
            second_session = None
            while second_session is None:  # accepted before the stop; at the latest the new workers take it up
                items = told(second, "sessions", "list")
                second_session = next((s for s in items if s["id"] == "walk" and s["task_count"]), None)
        finally:
            assert second.stop() == 0


def test_the_demo_prints_what_the_database_holds_and_leaves_nothing_behind() -> None:
    temporary = reachable_folder()  # where this demo has its folder, and no other
    done = command("demo", "--json", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    story = json.loads(done.stdout)
    assert {s["id"] for s in story["sessions"]} >= {"dog-walk-carbon", "dog-walk-offline", "standup", "errands"}
    transcripts = {s["id"]: s for s in story["sessions"]}
    assert all(m["quote"] and m["session"] in transcripts and m["turn"] for m in story["memories"])
    assert {"decision", "action_item", "idea", "question", "risk"} <= {m["type"] for m in story["memories"]}
    assert len(story["searches"]) == 3
    assert all(search["hits"] and search["hits"][0]["highlights"] for search in story["searches"])
    task, artifact = story["completed"]["task"], story["completed"]["artifact"]
    assert (task["status"], task["claimed_by"], task["artifacts"]) == ("completed", "demo", [artifact["id"]])
    assert task["id"] in {t["id"] for t in story["tasks"]}
    assert not leftovers(str(temporary))
    temporary.rmdir()  # which only an empty folder lets happen


def test_the_demo_quotes_are_verbatim_in_the_files_it_sent() -> None:
    import orjson

    from ops.demo import examples
    from processors.readers import read
    from tests.conftest import delivery

    story = json.loads(command("demo", "--json").stdout)
    spoken: dict[str, str] = {}
    for path in examples():
        kind = {".json": "application/json", ".vtt": "text/vtt", ".srt": "application/x-subrip"}[path.suffix]
        reading = read(delivery(path.read_bytes(), content_type=kind, session_id=path.stem))
        assert reading is not None
        spoken[reading.session.id] = "\n".join(turn.text for turn in reading.turns)
    assert story["memories"]
    for memory in story["memories"]:
        assert memory["quote"] in spoken[memory["session"]], orjson.dumps(memory)
