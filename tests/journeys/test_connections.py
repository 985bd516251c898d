"""The whole path with as few rights as it needs, over TLS, and through a pooler: real processes, Debian's servers."""

from collections.abc import Iterator
from threading import Event
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from domain.errors import DatabaseUnavailable, SettingsError
from ops.doctor import postgresql
from store import care, events, tasks
from store.database import Connection, borrowed, connect, is_pooled, open_pool
from store.migrate import migrate, migrations
from store.roles import make_login
from tests import debian
from tests.journeys.stack import running_up
from tests.journeys.whole_path import walk

pytestmark = pytest.mark.xdist_group("connections")


@pytest.fixture
def login(database_url: str, conn: Connection) -> Iterator[dict[str, Any]]:
    """Who web and workers sign in as, once more: {name, password, …}."""
    made = make_login(database_url, "app")
    yield made
    for name in (made["name"], made["name"].removesuffix("app") + "reader"):
        conn.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(name)))
        conn.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(name)))


def url_of(login: dict[str, Any], port: int | str) -> str:
    return f"postgresql://{login['name']}:{login['password']}@127.0.0.1:{port}/{login['database']}"


def test_the_whole_path_with_the_rights_of_app(
    database_url: str, redis_url: str, login: dict[str, Any], conn: Connection
) -> None:
    own = url_of(login, login["port"])
    with running_up(DATABASE_URL=own, AI_WEBHOOK_MIGRATE_URL=database_url, REDIS_URL=redis_url) as up:
        walk(up)
        connected = conn.execute(
            "SELECT DISTINCT usename::text AS name FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name ~ '^ai-webhook (web|worker|waiting)'"
        ).fetchall()
    assert connected == [{"name": login["name"]}]


@pytest.fixture
def pooler(database_url: str, login: dict[str, Any]) -> Iterator[str]:
    """The database through PgBouncer in transaction mode, as it is installed: it refuses settings of sessions."""
    with debian.pgbouncer(database_url, {login["name"]: login["password"]}) as port:
        yield url_of(login, port)


def test_the_whole_path_through_a_pooler(database_url: str, redis_url: str, pooler: str) -> None:
    with running_up(DATABASE_URL=pooler, AI_WEBHOOK_MIGRATE_URL=database_url, REDIS_URL=redis_url) as up:
        walk(up)


def test_through_a_pooler_sessions_are_limited_and_nothing_is_prepared_or_listened_to(
    pooler: str, conn: Connection, database_url: str
) -> None:
    pool = open_pool(pooler, "test", 6)
    try:
        with connect(pooler) as one, connect(pooler) as two, borrowed(pool) as three:
            assert all(is_pooled(each) for each in (one, two, three)) and not is_pooled(conn)
            for _ in range(8):  # psycopg prepares what is said for the sixth time
                for each in (one, two, three):
                    assert each.execute("SELECT %s::int AS n", [1]).fetchone() == {"n": 1}
            shown = "SELECT current_setting('TimeZone') AS zone, current_setting('statement_timeout') AS time"
            assert one.execute(shown).fetchone() == {"zone": "UTC", "time": "1min"}
            assert not tasks.wait_for_work(one, "codex", timeout_seconds=0.2, poll_seconds=0.05)
            conn.execute("INSERT INTO tasks (id, agent_name, title) VALUES ('t', 'codex', 'Look up')")
            assert tasks.wait_for_work(one, "codex", timeout_seconds=20, poll_seconds=0.05)
            stopping = Event()
            heard = tasks.new_work(two, stopping)
            assert next(heard) == "*"
            stopping.set()
            assert list(heard) == []
            # What a transaction says of who acts stays in it, whoever has the server's connection next.
            with events.put_down_to(one, "mara"):
                assert one.execute("SELECT current_setting('ai_webhook.actor', true) AS a").fetchone() == {"a": "mara"}
            for each in (one, two, three):
                left = each.execute("SELECT current_setting('ai_webhook.actor', true) AS a").fetchone()
                assert left in ({"a": ""}, {"a": None})
            listening = conn.execute(
                "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND query ~* '^LISTEN'"
            ).fetchone()
            assert listening == {"n": 0}
    finally:
        pool.close()
    assert postgresql(pooler).finding.endswith("through a pooler, schema is up to date")


def test_the_schema_is_not_changed_nor_backed_up_through_a_pooler(pooler: str, conn: Connection) -> None:
    assert migrate(pooler) == []
    with pytest.raises(SettingsError, match="through a pooler") as refusal, care.snapshot(pooler):
        pass
    assert "AI_WEBHOOK_MIGRATE_URL" in refusal.value.hint
    conn.execute("DELETE FROM schema_migrations WHERE name = %s", [migrations()[-1][0]])
    with pytest.raises(SettingsError, match="1 migrations are missing"):
        migrate(pooler)


def test_a_pooler_that_ignores_our_settings_is_noticed_and_the_lack_of_limits_told(database_url: str) -> None:
    at = psycopg.conninfo.conninfo_to_dict(database_url)
    users = {str(at["user"]): str(at["password"])}
    with debian.pgbouncer(database_url, users, ignore_startup_parameters="options") as port:
        through = make_conninfo(database_url, port=str(port))
        with connect(through) as conn:
            assert is_pooled(conn)
        check = postgresql(through)  # as the server's superuser, whose role says nothing of limits
    assert check.state == "warning" and "ai-webhook role app" in check.mend


def test_a_pooler_whose_server_is_away_is_a_database_that_is_away(login: dict[str, Any], database_url: str) -> None:
    nowhere = make_conninfo(database_url, port=str(debian.free_port()))
    users = {login["name"]: login["password"]}
    with debian.pgbouncer(nowhere, users, query_wait_timeout="1") as port, pytest.raises(DatabaseUnavailable):
        connect(url_of(login, port))
