"""What is to be forgotten, and what was: sessions, what a source told or a person said, what has outlived its time.

The work is done by functions of the database (migrations/*_forgetting.sql), each call in one transaction. What still
lies in Redis, and deliveries that nobody has read, are for a worker to look through (processors/forgetting.py).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.delivery import Delivery
from domain.errors import SealedElsewhere
from domain.sealing import Sealing
from store.database import Connection, Row, all_rows, one_row, run
from store.deliveries import delivery_of
from store.statements import statements

SQL = statements("forgetting")


def session(conn: Connection, session_id: str, *, until: datetime | None = None) -> dict[str, Any]:
    """Takes a session away with all that came of it. Answers how many there were of each, and `known`: whether there
    was anything. What comes for it until then (None: whenever) is dropped."""
    return counted(one_row(conn, SQL["forget_session"], {"session_id": session_id, "until": until}))


def counted(row: Row | None) -> dict[str, Any]:
    assert row is not None, "a function answers"
    answer: dict[str, Any] = row["counted"]
    return answer


def names_of_person(conn: Connection, person: str) -> list[str]:
    return sorted(row["name"] for row in all_rows(conn, SQL["names_of_person"], {"person": person}))


def sessions_of_person(conn: Connection, person: str, *, after: str | None, limit: int) -> list[str]:
    rows = all_rows(conn, SQL["sessions_of_person"], {"person": person, "after": after, "limit": limit})
    return [row["id"] for row in rows]


def person_in(conn: Connection, session_id: str, names: Sequence[str]) -> dict[str, Any]:
    """Takes out of a session what somebody said; answers as `session` does. `names` are in lower case."""
    return counted(one_row(conn, SQL["forget_person_in"], {"session_id": session_id, "names": list(names)}))


def note_person(conn: Connection, name: str) -> None:
    """Has a worker look for what they said in what is not read yet."""
    one_row(conn, SQL["note_person"], {"person": name})


def sessions_of_source(
    conn: Connection, source: str, *, before: datetime | None, after: str | None, limit: int
) -> list[str]:
    parameters = {"source": source, "before": before, "after": after, "limit": limit}
    return [row["id"] for row in all_rows(conn, SQL["sessions_of_source"], parameters)]


def rest_of_source(conn: Connection, source: str, *, before: datetime | None) -> int:
    """Forgets deliveries of a source that belong to no session; answers how many."""
    return number(conn, "forget_rest_of_source", {"source": source, "before": before})


def number(conn: Connection, statement: str, parameters: Mapping[str, Any]) -> int:
    row = one_row(conn, SQL[statement], parameters)
    assert row is not None, "a function answers"
    return int(row["n"])


def is_forgotten(conn: Connection, session_id: str, received_at: datetime) -> bool:
    """Whether what came for a session at this time is to be dropped. Ask once the session is locked."""
    row = one_row(conn, SQL["is_forgotten"], {"session_id": session_id, "received_at": received_at})
    return bool(row and row["is_forgotten"])


def allow_again(conn: Connection, session_id: str) -> None:
    run(conn, SQL["allow_again"], {"session_id": session_id})


def drop(conn: Connection, deliveries: Sequence[str]) -> int:
    """Forgets deliveries, whatever state they are in; a repeat is dropped, too."""
    return number(conn, "drop_deliveries", {"ids": list(deliveries)}) if deliveries else 0


# What workers do


def to_look_for(conn: Connection, *, limit: int = 1000) -> list[Row]:
    """{key, kind, subject, at, until} of what was forgotten and not looked for elsewhere yet; until None: for good."""
    return all_rows(conn, SQL["to_look_for"], {"limit": limit})


def looked_for(conn: Connection, wanted: Row) -> None:
    run(conn, SQL["looked_for"], {"key": wanted["key"], "at": wanted["at"]})


def unread(
    conn: Connection, after: tuple[datetime, str], until: datetime, sealing: Sealing, *, limit: int
) -> list[Delivery]:
    """Deliveries that were not processed, in the order of arrival, from a place on; without a body where it is sealed
    with a key that is not set here."""
    parameters = {"received_at": after[0], "id": after[1], "until": until, "limit": limit}
    return [as_far_as_it_opens(row, sealing) for row in all_rows(conn, SQL["unread"], parameters)]


def as_far_as_it_opens(row: Row, sealing: Sealing) -> Delivery:
    try:
        return delivery_of(row, sealing)
    except SealedElsewhere:
        return delivery_of(row | {"body": b"", "fetched": (), "sealed_with": None}, sealing)


def unsaid_words(conn: Connection) -> bool:
    """Takes words out of the search that no chunk holds any more; False when that has to be done again."""
    row = one_row(conn, SQL["forget_unsaid_words"])
    return bool(row and row["is_done"])


def analyze(conn: Connection) -> None:
    run(conn, SQL["analyze"])


def outlived_sessions(conn: Connection, rules: Mapping[str, int], rest: int | None, *, limit: int) -> list[str]:
    days = [number for number in (*rules.values(), rest) if number is not None]
    if not days:
        return []
    parameters = {"rules": Jsonb(dict(rules)), "rest": rest, "fewest": min(days), "limit": limit}
    return [row["id"] for row in all_rows(conn, SQL["outlived_sessions"], parameters)]


def outlived_deliveries(
    conn: Connection, rules: Mapping[str, int], rest: int | None, raw: int | None, *, limit: int
) -> int:
    """Forgets raw deliveries past their time: all after `raw` days, those of no session as their source has it."""
    days = [number for number in (*rules.values(), rest, raw) if number is not None]
    if not days:
        return 0
    parameters = {"rules": Jsonb(dict(rules)), "rest": rest, "raw": raw, "fewest": min(days), "limit": limit}
    return number(conn, "forget_outlived_deliveries", parameters)


def forgotten(conn: Connection) -> None:
    """Forgets what was to be dropped for a while only."""
    run(conn, SQL["forget_forgotten"])
