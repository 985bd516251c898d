"""From what was said to finished work and back: real processes, a real client of MCP over stdio, no shortcuts."""

import asyncio
import json
import os
import sys
import time

import httpx2
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from access.llm_instructions import instructions
from domain.standard_webhooks import signed_headers
from tests.access.test_mcp import Model
from tests.conftest import ROOT
from tests.journeys.stack import Up, running_up

WALK = """Mara: I've decided we use the Carbon Interface API.
Assistant: Noted.
Mara: Add an action item: look up its prices.
"""


def post_signed(up: Up, id: str, session: str, text: str) -> None:
    body = text.encode()
    signed = signed_headers([up.secrets["generic_secret"]], id, int(time.time()), body)
    headers = {"content-type": "text/plain", **signed}
    answer = httpx2.post(f"{up.url}/webhook/generic?session={session}", content=body, headers=headers)
    assert answer.json()["status"] == "accepted"


def until_processed(up: Up, count: int) -> None:
    deadline = time.monotonic() + 60
    with up.client() as client:
        while client.call("count_deliveries")["processed"] < count:
            assert time.monotonic() < deadline, client.call("list_deliveries")
            time.sleep(0.02)


def answer_by_webhook(up: Up, task_id: str) -> None:
    body = {
        "type": "collaborative_session_command",
        "command": "answer_task",
        "session_id": "walk",
        "data": {"task_id": task_id, "answer": "Europe only", "person": "Mara"},
    }
    assert httpx2.post(f"{up.url}/webhook", json=body, headers=up.headers()).status_code == 200


async def work(up: Up, token: str) -> None:
    environment = {**os.environ, "AI_WEBHOOK_URL": up.url, "AI_WEBHOOK_TOKEN": token}
    server = StdioServerParameters(command=sys.executable, args=["-m", "ops", "mcp"], env=environment, cwd=ROOT)
    async with Client(server) as client:
        agent = Model(client)
        await agent.use("register_agent", agent_name="researcher")
        (claim,) = (await agent.use("claim_task", agent_name="researcher", wait_seconds=20))["items"]
        assert claim["title"].lower() == "look up its prices"
        assert "look up its prices" in claim["quote"]
        assert "Carbon Interface" in claim["context"]["text"]
        held = {"task_id": claim["task_id"], "claim_token": claim["claim_token"]}
        await agent.use("ask", **held, question="Prices of which region?")
        await asyncio.to_thread(answer_by_webhook, up, claim["task_id"])
        (again,) = (await agent.use("claim_task", agent_name="researcher", wait_seconds=20))["items"]
        assert again["task_id"] == claim["task_id"]
        (answered,) = again["input_data"]["answers"]
        assert (answered["question"], answered["answer"], answered["person"]) == (
            "Prices of which region?",
            "Europe only",
            "Mara",
        )
        held["claim_token"] = again["claim_token"]
        report = "Estimates cost four euros for a thousand calls in Europe."
        left = await agent.use("create_artifact", name="prices.md", content=report, task_id=claim["task_id"])
        await agent.use("complete_task", **held, output_data={"euros": 4}, artifacts=[left["id"]])


def test_what_was_said_is_done_once_and_there_at_the_next_walk() -> None:
    with running_up() as up:
        post_signed(up, "msg_1", "walk", WALK)
        until_processed(up, 1)
        with up.client() as client:
            token = client.call("create_token", name="mac", scopes=["read", "claim:researcher"])["token"]
            asyncio.run(work(up, token))
            (task,) = client.list_tasks(session="walk")["items"]
            assert task["status"] == "completed"
            found = client.search("what do estimates cost in Europe?")["items"]
            assert any(hit["kind"] == "artifacts" and "four euros" in hit["snippet"] for hit in found)
            moves = [event["to_status"] for event in client.get_task(task["id"])["events"]]
            assert moves == ["pending", "claimed", "needs_input", "pending", "claimed", "completed"]
            assert "Carbon Interface" in client.get_context("what did we decide?")["text"]


def test_what_the_page_for_assistants_shows_works() -> None:
    """Every example of /llm-instructions, posted as it is to the address before it."""
    with running_up() as up:
        page = httpx2.get(f"{up.url}/llm-instructions")
        assert page.headers["content-type"].startswith("text/markdown")
        assert page.text == instructions(up.url)
        address, sent = "", 0
        for part in page.text.split("```"):
            if part.startswith("json\n"):
                until_processed(up, sent)  # as when somebody speaks: workers may take up two at once in either order
                answer = httpx2.post(address, json=json.loads(part[5:]), headers=up.headers(), timeout=30)
                assert answer.status_code == 200, answer.text
                sent += 1
            elif "POST `" in part or "`POST " in part:
                address = part.rpartition("POST ")[2].split("`")[0]
        assert sent == 4
        assert "Postgres" in answer.text or "tiles" in answer.text  # the question is answered from what was sent before
        with up.client() as client:
            titles = {memory["title"] for memory in client.list_memories(type="decision")["items"]}
            assert {"We use Postgres", "Blue tiles for the kitchen"} <= titles
