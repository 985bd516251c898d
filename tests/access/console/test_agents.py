"""Agents: which are alive, what they hold, how much they get done."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from access.console.agents import Day, Work
from store import agents, tasks
from store.database import Connection
from tests.access.console.conftest import Looks


@pytest.fixture(autouse=True)
def agents_as_they_were(conn: Connection) -> Iterator[None]:
    rows = conn.execute("SELECT name, type, command, capabilities::text AS capabilities FROM agents").fetchall()
    yield
    conn.execute("DELETE FROM tasks")
    conn.execute("DELETE FROM agents")
    for row in rows:
        conn.execute(
            "INSERT INTO agents (name, type, command, capabilities) VALUES (%(name)s, %(type)s, %(command)s,"
            " %(capabilities)s::jsonb)",
            row,
        )


def test_an_agent_tells_what_it_holds_and_got_done(screen: Looks, talk: str, conn: Connection) -> None:
    agents.register(conn, "reviewer", capabilities=["review"], max_concurrent=2)
    for number, days in enumerate([0, 0, 3]):
        tasks.add(conn, f"r{number}", title="Read it", agent_name="reviewer")
        [claim] = tasks.claim(conn, "reviewer", "desk")
        tasks.complete(conn, claim["task_id"], claim["claim_token"])
        conn.execute(
            "UPDATE tasks SET completed = now() - %s * interval '1 day', claimed_at = now() - %s * interval '1 day'"
            " - interval '90 seconds' WHERE id = %s",
            [days, days, claim["task_id"]],
        )
    tasks.add(conn, "bad", title="Read it", agent_name="reviewer")
    [claim] = tasks.claim(conn, "reviewer", "desk")
    tasks.fail(conn, "bad", claim["claim_token"], error="no", retry=False)
    tasks.add(conn, "now", title="Read this", agent_name="reviewer")
    [claim] = tasks.claim(conn, "reviewer", "desk")
    tasks.renew(conn, "now", claim["claim_token"], progress=0.25, note="page 3")
    tasks.add(conn, "next", title="Read that", agent_name="reviewer")
    page = screen.as_("alice", "/agents", java_script_enabled=False)
    told = page.locator("#agent-reviewer")
    expect(told.locator(".state").first).to_have_text("available")
    expect(told.locator("dd")).to_have_text(["1 of 2", "1", "2", "3", "75%", "1:30"])
    expect(told.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile("3 days before: 1 completed, 0 failed.*24 hours: 2 completed, 1 failed")
    )
    expect(told.get_by_role("progressbar")).to_have_attribute("value", "0.25")
    told.get_by_role("link", name="Read this").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Read this")


def test_one_that_is_silent_is_offline(desktop: Looks, conn: Connection) -> None:
    agents.register(conn, "reviewer")
    conn.execute("UPDATE agents SET last_heartbeat = now() - interval '5 minutes' WHERE name = 'reviewer'")
    page = desktop.as_("alice", "/agents")
    expect(page.locator("#agent-reviewer .state")).to_have_text("offline")


def test_what_an_agent_takes_is_seen_at_once(desktop: Looks, conn: Connection) -> None:
    page = desktop.as_("alice", "/agents")
    expect(page.locator("body[data-listening]")).to_be_attached()
    tasks.add(conn, "t", title="Draw it", agent_name="codex")
    tasks.claim(conn, "codex", "desk")
    expect(page.locator("#agent-codex")).to_contain_text("Draw it")


def test_without_agents_it_says_how_to_register_one(screen: Looks, conn: Connection) -> None:
    conn.execute("DELETE FROM agents")
    page = screen.as_("alice", "/agents")
    expect(page.locator(".empty")).to_contain_text("ai-webhook agents register reviewer")
    expect(page.locator(".empty")).to_contain_text("ai-webhook agent run reviewer")


def test_many_agents_are_paged(desktop: Looks, conn: Connection) -> None:
    conn.execute("INSERT INTO agents (name) SELECT 'x' || lpad(n::text, 3, '0') FROM generate_series(1, 60) n")
    page = desktop.as_("alice", "/agents")
    expect(page.locator(".agents > li")).to_have_count(50)
    page.get_by_role("link", name="Further agents").click()
    expect(page.locator(".agents > li")).to_have_count(14)


def test_work_adds_up() -> None:
    days = (*(Day(ago) for ago in range(6, 1, -1)), Day(1, 2, 2), Day(0, 4, 0))
    work = Work(days, None)
    assert (work.today, work.completed, work.failed, work.success) == (4, 6, 2, 0.75)
    assert [bar["completed"] + bar["failed"] for bar in work.bars()] == [0, 0, 0, 0, 0, 48, 48]
    assert Work((Day(0),), None).success is None
    assert Work((Day(0),), None).bars()[0]["completed"] == 0


def test_a_cancelled_task_says_nothing_about_its_agent(conn: Connection) -> None:
    tasks.add(conn, "t", title="x", agent_name="codex")
    tasks.cancel(conn, "t", person="bob")
    row = conn.execute("SELECT now() - interval '1 day' AS first, now() + interval '1 day' AS last").fetchone()
    assert row is not None
    assert agents.ended(conn, ["codex"], [row["first"], row["last"]]) == []
