"""Who may import whom, and which library belongs to which module: read from the source, so that nobody has to watch."""

import ast
import fnmatch
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Imports point down: domain <- broker, store <- ingest, processors, access <- ops; the endpoint uses no store.
MAY_IMPORT = {
    "domain": set[str](),
    "broker": {"domain"},
    "store": {"domain"},
    "ingest": {"domain", "broker"},
    "processors": {"domain", "broker", "store"},
    "access": {"domain", "broker", "store"},
    "ops": {"domain", "broker", "store", "ingest", "processors", "access", "bench"},
    "bench": set[str](),
}
# A library, and the only modules that know it.
MAY_USE = {
    # embedded_servers asks a server that it has just started whether it answers, before there is any schema.
    "psycopg": ["store/*", "ops/embedded_servers.py"],
    "psycopg_pool": ["store/*"],
    "rq": [
        "ingest/enqueueing.py",
        "ingest/measuring.py",
        "processors/queueing.py",
        "processors/rq_worker.py",
        "access/rq_dashboard.py",
        "ops/bench_peers.py",
    ],
    "redis": [
        "broker/clients.py",
        "ingest/enqueueing.py",
        "ingest/limiting.py",
        "ingest/measuring.py",
        "ingest/refusals.py",
        "ingest/replying.py",
        "processors/queueing.py",
        "processors/rq_worker.py",
        "access/rq_dashboard.py",
        "ops/embedded*.py",
        "ops/doctor.py",
        "ops/senders.py",
        "ops/bench_*.py",
    ],
    "limits": ["ingest/limiting.py"],
    "cryptography": ["domain/sealing.py", "ingest/signatures.py"],
    "argon2": ["access/console/passwords.py"],
    "markdown_it": ["access/console/formatting.py"],
    "pygments": ["access/console/formatting.py"],
    "rq_dashboard": ["access/rq_dashboard.py"],
    "flask": ["access/rq_dashboard.py"],
    "opentelemetry": ["domain/tracing.py"],
    "structlog": ["domain/log_lines.py"],
    "prometheus_client": ["ingest/measuring.py", "access/measuring.py", "access/timing.py"],
    "starlette": [
        "ingest/app.py",
        "ingest/measuring.py",
        "ingest/serving.py",
        "ingest/__main__.py",
        "access/*",
        "ops/web.py",
    ],
    "typer": ["ops/*"],
    "rich": ["ops/*"],
}
# os.environ is read once, into Settings; `up` hands it on to the processes that it starts, and `agent run` a little
# of it to an agent's program. processors says what numpy is to read there.
MAY_READ_ENVIRONMENT = ["domain/settings.py", "ops/cli_agent.py", "ops/up.py", "processors/__init__.py"]
# ops.child runs a worker beneath `up` exactly as `python -m processors` does.
MAY_IMPORT_MAIN = {("ops/child.py", "processors.__main__")}
EMPTY_NAMES = {"common", "util", "utils", "helper", "helpers", "base", "misc"}


@cache
def sources() -> dict[str, ast.Module]:
    """Every module of ours by its path."""
    found = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_bytes()) for path in found}


def imports(tree: ast.Module) -> Iterator[str]:
    """The full names that a module imports, also inside functions; `.x` for a relative one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def every_import() -> Iterator[tuple[str, str]]:
    return ((path, name) for path, tree in sources().items() for name in imports(tree))


def allowed(path: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def test_imports_point_down() -> None:
    assert len(sources()) > 40
    upward = [
        f"{path} imports {name}"
        for path, name in every_import()
        if (package := name.partition(".")[0]) in MAY_IMPORT
        and package != path.partition("/")[0]
        and package not in MAY_IMPORT[path.partition("/")[0]]
    ]
    assert upward == []


def test_imports_are_absolute() -> None:
    assert [f"{path} imports {name}" for path, name in every_import() if name.startswith(".")] == []


def test_nothing_imports_a_main_module() -> None:
    assert {(path, name) for path, name in every_import() if "__main__" in name.split(".")} == MAY_IMPORT_MAIN


@pytest.mark.parametrize("library", MAY_USE)
def test_a_library_is_known_to_its_own_modules_only(library: str) -> None:
    users = {path for path, name in every_import() if name.partition(".")[0] == library}
    assert {path for path in users if not allowed(path, MAY_USE[library])} == set()
    assert [pattern for pattern in MAY_USE[library] if not fnmatch.filter(users, pattern)] == []  # no longer needed


def test_the_environment_is_read_in_one_place() -> None:
    names = {"environ", "environb", "getenv", "putenv", "unsetenv"}
    readers = {
        path
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os")
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and names & {a.name for a in node.names})
    }
    assert {path for path in readers if not allowed(path, MAY_READ_ENVIRONMENT)} == set()


def test_the_endpoint_knows_neither_the_database_nor_the_workers() -> None:
    script = "import sys, ingest.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    packages = {name.partition(".")[0] for name in loaded.split()}
    assert "ingest" in packages
    assert packages & {"psycopg", "psycopg_pool", "store", "processors", "access", "ops"} == set()


def test_clients_of_redis_are_made_in_one_place() -> None:
    """Where Sentinels are understood; benchmarks and embedded servers talk to a server of their own."""
    makers = {
        path
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node).endswith("Redis.from_url")
    }
    assert {path for path in makers if not allowed(path, ["broker/clients.py", "ops/bench_*.py"])} == set()
    assert "broker/clients.py" in makers


def test_module_names_say_what_is_inside() -> None:
    names = {path: Path(path).stem for path in sources() if not path.endswith("__.py")}
    assert [path for path, name in names.items() if name in EMPTY_NAMES] == []
    assert [path for path, name in names.items() if name in sys.stdlib_module_names] == []
