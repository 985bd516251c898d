"""`python -m ingest`: the endpoint alone. Needs REDIS_URL and the senders' secrets; no database."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from domain.errors import AIWebhookError, SettingsError
from domain.log_lines import log_to_stdout
from domain.settings import Settings
from domain.tracing import set_up_tracing
from ingest.app import create_app
from ingest.enqueueing import open_enqueuer
from ingest.limiting import open_rate_limits
from ingest.measuring import Metrics
from ingest.refusals import Refusals
from ingest.replying import open_replies
from ingest.serving import run_server


def build(settings: Settings) -> Starlette:
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL is not set.", hint="`ai-webhook up` starts everything that is missing.")
    enqueuer, replies = open_enqueuer(settings), open_replies(settings)
    rates, refusals = open_rate_limits(settings, enqueuer.client), Refusals(enqueuer.client, settings)

    async def ready() -> dict[str, bool]:
        return {"redis": await enqueuer.ready()}

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await replies.close()
        await refusals.close()
        await enqueuer.close()

    app = create_app(settings, enqueuer.enqueue, ready, replies, rates, refusals, [Metrics(settings).route])
    app.router.lifespan_context = lifespan
    return app


def main() -> int:
    try:
        settings = Settings.from_env()
        log_to_stdout(settings)
        set_up_tracing(settings, "ingest")
        run_server(build(settings), settings)
    except AIWebhookError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
