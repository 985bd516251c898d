"""How fast everything is written into one file, and made a database of again."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from domain.sealing import NO_KEYS
from domain.settings import Settings
from ops.backup import backup, restore
from ops.bench import Row, row
from ops.bench_search import SESSION_TURNS, TURN_WORDS, TURNS_A_CHUNK, Talk, write_chunks
from ops.output import note
from ops.scratch import scratch_database
from store import bench
from store.database import connect

AT_LEAST = 200  # MB/s, or as fast as the disk writes
RESTORE_SECONDS = 300  # of a million chunks
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    turns: int = 20_000
    chunks: int = 100_000
    deep_chunks: int = 1_000_000


def back_up_and_restore(settings: Settings, *, deep: bool = False, sizes: Sizes | None = None) -> list[Row]:
    sizes = sizes or Sizes()
    count = sizes.deep_chunks if deep else sizes.chunks
    with (
        tempfile.TemporaryDirectory(prefix="ai-webhook-bench-") as folder,
        scratch_database(settings) as conninfo,
        connect(conninfo, "bench") as conn,
    ):
        bench.take_time(conn)
        talk = Talk()
        bench.fill_talks(conn, talk.texts(sizes.turns, TURN_WORDS), SESSION_TURNS, TURNS_A_CHUNK)
        write_chunks(conn, talk, count)
        bench.checkpoint(conn)
        megabytes = bench.table_bytes(conn) / 1e6
        file = Path(folder) / "all.backup"
        disk = disk_speed(Path(folder))
        started = time.perf_counter()
        backup(conninfo, None, file, programs=settings.postgres_bin, tell=note)
        written = time.perf_counter() - started
        size = file.stat().st_size / 1e6
        started = time.perf_counter()
        restore(conninfo, file, into="restored", programs=settings.postgres_bin, keys=NO_KEYS, redact=iter, tell=note)
        restored = time.perf_counter() - started
    least, within = min(AT_LEAST, disk), RESTORE_SECONDS * count / 1e6
    return [
        row(f"backup of {count:,} chunks, {megabytes:,.0f} MB of tables", megabytes / written, "MB/s", reference=disk)
        | {"goal": f"{AT_LEAST}, or the disk's", "ok": megabytes / written >= least},
        row("its file", size, "MB", reference=round(megabytes)),
        row(f"{count:,} chunks restored and compared", restored, "s", goal=within),
    ]


def disk_speed(folder: Path) -> float:
    """MB/s of a file of 512 MB, written and on the disk."""
    piece = os.urandom(PIECE)
    started = time.perf_counter()
    with open(folder / "written", "wb") as file:
        for _ in range(512):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    taken = time.perf_counter() - started
    (folder / "written").unlink()
    return round(512 * PIECE / 1e6 / taken, 1)
