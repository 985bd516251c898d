"""What to hand to a language model with a question: what is in force about it, and what was said, with its place.

Transcripts are untrusted: the text says of each line where it comes from, and nothing in it is an instruction.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from access.links import link_to
from domain.errors import InvalidRequest
from store import search as text_search
from store.database import Connection, Row

CHARACTERS_A_TOKEN = 4  # of English, by the rule of thumb of most tokenizers
FEWEST_TOKENS, MOST_TOKENS = 50, 100_000
MEMORIES, TURNS, AROUND = 12, 60, 1
MEMORIES_SHARE = 0.4  # of the tokens at most, where there is enough that was said


def context(
    conn: Connection,
    question: str,
    *,
    tokens: int = 1500,
    session_id: str | None = None,
    **meaning: Any,
) -> dict[str, Any]:
    """{question, tokens, memories, passages, text}: the best of both that fit into so many tokens, each once.

    `memories` are in force: not rejected, not replaced. `passages` are runs of turns around those that were found, best
    first. `text` is all of it as one, ready for a prompt; `tokens` is what it takes, as far as can be guessed.
    `meaning` is what store.embedding.meaning_of gives.
    """
    if not FEWEST_TOKENS <= tokens <= MOST_TOKENS:
        raise InvalidRequest(f"`tokens` is {FEWEST_TOKENS} to {MOST_TOKENS}.")
    hits = text_search.search(conn, question, kinds=["memories"], session_id=session_id, limit=MEMORIES)
    memories = [memory_of(hit) for hit in hits if hit["superseded_by"] is None]
    turns = text_search.search(conn, question, kinds=["turns"], session_id=session_id, limit=TURNS, **meaning)
    passages = list(passages_of(conn, turns))
    kept, left = fitting(memories, tokens * MEMORIES_SHARE if passages else tokens)
    told, left = fitting(passages, tokens - tokens * MEMORIES_SHARE + left if passages else left)
    text = "\n\n".join([*(entry["text"] for entry in kept), *(entry["text"] for entry in told)])
    return {"question": question, "tokens": tokens_of(text), "memories": kept, "passages": told, "text": text}


def memory_of(hit: Row) -> dict[str, Any]:
    said = f"{hit['speaker'] or 'somebody'}, {hit['at']:%Y-%m-%d}, {hit['session_title'] or hit['session_id']}"
    return {
        "id": hit["id"],
        "type": hit["type"],
        "session_id": hit["session_id"],
        "turn_seq": hit["turn_seq"],
        "score": hit["score"],
        "link": link_to(hit),
        "text": f"[{hit['type']}] {hit['snippet']} ({said})",
    }


def passages_of(conn: Connection, hits: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Runs of turns that stand together, the one with the best hit first."""
    ranks = {(hit["session_id"], hit["turn_seq"]): rank for rank, hit in reversed(list(enumerate(hits)))}
    rows = text_search.passages(conn, list(ranks), AROUND)
    runs = [
        list(run)
        for _, run in groupby(enumerate(rows), key=lambda pair: (pair[1]["session_id"], pair[1]["seq"] - pair[0]))
    ]
    told = [[row for _, row in run] for run in runs]
    best = [min(ranks.get((row["session_id"], row["seq"]), len(hits)) for row in run) for run in told]
    for rank, run in sorted(zip(best, told, strict=True), key=lambda pair: pair[0]):
        first, last = run[0], run[-1]
        where = f"{first['session_title'] or first['session_id']}, {first['at']:%Y-%m-%d}"
        head = f"{where}, turns {first['seq']} to {last['seq']}:"
        lines = [f"{row['speaker']}: {row['text']}" if row["speaker"] else row["text"] for row in run]
        yield {
            "session_id": first["session_id"],
            "first_turn": first["seq"],
            "last_turn": last["seq"],
            "score": hits[rank]["score"],
            "link": link_to({"kind": "turns", "session_id": first["session_id"], "turn_seq": first["seq"]}),
            "text": "\n".join([head, *lines]),
        }


def fitting(entries: Sequence[dict[str, Any]], room: float) -> tuple[list[dict[str, Any]], float]:
    """Those that fit, best first, and the room that is left. What is too long is left out for what is not."""
    kept = []
    for entry in entries:
        cost = tokens_of(entry["text"]) + 1
        if cost <= room:
            kept.append(entry)
            room -= cost
    return kept, room


def tokens_of(text: str) -> int:
    return -(-len(text) // CHARACTERS_A_TOKEN)
