"""What the tests of the jobs share: deliveries accepted as the endpoint accepts them, worked on by a real worker."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson
import pytest

from domain.delivery import BATCH_JOB, Delivery, Reading
from domain.errors import UnknownEvent
from domain.memory import MemoryDraft
from domain.session import SessionDraft, Turn
from domain.settings import Settings
from domain.task import ArtifactDraft, TaskDraft
from ingest.enqueueing import open_enqueuer
from processors.extracting import whole
from processors.jobs import Workshop, process_batch, sweep
from processors.rq_worker import run_worker
from store.database import Connection
from tests.conftest import delivery


def talk(session: str, *texts: str) -> str:
    turns = [{"speaker": "Alice", "role": "user", "text": text} for text in texts]
    return orjson.dumps({"session": session, "turns": turns}).decode()


def command(name: str, session: str | None = "walk", data: Any = None, **more: Any) -> Delivery:
    """A native command, as the endpoint hands it on."""
    body = {"type": "collaborative_session_command", "command": name, "session_id": session, "data": data or {}}
    return delivery(orjson.dumps(body), source="native", event=name, **more)


def accept(settings: Settings, *deliveries: Delivery) -> list[str]:
    """Puts deliveries into Redis as the endpoint does."""

    async def enqueue() -> list[str]:
        enqueuer = open_enqueuer(settings)
        outcomes = await asyncio.gather(*(enqueuer.enqueue(d) for d in deliveries))
        await enqueuer.close()
        return list(outcomes)

    return asyncio.run(enqueue())


def work(shop: Workshop) -> None:
    """A real RQ worker, until the queue is empty."""
    run_worker(shop.queue.client, "worker-under-test", {BATCH_JOB: partial(process_batch, shop)}, burst=True)


def work_again(shop: Workshop, conn: Connection) -> None:
    """What the sweep finds unfinished, worked on as if its time had come."""
    conn.execute("UPDATE deliveries SET next_attempt_at = now() WHERE state = 'received'")
    sweep(shop)
    work(shop)


def hear(monkeypatch: pytest.MonkeyPatch, extract: Callable[[Sequence[Turn]], list[MemoryDraft]]) -> None:
    """Lets workers extract with something else than today's extractors."""
    monkeypatch.setattr(whole, "extract", lambda turns, names: extract(turns))


def states(conn: Connection) -> dict[str, int]:
    rows = conn.execute("SELECT state, count(*) AS n FROM deliveries GROUP BY state").fetchall()
    return {row["state"]: row["n"] for row in rows}


def acme(extent: str, *turns: tuple[str, float | None, str], session: str = "meeting", **more: Any) -> Delivery:
    """A delivery of `acme`, a sender whose talks are told by several deliveries; turns are (speaker, start, text).

    `summary`, and by title `decisions`, `tasks` and `artifacts`, are the sender's own.
    """
    about = {name: more.pop(name) for name in ("summary", "decisions", "tasks", "artifacts") if name in more}
    body = {"session": session, "extent": extent, "turns": turns, **about}
    return delivery(orjson.dumps(body), source="acme", event=extent, **more)


def read_acme(delivery: Delivery) -> Reading | None:
    """The reader of `acme`: events are the extents, `ping` is ignored, all others are unknown."""
    if delivery.event == "ping":
        return None
    if delivery.event not in ("part", "live", "whole"):
        raise UnknownEvent(delivery.source)
    body = orjson.loads(delivery.body)
    return Reading(
        session=SessionDraft(body["session"]),
        turns=tuple(Turn(speaker, text, start_seconds=start) for speaker, start, text in body["turns"]),
        summary=body.get("summary"),
        memories=tuple(MemoryDraft("decision", title, extractor="sender") for title in body.get("decisions", [])),
        tasks=tuple(TaskDraft(title, "codex", "code") for title in body.get("tasks", [])),
        artifacts=tuple(ArtifactDraft(name, f"# {name}") for name in body.get("artifacts", [])),
        extent=body["extent"],
    )
