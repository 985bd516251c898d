"""Questions about conversations: how often the answer is near the top.

Ours, about our own labelled conversations, are asked over all of them at once. Those of LoCoMo and QMSum may be
measured with, not shipped: AI_WEBHOOK_TEST_SETS names a folder with locomo/dev.json and qmsum/dev.json, and
score_search.py beside them.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from domain.settings import Settings
from ops.eval_search import Unit, run, scratch
from store.database import Connection
from store.search import search
from tests.voice_talks import read_talks

QUESTIONS = Path(__file__).parent / "data" / "questions.txt"
SETS = os.environ.get("AI_WEBHOOK_TEST_SETS")
LEAST = {
    ("locomo", "turn"): 0.758,
    ("locomo", "window"): 0.868,
    ("qmsum", "window"): 0.907,
}  # recall@10, docs/search.md


def asked() -> list[tuple[str, str, str]]:
    lines = (line for line in QUESTIONS.read_text("utf-8").splitlines() if line and not line.startswith("#"))
    return [tuple(part.strip() for part in line.split("|")) for line in lines]  # type: ignore[misc]


@pytest.fixture(scope="module")
def conn() -> Iterator[Connection]:
    talks = [
        {
            "conversation": talk.name,
            "turns": [{"id": n, "speaker": turn.speaker, "text": turn.text} for n, turn in enumerate(talk.turns)],
        }
        for talk in read_talks()
    ]
    with scratch(Settings.from_env(env_file=None), talks) as connection:
        yield connection


def found(conn: Connection, kinds: list[str], first: int) -> tuple[float, list[str]]:
    """The share of questions whose answer is among the first hits, and the others."""
    missed = [
        question
        for talk, question, words in asked()
        if not any(
            hit["session_id"] == talk and words.lower() in text_of(conn, hit)
            for hit in search(conn, question, kinds=kinds, limit=first)
        )
    ]
    return 1 - len(missed) / len(asked()), missed


def text_of(conn: Connection, hit: dict[str, Any]) -> str:
    by_turn = "SELECT text FROM turns WHERE session_id = %s AND seq = %s"
    by_chunk = "SELECT content AS text FROM conversation_chunks WHERE session_id = %s AND chunk_id = %s"
    row = conn.execute(
        by_turn if hit["kind"] == "turns" else by_chunk,
        [hit["session_id"], hit["turn_seq"] if hit["kind"] == "turns" else hit["id"]],
    ).fetchone()
    assert row is not None
    return str(row["text"]).lower()


def test_every_question_is_about_words_that_were_said() -> None:
    said = {talk.name: [turn.text.lower() for turn in talk.turns] for talk in read_talks()}
    assert [q for talk, q, words in asked() if not any(words.lower() in text for text in said[talk])] == []


@pytest.mark.parametrize(("kind", "first", "least"), [("turns", 5, 0.75), ("turns", 10, 0.85), ("chunks", 5, 0.95)])
def test_the_answer_is_near_the_top(conn: Connection, kind: str, first: int, least: float) -> None:
    share, missed = found(conn, [kind], first)
    assert share >= least, missed


if SETS:

    @pytest.mark.parametrize(("name", "unit"), LEAST)
    def test_recall_on_what_others_labelled_has_not_fallen(name: str, unit: Unit, tmp_path: Path) -> None:
        gold, answers = Path(SETS) / name / "dev.json", tmp_path / "run.jsonl"
        conversations = orjson.loads(gold.read_bytes())
        with scratch(Settings.from_env(env_file=None), conversations) as conn:
            answers.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in run(conn, conversations, unit)))
        scorer = [sys.executable, str(Path(SETS) / "score_search.py"), str(gold), str(answers), "--json"]
        told = orjson.loads(subprocess.run(scorer, capture_output=True, check=True).stdout)
        assert told["all"]["recall@10"] >= LEAST[name, unit] - 0.01
