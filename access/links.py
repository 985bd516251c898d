"""The address of what was found."""

from collections.abc import Mapping
from urllib.parse import quote

from store.database import Row


def link_to(hit: Row) -> str:
    """Where a hit of the search is read: of a turn its place in the session."""
    session = f"/api/sessions/{quote(hit['session_id'] or '', safe='')}"
    if hit["kind"] == "turns":
        return f"{session}/turns?after={hit['turn_seq'] - 1}&limit=1"
    return f"{session}/chunks" if hit["kind"] == "chunks" else f"/api/{hit['kind']}/{quote(hit['id'], safe='')}"


def session_link(session_id: str, turn: int | None = None) -> str:
    """The console's page of a session, at a turn of it."""
    path = f"/sessions/{quote(session_id, safe='')}"
    return f"{path}?turn={turn}#turn-{turn}" if turn else path


def forget_link(session_id: str) -> str:
    """Where an admin is asked whether a session is to be forgotten."""
    return f"/forget/{quote(session_id, safe='')}"


def task_link(task_id: str) -> str:
    """The console's page of a task."""
    return f"/tasks/{quote(task_id, safe='')}"


def artifact_link(artifact: str) -> str:
    """The console's page of an artifact."""
    return f"/artifacts/{quote(artifact, safe='')}"


def memory_link(place: Row) -> str:
    """Where a memory stands in its conversation: marked in what was said, else in the list beside it. `place` is a row
    of store.console.places."""
    path = f"/sessions/{quote(place['session_id'], safe='')}"
    at = f"?turn={place['turn_seq']}" if place["turn_seq"] else ""
    return f"{path}{at}#{'said' if place['is_marked'] else 'item'}-{place['id']}"


def place_of(hit: Row, places: Mapping[int, Row]) -> str:
    """Where a hit of the search is read in the console. A hit of a memory tells the words that fit best, which may
    have been said elsewhere than those that stand for them: then the turn is its place."""
    if hit["kind"] in ("tasks", "artifacts"):
        return (task_link if hit["kind"] == "tasks" else artifact_link)(hit["id"])
    place = places.get(int(hit["id"])) if hit["kind"] == "memories" else None
    if place and (place["session_id"], place["turn_seq"]) == (hit["session_id"], hit["turn_seq"]):
        return memory_link(place)
    return session_link(hit["session_id"], hit["turn_seq"])
