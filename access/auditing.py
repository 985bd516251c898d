"""What of an action is kept in the audit log: who, what, about which id, and how it ended.

Deeds are written in the transaction that does them. Reads are put together for a moment and written by a thread, the
same by the same person once a minute with how often, so that nobody who reads waits for it; a process that is killed
takes what is not written yet with it. What agents do with tasks that they hold is not written: task_events has all of
it.
"""

import hashlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from domain.caller import READ, Caller
from domain.errors import DatabaseUnavailable
from store import audit
from store.audit import Entry
from store.database import Connection, Pool, borrowed

log = logging.getLogger("ai_webhook.access")

# Moves of a task by its holder, and heartbeats: each is in task_events or on the agent's row, and there are many.
IN_TASK_EVENTS = frozenset(
    {"claim_task", "start_task", "renew_task", "complete_task", "fail_task", "release_task", "ask_task"}
)
UNAUDITED = IN_TASK_EVENTS | {"heartbeat_agent"}
READS_OF_ADMINS = frozenset({"list_tokens", "list_people", "list_audit"})
# What an action is about: the name under which it is asked, and what that is.
KINDS = {
    "session_id": "session",
    "memory": "memory",
    "task_id": "task",
    "artifact": "artifact",
    "agent_name": "agent",
    "delivery": "delivery",
    "outgoing_id": "outgoing",
    "source": "source",
}
NAMED = {"create_token": "token", "revoke_token": "token", "update_person": "account"}  # asked by `name`
MADE = {
    "create_session": "session",
    "store_memory": "memory",
    "create_task": "task",
    "create_artifact": "artifact",
    "upload_artifact": "artifact",
}
COUNTED = "counted"
FLUSH_SECONDS = 1.0
AGAIN_SECONDS = 60.0  # reads of the same by the same are one row for so long
MOST_KEPT = 10_000
OBJECT_CHARS = 200


def is_read(action: str, scope: str) -> bool:
    return scope == READ or action in READS_OF_ADMINS


def entry_of(caller: Caller, action: str, asked: Mapping[str, Any], answer: Any = None, outcome: str = "") -> Entry:
    kind, about = subject_of(action, asked, answer)
    outcome = outcome or (COUNTED if asked.get("dry_run") else audit.DONE)
    return Entry(caller.name, via(caller), action, kind, about, outcome)


def via(caller: Caller) -> str:
    return caller.token or "settings"


def subject_of(action: str, asked: Mapping[str, Any], answer: Any) -> tuple[str | None, str | None]:
    """(kind, id) of what an action is about, or (None, None) when that is nothing in particular."""
    if action == "forget_person":
        return "person", digest(str(asked.get("person", "")))
    if action in MADE:
        return MADE[action], shortened(answer["id"]) if answer else None
    if "name" in asked and action not in ("register_agent",):
        return NAMED.get(action, "subscription"), shortened(asked["name"])
    for name, kind in KINDS.items():
        if asked.get(name) is not None:
            return kind, shortened(asked[name])
    return None, None


def shortened(name: Any) -> str:
    return str(name).replace("\x00", "")[:OBJECT_CHARS].encode("utf-8", "replace").decode()


def digest(name: str) -> str:
    """Of a name that is to be forgotten: who knows it can look for it."""
    return "sha256:" + hashlib.sha256(name.strip().lower().encode()).hexdigest()[:16]


class Audit:
    """The audit log of one process. `close` writes what is left."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.lock = threading.Lock()
        self.reads: Counter[Entry] = Counter()
        self.written: dict[Entry, float] = {}  # when each was written last
        self.stopping = threading.Event()
        self.writing: threading.Thread | None = None

    def deed(self, conn: Connection, entry: Entry) -> None:
        """Within the transaction of the deed."""
        audit.add(conn, entry)

    def write(self, entry: Entry) -> None:
        """What is in no transaction, at once."""
        with borrowed(self.pool) as conn:
            audit.add(conn, entry)

    def read(self, entry: Entry) -> None:
        """Soon; costs who reads nothing."""
        with self.lock:
            self.reads[entry] += 1
            if self.writing is None and not self.stopping.is_set():
                self.writing = threading.Thread(target=self.keep_writing, name="audit", daemon=True)
                self.writing.start()

    def keep_writing(self) -> None:
        while not self.stopping.wait(FLUSH_SECONDS):
            self.flush()

    def flush(self, *, everything: bool = False) -> None:
        """Writes the reads that are due. Where the database does not answer they wait, up to so many."""
        due = self.take_due(everything)
        if not due:
            return
        try:
            with borrowed(self.pool) as conn:
                audit.add_counted(conn, list(due.items()))
        except DatabaseUnavailable as error:
            log.warning("%d rows of the audit log wait: %s", len(due), error.code)
            with self.lock:
                if len(self.reads) < MOST_KEPT:
                    self.reads.update(due)
                for entry in due:
                    self.written.pop(entry, None)

    def take_due(self, everything: bool) -> Counter[Entry]:
        now = time.monotonic()
        with self.lock:
            self.written = {entry: at for entry, at in self.written.items() if now - at < AGAIN_SECONDS}
            due = Counter({entry: n for entry, n in self.reads.items() if everything or entry not in self.written})
            for entry in due:
                del self.reads[entry]
                self.written[entry] = now
        return due

    def close(self) -> None:
        self.stopping.set()
        if self.writing is not None:
            self.writing.join()
        self.flush(everything=True)
