"""The way back from GitHub: what a person does to an issue there moves the task here, through the real way in."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from domain.delivery import Delivery
from domain.outgoing import External, ExternalChange
from processors.jobs import Workshop
from processors.readers import read
from processors.returning import take_over
from store import outgoing, tasks
from store.database import Connection, Row
from tests.conftest import delivery
from tests.processors.outside import insert_task, out_settings, pool_of, send, subscribe
from tests.processors.sent import broken, deliver, payload, sensible, value
from tests.processors.workshop import accept, states, work

URL = "https://github.com/Mara/Tiles/issues/12"
EARLIER = "2026-03-02T08:00:00Z"


def moved(name: str, **more: Any) -> Delivery:
    """What GitHub posts, as recorded: `closed`, `closed.not_planned`, `reopened`; `more` changes the issue."""
    body = value("github", f"issues/{name}.json")
    body["issue"] |= more
    return delivery(orjson.dumps(body), source="github", event=f"issues.{body['action']}")


@pytest.fixture
def exported(conn: Connection) -> Connection:
    """A pending task with an open issue."""
    subscribe(conn, "mara/tiles", "tiles", kind="github", events=[])
    insert_task(conn)
    outgoing.export(conn, "t1", "tiles")
    outgoing.keep_external(conn, "t1", "tiles", External("mara/tiles#12", URL, "open"))
    return conn


def task(conn: Connection) -> Row:
    row = tasks.get(conn, "t1")
    assert row is not None
    return row


def arrive(conn: Connection, name: str, **more: Any) -> int:
    change = read(moved(name, **more))
    assert isinstance(change, ExternalChange)
    with conn.transaction():
        return take_over(conn, change)


def test_what_github_tells_of_an_issue_is_read() -> None:
    change = read(deliver("github", payload("github", "issues/closed.not_planned.json"), event="issues.closed"))
    assert isinstance(change, ExternalChange)
    assert (change.kind, change.id, change.state, change.person) == (
        "github", "mara/tiles#12", "not_planned", "github:mara",
    )  # fmt: skip
    assert change.updated_at is not None and change.updated_at.isoformat() == "2026-03-02T09:00:00+00:00"


@pytest.mark.parametrize(
    ("state", "reason", "known"),
    [
        ("closed", "completed", "completed"),
        ("closed", None, "completed"),
        ("closed", "not_planned", "not_planned"),
        ("closed", "duplicate", "not_planned"),
        ("open", "reopened", "open"),
    ],
)
def test_states_of_an_issue(state: str, reason: str | None, known: str) -> None:
    change = read(moved("closed", state=state, state_reason=reason))
    assert isinstance(change, ExternalChange)
    assert change.state == known


def test_an_issue_closed_as_not_planned_cancels_its_task(shop: Workshop, exported: Connection) -> None:
    accept(shop.settings, moved("closed.not_planned"))
    work(shop)
    assert states(exported) == {"ignored": 1}
    assert (task(exported)["status"], task(exported)["error_message"]) == ("cancelled", f"Closed as not planned: {URL}")
    assert tasks.events(exported, "t1")[-1]["actor"] == "github:mara"
    assert outgoing.exports_of(exported, "t1")[0]["state"] == "not_planned"


def test_what_comes_twice_moves_once(shop: Workshop, exported: Connection) -> None:
    accept(shop.settings, moved("closed.not_planned"))
    work(shop)
    tasks.retry(exported, "t1", person="bob")
    accept(shop.settings, moved("closed.not_planned"))  # sent once more by hand, under another id
    work(shop)
    assert task(exported)["status"] == "pending"


@pytest.mark.parametrize("status", ["pending", "proposed"])
def test_an_issue_closed_as_completed_completes_what_nobody_holds(exported: Connection, status: str) -> None:
    exported.execute("UPDATE tasks SET status = %s", [status])
    assert arrive(exported, "closed") == 1
    assert (task(exported)["status"], task(exported)["output_data"]) == ("completed", {"done_elsewhere": URL})
    assert tasks.events(exported, "t1")[-1]["actor"] == "github:mara"


def test_what_has_to_bring_more_than_a_closed_issue_is_cancelled(exported: Connection) -> None:
    exported.execute("""UPDATE tasks SET acceptance = '{"exit_code": 0}'""")
    assert arrive(exported, "closed") == 1
    assert (task(exported)["status"], task(exported)["error_message"]) == ("cancelled", f"Done elsewhere: {URL}")


def test_a_task_that_an_agent_holds_is_not_taken_from_it(exported: Connection) -> None:
    (claim,) = tasks.claim(exported, "codex", "me")
    assert arrive(exported, "closed") == 0
    assert task(exported)["status"] == "claimed"
    assert URL in task(exported)["doubt"]
    assert tasks.complete(exported, "t1", claim["claim_token"])["status"] == "completed"


def test_a_task_that_is_not_planned_is_cancelled_whoever_holds_it(exported: Connection) -> None:
    (claim,) = tasks.claim(exported, "codex", "me")
    assert arrive(exported, "closed.not_planned") == 1
    assert tasks.renew(exported, "t1", claim["claim_token"])["status"] == "cancelled"


def test_an_issue_opened_again_gives_a_cancelled_task_back(exported: Connection) -> None:
    arrive(exported, "closed.not_planned")
    assert arrive(exported, "reopened") == 1
    assert task(exported)["status"] == "pending"
    assert outgoing.exports_of(exported, "t1")[0]["state"] == "open"


def test_a_completed_task_stays_completed(exported: Connection) -> None:
    (claim,) = tasks.claim(exported, "codex", "me")
    tasks.complete(exported, "t1", claim["claim_token"])
    assert arrive(exported, "closed.not_planned") == 0
    assert arrive(exported, "reopened") == 0
    assert task(exported)["status"] == "completed"


def test_what_is_older_than_what_we_know_moves_nothing(exported: Connection) -> None:
    arrive(exported, "reopened", updated_at="2026-03-02T10:00:00Z", state="closed", state_reason="not_planned")
    tasks.retry(exported, "t1", person="bob")
    assert arrive(exported, "closed", updated_at="2026-03-02T09:59:59Z") == 0
    assert task(exported)["status"] == "pending"


def test_issues_of_others_are_left_alone(shop: Workshop, exported: Connection) -> None:
    accept(shop.settings, moved("closed.not_planned", number=13))
    work(shop)
    assert states(exported) == {"ignored": 1}
    assert task(exported)["status"] == "pending"


def test_an_issue_of_the_same_number_elsewhere_is_another(exported: Connection) -> None:
    exported.execute("UPDATE exports SET external_id = 'mara/other#12'")
    assert arrive(exported, "closed") == 0


@pytest.fixture
def quiet(database_url: str) -> Iterator[Any]:
    with pool_of(database_url) as pool:
        yield pool


def test_what_came_from_there_is_not_sent_back(exported: Connection, quiet: Any) -> None:
    """Nothing listens where this would be sent, so that a try would be recorded as failed."""
    settings = out_settings(AI_WEBHOOK_OUT_SECRET_TILES="token", AI_WEBHOOK_OUT_URL_GITHUB="http://127.0.0.1:1")
    exported.execute("DELETE FROM outgoing")
    exported.execute("UPDATE subscriptions SET position = '0-0'")
    arrive(exported, "closed")
    assert send(quiet, settings) > 0
    assert {(row["state"], row["error_code"]) for row in outgoing.log(exported, "tiles")} == {
        ("skipped", "nothing_to_tell")
    }


def test_every_way_to_break_a_move_ends_well() -> None:
    for body in broken(value("github", "issues/closed.json")):
        sensible(deliver("github", body, event="issues.closed"))
