"""`ai-webhook send`: posts transcripts from files, as a sender would."""

import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from access.client import Client, ServiceError, parsed
from domain.delivery import NATIVE
from domain.errors import InvalidRequest, SettingsError, Unavailable
from domain.settings import Settings
from ingest.credentials import secret_setting
from ingest.request import FORM
from ingest.signing import sign_as
from ops.cli import AsJson, Data, app, sender_headers, service
from ops.output import errors, show_items

CONTENT_TYPES = {
    ".json": "application/json",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".vtt": "text/vtt",
    ".srt": "application/x-subrip",
    ".form": FORM,
}
POLL_SECONDS = 0.02
WAIT_SECONDS = 120.0


@app.command()
def send(
    files: Annotated[
        list[Path], typer.Argument(help="Transcripts: .json .txt .md .vtt .srt .form", exists=True, dir_okay=False)
    ],
    source: Annotated[
        str, typer.Option(help=f"Which sender they come from; `{NATIVE}` for native commands.")
    ] = "generic",
    as_source: Annotated[
        str | None, typer.Option("--as", help="Post as this sender would, signed with its own secret.")
    ] = None,
    secret: Annotated[str | None, typer.Option(help="Secret for --as; else that of WEBHOOK_SECRET_<SOURCE>.")] = None,
    session: Annotated[str | None, typer.Option(help="Session for files that name none.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until each is processed.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Post transcripts to the webhook."""
    rows: list[dict[str, Any]] = []
    bar = Progress(console=errors, transient=True) if len(files) > 1 and errors.is_terminal else nullcontext()
    with service(data) as client, bar as progress:
        step = progress.add_task("sending", total=len(files)) if progress else None
        for path in files:
            if as_source is not None:
                answer = deliver_as(client, as_source, path, secret, session)
            else:
                headers = sender_headers(data, content_type(path))
                answer = client.deliver(source, path.read_bytes(), headers, session=session)
            rows.append({"file": str(path), **answer})
            if progress and step is not None:
                progress.advance(step)
        if wait:
            rows = [{**row, **finished(client, row["delivery"])} if "delivery" in row else row for row in rows]
    columns = ["file", "status", "delivery", *(["state", "session_id", "error"] if wait else [])]
    show_items(rows, columns, as_json=as_json, empty="")
    if any(row.get("state") == "failed" for row in rows):
        raise typer.Exit(1)


def deliver_as(client: Client, source: str, path: Path, secret: str | None, session: str | None) -> dict[str, Any]:
    """Posts a file as a sender would, and returns what that is answered; some are answered with nothing but 204."""
    settings = Settings.from_env()
    known = settings.secrets_of(source)
    if secret is None and not known:
        raise SettingsError(
            f"There is no secret of {source} to sign with.", hint=f"Set {secret_setting(source)}, or give --secret."
        )
    body = path.read_bytes()
    where, headers = sign_as(
        source,
        body,
        secret or known[0],
        base_url=settings.public_url or client.url,
        content_type=content_type(path),
        query={"session": session} if session else {},
        now=datetime.now(UTC),
    )
    response = client.request("POST", where, content=body, headers=headers)
    answer: dict[str, Any] = parsed(response) if response.content else {"status": "accepted"}
    return answer


def content_type(path: Path) -> str:
    try:
        return CONTENT_TYPES[path.suffix.lower()]
    except KeyError:
        raise InvalidRequest(
            f"{path.name} has no ending that tells what it is.", hint=f"Known are {', '.join(CONTENT_TYPES)}."
        ) from None


def finished(client: Client, delivery: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
    """Waits until a delivery is no longer `received`, and returns its state, session and error."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            row = client.call("get_delivery", delivery)
        except ServiceError as error:
            if error.code != "not_found":  # a worker has yet to record it
                raise
            row = {"state": "received"}
        if row["state"] != "received":
            return {name: row[name] for name in ("state", "session_id", "error_code", "error")}
        if time.monotonic() > deadline:
            raise Unavailable(
                f"The delivery {delivery} was accepted but is not processed after {seconds:.0f} s.",
                hint="`ai-webhook doctor` tells whether workers are running; the delivery is safe.",
            )
        time.sleep(POLL_SECONDS)
