"""Reads that may go to a streaming replica: never one that is far behind, nor behind what the reader has written.

A position is a place in PostgreSQL's log, as text such as `0/1A2B3C4`. The clocks of the two servers are not compared:
every second or so it is noted how far the primary is, and a replica has to be where the primary was a while ago.
"""

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import TypeVar

from domain.errors import DatabaseUnavailable
from domain.settings import Settings
from store.database import Connection, Pool, borrowed, one_row, open_pool
from store.statements import statements

log = logging.getLogger("ai_webhook.store")

Found = TypeVar("Found")
SQL = statements("reading")
POSITION = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", re.ASCII)
START, END = "0/0", "FFFFFFFF/FFFFFFFF"
MARK_SECONDS = 1.0  # between two looks how far the primary is
AWAY_SECONDS = 2.0  # a replica that did not answer is left alone for so long
REPLICA_SECONDS = 0.5  # for a connection to it; then the primary is asked


def position_of(conn: Connection) -> str:
    row = one_row(conn, SQL["position"])
    assert row is not None, "a server has a log"
    return str(row["position"])


def has_it(conn: Connection, position: str) -> bool:
    row = one_row(conn, SQL["has_it"], {"position": position})
    return bool(row and row["has_it"])


def order(position: str) -> int:
    high, _, low = position.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


class Reading:
    """Where the reads of one process go. Without a replica, to the primary, and nothing is remembered."""

    def __init__(self, primary: Pool, replica: Pool | None, lag_seconds: float) -> None:
        self.primary = primary
        self.replica = replica
        self.lag_seconds = lag_seconds
        self.lock = threading.Lock()
        self.marks: deque[tuple[float, str]] = deque()  # when it was, and how far the primary was
        self.marking = threading.Lock()
        self.no_marks_until = 0.0
        self.away_until = 0.0
        self.told = START  # how far the primary was when this process last told of an event
        self.written: dict[Hashable, str] = {}

    def read(self, reader: Hashable, look: Callable[[Connection], Found]) -> Found:
        """What `look` finds, which only reads; it may be called twice. Raises any of its errors."""
        if self.replica is not None and time.monotonic() >= self.away_until:
            needed = self.needed(reader)
            began = False
            try:
                with borrowed(self.replica) as conn:
                    if has_it(conn, needed):
                        began = True
                        self.caught_up(reader, needed)
                        return look(conn)
            except DatabaseUnavailable as error:  # also a read that stood in the way of what the replica had to do
                if not began:
                    self.away_until = time.monotonic() + AWAY_SECONDS
                log.warning("read from the primary, not the replica: %s", error.message)
        with borrowed(self.primary) as conn:
            return look(conn)

    def needed(self, reader: Hashable) -> str:
        """How far a replica has to be for this reader."""
        self.mark()
        since = time.monotonic() - self.lag_seconds
        with self.lock:
            lately = next((position for at, position in self.marks if at >= since), START)
            return max(self.written.get(reader, START), self.told, lately, key=order)

    def mark(self) -> None:
        """Notes how far the primary is, once a second at most. Where it does not answer, nobody can tell what a replica
        lacks, and reads go on there."""
        now = time.monotonic()
        with self.lock:
            if self.marks and now - self.marks[-1][0] < MARK_SECONDS:
                return
            none_will_do = not self.marks or now - self.marks[-1][0] >= self.lag_seconds
        if not self.marking.acquire(blocking=none_will_do):
            return  # another thread is asking, and what was noted before will do
        try:
            now = time.monotonic()  # before it is asked
            if now < self.no_marks_until:
                return
            with borrowed(self.primary) as conn:
                position = position_of(conn)
            with self.lock:
                self.marks.append((now, position))
                while now - self.marks[0][0] > self.lag_seconds:
                    self.marks.popleft()
        except DatabaseUnavailable:
            self.no_marks_until = time.monotonic() + AWAY_SECONDS
        finally:
            self.marking.release()

    def wrote(self, reader: Hashable, conn: Connection) -> None:
        """Remembers that this reader has just written, on this connection of the primary; its transaction is over, and
        that it is done is true, whatever becomes of remembering it."""
        if self.replica is None:
            return
        try:
            position = position_of(conn)
        except DatabaseUnavailable:
            position = END  # until it writes again, it reads from the primary
        with self.lock:
            self.written[reader] = position

    def wrote_by_now(self, reader: Hashable) -> None:
        try:
            with borrowed(self.primary) as conn:
                self.wrote(reader, conn)
        except DatabaseUnavailable:
            self.saw(reader, END)

    def saw(self, reader: Hashable, position: str | None) -> None:
        """The same, as another process remembered it, which answered `position`; what is none is passed over."""
        if self.replica is None or position is None or not POSITION.fullmatch(position):
            return
        with self.lock:
            self.written[reader] = max(self.written.get(reader, START), position, key=order)

    def position(self, reader: Hashable) -> str | None:
        """What this reader wrote last, if not every replica is known to have it."""
        return self.written.get(reader)

    def caught_up(self, reader: Hashable, reached: str) -> None:
        with self.lock:
            if order(self.written.get(reader, START)) <= order(reached):
                self.written.pop(reader, None)

    def tell(self, conn: Connection) -> None:
        """Who is told of an event now asks for what it is about: all reads of this process have to know of it."""
        if self.replica is not None:
            position = position_of(conn)
            with self.lock:
                self.told = max(self.told, position, key=order)

    def close(self) -> None:
        if self.replica is not None:
            self.replica.close()


def open_reading(settings: Settings, primary: Pool) -> Reading:
    if settings.read_database_url is None:
        return Reading(primary, None, settings.read_lag_seconds)
    url = settings.read_database_url.get_secret_value()
    replica = open_pool(url, "reads", settings.pool_size, timeout=REPLICA_SECONDS)
    return Reading(primary, replica, settings.read_lag_seconds)
