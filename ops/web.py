"""The web process: the webhook, the JSON API and the health routes on one port."""

import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool

from access.api import api_routes
from domain.errors import AIWebhookError, SettingsError
from domain.settings import Settings
from ingest.app import ERROR_HANDLERS, health_routes, webhook_routes
from ingest.enqueueing import Enqueuer, open_enqueuer
from ingest.limiting import open_rate_limits
from ingest.replying import open_replies
from ingest.serving import run_server
from store.database import Pool, answers, open_pool

log = logging.getLogger("ai_webhook.web")


def create_app(settings: Settings, enqueuer: Enqueuer, pool: Pool) -> Starlette:
    replies, rates = open_replies(settings), open_rate_limits(settings, enqueuer.client)

    async def ready() -> dict[str, bool]:
        return {"redis": await enqueuer.ready(), "postgresql": await run_in_threadpool(answers, pool)}

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        log.info("web is ready")
        yield
        await replies.close()
        await enqueuer.close()
        await run_in_threadpool(pool.close)

    return Starlette(
        routes=[
            *webhook_routes(settings, enqueuer.enqueue, replies, rates),
            *api_routes(settings, pool),
            *health_routes(ready),
        ],
        exception_handlers=ERROR_HANDLERS,
        lifespan=lifespan,
    )


def serve(settings: Settings, listening: socket.socket | None = None) -> None:
    """Serves until told to stop. `listening` is a socket that somebody else holds open over restarts."""
    if settings.redis_url is None or (settings.database_url is None and settings.pg_host is None):
        raise SettingsError(
            "The web process needs REDIS_URL and DATABASE_URL (or PGHOST and the other PG* variables).",
            hint="`ai-webhook up` starts everything that is missing.",
        )
    app = create_app(settings, open_enqueuer(settings), open_pool(settings.conninfo(), "web", settings.pool_size))
    run_server(app, settings, listening)


def main(listening: socket.socket | None = None) -> int:
    try:
        settings = Settings.from_env()
        logging.basicConfig(level=settings.log_level, format="%(message)s", stream=sys.stdout)
        serve(settings, listening)
    except AIWebhookError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
