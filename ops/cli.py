"""The `ai-webhook` command: its sub-commands, and what they share. A client of the HTTP API wherever it can be."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from access.client import Client
from domain.errors import SettingsError
from domain.settings import Settings
from ops.data_folder import DataFolder, default_data_dir

app = typer.Typer(
    name="ai-webhook",
    help="Turns spoken conversations into decisions you can find and tasks that agents finish.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Data = Annotated[Path | None, typer.Option("--data", help="Data folder of the `up` to talk to.")]
Limit = Annotated[int, typer.Option("--limit", help="How many at most.", min=1, max=1000)]


def data_folder(settings: Settings, data: Path | None) -> DataFolder:
    return DataFolder(data or settings.data_dir or default_data_dir())


@contextmanager
def service(data: Path | None = None, *, timeout_seconds: float = 30.0) -> Iterator[Client]:
    """A client of the service: AI_WEBHOOK_URL with AI_WEBHOOK_TOKEN, else the `up` that runs on the data folder."""
    settings = Settings.from_env()
    token = settings.token.get_secret_value() if settings.token else None
    url = settings.url
    if url is None:
        folder = data_folder(settings, data)
        url = folder.url()
        known = folder.known_secrets() if url else None
        token = token or (known.token if known else None)
    if url is None:
        raise SettingsError(
            "No AI Webhook is running here.",
            hint="Start it with `ai-webhook up`, or set AI_WEBHOOK_URL and AI_WEBHOOK_TOKEN.",
        )
    with Client(url, token, timeout_seconds=timeout_seconds) as client:
        yield client


def sender_headers(data: Path | None, content_type: str) -> dict[str, str]:
    """What a sender of ours has to bring: the API key of the environment, else of the data folder."""
    settings = Settings.from_env()
    keys = settings.api_keys()
    known = data_folder(settings, data).known_secrets() if not keys else None
    if not keys and known is None:
        raise SettingsError("There is no API key to send with.", hint="Set WEBHOOK_API_KEY, or start `ai-webhook up`.")
    key = keys[0] if keys else known.api_key if known else ""
    return {"authorization": f"Bearer {key}", "content-type": content_type}
