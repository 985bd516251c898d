"""`ai-webhook health`: what container platforms ask of the web process, by a program that the image has anyway."""

import http.client
from typing import Annotated

import typer

from domain.errors import Unavailable
from domain.settings import Settings
from ops.cli import app
from ops.output import say

SECONDS = 3
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # nosec B104 # noqa: S104 - whom to ask


@app.command()
def health(
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether its servers answer, too.")] = False,
) -> None:
    """Whether the web process on AI_WEBHOOK_HOST and AI_WEBHOOK_PORT answers; exit code 1 when it does not."""
    settings = Settings.from_env()
    path = "/readyz" if ready else "/healthz"
    connection = http.client.HTTPConnection(ANY.get(settings.host, settings.host), settings.port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"The web process does not answer ({type(error).__name__}).") from None
    finally:
        connection.close()
    if status != 200:
        raise Unavailable(
            f"The web process answers {path} with {status}.", hint="`ai-webhook doctor` says what is away."
        )
    say("It answers.")
