"""Questions about annotated conversations, asked of the product's own search over what its own workers wrote."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from domain.delivery import Delivery
from domain.errors import Refused
from domain.settings import Settings
from ops.scratch import scratch_database, write
from store import chunks, deliveries, sessions
from store.database import Connection, connect
from store.embedding import Embedder, embedder, fill, meaning_of, prepare
from store.search import search

Unit = Literal["turn", "window"]
RANKED = 20

Conversation = Mapping[str, Any]


@contextmanager
def scratch(settings: Settings, conversations: Sequence[Conversation]) -> Iterator[Connection]:
    """A database of its own that holds the conversations, each as a session of its name."""
    with scratch_database(settings) as conninfo, connect(conninfo, "eval") as conn:
        tell(conn, settings, conversations)
        if (asked := embedder(settings)) is not None:
            prepare(conn)
            fill(conn, asked, most=10**9)
        yield conn


def tell(conn: Connection, settings: Settings, conversations: Sequence[Conversation]) -> None:
    """Has the workers' code read, chunk and keep them, as if each had come as one delivery."""
    for conversation in conversations:
        name = str(conversation["conversation"])
        body = orjson.dumps({"session": name, "turns": turns_of(conversation)})
        write(conn, settings, [Delivery("generic", name, "transcript", datetime.now(UTC), "application/json", body)])
    if states := {state: n for state, n in deliveries.count_states(conn).items() if state != "processed"}:
        raise Refused(f"Not all conversations could be read: {states}.")


def turns_of(conversation: Conversation) -> list[dict[str, Any]]:
    """The second at which a turn starts is its place in the file, so that it is known again."""
    return [
        {"speaker": turn.get("speaker", ""), "text": turn["text"], "caption": turn.get("photo"), "start": place}
        for place, turn in enumerate(conversation["turns"])
    ]


def run(
    conn: Connection, conversations: Sequence[Conversation], unit: Unit, asked: Embedder | None = None
) -> Iterator[dict[str, Any]]:
    """{"conversation", "question", "ranked"} for each question, asked in its own session."""
    for conversation in conversations:
        session = str(conversation["conversation"])
        found = places(conn, session, unit)
        names = [str(turn["id"]) for turn in conversation["turns"]]
        for number, question in enumerate(conversation["questions"]):
            kinds = ["turns" if unit == "turn" else "chunks"]
            meaning = meaning_of(asked, question["q"])
            hits = search(conn, question["q"], kinds=kinds, session_id=session, limit=RANKED, **meaning)
            ranked = [
                [names[place] for place in found[hit["turn_seq"] if unit == "turn" else hit["id"]]] for hit in hits
            ]
            yield {
                "conversation": conversation["conversation"],
                "question": number,
                "ranked": [ids[0] for ids in ranked] if unit == "turn" else ranked,
            }


def places(conn: Connection, session: str, unit: Unit) -> dict[Any, list[int]]:
    """For each turn (by its number) or chunk (by its id) the places in the file of what it holds."""
    by_seq: dict[int, int] = {}
    while rows := sessions.turns(conn, session, after=max(by_seq, default=0)):
        for row in rows:  # a turn that was cut has a start in its first part only
            by_seq[row["seq"]] = by_seq[row["seq"] - 1] if row["start_seconds"] is None else int(row["start_seconds"])
    if unit == "turn":
        return {seq: [place] for seq, place in by_seq.items()}
    return {
        row["chunk_id"]: sorted({by_seq[seq] for seq in range(row["first_turn"], row["last_turn"] + 1)})
        for row in chunks.listing(conn, session, limit=100_000)
    }
