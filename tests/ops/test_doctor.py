"""What `ai-webhook doctor` says of what goes out."""

from typing import Any

from ops.doctor import outgoing_checks
from store import outgoing
from store.database import Connection
from tests.conftest import make_settings


def states(database_url: str, **more: str) -> list[tuple[str, str]]:
    checks = outgoing_checks(make_settings(database_url, "", **more), database_url)
    return [(check.state, check.finding) for check in checks]


def add(conn: Connection, name: str, **more: Any) -> None:
    outgoing.add(conn, name, kind="webhook", target="https://crm.example/", events=["task.*"], **more)


def test_nothing_is_said_where_nobody_is_subscribed(database_url: str) -> None:
    settings = make_settings(database_url, "")
    assert outgoing_checks(settings, None) == []
    assert outgoing_checks(settings, "postgresql://127.0.0.1:1/away") == []  # which is told already
    assert states(database_url) == []


def test_a_subscription_in_order(database_url: str, conn: Connection) -> None:
    add(conn, "our-crm")
    assert states(database_url, AI_WEBHOOK_OUT_SECRET_OUR_CRM="whsec_MfKQ") == [
        ("ok", "1 subscriptions, 0 messages waiting")
    ]


def test_what_needs_a_person_is_told(database_url: str, conn: Connection) -> None:
    add(conn, "our-crm")
    add(conn, "old")
    add(conn, "off")
    outgoing.disable(conn, "old", why="answered 410 Gone")
    outgoing.disable(conn, "off")
    conn.execute(
        "INSERT INTO outgoing (subscription, event, subject, state, error_code)"
        " VALUES ('our-crm', 'task.pending', 't1', 'failed', 'unreached')"
    )
    assert states(database_url) == [
        ("warning", "no secret is set here for our-crm"),
        ("warning", "ended by the receiver: old"),
        ("warning", "1 messages failed"),
    ]
    checks = outgoing_checks(make_settings(database_url, ""), database_url)
    assert "AI_WEBHOOK_OUT_SECRET_OUR_CRM" in checks[0].mend
