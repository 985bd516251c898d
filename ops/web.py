"""The web process: the webhook, the JSON API, the console and the health routes on one port."""

import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from access.api import Api
from access.console.serving import Console
from access.llm_instructions import instruction_routes
from access.mcp_http import McpEndpoint
from access.measuring import collectors as access_collectors
from access.openapi import openapi_routes
from domain.errors import AIWebhookError, SettingsError
from domain.log_lines import log_to_stdout
from domain.settings import Settings
from domain.tracing import set_up_tracing
from ingest.app import ERROR_HANDLERS, answer_http_error, health_routes, webhook_routes
from ingest.enqueueing import Enqueuer, open_enqueuer
from ingest.limiting import open_rate_limits
from ingest.measuring import Metrics
from ingest.refusals import Refusals
from ingest.replying import open_replies
from ingest.serving import run_server
from ops.senders import told_to_the_console
from store.database import Pool, answers, open_pool

log = logging.getLogger("ai_webhook.web")


def create_app(settings: Settings, enqueuer: Enqueuer, pool: Pool) -> Starlette:
    replies, rates = open_replies(settings), open_rate_limits(settings, enqueuer.client)
    api = Api(settings, pool)
    mcp = McpEndpoint(api)
    refusals = Refusals(enqueuer.client, settings)
    metrics = Metrics(settings, *access_collectors(pool, api))
    senders = told_to_the_console(settings, enqueuer, refusals, lambda: app)
    console = Console(settings, api.service, api.stream, senders)

    async def ready() -> dict[str, bool]:
        return {"redis": await enqueuer.ready(), "postgresql": await run_in_threadpool(answers, pool)}

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with mcp.running():
            log.info("web is ready")
            yield
        api.stop()
        await run_in_threadpool(api.claims.join)
        await run_in_threadpool(api.service.audit.close)
        await replies.close()
        await refusals.close()
        await enqueuer.close()
        await run_in_threadpool(api.service.reading.close)
        await run_in_threadpool(pool.close)

    app = Starlette(
        routes=[
            *webhook_routes(settings, enqueuer.enqueue, replies, rates, refusals),
            *api.routes,
            *openapi_routes(),
            *instruction_routes(settings.public_url),
            mcp.route(),
            *health_routes(ready),
            metrics.route,
            *console.routes,
        ],
        exception_handlers={**ERROR_HANDLERS, HTTPException: console.or_page(answer_http_error)},
        lifespan=lifespan,
    )
    app.state.let_go = api.stop
    return app


def serve(settings: Settings, listening: socket.socket | None = None) -> None:
    """Serves until told to stop. `listening` is a socket that somebody else holds open over restarts."""
    if settings.redis_url is None or (settings.database_url is None and settings.pg_host is None):
        raise SettingsError(
            "The web process needs REDIS_URL and DATABASE_URL (or PGHOST and the other PG* variables).",
            hint="`ai-webhook up` starts everything that is missing.",
        )
    app = create_app(settings, open_enqueuer(settings), open_pool(settings.conninfo(), "web", settings.pool_size))
    run_server(app, settings, listening, app.state.let_go)


def main(listening: socket.socket | None = None) -> int:
    try:
        settings = Settings.from_env()
        log_to_stdout(settings)
        set_up_tracing(settings, "web")
        serve(settings, listening)
    except AIWebhookError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
