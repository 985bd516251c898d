"""A server that speaks OpenAI's protocol, on this machine and over real HTTP, and a workshop that asks it."""

from typing import Any

import orjson

from domain.settings import Settings
from processors.__main__ import open_workshop
from processors.jobs import Workshop, sweep
from store.database import Connection
from tests.conftest import delivery
from tests.processors.sender_api import Answer, Api, answering
from tests.processors.workshop import accept, talk, work

ROUTE = "/v1/chat/completions"
SAID = "Rubber wins for the buttons, the metal one was too cold."


def completion(content: str | None, *, tokens: tuple[int, int] = (900, 60), tool: str | None = None) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if tool is not None:
        call = {"id": "1", "type": "function", "function": {"name": "items", "arguments": tool}}
        message["tool_calls"] = [call]
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return orjson.dumps(
        {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    )


def replying(*items: dict[str, Any], **more: Any) -> Answer:
    """An answer with these items."""
    return answering(completion(listing(*items), **more), content_type="application/json")


def listing(*items: dict[str, Any]) -> str:
    return orjson.dumps({"items": list(items)}).decode()


def rubber(**more: Any) -> dict[str, Any]:
    item = {"type": "decision", "title": "Rubber instead of metal", "turn": 0, "quote": "Rubber wins for the buttons"}
    return {**item, "confidence": 0.8, "rationale": "the metal one was too cold", **more}


def workshop(settings: Settings, server: Api, **more: Any) -> Workshop:
    changed = {"extractors": "rules,llm", "llm_url": f"{server.url}/v1", "llm_model": "small", **more}
    return open_workshop(settings.model_copy(update=changed), "worker-under-test")


def tell(shop: Workshop, *texts: str, session: str = "walk") -> str:
    sent = delivery(talk(session, *(texts or (SAID,))))
    accept(shop.settings, sent)
    work(shop)
    return sent.key


def later(shop: Workshop, conn: Connection) -> None:
    """What the next sweep finds, worked on."""
    conn.execute("UPDATE extraction_gaps SET next_attempt_at = now() WHERE next_attempt_at < 'infinity'")
    sweep(shop)
    work(shop)


def found(conn: Connection) -> list[tuple[str, str]]:
    rows = conn.execute("SELECT type, title FROM memories WHERE extractor = 'llm' ORDER BY id").fetchall()
    return [(row["type"], row["title"]) for row in rows]


def gaps(conn: Connection) -> list[tuple[str, str | None]]:
    rows = conn.execute("SELECT extractor, error_code FROM extraction_gaps ORDER BY extractor, piece").fetchall()
    return [(row["extractor"], row["error_code"]) for row in rows]
