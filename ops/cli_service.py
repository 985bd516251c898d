"""Commands that run the service: up, demo, migrate, doctor."""

import signal
import time
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from domain.settings import Settings
from ops.cli import AsJson, Data, app, data_folder
from ops.output import console, say, say_json, show_items

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
    """Run everything: embedded PostgreSQL and Valkey unless DATABASE_URL / REDIS_URL are set, web, workers."""
    settings = Settings.from_env()
    running = stack(settings, data, settings.port if port is None else port, workers, quiet=False)
    stop_on_signals(running)
    with running:
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
    say("\nTry in another terminal:")
    spoken = "Me: I have decided we use Postgres. Add an action item: write the schema."
    say(f"  curl {running.url}/webhook/generic -H 'Authorization: Bearer {key}' \\")
    say(f"       -H 'Content-Type: text/plain' -d '{spoken}'")
    say(f'  ai-webhook search{data} "what did we decide?"')
    say(f"  ai-webhook tasks claim claude_code --as me{data}\n")


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
    """Bring the database to this version's schema."""
    from ops.up import servers_for
    from store.migrate import migrate as apply

    settings = Settings.from_env()
    if settings.database_url is not None or settings.pg_host is not None:
        applied = apply(settings.conninfo())
    else:
        with servers_for(settings, data_folder(settings, data).path, valkey=False) as servers:
            applied = apply(servers.database_url or "")
    if as_json:
        say_json({"applied": applied})
    else:
        say("\n".join(f"applied {name}" for name in applied) or "The schema is up to date.")


@app.command()
def doctor(data: Data = None, as_json: AsJson = False) -> None:
    """Check settings, servers, workers and deliveries, and say how to mend what is wrong."""
    from ops.doctor import examine

    settings = Settings.from_env()
    checks = [asdict(check) for check in examine(settings, data_folder(settings, data))]
    show_items(checks, ["state", "name", "finding", "mend"], as_json=as_json, empty="")
    if any(check["state"] == "wrong" for check in checks):
        raise typer.Exit(1)
