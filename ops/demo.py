"""`ai-webhook demo`: real conversations sent over signed HTTP to a stack of its own, and what became of them.

Everything it reports is read back through the API from what the database holds.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from access.client import Client
from domain.errors import AIWebhookError
from domain.settings import Settings
from ingest.signatures import sign_standard_webhooks
from ops.cli_send import content_type, finished
from ops.output import console, say
from ops.up import Stack

HERE = Path(__file__).parent
QUESTIONS = (
    "What did we decide about carbon tracking?",
    "Which database do we use offline?",
    "What should the remote control look like?",
)
AGENT = "claude_code"
SHOWN = 7  # memories printed for a session; --json has all


def examples() -> list[Path]:
    """The conversations that come with the package (in a checkout they lie beside it)."""
    folder = next(f for f in (HERE / "examples", HERE.parent / "examples") if f.is_dir())
    return sorted(f for f in folder.iterdir() if f.suffix in (".json", ".vtt", ".srt"))


@contextmanager
def folder_for(data: Path | None) -> Iterator[Path]:
    """The folder given, or a fresh one that is gone afterwards."""
    if data is not None:
        yield data
        return
    path = Path(tempfile.mkdtemp(prefix="ai-webhook-demo-"))
    if os.geteuid() == 0:
        path.chmod(0o711)  # the servers run as a user of their own
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run(stack: Stack, settings: Settings) -> dict[str, Any]:
    """Sends, waits, searches, works: the whole story as one object."""
    with stack.client() as client:
        secrets = settings.secrets_of("generic") or (stack.secrets.generic_secret,)
        sent = [send_signed(client, path, secrets[0]) for path in examples()]
        outcomes = [finished(client, delivery) for delivery in sent]
        sessions = {outcome["session_id"] for outcome in outcomes if outcome["session_id"]}
        told = [client.call("get_session", session) for session in sorted(sessions)]
        return {
            "sessions": [session_row(s) for s in told],
            "memories": [memory_row(m) for s in told for m in reversed(s["memories"])],
            "searches": [{"query": q, "hits": client.call("search", q=q, limit=3)["items"]} for q in QUESTIONS],
            "completed": do_one_task(client),
            "tasks": [t for s in sorted(sessions) for t in client.call("list_tasks", session=s, limit=1000)["items"]],
        }


def send_signed(client: Client, path: Path, secret: str) -> str:
    body = path.read_bytes()
    headers = sign_standard_webhooks(secret, f"demo-{path.stem}", int(time.time()), body)
    answer = client.deliver("generic", body, {**headers, "content-type": content_type(path)}, session=path.stem)
    return str(answer["delivery"])


def session_row(session: dict[str, Any]) -> dict[str, Any]:
    counters = ("conversation_chunk_count", "memory_count", "task_count")
    return {name: session[name] for name in ("id", "title", "status", *counters)} | {"turns": len(session["turns"])}


def memory_row(memory: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: memory[name] for name in ("type", "title", "quote", "speaker", "confidence")},
        "turn": memory["turn_seq"],
        "session": memory["session_id"],
    }


def do_one_task(client: Client) -> dict[str, Any]:
    """Claims the most urgent task as an agent would, and completes it with a brief of what was said about it."""
    claims = client.call("claim_task", agent_name=AGENT, control_agent="demo")["items"]
    if not claims:
        raise AIWebhookError(f"No task was found for {AGENT}.")
    claim = claims[0]
    held = {"claim_token": claim["claim_token"]}
    client.call("start_task", claim["task_id"], **held, process_id=os.getpid())
    said = client.call("search", **{"q": claim["title"], "in": ["turns", "memories"], "limit": 5})["items"]
    artifact = client.call("create_artifact", task_id=claim["task_id"], name="brief.md", format="markdown",
                           type="brief", content=brief(claim, said))  # fmt: skip
    task = client.call("complete_task", claim['task_id'], **held, output_data={"sources": len(said)},
                       artifacts=[artifact["id"]])  # fmt: skip
    return {"task": task, "artifact": artifact}


def brief(claim: dict[str, Any], said: list[dict[str, Any]]) -> str:
    lines = [f"# {claim['title']}", "", f"Said in {claim['session_title'] or claim['session_id']}:"]
    lines += [f"> {claim['quote']}", "", "Also said about it:"]
    lines += [f"- {hit['speaker'] or hit['kind']}: {hit['snippet']}" for hit in said]
    return "\n".join(lines) + "\n"


def tell(story: dict[str, Any]) -> None:
    """Prints the story for people."""
    for session in story["sessions"]:
        console.print()
        console.print(session["title"] or session["id"], style="bold", markup=False)
        counted = f"{session['turns']} turns, {session['memory_count']} memories, {session['task_count']} tasks"
        console.print(f"  {counted}", style="dim")
        mine = [m for m in story["memories"] if m["session"] == session["id"]]
        best = sorted(mine, key=lambda m: -m["confidence"])[:SHOWN]
        for memory in sorted(best, key=mine.index):
            tell_memory(memory)
        if len(mine) > len(best):
            console.print(f"  … and {len(mine) - len(best)} more", style="dim")
    tell_tasks(story)
    tell_searches(story["searches"])


def tell_memory(memory: dict[str, Any]) -> None:
    from ops.output import clean, coloured

    kind = memory["type"]
    console.print("  ", coloured(kind), " " * max(1, 12 - len(kind)), clean(memory["title"]), sep="", markup=False)
    if memory["quote"]:
        quote = clean(memory["quote"]).replace("\n", " ")
        console.print(f"              “{quote}” {memory['speaker']}, turn {memory['turn']}", style="dim", markup=False)


def tell_tasks(story: dict[str, Any]) -> None:
    from ops.output import show_items

    console.print("\nTasks", style="bold")
    show_items(story["tasks"], ["status", "agent_name", "priority", "title"], as_json=False, empty="none")
    done = story["completed"]
    say(f"\n{AGENT} claimed “{done['task']['title']}”, did it once, and left {done['artifact']['name']}:")
    for line in done["artifact"]["content"].splitlines()[:6]:
        console.print("  " + line, style="dim", markup=False)


def tell_searches(searches: list[dict[str, Any]]) -> None:
    from ops.cli_records import show_hits

    for search in searches:
        console.print(f"\nai-webhook search “{search['query']}”", style="bold", markup=False)
        show_hits(search["hits"])
