"""The way back: what a person did elsewhere to an exported task moves the task here.

    closed as not planned    the task is cancelled, whoever holds it, who learns it at the next renew
    closed as completed      a task that nobody holds is completed, or cancelled if its acceptance rule asks for more;
                             one that an agent holds stays with it, in doubt
    reopened                 a cancelled task is given all its tries again

What is stale, or our own doing come back to us, moves nothing.
"""

from domain.errors import NotAccepted
from domain.outgoing import External, ExternalChange
from store import outgoing, tasks
from store.database import Connection, Row

UNHELD = ("proposed", "pending", "needs_input")
HELD = ("claimed", "running")


def take_over(conn: Connection, change: ExternalChange) -> int:
    """Moves the tasks that this is the export of, and answers how many. Needs a transaction."""
    moved = 0
    for export in outgoing.lock_exports(conn, change.kind, change.id):
        if is_news(export, change):
            external = External(change.id, export["url"], change.state, change.updated_at)
            outgoing.keep_external(conn, export["task_id"], export["subscription"], external)
            moved += move(conn, export, change)
    return moved


def is_news(export: Row, change: ExternalChange) -> bool:
    """Their clock tells which is later; our own change comes back in the state that we gave it."""
    known_at = export["external_updated_at"]
    if known_at is not None and change.updated_at is not None and change.updated_at < known_at:
        return False
    return bool(export["state"] != change.state)


def move(conn: Connection, export: Row, change: ExternalChange) -> bool:
    task, status = export["task_id"], export["status"]
    if change.state == "not_planned" and status in (*UNHELD, *HELD):
        tasks.cancel(conn, task, reason=f"Closed as not planned: {export['url']}", person=change.person)
    elif change.state == "completed" and status in UNHELD:
        finish(conn, task, export["url"], change.person)
    elif change.state == "completed" and status in HELD:
        outgoing.doubt(conn, task, f"Its issue was closed as completed: {export['url']}")
        return False
    elif change.state == "open" and status == "cancelled":
        tasks.retry(conn, task, person=change.person)
    else:
        return False
    return True


def finish(conn: Connection, task: str, url: str, person: str) -> None:
    try:
        with conn.transaction():
            tasks.finish(conn, task, person=person, output_data={"done_elsewhere": url})
    except NotAccepted:
        tasks.cancel(conn, task, reason=f"Done elsewhere: {url}", person=person)
