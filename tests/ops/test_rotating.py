"""Keys are changed: everything that lies signed or sealed goes over to the new one, in pieces, and nothing is lost."""

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

import ops.__main__  # noqa: F401 - registers the commands
from domain import envelope
from domain.delivery import Delivery
from domain.errors import InvalidRequest, SealedElsewhere, SettingsError
from domain.sealing import Keys, Sealing
from ops import rotating
from ops.cli import app
from ops.data_folder import DataFolder
from ops.doctor import key_checks
from store import deliveries
from store.database import Connection
from tests.conftest import delivery, make_settings

OLD, NEW, QUEUE, NEW_QUEUE = (secrets.token_hex(32) for _ in range(4))
FETCHED = (b"first page", b"second page")
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)

    def typed(*words: str, encryption: str = "", queue: str = "") -> dict[str, Any]:
        monkeypatch.setenv("AI_WEBHOOK_ENCRYPTION_KEY", encryption)
        monkeypatch.setenv("AI_WEBHOOK_QUEUE_KEY", queue)
        app([*words, "--json"], standalone_mode=False)
        return dict(json.loads(capsys.readouterr().out))

    return typed


@pytest.fixture
def sealed(conn: Connection) -> list[Delivery]:
    """Five deliveries under the old key, of which the first was fetched for, and one that came before there was any."""
    made = [delivery(f"Alice: said {number}", content_type="text/plain") for number in range(5)]
    deliveries.record(conn, made, Sealing([OLD]))
    made[0] = replace(made[0], fetched=FETCHED)
    deliveries.keep_fetched(conn, made[0], Sealing([OLD]))
    made.append(delivery(b"", content_type="text/plain"))
    deliveries.record(conn, made[5:])
    return made


def taken(conn: Connection, made: list[Delivery], *keys: str) -> list[Delivery]:
    with conn.transaction():
        found = {one.key: one for one in deliveries.take(conn, [one.key for one in made], Sealing(keys))}
    return [found[one.key] for one in made]


def states(conn: Connection, redis_url: str, **more: str) -> dict[str, tuple[str, str]]:
    url = f"host={conn.info.host} port={conn.info.port} user={conn.info.user} dbname={conn.info.dbname}"
    url += f" password={conn.info.password}" if conn.info.password else ""
    settings = make_settings(url, redis_url, **more)
    return {check.name: (check.state, check.finding) for check in key_checks(settings, url, redis_url)}


def test_everything_goes_over_to_the_first_key(
    run: Run, conn: Connection, sealed: list[Delivery], redis_client: "redis.Redis", redis_url: str
) -> None:
    waiting = delivery("Alice: waits")
    name = envelope.delivery_name(waiting.key)
    redis_client.set(name, envelope.pack(waiting, Keys.of([QUEUE], [OLD])))
    assert (
        "not sealed with the first key"
        in states(conn, redis_url, AI_WEBHOOK_ENCRYPTION_KEY=f"{NEW},{OLD}")["sealing"][1]
    )
    done = run("rotate-keys", encryption=f"{NEW},{OLD}", queue=f"{NEW_QUEUE},{QUEUE}")
    assert done == {"rows": 6, "waiting": 1, "left": 0}
    assert deliveries.sealed_with(conn) == {Sealing([NEW]).current: 6}
    assert taken(conn, sealed, NEW) == sealed
    packed = redis_client.get(name)
    assert isinstance(packed, bytes) and envelope.unpack(packed, Keys.of([NEW_QUEUE], [NEW])) == waiting
    assert run("rotate-keys", encryption=NEW, queue=NEW_QUEUE)["rows"] == 0
    assert states(conn, redis_url, AI_WEBHOOK_ENCRYPTION_KEY=NEW, AI_WEBHOOK_QUEUE_KEY=QUEUE) == {
        "signing": ("ok", "deliveries in Redis are signed"),
        "sealing": ("ok", f"every delivery is sealed with the key {Sealing([NEW]).current}"),
    }
    assert run("rotate-keys", "--plain", encryption=NEW, queue=NEW_QUEUE) == {"rows": 6, "waiting": 1, "left": 0}
    assert taken(conn, sealed) == sealed


def test_what_was_stopped_goes_on_where_it_was(
    conn: Connection, sealed: list[Delivery], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotating, "BATCH", 2)
    monkeypatch.setattr(rotating, "TELL_AFTER", 2)
    keys = Keys.of([], [NEW, OLD])

    def stop(told: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotating.rotate(database_url, None, keys, plain=False, unsigned=False, tell=stop)
    assert deliveries.sealed_with(conn)[keys.sealing.current] == 2
    assert taken(conn, sealed, NEW, OLD) == sealed
    told: list[str] = []
    done = rotating.rotate(database_url, None, keys, plain=False, unsigned=False, tell=told.append)
    assert (done["rows"], told) == (4, ["2 deliveries", "4 deliveries"])


def test_a_key_that_is_missing_is_told_and_nothing_is_lost(
    run: Run, conn: Connection, sealed: list[Delivery], redis_url: str
) -> None:
    old = Sealing([OLD]).current
    with pytest.raises(SealedElsewhere, match=f"the key {old}, which is not set here"):
        run("rotate-keys", encryption=NEW)
    with pytest.raises(InvalidRequest, match="no key to rotate to"):
        run("rotate-keys")
    assert taken(conn, sealed, OLD) == sealed
    finding = f"5 deliveries are sealed with keys that are not set here: {old}"
    assert states(conn, redis_url)["sealing"] == ("wrong", finding)
    # The bytes of one delivery under the id of another.
    moved = "UPDATE deliveries SET body = (SELECT body FROM deliveries WHERE id = %s) WHERE id = %s"
    conn.execute(moved, [sealed[1].key, sealed[2].key])
    with pytest.raises(SealedElsewhere, match="was changed since"):
        deliveries.body(conn, sealed[2].key, Sealing([OLD]))


def test_doctor_tells_what_is_not_signed_and_what_was_set_aside(
    conn: Connection, redis_url: str, redis_client: "redis.Redis"
) -> None:
    state, finding = states(conn, redis_url)["signing"]
    assert state == "warning" and "not signed" in finding
    redis_client.hset(envelope.ASIDE, "0" * 32, "since then")
    state, finding = states(conn, redis_url, AI_WEBHOOK_QUEUE_KEY=QUEUE)["signing"]
    assert state == "wrong" and finding.startswith("1 deliveries in Redis are of no key")


def test_a_backup_keeps_what_is_sealed_and_needs_the_key_for_what_waits(
    run: Run, conn: Connection, sealed: list[Delivery], redis_client: "redis.Redis", tmp_path: Path
) -> None:
    waiting = delivery("Alice: Zanzibar", content_type="text/plain")
    packed = envelope.pack(waiting, Keys.of([QUEUE], [OLD]))
    redis_client.set(envelope.delivery_name(waiting.key), packed)
    file = str(tmp_path / "all.backup")
    run("backup", file, encryption=NEW)
    assert b"Zanzibar" not in Path(file).read_bytes()
    name = f"{conn.info.dbname}_again"
    with pytest.raises(SealedElsewhere):
        run("restore", file, "--into", name, encryption=NEW)
    assert conn.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None
    assert run("restore", file, "--into", name, encryption=f"{NEW},{OLD}")["deliveries"] == 1
    conn.execute(f'DROP DATABASE "{name}"')


@pytest.mark.parametrize("name", ["AI_WEBHOOK_QUEUE_KEY", "AI_WEBHOOK_ENCRYPTION_KEY"])
def test_a_short_key_is_refused_without_being_told(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: a key has 32 characters at least") as refused:
        make_settings("", "", **{name: f"{OLD},changeme"})
    assert "changeme" not in str(refused.value) and OLD not in str(refused.value)


def test_up_makes_a_key_once_and_keeps_it_to_itself(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    assert folder.known_queue_key() is None
    key, is_all_signed = folder.queue_key()
    assert not is_all_signed and folder.known_queue_key() == key
    folder.say_all_signed()
    assert folder.queue_key() == (key, True)
    assert (folder.path / "keys.json").stat().st_mode & 0o077 == 0


def test_the_command_says_in_words_what_it_did(database_url: str, redis_url: str, sealed: list[Delivery]) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "AI_WEBHOOK_ENCRYPTION_KEY": f"{NEW},{OLD}"}
    answer = CliRunner().invoke(app, ["rotate-keys"], env=environment)
    assert "6 deliveries in PostgreSQL and 0 in Redis have the first key." in answer.output
