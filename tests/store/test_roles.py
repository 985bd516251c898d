"""The roles of the database: app does what web and workers need, the reader reads, neither can do anything else."""

import re
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from domain.errors import InvalidRequest, SettingsError
from store.database import Connection, connect
from store.migrate import migrate, migrations
from store.roles import Kind, Roles, make_login, make_roles

OWNERS = {
    "role_of", "is_ours", "rights_of_app", "rights_of_reader", "grant_roles", "make_roles", "limit_role", "make_login",
    "settle_events", "recount_search_words",
}  # fmt: skip
APPEND_ONLY = {"task_events", "memory_events", "audit_log"}
SECRET = re.compile("hash|secret|password|digest|cookie")
HIDDEN = {
    "tokens",
    "repeatable_requests",
    "people",
    "logins",
    "login_links",
    "failed_logins",
    "llm_answers",
    "forgotten",
    "audit_log",
}


@pytest.fixture
def roles(database_url: str, conn: Connection) -> Iterator[Roles]:
    made = make_roles(database_url)
    yield made
    for name in (made.app, made.reader):
        drop(conn, name)


def drop(conn: Connection, name: str) -> None:
    if conn.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).rowcount:
        conn.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(name)))
        conn.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(name)))


@pytest.fixture
def name(conn: Connection, roles: Roles) -> Iterator[str]:
    """A name of its own for a login."""
    name = f"login {uuid.uuid4().hex[:8]}"
    yield name
    drop(conn, name)


def sign_in(database_url: str, kind: Kind, name: str | None = None) -> str:
    made = make_login(database_url, kind, name)
    return make_conninfo(database_url, user=made["name"], password=made["password"])


@pytest.fixture
def reader(database_url: str, conn: Connection, roles: Roles) -> Iterator[psycopg.Connection]:
    conn.execute(
        "INSERT INTO tasks (id, agent_name, title) VALUES ('t', 'codex', 'Look up prices') ON CONFLICT DO NOTHING"
    )
    with psycopg.connect(sign_in(database_url, "reader"), autocommit=True) as reading:
        yield reading


@pytest.fixture
def app(database_url: str, conn: Connection, roles: Roles) -> Iterator[Connection]:
    conn.execute(
        "INSERT INTO tasks (id, agent_name, title) VALUES ('t', 'codex', 'Look up prices') ON CONFLICT DO NOTHING"
    )
    with connect(sign_in(database_url, "app")) as working:
        yield working


def test_every_relation_grants_just_what_it_should(conn: Connection, roles: Roles) -> None:
    rows = conn.execute(
        "SELECT c.relname AS name, c.relkind AS kind,"
        "  (SELECT COALESCE(array_agg(p ORDER BY p) FILTER (WHERE has_table_privilege(%(app)s, c.oid, p)), '{}')"
        "     FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p"
        "    WHERE c.relkind <> 'S') AS app,"
        "  (SELECT COALESCE(array_agg(p ORDER BY p) FILTER (WHERE has_table_privilege(%(reader)s, c.oid, p)), '{}')"
        "     FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p"
        "    WHERE c.relkind <> 'S') AS reader,"
        "  ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) AS columns"
        "  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')"
        "   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY c.relname",
        {"app": roles.app, "reader": roles.reader},
    ).fetchall()
    assert len(rows) > 30
    wrong = []
    for row in rows:
        of_app = ["DELETE", "INSERT", "SELECT", "UPDATE"]
        if row["kind"] in "vm" or row["name"] == "schema_migrations":
            of_app = ["SELECT"]
        elif row["name"] in APPEND_ONLY:
            of_app = ["INSERT", "SELECT"]
        of_reader = [] if row["name"] in HIDDEN | {"deliveries"} else ["SELECT"]
        if row["app"] != of_app:
            wrong.append(f"app may {row['app']} {row['name']}, and should {of_app}")
        if row["reader"] != of_reader:
            wrong.append(f"reader may {row['reader']} {row['name']}, and should {of_reader}")
        if of_reader and (secret := [column for column in row["columns"] if SECRET.search(column)]):
            wrong.append(f"reader may read {row['name']}, whose {secret} looks like a secret")
    assert [line for line in wrong if "artifacts, whose ['sha256']" not in line] == []


def test_every_function_may_be_called_by_whom_it_should(conn: Connection, roles: Roles) -> None:
    rows = conn.execute(
        "SELECT p.oid::regprocedure::text AS signature, p.proname AS name, p.provolatile AS volatile,"
        "       p.prorettype = 'trigger'::regtype AS trigger, p.prosecdef AS as_owner, p.proconfig::text AS config,"
        "       has_function_privilege(%(app)s, p.oid, 'EXECUTE') AS app,"
        "       has_function_privilege(%(reader)s, p.oid, 'EXECUTE') AS reader,"
        "       EXISTS (SELECT FROM aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) a"
        "                WHERE a.grantee = 0) AS anybody"
        "  FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"
        "   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')",
        {"app": roles.app, "reader": roles.reader},
    ).fetchall()
    assert len(rows) > 80
    assert {row["name"] for row in rows} >= OWNERS
    wrong = []
    for row in rows:
        callable_ = not row["trigger"] and row["name"] not in OWNERS
        found = (row["app"], row["reader"], row["anybody"])
        should = (callable_, callable_ and row["volatile"] != "v", False)
        if found != should:
            wrong.append(f"(app, reader, anybody) may call {row['signature']}: {found}, and should: {should}")
        if row["as_owner"] and row["config"] != '{"search_path=public, pg_temp"}':
            wrong.append(f"{row['signature']} runs as its owner by whatever search_path its caller has")
    assert wrong == []
    assert {row["name"] for row in rows if row["as_owner"]} == {
        "forget_audit_log",
        "forget_task_events",
        "prepare_vectors",
    }


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE x (y int)",
        "CREATE TEMPORARY TABLE x (y int)",
        "CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE tasks ADD COLUMN x int",
        "ALTER TABLE task_events DISABLE TRIGGER append_only",
        "SET session_replication_role = replica",
        "DROP TABLE tasks",
        "TRUNCATE tasks CASCADE",
        "DELETE FROM task_events",
        "UPDATE task_events SET actor = 'nobody'",
        "UPDATE memory_events SET actor = 'nobody'",
        "DELETE FROM memory_events",
        "INSERT INTO schema_migrations (name) VALUES ('9999_mine')",
        "DELETE FROM schema_migrations",
        "SELECT settle_events()",
        "SELECT make_login('reader', 'x', 'y')",
        "SELECT grant_roles()",
        "CREATE ROLE x",
        "COPY tasks TO PROGRAM 'cat'",
    ],
)
def test_app_cannot(app: Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement)  # type: ignore[call-overload]


def test_app_claims_and_completes_and_history_goes_with_its_task_only(app: Connection) -> None:
    claim = app.execute("SELECT * FROM claim_task('codex', 'me')").fetchone()
    assert claim is not None and claim["task_id"] == "t"
    app.execute("SELECT start_task('t', %s)", [claim["claim_token"]])
    app.execute("SELECT complete_task('t', %s, '{}')", [claim["claim_token"]])
    events = app.execute("SELECT to_status, actor FROM task_events ORDER BY id").fetchall()
    assert [event["to_status"] for event in events][-3:] == ["claimed", "running", "completed"]
    app.execute("DELETE FROM tasks")
    assert app.execute("SELECT * FROM task_events").fetchall() == []


def test_tables_of_a_later_migration_are_covered(
    app: Connection, conn: Connection, roles: Roles, database_url: str
) -> None:
    with connect(sign_in(database_url, "reader")) as reading:
        conn.execute("CREATE TABLE later (id bigint GENERATED ALWAYS AS IDENTITY, word text)")
        app.execute("INSERT INTO later (word) VALUES ('at once')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reading.execute("SELECT * FROM later")
        conn.execute("SELECT grant_roles()")  # as `migrate` does at its end
        assert reading.execute("SELECT word FROM later").fetchall() == [{"word": "at once"}]


def test_migrating_as_app_changes_nothing_and_says_what_to_do(
    app: Connection, conn: Connection, database_url: str
) -> None:
    as_app = sign_in(database_url, "app")
    assert migrate(as_app) == []
    conn.execute("DELETE FROM schema_migrations WHERE name = %s", [migrations()[-1][0]])
    with pytest.raises(SettingsError, match="1 migrations are missing") as refusal:
        migrate(as_app)
    assert "AI_WEBHOOK_MIGRATE_URL" in refusal.value.hint


def test_a_user_who_may_not_make_roles_is_told_and_goes_on(conn: Connection, database_url: str) -> None:
    owner = f"owner_{uuid.uuid4().hex[:8]}"
    database = f"managed_{uuid.uuid4().hex[:8]}"
    conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(owner)))
    try:
        conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(owner)))
        managed = make_conninfo(database_url, dbname=database, user=owner, password="x")
        assert len(migrate(managed)) == len(migrations())
        told = make_roles(managed)
        assert told.made == () and told.lacking is not None and f'CREATE ROLE "{database}_app"' in told.lacking
        with pytest.raises(SettingsError, match="may not make roles"):
            make_login(managed, "app")
        with connect(managed) as working:
            working.execute("SELECT * FROM claim_task('codex', 'me')")
        # Somebody who may makes them, and the owner grants.
        for made in (told.app, told.reader):
            conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'y'").format(sql.Identifier(made)))
        assert make_roles(managed).lacking is None
        with connect(make_conninfo(managed, user=told.app, password="y")) as working:
            working.execute("SELECT * FROM claim_task('codex', 'me')")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                working.execute("DROP TABLE tasks")
    finally:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        for role in (f"{database}_app", f"{database}_reader", owner):
            drop(conn, role)


def test_an_owner_who_is_no_superuser_may_make_them(conn: Connection, database_url: str) -> None:
    owner = f"owner_{uuid.uuid4().hex[:8]}"
    database = f"owned_{uuid.uuid4().hex[:8]}"
    conn.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD 'x'").format(sql.Identifier(owner)))
    try:
        conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(owner)))
        owned = make_conninfo(database_url, dbname=database, user=owner, password="x")
        migrate(owned)
        assert set(make_roles(owned).made) == {f"{database}_app", f"{database}_reader"}
        assert make_roles(owned).made == ()
        with connect(sign_in(owned, "app")) as working:
            working.execute("SELECT * FROM claim_task('codex', 'me')")
        # Another database of the same server has others, who can do nothing here.
        with psycopg.connect(database_url, autocommit=True) as other:
            theirs = other.execute("SELECT role_of('app')::text").fetchone()
        assert theirs is not None and theirs[0] != f"{database}_app"
    finally:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        for role in (f"{database}_app", f"{database}_reader", owner):
            drop(conn, role)


def test_sessions_begin_with_limits(
    app: Connection, reader: psycopg.Connection, database_url: str, roles: Roles
) -> None:
    names = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "TimeZone"]

    def shown(conn: psycopg.Connection) -> list[str]:
        return [conn.execute("SELECT current_setting(%s)", [name]).fetchone()[0] for name in names]  # type: ignore[index]

    with psycopg.connect(sign_in(database_url, "app")) as plain:  # as it is behind a pooler, without what we ask for
        assert shown(plain) == ["1min", "30s", "5min", "UTC"]
    assert shown(reader)[:3] == ["30s", "5s", "1min"]
    rows = app.execute("SELECT current_setting('idle_in_transaction_session_timeout') AS t").fetchall()
    assert rows == [{"t": "5min"}]


def test_the_reader_reads_tables_and_views_and_searches(reader: psycopg.Connection) -> None:
    for query in (
        "SELECT title FROM tasks",
        "SELECT * FROM active_sessions",
        "SELECT * FROM task_queue",
        "SELECT * FROM memory_overview",
        "SELECT * FROM agent_overview",
        "SELECT * FROM memories_as_of(now())",
        "SELECT id, source, state FROM deliveries",
        "SELECT * FROM search('prices')",
    ):
        reader.execute(query)  # type: ignore[arg-type]
    assert reader.execute("SELECT title FROM tasks").fetchall() == [("Look up prices",)]


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO sessions (id) VALUES ('x')",
        "UPDATE tasks SET title = 'x'",
        "DELETE FROM memories",
        "TRUNCATE tasks CASCADE",
        "DROP TABLE tasks",
        "SELECT * FROM claim_task('codex', 'me')",
        "SELECT finish_task('t', 'me')",
        "SELECT * FROM tokens",
        "SELECT body FROM deliveries",
        "SELECT fetched FROM deliveries",
        "SELECT * FROM repeatable_requests",
        "CREATE TABLE x (y int)",
        "SELECT make_login('reader', 'other', 'x')",
        "COPY tasks TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
        "ALTER ROLE CURRENT_USER SUPERUSER",
    ],
)
@pytest.mark.parametrize("before", ["", "SET default_transaction_read_only = off; ", "COMMIT; BEGIN READ WRITE; "])
def test_the_reader_can_do_nothing_else_whatever_it_sets_before(
    reader: psycopg.Connection, conn: Connection, before: str, query: str
) -> None:
    with pytest.raises(psycopg.Error):
        reader.execute(f"{before}{query}; COMMIT")  # type: ignore[arg-type]
    assert conn.execute("SELECT title, status FROM tasks").fetchall() == [
        {"title": "Look up prices", "status": "pending"}
    ]


def test_a_login_of_another_name_is_a_member_and_a_second_call_gives_it_a_new_password(
    reader: psycopg.Connection, conn: Connection, database_url: str, name: str
) -> None:
    first = make_login(database_url, "reader", name)
    second = make_login(database_url, "reader", name)
    assert first["password"] != second["password"]
    kept = conn.execute("SELECT actor, action, kind FROM audit_log WHERE object = %s", [name]).fetchall()
    assert kept == [{"actor": "operator", "action": "make_reader", "kind": "role"}] * 2
    with psycopg.connect(make_conninfo(database_url, user=name, password=second["password"])) as reading:
        assert reading.execute("SELECT title FROM tasks").fetchall() == [("Look up prices",)]
        with pytest.raises(psycopg.Error):
            reading.execute("UPDATE tasks SET title = 'x'")


def test_a_role_that_may_do_more_is_not_taken(conn: Connection, database_url: str, roles: Roles) -> None:
    row = conn.execute("SELECT current_user AS name").fetchone()
    assert row is not None
    for taken in (row["name"], roles.app):
        with pytest.raises(InvalidRequest):
            make_login(database_url, "reader", taken)
