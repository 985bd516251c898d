"""The runner against a real service, with real programs that behave and that do not."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist import is_xdist_worker

from domain.errors import SettingsError
from domain.settings import Settings
from ops.embedded import Servers
from ops.runner import capacity_of, known_agent
from ops.runner_process import EXECUTING, Log, environment_of
from ops.runner_templates import Command, check_arguments, command_for
from tests.conftest import TOKEN, reachable_folder
from tests.ops.runner_site import PATH, STAND_IN, Site, marked, site_on, until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what is left running"),
    pytest.mark.xdist_group("runner"),  # they look at every process of this machine that a runner started
]


def test_one_process_runs_all_of_these(request: pytest.FixtureRequest) -> None:
    """Two would see each other's programs, so the group has to be known to who hands the tests out."""
    assert request.node.nodeid.endswith("@runner") or not is_xdist_worker(request)


@pytest.fixture(scope="module")
def service(servers: Servers, template: str) -> Iterator[Site]:
    folder = reachable_folder()
    with site_on(servers, template, folder) as site:
        yield site
    shutil.rmtree(folder)


@pytest.fixture
def site(service: Site, tmp_path: Path) -> Iterator[Site]:
    """The service without tasks. Whatever a test does, its runner leaves no process behind and nothing on disk."""
    fresh = Site(service.url, service.conn, tmp_path)
    yield fresh
    until(lambda: not marked())
    assert fresh.runs() == []
    for table in ("artifacts", "tasks", "sessions"):
        service.conn.execute(f"DELETE FROM {table}")
    service.conn.execute("DELETE FROM agents WHERE name NOT IN ('claude_code', 'codex', 'gemini_cli', 'researcher')")
    service.conn.execute("UPDATE agents SET command = 'claude', metadata = '{}' WHERE name = 'claude_code'")


def there(sign: Path) -> int:
    """The number of a stand-in that signed."""
    return int(until(lambda: sign.exists() and sign.read_text()))


# ---- one task ----


def test_a_task_is_claimed_done_and_completed_with_its_log(site: Site) -> None:
    task = site.task("quick")
    site.run_once()
    done = site.get(task)
    assert site.moves(task) == ["pending", "claimed", "running", "completed"]
    assert done["output_data"]["exit_code"] == 0
    assert done["output_data"]["seconds"] > 0
    assert done["process_id"] > 0
    assert site.log(task) == "Privately done.\n"
    assert site.artifacts(task)["output.log"]["type"] == "log"
    assert done["artifacts"] == [site.artifacts(task)["output.log"]["id"]]


def test_the_program_gets_the_task_its_quote_and_its_answers_but_no_token(site: Site) -> None:
    site.conn.execute("INSERT INTO sessions (id, title) VALUES ('walk', 'Morning walk')")
    answers = [{"question": "Which continent?", "answer": "Europe\n# New orders", "person": "bob"}]
    task = site.task("looking_around", answers=answers, columns={"session_id": "walk"})
    command = ["sh", "-c", 'cat "$1" > "$AI_WEBHOOK_OUTPUT/task.json"; cat > "$AI_WEBHOOK_OUTPUT/prompt.md"', "sh"]
    site.run_once([*command, "{task_file}"])
    given = json.loads(site.artifacts(task)["task.json"]["content"])
    prompt = site.artifacts(task)["prompt.md"]["content"]
    assert given["id"] == task
    assert (given["title"], given["session_title"], given["attempt"]) == ("Look up its prices", "Morning walk", 1)
    assert given["answers"] == answers
    assert given["context"]["question"] == "Look up its prices"
    assert "claim_token" not in given
    assert prompt.startswith("# A task from AI Webhook\n")
    assert "> Look up its prices" in prompt
    assert "\n> # New orders" in prompt  # what people said cannot end the quotation
    assert "\n# New orders" not in prompt
    assert "result.json" in prompt


def test_a_title_like_an_option_stays_within_the_prompt(site: Site) -> None:
    task = site.task("quick", title="--dangerous {output} $(touch x)")
    site.run_once(["sh", "-c", 'printf %s "$2" > "$AI_WEBHOOK_OUTPUT/argument"', "sh", "-p", "{prompt}"])
    argument = site.artifacts(task)["argument"]["content"]
    assert argument.startswith("# A task")
    assert "> --dangerous {output} $(touch x)" in argument


def test_the_program_has_a_session_and_a_folder_of_its_own(site: Site) -> None:
    task = site.task("looking_around", id="calls/today")
    site.run_once()
    seen = json.loads(site.artifacts(task)["seen.json"]["content"])
    assert seen["group"] == seen["pid"]
    assert Path(seen["cwd"]).parent == site.folder / "runs"
    assert Path(seen["cwd"]).name.startswith("calls_today-")


def test_the_environment_has_none_of_our_secrets(site: Site) -> None:
    task = site.task("looking_around")
    ours = {"DATABASE_URL": "x", "AI_WEBHOOK_TOKEN": "x", "PGPASSWORD": "x", "WEBHOOK_SECRET_ZOOM": "x"}
    theirs = {"ANTHROPIC_API_KEY": "key", "LC_ALL": "C.UTF-8", "OTHER": "x"}
    environment = {**site.environment, **ours, **theirs}
    site.run_once(environment=environment, variables=("ANTHROPIC_API_KEY", "AI_WEBHOOK_TOKEN"))
    seen = json.loads(site.artifacts(task)["seen.json"]["content"])["environment"]
    mine = {"AI_WEBHOOK_TASK_ID", "AI_WEBHOOK_OUTPUT", "AI_WEBHOOK_RUN"}
    assert seen.keys() - {"PWD"} == {"PATH", "HOME", "LC_ALL", "ANTHROPIC_API_KEY"} | mine
    assert seen["AI_WEBHOOK_TASK_ID"] == task


def test_a_setting_cannot_hand_on_what_is_ours() -> None:
    with pytest.raises(SettingsError, match="AI_WEBHOOK_TOKEN"):
        Settings.from_env({"AI_WEBHOOK_RUNNER_ENVIRONMENT": "ANTHROPIC_API_KEY, AI_WEBHOOK_TOKEN"}, env_file=None)


# ---- what it leaves ----


def test_files_are_attached_and_what_leads_out_of_the_folder_is_not(site: Site) -> None:
    task = site.task("writing")
    site.run_once()
    left = site.artifacts(task)
    assert left.keys() == {"brief.md", "deep/er/notes.txt", "..x", "binary", "output.log"}
    assert bytes(left["binary"]["bytes"]) == b"\x00\xff\xfe"
    assert left["brief.md"]["format"] == "markdown"
    assert set(site.get(task)["artifacts"]) == {artifact["id"] for artifact in left.values()}
    assert site.get(task)["output_data"]["answer"] == 42
    log = site.log(task)
    for line in ("passwd was not attached: it is a link", "etc was not attached: it is a link"):
        assert line in log
    assert "large.txt was not attached: it is longer" in log
    assert "pipe was not attached: it is no file" in log
    assert "root:" not in log


def test_a_result_cannot_change_the_exit_code_and_may_name_types(site: Site) -> None:
    result = {"exit_code": 9, "artifact_types": {"brief.md": "report"}}
    columns = {"acceptance": json.dumps({"artifact_types": ["report", "log"], "exit_code": 0})}
    task = site.task("writing", result=result, columns=columns)
    site.run_once()
    assert site.status(task) == "completed"
    assert site.get(task)["output_data"]["exit_code"] == 0
    assert site.artifacts(task)["brief.md"]["type"] == "report"


def test_a_result_that_is_no_object_is_a_file_like_others(site: Site) -> None:
    task = site.task("writing", result=[1, 2])
    site.run_once()
    assert site.artifacts(task)["result.json"]["content"] == "[1, 2]"
    assert site.get(task)["output_data"].keys() == {"exit_code", "seconds"}


def test_an_output_folder_that_was_made_a_link_is_not_followed(site: Site, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "result.json").write_text('{"secret": true}')
    task = site.task("output_as_a_link", elsewhere=str(elsewhere))
    site.run_once()
    assert site.get(task)["output_data"].keys() == {"exit_code", "seconds"}
    assert site.artifacts(task) == {}
    assert (elsewhere / "result.json").exists()


def test_no_more_files_are_attached_than_a_hundred(site: Site) -> None:
    task = site.task("many_files")
    site.run_once()
    assert len(site.artifacts(task)) == 101
    assert "100.txt was not attached: there are more than 100 files" in site.log(task)


def test_of_a_long_output_the_head_and_the_tail_are_kept(site: Site) -> None:
    task = site.task("chatty")
    site.run_once(log_bytes=65536)
    log = site.log(task)
    assert log.startswith("the first word\n")
    assert log.endswith("the last word\n")
    assert f"[… {10_240_029 - 65536} bytes left out …]" in log
    assert len(log.encode()) < 65536 + 100


def test_an_output_that_fits_is_kept_whole(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", 100)
    log.write(b"a" * 70)
    log.write(b"b" * 30)
    assert log.content() == b"a" * 70 + b"b" * 30
    log.close()


def test_progress_is_told_while_the_program_runs(site: Site, tmp_path: Path) -> None:
    task = site.task("getting_on", until=str(tmp_path / "go"))
    with site.running():
        until(lambda: site.get(task)["progress"] == 0.5)
        assert site.get(task)["progress_note"] == "half way"
        (tmp_path / "go").touch()
        until(lambda: site.status(task) == "completed")
    assert site.artifacts(task) == {}


# ---- how it ends ----


def test_an_exit_code_fails_the_task_for_now_and_the_sentence_is_not_the_output(site: Site) -> None:
    task = site.task("crashing")
    site.run_once()
    failed = site.get(task)
    assert (failed["status"], failed["attempts"]) == ("pending", 1)
    assert failed["error_message"] == "The command ended with exit code 3."
    assert failed["not_before"] is not None
    assert site.log(task) == "a private last word\n"


def test_a_success_code_of_the_row_counts_as_done(site: Site) -> None:
    site.conn.execute(
        "UPDATE agents SET metadata = %s WHERE name = 'claude_code'", ['{"runner": {"success_codes": [0, 3]}}']
    )
    task = site.task("crashing")
    site.run_once()
    assert site.status(task) == "completed"
    assert site.get(task)["output_data"]["exit_code"] == 3


def test_a_signal_fails_the_task_for_now(site: Site) -> None:
    task = site.task("shot")
    site.run_once()
    assert site.get(task)["error_message"] == "The command was ended by signal 9."


def test_a_program_past_its_time_is_ended_and_the_task_tried_again_later(site: Site) -> None:
    task = site.task("endless")
    site.run_once(seconds=0.5)
    assert site.moves(task)[-1] == "pending"
    assert site.get(task)["error_message"] == "The command took longer than its 0.5 seconds."


def test_what_ignores_term_is_killed(site: Site) -> None:
    task = site.task("stubborn")
    site.run_once(seconds=0.5)
    assert "took longer" in site.get(task)["error_message"]


@pytest.mark.parametrize("do", ["forking", "forking_endless"])
def test_what_a_program_started_ends_with_it_in_whichever_session_it_is(site: Site, do: str) -> None:
    task = site.task(do)
    site.run_once(seconds=1)
    assert site.get(task)["attempts"] == (0 if do == "forking" else 1)
    assert marked() == {}


def test_a_process_in_the_middle_of_an_exec_is_looked_at_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows no environment then; for the first looks after the program has ended, that is what we make of all."""
    looks: list[int] = []

    def hidden(pid: int) -> frozenset[bytes]:
        looks.append(pid)
        return EXECUTING if looks.count(pid) <= 2 else environment_of(pid)

    monkeypatch.setattr("ops.runner_process.environment_of", hidden)
    site.task("leaving")
    site.run_once(seconds=1)
    assert marked() == {}


@pytest.mark.parametrize("code", [75, 0])
def test_a_question_waits_for_a_person_and_the_answer_comes_with_the_next_claim(site: Site, code: int) -> None:
    task = site.task("asking", code=code)
    site.run_once()
    assert (site.status(task), site.get(task)["question"]) == ("needs_input", "Which continent?")
    site.client.call("answer_task", task, answer="Europe", person="bob")
    site.run_once()
    assert site.status(task) == "completed"
    assert site.artifacts(task)["answer.txt"]["content"] == "Europe"
    assert site.get(task)["attempts"] == 0


def test_an_exit_code_that_announces_a_question_without_one_is_a_failure(site: Site) -> None:
    task = site.task("asking_nothing")
    site.run_once()
    assert site.get(task)["error_message"] == "The command ended with exit code 75, but left no question."


def test_a_completion_that_is_not_accepted_fails_with_the_reason(site: Site) -> None:
    task = site.task("quick", columns={"acceptance": json.dumps({"artifact_types": ["report"]})})
    site.run_once()
    assert site.get(task)["attempts"] == 1
    assert "an artifact of each type" in site.get(task)["error_message"]


# ---- the claim ----


def test_a_cancelled_task_is_ended_with_all_that_it_started(site: Site, tmp_path: Path) -> None:
    task = site.task("forking_endless", sign=str(tmp_path / "sign"))
    with site.running(lease_seconds=2):
        there(tmp_path / "sign")
        site.client.call("cancel_task", task, reason="no longer wanted")
        until(lambda: not marked())
        until(lambda: f"{task} cancelled" in site.said)
    assert site.moves(task)[-1] == "cancelled"


def test_a_program_whose_claim_is_lost_is_ended_and_the_next_holder_left_alone(site: Site, tmp_path: Path) -> None:
    task = site.task("stubborn", sign=str(tmp_path / "sign"))
    with site.running(lease_seconds=2):
        there(tmp_path / "sign")
        site.conn.execute("UPDATE tasks SET claim_token = gen_random_uuid(), lease_until = now() + interval '1 hour'")
        until(lambda: f"{task} lost" in site.said)
        assert marked() == {}
    assert site.status(task) == "running"


def test_a_service_that_is_away_for_a_while_costs_no_task(site: Site, tmp_path: Path) -> None:
    task = site.task("slow", sign=str(tmp_path / "sign"), until=str(tmp_path / "go"))
    with site.running(lease_seconds=6):
        pid = there(tmp_path / "sign")
        until(lambda: site.status(task) == "running")
        before = site.get(task)["lease_until"]
        site.client.gone.set()
        until(lambda: site.client.misses >= 3)
        assert pid in marked()
        site.client.gone.clear()
        until(lambda: site.get(task)["lease_until"] > before)
        site.client.gone.set()  # the end is told once it is back, too
        (tmp_path / "go").touch()
        until(lambda: not marked())
        site.client.gone.clear()
        until(lambda: site.status(task) == "completed")
    assert site.moves(task) == ["pending", "claimed", "running", "completed"]
    assert "the service does not answer; trying again" in site.said


def test_a_service_that_is_away_longer_than_the_lease_ends_the_program_before_another_can_begin(
    site: Site, tmp_path: Path
) -> None:
    task = site.task("endless_at_first", sign=str(tmp_path / "sign"), mark=str(tmp_path / "mark"))
    # A sixth of the lease is what it has to end the program in, on however busy a machine.
    with site.running(lease_seconds=9):
        there(tmp_path / "sign")
        site.client.gone.set()
        until(lambda: not marked())
        now = site.conn.execute("SELECT lease_until >= clock_timestamp() AS holds FROM tasks").fetchone()
        assert now is not None and now["holds"]
        site.client.gone.clear()
        until(lambda: site.status(task) == "completed")
    assert site.get(task)["attempts"] == 1


def test_a_runner_that_waits_begins_with_new_work_at_once_and_is_not_kept_from_stopping(site: Site) -> None:
    with site.running(wait_seconds=2):
        until(lambda: "POST /api/tasks/claim" in site.client.asked)
        task = site.task("quick")
        until(lambda: site.status(task) == "completed")
    assert site.client.asked.count("POST /api/tasks/claim") < 10


def test_no_more_tasks_run_at_a_time_than_there_is_room_for(site: Site, tmp_path: Path) -> None:
    tasks = [site.task("slow", until=str(tmp_path / "go"), sign=str(tmp_path / f"sign{n}")) for n in range(3)]
    with site.running(capacity=2):
        until(lambda: len(list(tmp_path.glob("sign?"))) == 2)
        assert sorted(site.status(task) for task in tasks).count("pending") == 1
        (tmp_path / "go").touch()
        until(lambda: all(site.status(task) == "completed" for task in tasks))


def test_an_agent_that_may_hold_no_more_is_asked_again_later(site: Site) -> None:
    site.conn.execute("UPDATE agents SET max_concurrent = 1 WHERE name = 'claude_code'")
    tasks = [site.task("quick") for _ in range(3)]
    with site.running(capacity=3):
        until(lambda: all(site.status(task) == "completed" for task in tasks))
    site.conn.execute("UPDATE agents SET max_concurrent = 4 WHERE name = 'claude_code'")


def test_an_agent_is_made_known_once_and_never_changed(site: Site) -> None:
    assert known_agent(site.client, "reviewer", capacity=2)["max_concurrent"] == 2
    site.conn.execute("UPDATE agents SET max_concurrent = NULL, command = 'codex' WHERE name = 'reviewer'")
    row = known_agent(site.client, "reviewer", capacity=7)
    assert (row["max_concurrent"], row["command"]) == (None, "codex")
    assert (capacity_of(row, None), capacity_of(row, 9)) == (4, 9)


# ---- the end of the runner ----


def test_a_runner_that_is_stopped_lets_a_program_end_by_itself(site: Site, tmp_path: Path) -> None:
    task = site.task("slow", sign=str(tmp_path / "sign"), until=str(tmp_path / "go"))
    with site.running(stop_seconds=60) as runner:
        there(tmp_path / "sign")
        runner.stop()
        later = site.task("quick")
        (tmp_path / "go").touch()
        until(lambda: site.status(task) == "completed")
    assert site.status(later) == "pending"


def test_what_does_not_end_in_time_is_ended_and_released(site: Site, tmp_path: Path) -> None:
    task = site.task("endless", sign=str(tmp_path / "sign"))
    with site.running(stop_seconds=0.2) as runner:
        there(tmp_path / "sign")
        runner.stop()
        until(lambda: f"{task} released" in " ".join(site.said))
    assert site.moves(task)[-1] == "pending"
    assert site.get(task)["attempts"] == 0


def test_a_second_signal_ends_everything_at_once(site: Site, tmp_path: Path) -> None:
    task = site.task("stubborn", sign=str(tmp_path / "sign"))
    process = site.command("--", *STAND_IN)
    there(tmp_path / "sign")
    until(lambda: site.status(task) == "running")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    until(lambda: "stopping" in process.stdout.readline())
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert site.status(task) == "pending"


def test_a_killed_runner_is_settled_by_the_next_one(site: Site, tmp_path: Path) -> None:
    task = site.task("endless_at_first", sign=str(tmp_path / "sign"), mark=str(tmp_path / "mark"))
    process = site.command("--", *STAND_IN)
    pid = there(tmp_path / "sign")
    until(lambda: site.status(task) == "running")
    process.kill()
    process.communicate()
    assert pid in marked()
    site.run_once()
    assert site.moves(task) == ["pending", "claimed", "running", "pending", "claimed", "running", "completed"]
    assert pid not in marked()


def test_a_killed_runner_whose_claim_is_lost_leaves_no_process_either(site: Site, tmp_path: Path) -> None:
    task = site.task("forking_endless", sign=str(tmp_path / "sign"))
    process = site.command("--", *STAND_IN)
    there(tmp_path / "sign")
    until(lambda: site.status(task) == "running")
    process.kill()
    process.communicate()
    site.client.call("cancel_task", task)
    site.run_once()
    assert marked() == {}
    assert site.status(task) == "cancelled"


def test_a_killed_runner_is_settled_by_one_that_lives_on(site: Site, tmp_path: Path) -> None:
    task = site.task("endless_at_first", sign=str(tmp_path / "sign"), mark=str(tmp_path / "mark"))
    process = site.command("--", *STAND_IN)
    pid = there(tmp_path / "sign")
    until(lambda: site.status(task) == "running")
    with site.running() as runner:
        until(lambda: runner.beat_at > 0)
        assert pid in marked()
        process.kill()
        process.communicate()
        runner.beat_at = 0
        until(lambda: site.status(task) == "completed")
    assert site.get(task)["attempts"] == 0


def test_the_claim_token_is_in_no_file_of_the_programs_folder(site: Site, tmp_path: Path) -> None:
    task = site.task("slow", sign=str(tmp_path / "sign"), until=str(tmp_path / "go"))
    with site.running():
        there(tmp_path / "sign")
        token = str(until(lambda: site.get(task)["claim_token"]))
        folder = site.folder / "runs" / f"{task}-1"
        note = folder.with_suffix(".json")
        until(lambda: json.loads(note.read_text())["pid"])
        assert token in note.read_text()
        assert note.stat().st_mode & 0o777 == 0o600
        assert [path for path in folder.rglob("*") if path.is_file() and token in path.read_text()] == []
        (tmp_path / "go").touch()
        until(lambda: site.status(task) == "completed")


def test_a_process_that_only_has_the_number_of_an_orphan_is_left_alone(site: Site) -> None:
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as innocent:
        runner = site.runner(once=True)
        state = {"task_id": "gone", "claim_token": "00000000-0000-0000-0000-000000000000", "agent": "claude_code"}
        folder = runner.folders.make(
            "gone", 1, {**state, "run": "r", "pid": innocent.pid, "started": 1, "repository": None}
        )
        folder.leave()
        runner.run()
        assert innocent.poll() is None
        innocent.kill()


def test_two_runners_on_one_folder_leave_each_other_alone(site: Site, tmp_path: Path) -> None:
    task = site.task("slow", sign=str(tmp_path / "sign"), until=str(tmp_path / "go"))
    with site.running():
        pid = there(tmp_path / "sign")
        until(lambda: site.status(task) == "running")
        site.run_once()
        assert pid in marked()
        (tmp_path / "go").touch()
        until(lambda: site.status(task) == "completed")
    assert site.moves(task).count("claimed") == 1


def test_folders_are_kept_on_wish_until_a_runner_without_it(site: Site) -> None:
    task = site.task("quick")
    site.run_once(keep_runs=True)
    assert site.runs() == [f"{task}-1"]
    kept = site.folder / "runs" / f"{task}-1"
    assert {path.name for path in kept.iterdir()} == {"task.json", "prompt.md", "output", "output.log"}
    assert kept.stat().st_mode & 0o777 == 0o700
    site.run_once()


# ---- repositories ----


def git(folder: Path, *line: str) -> str:
    name = ["-c", "user.name=Bob", "-c", "user.email=bob@example.org"]
    return subprocess.run(["git", *name, *line], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "code" / "planner"
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "README.md").write_text("as it was\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "Begin")
    hook = folder / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    return folder


def test_a_task_changes_a_worktree_and_the_changes_are_a_diff(site: Site, repository: Path, tmp_path: Path) -> None:
    task = site.task("changing", repository=str(repository))
    site.run_once(repositories=(str(repository.parent),))
    assert site.status(task) == "completed"
    diff = site.artifacts(task)["changes.diff"]
    for part in ("+committed", "-as it was", "+changed", "+new"):
        assert part in diff["content"]
    assert diff["type"] == "diff"
    assert (repository / "README.md").read_text() == "as it was\n"
    assert git(repository, "status", "--porcelain") == ""
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert not (tmp_path / "hooked").exists()


def test_a_repository_that_is_not_allowed_fails_the_task_for_good(site: Site, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "link").symlink_to(repository)
    named = [repository, tmp_path / "allowed" / "link", tmp_path / "allowed" / ".." / "code" / "planner", "planner", 7]
    tasks = [site.task("quick", repository=str(name) if isinstance(name, Path) else name) for name in named]
    site.run_once(repositories=(str(tmp_path / "allowed"),))
    assert {site.status(task) for task in tasks} == {"failed"}
    assert {site.get(task)["error_message"] for task in tasks} == {
        "The task's repository is none that this runner may work in.",
        "The task's repository is no absolute path.",
    }


def test_a_part_of_a_repository_does_not_open_the_whole(site: Site, repository: Path) -> None:
    (repository / "part").mkdir()
    task = site.task("quick", repository=str(repository / "part"))
    site.run_once(repositories=(str(repository / "part"),))
    assert site.get(task)["error_message"] == (
        "The task's repository is a part of one that this runner may not work in."
    )


def test_a_worktree_that_cannot_be_made_is_tried_again(site: Site, repository: Path) -> None:
    (repository / ".git" / "worktrees").write_text("in the way")
    task = site.task("quick", repository=str(repository))
    site.run_once(repositories=(str(repository),))
    assert (site.status(task), site.get(task)["attempts"]) == ("pending", 1)
    assert site.get(task)["error_message"] == "Git could not make a worktree of the task's repository."


def test_a_folder_without_git_fails_the_task(site: Site, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    task = site.task("quick", repository=str(tmp_path / "plain"))
    site.run_once(repositories=(str(tmp_path),))
    assert site.get(task)["error_message"] == "The task's repository is no git repository with a commit."


def test_the_worktree_of_a_killed_runner_is_removed(site: Site, repository: Path, tmp_path: Path) -> None:
    given = {"sign": str(tmp_path / "sign"), "mark": str(tmp_path / "mark"), "repository": str(repository)}
    task = site.task("endless_at_first", **given)
    process = site.command("--", *STAND_IN, AI_WEBHOOK_RUNNER_REPOSITORIES=str(repository))
    there(tmp_path / "sign")
    until(lambda: site.status(task) == "running")
    process.kill()
    process.communicate()
    site.run_once(repositories=(str(repository),))
    assert site.status(task) == "completed"
    assert len(git(repository, "worktree", "list").splitlines()) == 1


# ---- which program ----


@pytest.mark.parametrize("program", ["claude", "codex", "gemini"])
def test_the_known_programs_get_the_prompt_by_standard_input(site: Site, tmp_path: Path, program: str) -> None:
    fake = tmp_path / "bin" / program
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\ncat > "$AI_WEBHOOK_OUTPUT/prompt.md"\necho "$@" > "$AI_WEBHOOK_OUTPUT/arguments"\n')
    fake.chmod(0o755)
    site.conn.execute("UPDATE agents SET command = %s WHERE name = 'claude_code'", [program])
    task = site.task("quick")
    site.run_once([], environment=site.environment | {"PATH": f"{fake.parent}:{PATH}"})
    assert "> Look up its prices" in site.artifacts(task)["prompt.md"]["content"]
    assert "Look up" not in site.artifacts(task)["arguments"]["content"]  # which every user of the machine can read
    assert "/output" in site.artifacts(task)["arguments"]["content"]


def test_a_row_cannot_run_a_program_that_is_not_allowed(site: Site) -> None:
    site.conn.execute("UPDATE agents SET command = %s WHERE name = 'claude_code'", [sys.executable])
    task = site.task("quick")
    with pytest.raises(SettingsError, match="none of those that a row may name"):
        site.run_once([])
    process = site.command("--once")
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, site.status(task)) == (2, "pending")
    assert "AI_WEBHOOK_RUNNER_PROGRAMS" in said


def test_a_row_may_say_the_arguments_of_an_allowed_program(site: Site) -> None:
    options = {"arguments": [*STAND_IN[1:-1], "{task_file}"], "prompt": "stdin", "seconds": 30}
    site.conn.execute(
        "UPDATE agents SET command = 'python3', metadata = %s WHERE name = 'claude_code'",
        [json.dumps({"runner": options})],
    )
    task = site.task("quick")
    site.run_once([], programs=("python3",))
    assert site.status(task) == "completed"


def test_a_program_that_vanishes_ends_the_runner_and_fails_no_task(site: Site, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    task = site.task("quick")
    runner = site.runner([str(program)])
    program.unlink()
    with pytest.raises(SettingsError, match="cannot be started"):
        runner.run()
    assert (site.status(task), site.get(task)["attempts"]) == ("pending", 0)


def test_a_prompt_that_is_too_long_for_an_argument_fails_its_task(site: Site) -> None:
    long = "€" * 11_000
    task = site.task("quick", title=long, words=long, answers=[{"question": long, "answer": "", "person": ""}])
    site.run_once(["true", "-p", "{prompt}{prompt}"])
    assert site.status(task) == "failed"
    assert "too long" in site.get(task)["error_message"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{prompt}"], "has to follow"),
        (["--model", "{prompt}"], "has to follow"),
        (["{task_id}"], "may not begin"),
        (["-c", "echo {prompt}"], "run as code"),
        (["-e", "{task_id}"], "run as code"),
    ],
)
def test_what_was_said_cannot_become_an_option_or_code(arguments: list[str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        check_arguments(arguments)


@pytest.mark.parametrize("arguments", [["-p", "{prompt}"], ["--", "{prompt}"], ["--text={prompt}"], ["{prompt_file}"]])
def test_a_prompt_may_stand_where_no_option_is_read(arguments: list[str]) -> None:
    check_arguments(arguments)


def test_what_a_placeholder_brings_is_not_looked_at_again() -> None:
    command = Command("/bin/echo", ("--x={prompt}", "{output}"), 1, frozenset({0}))
    assert command.line({"prompt": "{output} {folder}", "output": "/o"}) == ["/bin/echo", "--x={output} {folder}", "/o"]


@pytest.mark.parametrize(
    ("row", "given", "reason"),
    [
        ({"command": None}, [], "has no command"),
        ({"command": "claude", "metadata": {"runner": {"argument": []}}}, [], "metadata.runner.argument"),
        ({"command": "claude", "metadata": {"runner": {"success_codes": []}}}, [], "success_codes"),
        ({"command": "claude", "metadata": {"runner": {"prompt": "argument"}}}, [], "no {prompt}"),
        ({"command": "claude", "metadata": {"runner": {"arguments": ["{prompt}"]}}}, [], "has to follow"),
        ({}, ["{prompt_file}"], "placeholder"),
        ({}, ["no-such-program"], "There is no program"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused_at_the_start(
    row: dict[str, object], given: list[str], reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason.replace("{", r"\{")):
        command_for({"name": "codex", **row}, given, programs=["claude"], seconds=1, path=PATH)


# ---- the command ----


def test_the_command_says_what_happens_and_nothing_that_was_said(site: Site) -> None:
    done, failed = site.task("quick"), site.task("crashing")
    process = site.command("--once", "--max", "1", "--", *STAND_IN)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    for line in (f"{done} claimed, attempt 1", f"{done} completed after", f"{failed} failed after"):
        assert line in said
    assert "prices" not in said
    assert "rivate" not in said
    assert TOKEN not in said


def test_a_token_for_reading_and_for_one_agent_is_enough(site: Site) -> None:
    made = site.client.call("create_token", name="runner", scopes=["read", "claim:claude_code"])
    task = site.task("writing")
    process = site.command("--once", "--", *STAND_IN, AI_WEBHOOK_TOKEN=made["token"])
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, site.status(task)) == (0, "completed"), said
    assert site.artifacts(task).keys() >= {"brief.md", "binary", "output.log"}


def test_a_service_that_is_not_there_is_said_at_once(site: Site) -> None:
    process = site.command("--once", "--", "true", AI_WEBHOOK_URL="http://127.0.0.1:1")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Nothing answers" in said
