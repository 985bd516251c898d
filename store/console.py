"""What the console's pages show beyond what the actions answer. Only reads, and texts up to a length."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.sealing import UNSEALED, Sealing
from store.database import Connection, Row, all_rows, one_row
from store.statements import statements

SQL = statements("console")

MOST_COUNTED = 1000
MOST_ITEMS = 1000
MOST_UNFINISHED = 100_000
LATEST_MEMORIES = 10_000
MOST_LOOKED_AT = 1000  # tasks, for those that hang on no memory that waits itself


def counts(conn: Connection, since: datetime) -> Row:
    """How much came in since then, waits for people, is being done and failed; MOST_COUNTED + 1 is more than that."""
    row = one_row(conn, SQL["counts"], {"since": since, "most": MOST_COUNTED})
    assert row is not None, "a SELECT of values has one row"
    return row


def memories_to_review(conn: Connection, limit: int) -> list[Row]:
    return all_rows(conn, SQL["memories_to_review"], {"limit": limit})


def tasks_for_people(conn: Connection, limit: int) -> list[Row]:
    """Tasks that wait for an approval or an answer, newest first."""
    return all_rows(conn, SQL["tasks_for_people"], {"limit": limit})


def tasks_held(conn: Connection, limit: int) -> list[Row]:
    """What agents do now."""
    return all_rows(conn, SQL["tasks_held"], {"limit": limit})


def tasks_failed(conn: Connection, limit: int) -> list[Row]:
    return all_rows(conn, SQL["tasks_failed"], {"limit": limit})


def deliveries_failed(conn: Connection, limit: int) -> list[Row]:
    return all_rows(conn, SQL["deliveries_failed"], {"limit": limit})


def last_turn(conn: Connection, session_id: str) -> tuple[int, bool]:
    """The number of the last turn, 0 without any, and whether the first says when it was in the talk."""
    row = one_row(conn, SQL["last_turn"], {"session_id": session_id})
    assert row is not None, "an aggregate has one row"
    return row["seq"], bool(row["is_timed"])


def turns(conn: Connection, session_id: str, *, first: int, last: int, chars: int) -> list[Row]:
    """Turns by their numbers, each with no more than so many characters; `chars` in the row is how many it has."""
    parameters = {"session_id": session_id, "first": first, "last": last, "chars": chars}
    return all_rows(conn, SQL["turns"], parameters)


def turn(conn: Connection, session_id: str, seq: int) -> str | None:
    """The whole text of a turn."""
    row = one_row(conn, SQL["turn"], {"session_id": session_id, "seq": seq})
    return None if row is None else str(row["text"])


def items(conn: Connection, session_id: str, *, first: int, last: int) -> list[Row]:
    """The memories of these turns, in order, with `char_start` and `char_end` in the turn `turn_seq`."""
    parameters = {"session_id": session_id, "first": first, "last": last, "most": MOST_ITEMS}
    return all_rows(conn, SQL["items"], parameters)


def places(conn: Connection, ids: Sequence[int], *, chars: int) -> dict[int, Row]:
    """Where memories stand: {id, session_id, turn_seq, is_marked} by id. `is_marked`: a page that shows so many
    characters of a turn marks its words."""
    return {row["id"]: row for row in all_rows(conn, SQL["places"], {"ids": list(ids), "chars": chars})}


def body(conn: Connection, delivery: str, size: int, sealing: Sealing = UNSEALED) -> Row | None:
    """{content_type, bytes, head}: how long a delivery's body is, and the beginning of it. Raises SealedElsewhere."""
    row = one_row(conn, SQL["body"], {"id": delivery, "bytes": size})
    if row is None:
        return None
    head = sealing.open(row["head"], row.pop("sealed_with"), delivery)[:size]
    return row | {"head": head}


def deliveries_by_source(conn: Connection, since: datetime) -> list[Row]:
    """{source, state, n, last} of what came since then."""
    return all_rows(conn, SQL["deliveries_by_source"], {"since": since})


def deliveries_over_time(conn: Connection, since: datetime, step: timedelta) -> list[Row]:
    """{received, processed, state, class, n}: counted by the steps in which they came and were done."""
    return all_rows(conn, SQL["deliveries_over_time"], {"since": since, "step": step})


def unfinished_before(conn: Connection, since: datetime) -> int:
    """How many came before then and still wait."""
    row = one_row(conn, SQL["unfinished_before"], {"since": since, "most": MOST_UNFINISHED})
    assert row is not None, "an aggregate has one row"
    return int(row["n"])


def tasks_by_state(conn: Connection, since: datetime) -> list[Row]:
    return all_rows(conn, SQL["tasks_by_state"], {"since": since})


def memories_by_week(conn: Connection, since: datetime, types: Sequence[str]) -> list[Row]:
    return all_rows(conn, SQL["memories_by_week"], {"since": since, "types": list(types)})


def confidence(conn: Connection) -> list[Row]:
    """{tenth, n} of the latest memories."""
    return all_rows(conn, SQL["confidence"], {"most": LATEST_MEMORIES})


# What waits for a review


def inbox_memories(
    conn: Connection,
    *,
    types: Sequence[str],
    session_id: str | None,
    least_certain: bool,
    after: tuple[float, int],
    before: int,
    limit: int,
) -> list[int]:
    """Ids of memories of these types that wait: the newest with ids below `before`, or the least certain that come
    after (confidence, id)."""
    parameters = {"types": list(types), "before": before, "confidence": after[0], "after": after[1], "limit": limit}
    if session_id is not None:
        name, more = "inbox_memories_of_session", {"session_id": session_id, "least_certain": least_certain}
        return [row["id"] for row in all_rows(conn, SQL[name], parameters | more)]
    name = "inbox_memories_least_certain" if least_certain else "inbox_memories_newest"
    return [row["id"] for row in all_rows(conn, SQL[name], parameters)]


def inbox_tasks(
    conn: Connection,
    *,
    questions: bool,
    apart: bool,
    session_id: str | None,
    before: tuple[datetime, str],
    limit: int,
) -> list[Row]:
    """{id, created, is_shown} of tasks that wait, newest first, from before (created, id) on; only those that ask,
    or all apart from those that hang on a memory that waits itself. One that is not shown is where the look ended."""
    parameters = {"created": before[0], "id": before[1], "limit": limit, "apart": apart, "most": MOST_LOOKED_AT}
    if session_id is not None:
        more = {"session_id": session_id, "questions": questions}
        return all_rows(conn, SQL["inbox_tasks_of_session"], parameters | more)
    return all_rows(conn, SQL["inbox_questions" if questions else "inbox_tasks"], parameters)


def inbox_memory_rows(conn: Connection, ids: Sequence[int], *, chars: int) -> dict[int, Row]:
    """Memories with their sessions and tasks, by id; each with the `version` that reviews take."""
    return {row["id"]: row for row in all_rows(conn, SQL["inbox_memory_rows"], {"ids": list(ids), "chars": chars})}


def inbox_task_rows(conn: Connection, ids: Sequence[str], *, chars: int) -> dict[str, Row]:
    """Tasks with the memories that they came from, by id."""
    return {row["id"]: row for row in all_rows(conn, SQL["inbox_task_rows"], {"ids": list(ids), "chars": chars})}


def alike_in_session(conn: Connection, memory: Row, *, alike: float, limit: int) -> list[int]:
    """Ids of memories of its session and type whose titles are alike by their letters, the likest first."""
    names = ("id", "session_id", "type", "title")
    parameters = {name: memory[name] for name in names} | {"alike": alike, "limit": limit, "most": MOST_ITEMS}
    return [row["id"] for row in all_rows(conn, SQL["alike_in_session"], parameters)]


def last_event(conn: Connection, kind: str, id: int | str) -> Row | None:
    """{actor, event, at} of what happened to a memory or task last."""
    return one_row(conn, SQL["last_memory_event" if kind == "memory" else "last_task_event"], {"id": id})


def agent_names(conn: Connection) -> list[str]:
    return [row["name"] for row in all_rows(conn, SQL["agent_names"], {"limit": MOST_ITEMS})]


def board(conn: Connection, *, open: int, ended: int) -> list[Row]:
    """Tasks of every state, of each so many of the latest: those that are `open`, and those that ended."""
    return all_rows(conn, SQL["board"], {"open": open, "ended": ended})


def board_counts(conn: Connection) -> Row:
    """How many there are of each column; MOST_COUNTED + 1 is more than that. `held` are the claimed and running."""
    row = one_row(conn, SQL["board_counts"], {"most": MOST_COUNTED})
    assert row is not None, "a SELECT of values has one row"
    return row


def task_place(conn: Connection, task_id: str) -> Row | None:
    """Where a task was said, and what became of the decision that it is about."""
    return one_row(conn, SQL["task_place"], {"id": task_id})


def task_depends_on(conn: Connection, task_id: str, limit: int) -> list[Row]:
    return all_rows(conn, SQL["task_depends_on"], {"id": task_id, "limit": limit})


def task_waited_for_by(conn: Connection, task_id: str, limit: int) -> list[Row]:
    return all_rows(conn, SQL["task_waited_for_by"], {"id": task_id, "limit": limit})


def task_moves(conn: Connection, task_id: str, *, limit: int, chars: int) -> list[Row]:
    """The latest moves, first to last."""
    return all_rows(conn, SQL["task_moves"], {"task_id": task_id, "limit": limit, "chars": chars})


def task_artifacts(conn: Connection, task_id: str, limit: int) -> list[Row]:
    """What was left with a task, newest first, without contents."""
    return all_rows(conn, SQL["task_artifacts"], {"task_id": task_id, "limit": limit})


def task_log(conn: Connection, task_id: str, chars: int) -> Row | None:
    """The end of the newest log that was left with a task, if it is text."""
    return one_row(conn, SQL["task_log"], {"task_id": task_id, "chars": chars})


def artifact(conn: Connection, artifact: str, chars: int) -> Row | None:
    """With no more than so many characters of its text; `chars` in the row is how many it has."""
    return one_row(conn, SQL["artifact"], {"id": artifact, "chars": chars})


def picture(conn: Connection, artifact: str, *, bytes: int) -> Row | None:
    """What is no text and no longer than so many bytes."""
    return one_row(conn, SQL["picture"], {"id": artifact, "bytes": bytes})
