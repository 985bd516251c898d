"""How fast questions are answered, beside the usual query (ts_rank over OR) on the same store in the same run.

The store is made-up talk: words as unevenly frequent as those of real speech (Zipf's law), function words among them,
so that the lists of some words are very long. Questions take their words from a text, and three at random.
"""

import operator
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from domain.settings import Settings
from ops.bench import Row, row
from ops.bench_drain import backlog
from ops.output import note
from ops.scratch import scratch_database, write
from store import bench
from store.database import Connection, connect
from store.migrate import migrate
from store.search import search


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FUNCTION_WORDS = _words(
    "the to and you that it a of i in is we so have for do this on with be can what but not are was there like about if"
    " just or at would then they one all my from think know get up go when out which really now some your how could"
    " should them will good well more time need make see want as had were these because other also"
)
SYLLABLES = _words("ba co di fu ge ha jo ki lu me no pa ri so tu va we xo yi za bra clo dre fli gro ple sta tri")
VOCABULARY = 60_000
TURN_WORDS, TURNS_A_CHUNK, CHUNK_WORDS = 18, 7, 120
SESSION_TURNS, SESSION_CHUNKS = 98, 100
QUESTIONS, ROUNDS = 150, 3
TIMES_USUAL = 4


@dataclass(frozen=True, slots=True)
class Sizes:
    turns: int = 80_000
    chunks: int = 100_000
    deep_chunks: int = 1_000_000
    questions: int = QUESTIONS
    written: int = 100  # transcripts, to compare writing with and without search


class Talk:
    """Made-up talk, always the same."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(7)
        made = [f"{a}{b}{c}" for a in SYLLABLES for b in SYLLABLES for c in ("", *SYLLABLES)]
        more = [f"{a}{b}" for a in made[: VOCABULARY // 20] for b in made[:25]]
        self.words = np.array([*FUNCTION_WORDS, *list(dict.fromkeys([*made, *more]))[:VOCABULARY]])
        weights = 1 / np.arange(2, len(self.words) + 2) ** 1.02
        self.ends = np.cumsum(weights / weights.sum())

    def texts(self, count: int, length: int) -> list[str]:
        places = np.searchsorted(self.ends, self.random.random((count, length)))
        return [" ".join(said) for said in self.words[np.minimum(places, len(self.words) - 1)]]

    def questions(self, texts: Sequence[str], count: int) -> list[str]:
        asked = []
        for text in self.random.choice(np.array(texts), count):
            own = self.random.choice(np.array(text.split()), 5)
            asked.append(f"what about {' '.join(own)} {' '.join(self.texts(1, 3))}")
        return asked


def bench_search(settings: Settings, *, deep: bool = False, sizes: Sizes | None = None) -> list[Row]:
    sizes = sizes or Sizes()
    with scratch_database(settings) as conninfo, connect(conninfo, "bench") as conn:
        bench.take_time(conn)
        talk = Talk()
        rows = turns(conn, talk, sizes)
        rows += chunks(conn, talk, sizes.deep_chunks if deep else sizes.chunks, sizes)
        return rows + writing(settings, conn, conninfo, sizes.written)


def turns(conn: Connection, talk: Talk, sizes: Sizes) -> list[Row]:
    texts = talk.texts(sizes.turns, TURN_WORDS)
    bench.fill_talks(conn, texts, SESSION_TURNS, TURNS_A_CHUNK)
    asked = talk.questions(texts, sizes.questions)
    ours, usual = in_turn(
        asked,
        lambda question: search(conn, question, kinds=["turns"]),
        lambda question: bench.usual_search(conn, "turns", question),
    )
    scoped = times(asked, lambda question: search(conn, question, kinds=["turns"], session_id="talk-5"))
    name = f"{sizes.turns:,} turns"
    size = bench.search_bytes(conn)
    return [
        row(f"{name}, p50", p(ours, 50), "ms", goal=8, reference=round(p(usual, 50), 1)),
        row(f"{name}, p95", p(ours, 95), "ms", goal=25, reference=round(p(usual, 95), 1)),
        times_faster(f"{name}, p95 beside ts_rank over OR", p(ours, 95), p(usual, 95)),
        row(f"{name}, within a session, p95", p(scoped, 95), "ms", goal=10),
        row(f"{name}, bytes kept for search", size["kept"] / 1e6, "MB", reference=round(size["text"] / 1e6, 1))
        | {"goal": "4 times the text", "ok": size["kept"] <= 4 * size["text"]},
    ]


def chunks(conn: Connection, talk: Talk, count: int, sizes: Sizes) -> list[Row]:
    sample = write_chunks(conn, talk, count)
    bench.settle(conn, "conversation_chunks")
    asked = talk.questions(sample, sizes.questions)
    ours = times(asked, lambda question: search(conn, question, kinds=["chunks"]))
    few = asked[: max(20, QUESTIONS * sizes.chunks // count)]  # in a million chunks each takes seconds
    usual = times(few, lambda question: bench.usual_search(conn, "conversation_chunks", question))
    scoped = times(asked, lambda question: search(conn, question, kinds=["chunks"], session_id="deep-0-3"))
    name = f"{count:,} chunks"
    return [
        row(f"{name}, p50", p(ours, 50), "ms", reference=round(p(usual, 50), 1)),
        row(f"{name}, p95", p(ours, 95), "ms", goal=60, reference=round(p(usual, 95), 1)),
        times_faster(f"{name}, p95 beside ts_rank over OR", p(ours, 95), p(usual, 95)),
        row(f"{name}, within a session, p95", p(scoped, 95), "ms", goal=10),
    ]


def write_chunks(conn: Connection, talk: Talk, count: int) -> list[str]:
    """As many chunks, in the sessions `deep-FIRST-N`; answers some of the texts."""
    sample: list[str] = []
    for first in range(0, count, 10_000):
        texts = talk.texts(min(10_000, count - first), CHUNK_WORDS)
        bench.fill_chunks(conn, texts, f"deep-{first}", SESSION_CHUNKS)
        sample += texts[:200]
        note(f"{first + len(texts):,} of {count:,} chunks written")
    return sample


def writing(settings: Settings, conn: Connection, conninfo: str, written: int) -> list[Row]:
    """Transcripts a second through the workers' code, here and in a database where nothing can be searched."""
    bench.create_database(conn, "bare")
    bare = bench.with_database(conninfo, "bare")
    migrate(bare)
    rates: dict[str, list[float]] = {conninfo: [], bare: []}
    with connect(conninfo, "bench") as indexed, connect(bare, "bench") as plain:
        bench.without_search(plain)
        for _ in range(ROUNDS + 1):  # the first warms up
            for address, one in ((conninfo, indexed), (bare, plain)):
                arrived = backlog(written)
                started = time.perf_counter()
                for first in range(0, written, 20):
                    write(one, settings, arrived[first : first + 20])
                rates[address].append(written / (time.perf_counter() - started))
    with_it, without = (statistics.median(rates[address][1:]) for address in (conninfo, bare))
    found = row("transcripts of 30 turns written, with all that search needs", with_it, "/s", reference=round(without))
    return [found | {"goal": "half of those without", "ok": with_it >= without / 2}]


def in_turn(
    asked: Sequence[str], ours: Callable[[str], Any], usual: Callable[[str], Any]
) -> tuple[list[float], list[float]]:
    """Milliseconds of each question, asked of one and then of the other, so that both see the same machine."""
    for question in asked[:10]:
        ours(question), usual(question)
    one, other = list[float](), list[float]()
    for _ in range(ROUNDS):
        for question in asked:
            one += times([question], ours)
            other += times([question], usual)
    return one, other


def times(asked: Sequence[str], ask: Callable[[str], Any]) -> list[float]:
    taken = []
    for question in asked:
        started = time.perf_counter()
        ask(question)
        taken.append(1e3 * (time.perf_counter() - started))
    return taken


def p(taken: Sequence[float], percent: int) -> float:
    return statistics.quantiles(taken, n=100)[percent - 1]


def times_faster(name: str, ours: float, usual: float) -> Row:
    found = row(name, ours, "ms", reference=round(usual, 1), goal=TIMES_USUAL, meets=operator.le)
    return found | {"goal": f"{TIMES_USUAL} times faster", "ok": TIMES_USUAL * ours <= usual}
