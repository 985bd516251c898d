"""Servers as Debian packages them, for what the embedded ones cannot: TLS, a pooler, an older version.

`apt-get install postgresql redis-server pgbouncer` brings them; nothing here installs anything, and a test skips with a
reason where they are missing. `scripts/check-debian` runs tests against them.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ops.embedded import EmbeddedServers
from tests.conftest import make_quick, reachable_folder

POSTGRES = Path("/usr/lib/postgresql/15/bin")
SERVER_USER = "nobody"  # as root, whom neither PostgreSQL nor PgBouncer runs as


def redis_program() -> str:
    return found("redis-server", "redis-server")


def pgbouncer_program() -> str:
    return found("pgbouncer", "pgbouncer")


def postgres_programs() -> Path:
    if not (POSTGRES / "initdb").exists():
        pytest.skip(f"there is no PostgreSQL 15 in {POSTGRES}: apt-get install postgresql")
    return POSTGRES


def found(program: str, package: str) -> str:
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        pytest.skip(f"there is no {program} here: apt-get install {package}")
    return path


@dataclass(frozen=True)
class Certificate:
    """Files in PEM: the certificate with its chain, and its key, which the server's user may read."""

    chain: Path
    key: Path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def give_to_server(path: Path) -> None:
    path.chmod(0o600)
    if os.geteuid() == 0:
        user = pwd.getpwnam(SERVER_USER)
        os.chown(path, user.pw_uid, user.pw_gid)


@contextmanager
def postgres() -> Iterator[str]:
    """Debian's PostgreSQL 15, empty; its URL."""
    programs = postgres_programs()
    folder = reachable_folder()
    try:
        with EmbeddedServers(folder, postgres_bin=programs, server_user=SERVER_USER, valkey=False) as servers:
            assert servers.database_url is not None
            make_quick(servers.database_url)
            yield servers.database_url
    finally:
        shutil.rmtree(folder)


def use_certificate(database_url: str, certificate: Certificate) -> None:
    """Lets PostgreSQL speak TLS with this certificate from now on."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        before = admin.execute("SELECT clock_timestamp()").fetchone()[0]  # type: ignore[index]
        for name, value in {"ssl_cert_file": certificate.chain, "ssl_key_file": certificate.key, "ssl": "on"}.items():
            admin.execute(psycopg.sql.SQL("ALTER SYSTEM SET {} = {}").format(psycopg.sql.Identifier(name), str(value)))
        admin.execute("SELECT pg_reload_conf()")
        # The postmaster reads it when it gets to it: until then new connections are as before.
        while admin.execute("SELECT pg_conf_load_time() > %s", [before]).fetchone() != (True,):
            time.sleep(0.01)


@contextmanager
def process(command: Sequence[str | Path], ready: str, *, as_server: bool = False) -> Iterator[None]:
    """A server, from the line that says it is ready until it is told to stop."""
    unprivileged = as_server and os.geteuid() == 0
    user = pwd.getpwnam(SERVER_USER) if unprivileged else None
    running = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd="/",
    )
    assert running.stdout is not None
    try:
        said = []
        for line in running.stdout:
            said.append(line)
            if ready in line:
                break
        else:
            raise AssertionError(f"{command[0]} did not start: {''.join(said)}")
        yield
    finally:
        running.send_signal(signal.SIGTERM if "redis" in str(command[0]) else signal.SIGINT)
        running.communicate(timeout=20)


@contextmanager
def redis(certificate: Certificate | None = None) -> Iterator[str]:
    """Debian's Redis 7, empty, which keeps what it accepts; its URL, rediss: with a certificate."""
    program, port, password = redis_program(), free_port(), secrets.token_urlsafe(16)
    folder = reachable_folder()
    settings = {
        "port": 0 if certificate else port,
        "bind": "127.0.0.1",
        "dir": folder,
        "requirepass": password,
        "appendonly": "yes",
        "appendfsync": "always",
        "save": '""',
        "maxmemory-policy": "noeviction",
    }
    if certificate is not None:
        settings |= {
            "tls-port": port,
            "tls-cert-file": certificate.chain,
            "tls-key-file": certificate.key,
            "tls-ca-cert-file": certificate.chain,
            "tls-auth-clients": "no",
        }
    written = folder / "redis.conf"
    written.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    try:
        with process([program, written], "Ready to accept connections"):
            scheme, host = ("rediss", "localhost") if certificate else ("redis", "127.0.0.1")
            yield f"{scheme}://:{password}@{host}:{port}/0"
    finally:
        shutil.rmtree(folder)


@contextmanager
def pgbouncer(database_url: str, users: dict[str, str], **settings: str) -> Iterator[int]:
    """Debian's PgBouncer in transaction mode before a server, for these users and passwords; its port."""
    program, port, at = pgbouncer_program(), free_port(), conninfo_to_dict(database_url)
    folder = reachable_folder()
    known = folder / "users.txt"
    known.write_text("".join(f'"{name}" "{password}"\n' for name, password in users.items()))
    options = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": str(known),
        "pool_mode": "transaction",
        "default_pool_size": "3",
        **settings,
    }
    written = folder / "pgbouncer.ini"
    lines = [f"{name} = {value}" for name, value in options.items()]
    written.write_text(
        "\n".join(["[databases]", f"* = host={at['host']} port={at['port']}", "[pgbouncer]", *lines, ""])
    )
    for path in (known, written):
        give_to_server(path)
    try:
        with process([program, written], "process up", as_server=True):
            yield port
    finally:
        shutil.rmtree(folder)
