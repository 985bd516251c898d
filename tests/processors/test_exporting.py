"""Tasks as issues of GitHub and Linear, and messages in Slack: what the fakes of these are asked, over real HTTP."""

import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import orjson
import pytest

from domain.errors import DatabaseUnavailable
from domain.outgoing import News
from domain.settings import Settings
from processors.exporting.slack import text
from processors.exporting.wording import TITLE_CHARS, fenced, neutral, one_line
from store import outgoing, tasks
from store.database import Connection, Pool, Row
from tests.processors.outside import (
    NOON,
    answers,
    complete,
    insert_memory,
    insert_task,
    json,
    only,
    out_settings,
    outcome,
    pool_of,
    send,
    sent,
    subscribe,
)
from tests.processors.sender_api import Answer, Api, answering, redirecting

ISSUES = "/repos/Mara/tiles/issues"
NEWEST = f"{ISSUES}?state=all&sort=created&direction=desc&per_page=50"
ONE = "/repos/mara/tiles/issues/12"
TEAM = "9cfb482a-81e3-4154-b5b9-2c805e70a02d"


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    with pool_of(database_url) as pool:
        yield pool


def issue(state: str = "open", reason: str | None = None, number: int = 12, **more: Any) -> dict[str, Any]:
    """As GitHub answers."""
    url = f"https://github.com/Mara/tiles/issues/{number}"
    at = "2026-03-02T08:00:00Z"
    return {"number": number, "html_url": url, "state": state, "state_reason": reason, "updated_at": at, **more}


@pytest.fixture
def github(api: Api, conn: Connection) -> Api:
    """A repository without issues, and a subscription that makes one of every task that is pending."""
    api.routes |= {
        NEWEST: json([]),
        ISSUES: json(issue(), 201),
        ONE: json(issue()),
        f"{ONE}/comments": json({}, 201),
    }
    subscribe(conn, "Mara/tiles", "tiles", kind="github", events=["task.pending"])
    return api


def at(api: Api, **more: str) -> Settings:
    tokens = {f"AI_WEBHOOK_OUT_SECRET_{name}": f"{name.lower()}-token" for name in ("TILES", "CHAT", "BOARD")}
    bases = {f"AI_WEBHOOK_OUT_URL_{kind}": api.url for kind in ("GITHUB", "LINEAR", "SLACK")}
    return out_settings(**{**tokens, **bases, **more})


def exported(conn: Connection, name: str = "tiles") -> Row:
    (row,) = outgoing.exports_of(conn, "t1")
    assert row["subscription"] == name
    return row


# GitHub


def test_a_task_becomes_an_issue(pool: Pool, github: Api, conn: Connection) -> None:
    insert_task(conn)
    send(pool, at(github, AI_WEBHOOK_PUBLIC_URL="https://talk.example/"))
    (_, (method, path, made)) = sent(github)
    assert (method, path, made["title"], made["labels"]) == ("POST", ISSUES, "Look up its prices", ["ai-webhook"])
    assert "[`t1`](https://talk.example/tasks/t1)" in made["body"]
    assert "code, for codex, priority 50" in made["body"]
    headers = github.asked[1][2]
    assert headers["authorization"] == "Bearer tiles-token"
    assert headers["x-github-api-version"] == "2022-11-28"
    assert headers["user-agent"]  # GitHub refuses who has none
    assert exported(conn) | {"created": None} == {
        "task_id": "t1", "subscription": "tiles", "external_id": "mara/tiles#12",
        "url": "https://github.com/Mara/tiles/issues/12", "state": "open", "created": None,
    }  # fmt: skip
    assert outcome(conn, "tiles") == ("delivered", None, 201)


def test_an_issue_quotes_what_was_said_only_where_that_is_asked_for(pool: Pool, github: Api, conn: Connection) -> None:
    memory = insert_memory(conn, quote="Ask @mara, it fixes #7 ``` and <!-- --> GH-8.")
    insert_task(conn, memory=memory)
    send(pool, at(github))
    body = sent(github)[-1][2]["body"]
    assert "fixes" not in body
    conn.execute("UPDATE subscriptions SET details = true")
    conn.execute("DELETE FROM exports")
    outgoing.export(conn, "t1", "tiles")
    send(pool, at(github), now=None)
    body = sent(github)[-1][2]["body"]
    (quote,) = re.findall(r"^(````)text\n(.*?)\n\1$", body, re.MULTILINE | re.DOTALL)
    assert quote[1] == "Ask @\u200bmara, it fixes #\u200b7 ``` and <!-- --> GH-\u200b8."


@pytest.mark.parametrize(
    ("said", "safe"),
    [
        ("mail @mara", "mail @\u200bmara"),
        ("@org/team", "@\u200borg/team"),
        ("fixes #12", "fixes #\u200b12"),
        ("closes mara/tiles#12", "closes mara/tiles#\u200b12"),
        ("GH-3", "GH-\u200b3"),
        ("five @ noon, # of tiles", "five @ noon, # of tiles"),
        ("a\x00b\u202ec", "abc"),
    ],
)
def test_words_do_nothing_there(said: str, safe: str) -> None:
    assert neutral(said) == safe


def test_a_fence_is_longer_than_any_within_it() -> None:
    assert fenced("a `````` b").startswith("```````text\n")
    assert fenced("plain").startswith("```text\n")


def test_a_long_title_is_cut_and_is_one_line() -> None:
    assert one_line("a\nb  c") == "a b c"
    assert len(one_line("x" * 999)) == TITLE_CHARS <= 256


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [("completed", "completed", "completed"), ("cancelled", "not_planned", "cancelled")],
)
def test_when_the_task_ends_its_issue_is_closed_with_a_word(
    pool: Pool, github: Api, conn: Connection, status: str, reason: str, said: str
) -> None:
    insert_task(conn)
    send(pool, at(github))
    complete(conn) if status == "completed" else tasks.cancel(conn, "t1", reason="what was said")
    github.routes[ONE] = json(issue("closed", reason))
    assert send(pool, at(github)) == 1
    (patch, comment) = sent(github)[2:]
    assert patch == ("PATCH", ONE, {"state": "closed", "state_reason": reason})
    assert comment[:2] == ("POST", f"{ONE}/comments")
    assert said in comment[2]["body"] and "what was said" not in comment[2]["body"]
    assert exported(conn)["state"] == reason


def test_a_failed_task_leaves_its_issue_open_with_a_word(pool: Pool, github: Api, conn: Connection) -> None:
    insert_task(conn)
    send(pool, at(github))
    (claim,) = tasks.claim(conn, "codex", "me")
    tasks.fail(conn, "t1", claim["claim_token"], error="no network", retry=False)
    send(pool, at(github))
    ((method, path, value),) = sent(github)[2:]
    assert (method, path) == ("POST", f"{ONE}/comments")
    assert "failed" in value["body"]
    assert exported(conn)["state"] == "failed"
    tasks.retry(conn, "t1", person="bob")
    complete(conn)
    send(pool, at(github))
    assert exported(conn)["state"] == "completed"


def test_a_task_that_is_retried_opens_its_issue_again(pool: Pool, github: Api, conn: Connection) -> None:
    insert_task(conn)
    send(pool, at(github))
    tasks.cancel(conn, "t1")
    send(pool, at(github))
    tasks.retry(conn, "t1", person="bob")
    send(pool, at(github))
    assert sent(github)[-2] == ("PATCH", ONE, {"state": "open", "state_reason": "reopened"})
    assert exported(conn)["state"] == "open"


def test_what_a_person_closed_stays_closed_when_a_lease_lapses(pool: Pool, github: Api, conn: Connection) -> None:
    insert_task(conn)
    send(pool, at(github))
    (claim,) = tasks.claim(conn, "codex", "me")
    conn.execute("UPDATE exports SET state = 'completed'")  # as the way back records it
    tasks.release(conn, "t1", claim["claim_token"])
    send(pool, at(github))
    assert len(sent(github)) == 2
    assert exported(conn)["state"] == "completed"


def test_events_that_change_nothing_there_are_not_sent(pool: Pool, github: Api, conn: Connection) -> None:
    conn.execute("UPDATE subscriptions SET events = '{task.*}'")
    insert_task(conn)
    tasks.claim(conn, "codex", "me")
    assert send(pool, at(github)) == 2
    assert [row["state"] for row in outgoing.log(conn, "tiles")] == ["skipped", "delivered"]
    assert len(sent(github)) == 2


def test_a_task_that_ended_before_becomes_no_issue(pool: Pool, github: Api, conn: Connection) -> None:
    insert_task(conn)
    complete(conn)
    send(pool, at(github))
    assert github.asked == []
    assert {row["error_code"] for row in outgoing.log(conn, "tiles")} == {"nothing_to_tell"}


def test_an_issue_whose_making_was_not_recorded_is_found_again(
    pool: Pool, github: Api, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    def make(request: BaseHTTPRequestHandler) -> None:
        made.append(issue(number=12 + len(made), body=orjson.loads(github.asked[-1][3])["body"]))
        json(made[-1], 201)(request)

    def newest(request: BaseHTTPRequestHandler) -> None:
        json([issue(number=99, body=None), *reversed(made)])(request)

    def die(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("PostgreSQL does not answer.")

    github.routes |= {ISSUES: make, NEWEST: newest}
    insert_task(conn)
    with monkeypatch.context() as patch:
        patch.setattr(outgoing, "delivered", die)
        with pytest.raises(DatabaseUnavailable):
            send(pool, at(github))
    send(pool, at(github), now=NOON + timedelta(hours=1))
    assert len(made) == 1
    assert exported(conn)["external_id"] == "mara/tiles#12"


def test_whose_mark_is_not_ours_is_not_taken_for_our_issue(pool: Pool, github: Api, conn: Connection) -> None:
    """The ids of tasks can be guessed, and who may write an issue could else steer the task by it."""
    github.routes[NEWEST] = json([issue(number=66, body="<!-- ai-webhook t1 -->")])
    insert_task(conn)
    send(pool, at(github))
    assert exported(conn)["external_id"] == "mara/tiles#12"


def test_what_github_refuses_is_tried_again(pool: Pool, github: Api, conn: Connection) -> None:
    github.routes[ISSUES] = answers(json({"message": "private"}, 403), json(issue(), 201))
    insert_task(conn)
    send(pool, at(github))
    assert outcome(conn, "tiles") == ("waiting", "refused_there", 403)
    assert exported(conn)["external_id"] is None
    send(pool, at(github), now=NOON + timedelta(hours=1))
    assert outcome(conn, "tiles")[0] == "delivered"


def test_when_githubs_hour_is_spent_it_is_left_alone_until_the_next(pool: Pool, github: Api, conn: Connection) -> None:
    reset = NOON + timedelta(minutes=7)
    spent = {"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(reset.timestamp()))}
    github.routes[ISSUES] = answers(
        answering(b"{}", 403, **spent), json(issue(number=12), 201), json(issue(number=13), 201)
    )
    insert_task(conn)
    insert_task(conn, "t2")
    assert send(pool, at(github)) == 1
    assert send(pool, at(github), now=reset - timedelta(seconds=1)) == 0
    assert send(pool, at(github), now=reset) == 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (answering(b"<html>", 201), "unreadable_answer"),
        (json([], 201), "unreadable_answer"),
        (json({"number": 12}, 201), "unreadable_answer"),
        (json({"number": "12", "html_url": "x"}, 201), "unreadable_answer"),
        (answering(b"x" * 5_000_000, 201), "answer_too_large"),
        (redirecting("/elsewhere", 301), "redirected"),
        (json({}, 410), "refused_there"),
    ],
    ids=["no JSON", "a list", "no address", "no number", "too large", "moved", "no issues here"],
)
def test_an_answer_that_is_none_is_a_failure(
    pool: Pool, github: Api, conn: Connection, answer: Answer, code: str
) -> None:
    github.routes |= {ISSUES: answer, "/elsewhere": json(issue(), 201)}
    insert_task(conn)
    send(pool, at(github))
    assert outcome(conn, "tiles")[:2] == ("waiting", code)
    assert outgoing.get(conn, "tiles")["enabled"]


@pytest.mark.parametrize("answer", [issue(number=12), issue(number=14) | {"html_url": "https://github.com/\0"}])
def test_an_answer_that_cannot_be_kept_holds_up_no_other(
    pool: Pool, github: Api, conn: Connection, answer: dict[str, Any]
) -> None:
    insert_task(conn)
    send(pool, at(github))
    github.routes[ISSUES] = answers(json(answer, 201), json(issue(number=15), 201))
    insert_task(conn, "t2")
    insert_task(conn, "t3")
    send(pool, at(github))
    assert [(row["subject"], row["error_code"]) for row in outgoing.log(conn, "tiles")] == [
        ("t3", None),
        ("t2", "unreadable_answer"),
        ("t1", None),
    ]


def test_an_issue_that_somebody_deleted_is_followed_no_further(pool: Pool, github: Api, conn: Connection) -> None:
    insert_task(conn)
    send(pool, at(github))
    github.routes[ONE] = json({}, 410)
    complete(conn)
    send(pool, at(github))
    assert [row["state"] for row in outgoing.log(conn, "tiles")] == ["skipped", "delivered"]


def test_an_export_by_hand_makes_the_issue(pool: Pool, github: Api, conn: Connection) -> None:
    insert_task(conn, status="proposed")
    outgoing.export(conn, "t1", "tiles")
    send(pool, at(github))
    assert exported(conn)["external_id"] == "mara/tiles#12"


# Linear


class Board:
    """Linear's GraphQL, as far as it is asked."""

    def __init__(self, api: Api) -> None:
        self.issues: dict[str, dict[str, Any]] = {}
        self.comments: list[str] = []
        self.lost = 0  # answers that get lost on the way
        api.routes["/graphql"] = self.answer
        self.api = api

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = orjson.loads(self.api.asked[-1][3])
        value = self.do(asked["query"], asked["variables"])
        if self.lost:
            self.lost -= 1
            answering(b"", 502)(request)
        else:
            json({"data": value} if value is not None else {"errors": [{"message": "private"}]})(request)

    def do(self, query: str, variables: dict[str, Any]) -> Any:
        given = variables.get("input", {})
        if "issueCreate" in query:
            if given["id"] in self.issues or uuid.UUID(given["id"]).version != 4:
                return None
            self.issues[given["id"]] = given
            return {"issueCreate": {"success": True, "issue": self.shown(given["id"])}}
        if "issueUpdate" in query:
            self.issues[variables["id"]] |= given
            return {"issueUpdate": {"success": True, "issue": self.shown(variables["id"])}}
        if "commentCreate" in query:
            self.comments.append(given["body"])
            return {"commentCreate": {"success": True}}
        if "team(" in query:
            types = ["completed", "canceled", "backlog", "unstarted", "unstarted"]
            nodes = [{"id": f"{kind}-{n}", "type": kind, "position": -n} for n, kind in enumerate(types)]
            return {"team": {"states": {"nodes": nodes}}}
        return {"issue": self.shown(variables["id"])} if variables["id"] in self.issues else None

    def shown(self, issue: str) -> dict[str, Any]:
        return {"id": issue, "url": f"https://linear.app/mara/{issue}", "updatedAt": "2026-03-02T08:00:00.000Z"}


@pytest.fixture
def board(api: Api, conn: Connection) -> Board:
    subscribe(conn, TEAM, "board", kind="linear", events=["task.pending"])
    insert_task(conn)
    return Board(api)


def test_a_task_becomes_an_issue_of_linear_and_is_followed(pool: Pool, board: Board, conn: Connection) -> None:
    send(pool, at(board.api))
    ((issue_id, made),) = board.issues.items()
    assert (made["teamId"], made["title"]) == (TEAM, "Look up its prices")
    assert (exported(conn, "board")["external_id"], exported(conn, "board")["state"]) == (issue_id, "open")
    tasks.cancel(conn, "t1")
    send(pool, at(board.api))
    assert board.issues[issue_id]["stateId"] == "canceled-1"
    tasks.retry(conn, "t1", person="bob")
    send(pool, at(board.api))
    assert board.issues[issue_id]["stateId"] == "unstarted-4"  # the first of the two, by its place
    complete(conn)
    send(pool, at(board.api))
    assert board.issues[issue_id]["stateId"] == "completed-0"
    assert len(board.comments) == 3
    assert exported(conn, "board")["state"] == "completed"


def test_an_issue_of_linear_whose_answer_was_lost_is_found_again(pool: Pool, board: Board, conn: Connection) -> None:
    board.lost = 2  # that of making it, and that of looking for it at once
    send(pool, at(board.api))
    assert outcome(conn, "board") == ("waiting", "refused_there", 502)
    send(pool, at(board.api), now=NOON + timedelta(hours=1))
    assert outcome(conn, "board")[0] == "delivered"
    assert [exported(conn, "board")["external_id"]] == list(board.issues)


def test_what_linear_refuses_is_a_failure(pool: Pool, board: Board, conn: Connection) -> None:
    board.api.routes["/graphql"] = json({"errors": [{"message": "private"}]}, 200)
    send(pool, at(board.api))
    assert outcome(conn, "board") == ("waiting", "refused_there", 200)


@pytest.mark.parametrize(("token", "shown"), [("lin_api_1", "lin_api_1"), ("lin_oauth_1", "Bearer lin_oauth_1")])
def test_a_personal_key_of_linear_goes_as_it_is(pool: Pool, board: Board, token: str, shown: str) -> None:
    send(pool, at(board.api, AI_WEBHOOK_OUT_SECRET_BOARD=token))
    assert board.api.asked[0][2]["authorization"] == shown


# Slack


def test_slack_gets_a_message_for_each_event(pool: Pool, api: Api, conn: Connection) -> None:
    api.routes["/chat.postMessage"] = json({"ok": True})
    subscribe(conn, "C0123456789", "chat", kind="slack", events=["task.pending", "memory.created"])
    insert_task(conn, title="Ask <!channel> & <@U1> about >2 prices")
    insert_memory(conn)
    send(pool, at(api))
    (task, memory) = [value for _, _, value in sent(api)]
    assert task == {
        "channel": "C0123456789",
        "text": "*task pending*: Ask &lt;!channel&gt; &amp; &lt;@U1&gt; about &gt;2 prices",
        "unfurl_links": False,
        "unfurl_media": False,
    }
    assert memory["text"] == "*memory created (decision)*: We use Postgres"
    assert api.asked[0][2]["authorization"] == "Bearer chat-token"
    assert {row["state"] for row in outgoing.log(conn, "chat")} == {"delivered"}


def test_slack_quotes_what_was_said_only_where_that_is_asked_for() -> None:
    memory = {"id": 1, "type": "action_item", "title": "A title", "quote": "Two\nlines <b>."}
    news = News("m", "memory.created", "1", 1, NOON, NOON, "chat", "slack", "#x", True, memory=memory)
    assert text(news) == "*memory created (action item)*: A title\n> Two lines &lt;b&gt;."


def test_slack_says_no_with_200(pool: Pool, api: Api, conn: Connection) -> None:
    api.routes["/chat.postMessage"] = json({"ok": False, "error": "channel_not_found"})
    subscribe(conn, "#general", "chat", kind="slack")
    insert_task(conn)
    send(pool, at(api))
    assert outcome(conn, "chat") == ("waiting", "refused_there", 200)


def test_the_url_of_an_incoming_webhook_is_a_secret_like_a_token(pool: Pool, api: Api, conn: Connection) -> None:
    api.routes["/services/T1/B1/x"] = answering(b"ok")
    subscribe(conn, "#general", "chat", kind="slack")
    insert_task(conn)
    send(pool, at(api, AI_WEBHOOK_OUT_SECRET_CHAT=f"{api.url}/services/T1/B1/x"))
    ((_, _, value),) = sent(api)
    assert value["text"] == "*task pending*: Look up its prices"
    assert "channel" not in value
    assert only(conn, "chat")["state"] == "delivered"
