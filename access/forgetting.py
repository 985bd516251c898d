"""What it means to forget: a session, what a person said anywhere, what a source told. Some sessions at a time.

Each session is forgotten as a whole or not at all. A trial (`dry_run`) does the same and takes it back, so that what it
counts is what would go.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.errors import InvalidRequest, NotFound
from store import forgetting
from store.database import Connection

AT_ONCE = 20  # sessions of one request
PARTS = ("sessions", "turns", "chunks", "memories", "tasks", "artifacts", "deliveries")

Forget = Callable[[str], dict[str, Any]]


def forget_session(conn: Connection, session_id: str, *, dry_run: bool, unseen: bool) -> dict[str, Any]:
    """`unseen`: also when nothing of it was recorded, as it may be on its way."""
    with conn.transaction(force_rollback=dry_run):
        gone = forgetting.session(conn, session_id)
        if not gone["known"] and not unseen:
            raise NotFound(
                "There is no such session.", hint="If it is still on its way, ask again in a moment, or with `unseen`."
            )
    return told(gone, dry_run=dry_run)


def forget_person(conn: Connection, name: str, *, dry_run: bool, after: str | None) -> dict[str, Any]:
    """What somebody said in every session; where only they and assistants spoke, the session. `next` is the `after` of
    the next request."""
    if not name.strip():
        raise InvalidRequest("A person has a name.")
    with conn.transaction(force_rollback=dry_run):
        names = forgetting.names_of_person(conn, name.strip())
        ids = forgetting.sessions_of_person(conn, name.strip(), after=after, limit=AT_ONCE)
        gone = all_of(ids, lambda session_id: forgetting.person_in(conn, session_id, names))
        for known_as in names:
            forgetting.note_person(conn, known_as)
    return told(gone, dry_run=dry_run, following=ids)


def forget_source(
    conn: Connection, source: str, *, older_than_days: int | None, dry_run: bool, after: str | None
) -> dict[str, Any]:
    """Every session that the source told anything of, and its other deliveries."""
    before = datetime.now(UTC) - timedelta(days=older_than_days) if older_than_days else None
    with conn.transaction(force_rollback=dry_run):
        ids = forgetting.sessions_of_source(conn, source, before=before, after=after, limit=AT_ONCE)
        # What comes later begins anew: the source is not refused.
        gone = all_of(ids, lambda session_id: forgetting.session(conn, session_id, until=datetime.now(UTC)))
        if len(ids) < AT_ONCE:
            gone["deliveries"] += forgetting.rest_of_source(conn, source, before=before)
    return told(gone, dry_run=dry_run, following=ids)


def all_of(ids: Sequence[str], forget: Forget) -> Counter[str]:
    gone = Counter[str]()
    for session_id in ids:
        counted = forget(session_id)
        gone.update({part: counted[part] for part in PARTS})
    return gone


def told(gone: Any, *, dry_run: bool, following: Sequence[str] = ()) -> dict[str, Any]:
    more = following[-1] if len(following) == AT_ONCE else None
    return {part: gone[part] for part in PARTS} | {"dry_run": dry_run, "next": more}
