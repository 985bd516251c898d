"""Commands that run the service: up, demo, migrate, role, reader, doctor."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from domain.settings import Settings
from ops.cli import AsJson, Data, app, data_folder
from ops.output import console, note, say, say_json, show_items

Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one.", min=0, max=65535)]


def stack(settings: Settings, data: Path | None, port: int, workers: int | None, quiet: bool) -> Any:
    from ops.up import Stack

    def tell(who: str, line: str) -> None:
        if not quiet:
            say(f"{time.strftime('%H:%M:%S')} {who:<9} {line}")

    return Stack(settings, data, port=port, workers=workers or settings.workers, say=tell)


@app.command()
def up(
    port: Port = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Worker processes.", min=1, max=64)] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the embedded servers.")] = None,
) -> None:
    """Run everything: embedded PostgreSQL and Valkey unless DATABASE_URL / REDIS_URL are set, web, workers.

    SIGUSR1 replaces web and workers by new processes, and loses no connection."""
    settings = Settings.from_env()
    running = stack(settings, data, settings.port if port is None else port, workers, quiet=False)
    stop_on_signals(running)
    with running:
        # Not SIGHUP, by which a terminal that is closed ends what runs in it.
        signal.signal(signal.SIGUSR1, lambda number, frame: running.renewing.set())
        tell_where(running)
        running.watch()
        say("Stopping; what was accepted is kept.")


def stop_on_signals(running: Any) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        if running.stopping.is_set():
            return
        running.stopping.set()
        if not running.url or not running.children:
            raise KeyboardInterrupt  # still starting: end it, and stop what was started

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def tell_where(running: Any) -> None:
    console.print(f"AI Webhook is up at {running.url}", style="bold")
    say(f"Data is kept in {running.folder.path}; Ctrl-C stops everything.")
    key = "$WEBHOOK_API_KEY"
    if running.secrets_are_new and running.settings.webhook_api_key is None:
        key = running.secrets.api_key
        say(f"\nAPI key for senders, shown this once (kept in {running.folder.path / 'secrets.json'}):\n  {key}")
    data = f" --data {running.folder.path}" if running.custom_folder else ""
    tell_console(running, data)
    say("\nTry in another terminal:")
    spoken = "Me: I have decided we use Postgres. Add an action item: write the schema."
    say(f"  curl {running.url}/webhook/generic -H 'Authorization: Bearer {key}' \\")
    say(f"       -H 'Content-Type: text/plain' -d '{spoken}'")
    say(f'  ai-webhook search{data} "what did we decide?"')
    say(f"  ai-webhook tasks claim claude_code --as me{data}\n")


def tell_console(running: Any, data: str) -> None:
    """Where the console is; as long as nobody has an account, by a link by which the first person comes in."""
    address = (running.settings.public_url or running.url).rstrip("/")
    with running.client() as client:
        if client.call("list_people")["items"]:
            say(f"\nConsole: {address}/")
            return
        path = client.call("create_login_link", role="admin")["path"]
    say("\nConsole: open this within an hour, and choose a name and a password:")
    say(f"  {address}{path}")
    say(f"Another link: ai-webhook console link{data}")


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Stay up afterwards.")] = False,
    port: Port = 0,
    data: Annotated[Path | None, typer.Option("--data", help="Use this folder instead of a fresh one.")] = None,
    as_json: AsJson = False,
) -> None:
    """See it work: real conversations in, decisions and tasks out. Leaves nothing behind."""
    from ops import demo as story

    started = time.perf_counter()
    settings = Settings.from_env()
    with story.folder_for(data) as folder:
        running = stack(settings, folder, port or 0, None, quiet=True)
        stop_on_signals(running)
        with running:
            told = story.run(running, settings) | {"seconds": round(time.perf_counter() - started, 2)}
            if as_json:
                say_json(told)
            else:
                story.tell(told)
                say(f"\nAll of this was read back from the database, {told['seconds']:.1f} s after the start.")
            if keep:
                say(f"Still up at {running.url}, until Ctrl-C. Look around with --data {folder}")
                running.watch()
    if not as_json:
        say("Next: ai-webhook up")


@app.command()
def migrate(data: Data = None, as_json: AsJson = False) -> None:
    """Bring the database to this version's schema, and its roles to this version's rights."""
    from store.migrate import migrate as apply
    from store.roles import make_roles

    with owned_database(Settings.from_env(), data) as conninfo:
        applied = apply(conninfo)
        roles = make_roles(conninfo)
    if as_json:
        say_json({"applied": applied, "roles": asdict(roles)})
        return
    say("\n".join(f"applied {name}" for name in applied) or "The schema is up to date.")
    if roles.lacking:
        note(roles.lacking)
    for name in roles.made:
        say(f"made the role {name}")


@contextmanager
def owned_database(settings: Settings, data: Path | None) -> Iterator[str]:
    """The database as its owner: of the settings, or the embedded one, which runs for as long."""
    from ops.up import servers_for

    if settings.database_url is not None or settings.pg_host is not None:
        yield settings.owner_conninfo()
        return
    with servers_for(settings, data_folder(settings, data).path, valkey=False) as servers:
        yield servers.database_url or ""


class RoleKind(StrEnum):
    app = "app"
    reader = "reader"


@app.command()
def role(
    kind: Annotated[RoleKind, typer.Argument(help="app: what web and workers need. reader: reads.")],
    name: Annotated[str | None, typer.Option("--name", help="A name of its own; else DATABASE_app, _reader.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Let web and workers, or somebody who reads, sign in to the database; prints the address, this once."""
    tell_login(kind.value, name, data, as_json)


@app.command()
def reader(
    name: Annotated[str | None, typer.Option("--name", help="Name of the role; else DATABASE_reader.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a database role that can only read, for people's tools and agents; prints its address, this once."""
    tell_login("reader", name, data, as_json)


def tell_login(kind: Literal["app", "reader"], name: str | None, data: Path | None, as_json: bool) -> None:
    from store.roles import make_login

    with owned_database(Settings.from_env(), data) as conninfo:
        made = make_login(conninfo, kind, name)
    host = made["host"]
    # A folder, where PostgreSQL has its socket, goes behind the question mark.
    at, more = ("", f"?host={quote(host, safe='')}&port={made['port']}") if host.startswith("/") else (host, "")
    at = f"{f'[{at}]' if ':' in at else at}:{made['port']}" if at else ""
    url = f"postgresql://{quote(made['name'])}:{made['password']}@{at}/{quote(made['database'])}{more}"
    if as_json:
        say_json(made | {"url": url})
    else:
        may = "read, and nothing else" if kind == "reader" else "do what web and workers need, and nothing else"
        note(f"{made['name']} may {may}. Its address, shown this once; another call makes a new password:")
        say(url)


@app.command()
def doctor(data: Data = None, as_json: AsJson = False) -> None:
    """Check settings, servers, workers and deliveries, and say how to mend what is wrong."""
    from ops.doctor import examine

    settings = Settings.from_env()
    checks = [asdict(check) for check in examine(settings, data_folder(settings, data))]
    show_items(checks, ["state", "name", "finding", "mend"], as_json=as_json, empty="")
    if any(check["state"] == "wrong" for check in checks):
        raise typer.Exit(1)
