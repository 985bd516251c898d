"""What tells an open page that something happened: kinds and ids, never what was said. The page then asks anew."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import lru_cache

import orjson
from anyio import to_thread

from domain.person import Person
from store.database import Row
from store.events import POSITION

LOOK_AGAIN_SECONDS = 60  # whether the login is still valid
# Telling one page costs about 0.2 ms of this process, showing it anew 10 ms and as much of PostgreSQL. A few may ask at
# once. More are told less often and ask over a longer time, half of it in the mean while changes go on, so that all of
# them together take no more than a tenth.
FEW = 10
TELLING_SECONDS = 0.005
SHOWING_MS = 400
MOST_NAMED, MOST_READ = 50, 200  # of more events nobody looks whether they are of few things


def position_of(last: str | None) -> str | None:
    """Where the browser left off; None when it says nothing that could be such a place."""
    return last if last and POSITION.fullmatch(last) else None


async def told(
    batches: AsyncIterator[list[Row]], find: Callable[[], Person | None], open_pages: Callable[[], int]
) -> AsyncIterator[dict[str, str]]:
    """Messages for as long as the login is valid; `batches` are those of access.streaming.Stream. Each is {changes,
    within}: [{type, subject, session}] or null when they are too many to name, and the milliseconds over which to
    spread asking anew."""
    looked = time.monotonic()
    async for rows in batches:
        if not rows:
            continue
        if time.monotonic() - looked > LOOK_AGAIN_SECONDS:
            looked = time.monotonic()
            if await to_thread.run_sync(find) is None:
                return
        count = open_pages()
        within = SHOWING_MS * count if count > FEW else 0
        changes = tuple(map(named, rows)) if len(rows) <= MOST_READ else None
        yield {"id": rows[-1]["id"], "event": "changed", "data": message(changes, within)}
        # What comes meanwhile is told together.
        await asyncio.sleep(TELLING_SECONDS * count)


def named(row: Row) -> tuple[str, str, str | None]:
    return row["type"], row["subject"], row["session_id"]


@lru_cache(8)  # every open page is told the same
def message(changes: tuple[tuple[str, str, str | None], ...] | None, within: int) -> str:
    names = None if changes is None else dict.fromkeys(changes)
    if names is None or len(names) > MOST_NAMED:
        return orjson.dumps({"changes": None, "within": within}).decode()
    listed = [{"type": kind, "subject": subject, "session": session} for kind, subject, session in names]
    return orjson.dumps({"changes": listed, "within": within}).decode()
