"""What native clients want run: refused unless the operator lets it, made a task by one way only, and answered."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg
import pytest
import redis

from domain import envelope
from domain.delivery import Delivery
from domain.errors import SettingsError
from domain.settings import Settings
from processors.__main__ import open_workshop
from processors.commanding import answer_awaited
from processors.jobs import Workshop
from processors.queueing import AWAIT_SECONDS
from store import deliveries, tasks
from store.database import Connection, Row
from tests.conftest import delivery, make_settings
from tests.processors.workshop import accept, command, states, talk, work, work_again

GIT = {"task_id": "git_7", "action_type": "git", "params": {"command": ["git", "status"], "working_dir": "/srv/tiles"}}


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return make_settings(database_url, redis_url, AI_WEBHOOK_TASK_COMMANDS="commands")


@pytest.fixture
def runner(conn: Connection) -> None:
    """Says that a runner is there."""
    conn.execute("SELECT register_agent('commands')")


@pytest.fixture
def off(database_url: str, redis_url: str) -> Iterator[Workshop]:
    """A workshop as it is without the setting."""
    workshop = open_workshop(make_settings(database_url, redis_url), "worker-under-test")
    yield workshop
    workshop.pool.close()


def wanted(data: Any = GIT, *, sync: bool = False, source: str = "native", **more: Any) -> Delivery:
    body = orjson.dumps({"type": "task_command", "data": data})
    return replace(delivery(body, source=source, event="task_command", **more), sync=sync)


def params(kind: str = "git", **params: Any) -> dict[str, Any]:
    return {"task_id": "git_7", "action_type": kind, "params": params}


def all_tasks(conn: Connection) -> list[Row]:
    return conn.execute("SELECT * FROM tasks ORDER BY created").fetchall()


def one_task(conn: Connection) -> Row:
    (task,) = all_tasks(conn)
    return task


def failure(conn: Connection) -> str:
    row = conn.execute("SELECT error_code FROM deliveries WHERE state = 'failed'").fetchone()
    assert row is not None
    return str(row["error_code"])


def answered(redis_client: "redis.Redis", sent: Delivery) -> Any:
    raw = redis_client.get(envelope.reply_name(sent.key))
    return orjson.loads(raw) if isinstance(raw, bytes) else None


def is_awaited(redis_client: "redis.Redis", sent: Delivery) -> bool:
    return bool(redis_client.hexists(envelope.AWAITED, sent.key))


# ---- off ----


@pytest.mark.parametrize("data", [GIT, params("claude_code", prompt="Fix it"), {}, "wrong"])
def test_commands_are_off_unless_they_are_set(
    off: Workshop, conn: Connection, redis_client: "redis.Redis", data: Any
) -> None:
    sent = wanted(data, sync=True)
    accept(off.settings, sent)
    work(off)
    reply = answered(redis_client, sent)
    assert (failure(conn), all_tasks(conn)) == ("task_command_disabled", [])
    assert (reply["status"], reply["error"]["code"]) == ("error", "task_command_disabled")
    assert "delegate_task" in reply["message"]


def test_an_agent_that_does_other_work_does_no_commands() -> None:
    with pytest.raises(SettingsError, match="agent of their own"):
        Settings.from_env({"AI_WEBHOOK_TASK_COMMANDS": "claude_code"}, env_file=None)


# ---- made a task ----


def test_a_command_becomes_a_task_that_does_not_show_its_arguments(
    settings: Settings, shop: Workshop, conn: Connection
) -> None:
    accept(settings, wanted())
    work(shop)
    task = one_task(conn)
    assert (task["id"], task["agent_name"], task["task_type"]) == ("git_7", "commands", "git_command")
    assert (task["title"], task["status"], task["session_id"]) == ("Run git", "pending", None)
    assert task["command"] == {"argv": ["git", "status"], "working_dir": "/srv/tiles", "timeout": 30}
    assert (task["input_data"], task["max_attempts"]) == ({"origin": "task_command"}, 1)
    assert states(conn) == {"processed": 1}


@pytest.mark.parametrize(
    ("given", "argv"),
    [
        ("ls -la", ["ls", "-la"]),
        ("ls 'my notes'", ["ls", "my notes"]),
        ("ls;rm -rf x", ["ls;rm", "-rf", "x"]),
        ("echo $(id) `id` $HOME *", ["echo", "$(id)", "`id`", "$HOME", "*"]),
        (["ls", "a|b", ">"], ["ls", "a|b", ">"]),
    ],
)
def test_a_text_is_split_and_means_nothing_to_a_shell(
    settings: Settings, shop: Workshop, conn: Connection, given: Any, argv: list[str]
) -> None:
    accept(settings, wanted(params("shell", command=given, timeout=9999)))
    work(shop)
    task = one_task(conn)
    assert (task["command"]["argv"], task["command"]["timeout"], task["title"]) == (argv, 300, "Run a program")


def test_a_prompt_becomes_a_task_as_any_other(settings: Settings, shop: Workshop, conn: Connection) -> None:
    accept(settings, wanted(params("claude_code", prompt="Fix the grout test", working_dir="/srv/tiles")))
    work(shop)
    task = one_task(conn)
    assert (task["agent_name"], task["title"], task["command"]) == ("claude_code", "Fix the grout test", None)
    assert task["input_data"] == {
        "description": "Fix the grout test",
        "origin": "task_command",
        "repository": "/srv/tiles",
    }


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, "missing_field"),
        ({"task_id": "x\ny", "action_type": "git"}, "invalid_id"),
        ({"task_id": "x"}, "missing_field"),
        ({"task_id": "x", "action_type": "sql"}, "unknown_command"),
        (params("git"), "missing_field"),
        (params("git", command="git status"), "wrong_type"),
        (params("git", command={"git": "status"}), "wrong_type"),
        (params("git", command=["git", 1]), "wrong_type"),
        (params("git", command=[]), "invalid_command"),
        (params("git", command=["ls"]), "invalid_command"),
        (params("git", command=["/usr/bin/git", "status"]), "invalid_command"),
        (params("git", command=["git", "log\x1b"]), "invalid_command"),
        (params("git", command=["git", "log\0"]), "invalid_command"),
        (params("git", command=["git", *["x"] * 200]), "invalid_command"),
        (params("git", command=["git", "x" * 70_000]), "invalid_command"),
        (params("git", command=["git", "log", "--grep=sk-ant-0123456789abcdefghij"]), "invalid_command"),
        (params("git", command=["git", "status"], working_dir=7), "wrong_type"),
        (params("git", command=["git", "status"], timeout="long"), "wrong_type"),
        (params("shell", command=""), "invalid_command"),
        (params("shell", command="ls 'x"), "invalid_command"),
        (params("shell", command="ls | wc"), "invalid_command"),
        (params("shell", command="ls && rm x"), "invalid_command"),
        (params("shell", command="ls > /etc/x"), "invalid_command"),
        (params("shell", command="ls ; rm x"), "invalid_command"),
        (params("claude_code", prompt=" "), "missing_field"),
    ],
)
def test_what_is_no_command_is_refused(
    settings: Settings, shop: Workshop, conn: Connection, data: Any, code: str
) -> None:
    accept(settings, wanted(data))
    work(shop)
    assert (failure(conn), all_tasks(conn)) == (code, [])


def test_a_command_that_comes_again_is_the_same_task(settings: Settings, shop: Workshop, conn: Connection) -> None:
    accept(settings, wanted(), wanted())
    work(shop)
    assert one_task(conn)["id"] == "git_7"
    assert states(conn) == {"processed": 2}


def test_the_id_of_another_task_is_refused(settings: Settings, shop: Workshop, conn: Connection) -> None:
    accept(settings, command("delegate_task", "walk", {"task_id": "git_7", "description": "Lay the tiles"}))
    work(shop)
    accept(settings, wanted(), wanted(params(command=["git", "log"])))
    work(shop)
    assert one_task(conn)["command"] is None
    assert (failure(conn), states(conn)) == ("invalid_request", {"processed": 1, "failed": 2})


def test_a_command_is_not_made_again_by_reading_it_again(settings: Settings, shop: Workshop, conn: Connection) -> None:
    sent = wanted()
    accept(settings, sent)
    work(shop)
    conn.execute("DELETE FROM tasks")
    deliveries.replay(conn, [sent.key], states=["processed"])
    work_again(shop, conn)
    assert (states(conn), all_tasks(conn)) == ({"processed": 1}, [])


def test_a_command_that_comes_late_is_refused(settings: Settings, shop: Workshop, conn: Connection) -> None:
    accept(settings, wanted(received_at=datetime.now(UTC) - timedelta(hours=2)))
    work(shop)
    assert (failure(conn), all_tasks(conn)) == ("command_too_old", [])


# ---- by one way only ----


def test_nothing_else_that_is_sent_becomes_a_command(settings: Settings, shop: Workshop, conn: Connection) -> None:
    task = {
        "task_id": "git_7",
        "agent_name": "commands",
        "task_type": "git_command",
        "description": "Run git",
        "command": {"argv": ["git", "status"]},
        "input_data": {"command": ["git", "status"], "origin": "task_command"},
    }
    said = talk("kitchen", "Add an action item: run git status.", '{"type": "task_command", "data": {}}')
    generic = orjson.dumps(
        {"session": "a", "type": "task_command", "data": GIT, "tasks": [{**task, "title": "Run git"}]}
    )
    accept(settings, command("delegate_task", "walk", task), delivery(said), delivery(generic))
    work(shop)
    made = all_tasks(conn)
    assert len(made) >= 2
    assert [task["command"] for task in made] == [None] * len(made)


@pytest.mark.parametrize("source", ["generic", "chatgpt", "zapier"])
def test_only_the_native_route_takes_commands(
    settings: Settings, shop: Workshop, conn: Connection, source: str
) -> None:
    accept(settings, wanted(source=source))
    work(shop)
    assert all_tasks(conn) == []


def test_the_database_takes_no_command_from_elsewhere(settings: Settings, shop: Workshop, conn: Connection) -> None:
    accept(settings, delivery(talk("walk", "Add an action item: run git status.")), wanted())
    work(shop)
    put = "INSERT INTO tasks (title, agent_name, command, delivery) SELECT 'x', 'commands', '{}', "
    for origin in ("NULL", "'no-such'", "(SELECT id FROM deliveries WHERE source = 'generic')"):
        with pytest.raises(psycopg.Error, match="native clients"):
            conn.execute(put + origin)  # type: ignore[arg-type]
    for change in ('command = \'{"argv": ["rm"]}\'', "command = NULL", "memory = (SELECT min(id) FROM memories)"):
        with pytest.raises(psycopg.Error):
            conn.execute(f"UPDATE tasks SET {change} WHERE id = 'git_7'")  # type: ignore[arg-type]
    with pytest.raises(psycopg.Error, match="does not change"):
        conn.execute("UPDATE tasks SET command = '{}' WHERE id <> 'git_7'")


def test_a_claim_brings_the_command(settings: Settings, shop: Workshop, conn: Connection) -> None:
    accept(settings, wanted())
    work(shop)
    ((claimed,),) = tasks.claim_many(
        conn,
        [{"agent_name": "commands", "control_agent": "a", "lease_seconds": 60, "max_tasks": 1, "fair": False}],
    )
    assert claimed["command"]["argv"] == ["git", "status"]
    tasks.release(conn, "git_7", claimed["claim_token"])
    (claimed,) = tasks.claim(conn, "commands", "a")
    assert claimed["command"]["argv"] == ["git", "status"]


# ---- answered ----


def end(conn: Connection, output: Any = None, error: str | None = None) -> None:
    (claimed,) = tasks.claim(conn, "commands", "a")
    if error is None:
        tasks.complete(conn, claimed["task_id"], claimed["claim_token"], output_data=output)
    else:
        tasks.fail(conn, claimed["task_id"], claimed["claim_token"], error=error, retry=False)


def test_without_a_runner_who_waits_is_told_at_once(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    sent = wanted(sync=True)
    accept(settings, sent)
    work(shop)
    assert (failure(conn), all_tasks(conn)) == ("no_agent", [])
    assert answered(redis_client, sent)["error"]["code"] == "no_agent"
    assert not is_awaited(redis_client, sent)


@pytest.mark.usefixtures("runner")
@pytest.mark.parametrize(
    ("code", "status", "success"), [(0, "success", True), (1, "failed", False), (-9, "failed", False)]
)
def test_who_waits_is_answered_when_the_task_has_ended(
    settings: Settings,
    shop: Workshop,
    conn: Connection,
    redis_client: "redis.Redis",
    code: int,
    status: str,
    success: bool,
) -> None:
    sent = wanted(sync=True)
    accept(settings, sent)
    work(shop)
    answer_awaited(shop.pool, shop.queue)
    assert answered(redis_client, sent) is None
    assert is_awaited(redis_client, sent)
    end(conn, {"exit_code": code, "stdout": "On branch main", "stderr": "", "seconds": 0.25})
    answer_awaited(shop.pool, shop.queue)
    reply = answered(redis_client, sent)
    assert (reply["status"], reply["task_id"], reply["execution_time_ms"]) == (status, "git_7", 250)
    assert reply["output"] == {"success": success, "stdout": "On branch main", "stderr": "", "returncode": code}
    assert redis_client.llen(envelope.replied_name(sent.key)) == 1
    assert not is_awaited(redis_client, sent)


@pytest.mark.usefixtures("runner")
def test_one_that_was_done_before_is_answered_and_not_done_again(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis"
) -> None:
    accept(settings, wanted())
    work(shop)
    end(conn, {"exit_code": 0, "stdout": "once", "stderr": "", "seconds": 1})
    sent = wanted(sync=True)
    accept(settings, sent)
    work(shop)
    answer_awaited(shop.pool, shop.queue)
    assert answered(redis_client, sent)["output"]["stdout"] == "once"
    assert one_task(conn)["status"] == "completed"


@pytest.mark.usefixtures("runner")
@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("command_not_allowed: Not that one.", "command_not_allowed", "Not that one."),
        ("The command ended with exit code 3.", "task_failed", "The command ended with exit code 3."),
    ],
)
def test_an_error_has_its_code(
    settings: Settings,
    shop: Workshop,
    conn: Connection,
    redis_client: "redis.Redis",
    error: str,
    code: str,
    message: str,
) -> None:
    sent = wanted(sync=True)
    accept(settings, sent)
    work(shop)
    end(conn, error=error)
    answer_awaited(shop.pool, shop.queue)
    reply = answered(redis_client, sent)
    assert (reply["status"], reply["error"], reply["message"]) == ("error", {"code": code, "message": message}, message)


@pytest.mark.usefixtures("runner")
@pytest.mark.parametrize(
    ("statement", "code"),
    [("SELECT cancel_task('git_7', 'no longer wanted')", "task_cancelled"), ("DELETE FROM tasks", "unknown_task")],
)
def test_a_task_that_nobody_does_is_told_too(
    settings: Settings, shop: Workshop, conn: Connection, redis_client: "redis.Redis", statement: str, code: str
) -> None:
    sent = wanted(sync=True)
    accept(settings, sent)
    work(shop)
    conn.execute(statement)  # type: ignore[arg-type]
    answer_awaited(shop.pool, shop.queue)
    assert answered(redis_client, sent)["error"]["code"] == code


@pytest.mark.usefixtures("runner")
def test_nobody_waits_for_ever(settings: Settings, shop: Workshop, redis_client: "redis.Redis") -> None:
    sent = wanted(sync=True)
    accept(settings, sent)
    work(shop)
    (since, task) = redis_client.hget(envelope.AWAITED, sent.key).decode().split(" ")  # type: ignore[union-attr]
    redis_client.hset(envelope.AWAITED, sent.key, f"{int(since) - AWAIT_SECONDS - 1} {task}")
    answer_awaited(shop.pool, shop.queue)
    assert not is_awaited(redis_client, sent)
    assert answered(redis_client, sent) is None
