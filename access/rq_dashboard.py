"""rq-dashboard, repaired and behind a password, as an ASGI app; `python -m access.rq_dashboard` serves it alone.

It reads RQ's keys, which hold ids only, so it never shows what was said. What it cannot do by itself is mended here:
it has no login, changes state on GET, and reads jobs with pickle, which would run whatever lies in Redis.
"""

import base64
import binascii
import hmac
import signal
import sys
from types import FrameType
from urllib.parse import urlsplit

import rq.serializers
import uvicorn
from a2wsgi import WSGIMiddleware
from flask import Flask, request
from redis.exceptions import RedisError
from rq.exceptions import NoSuchJobError
from rq.serializers import JSONSerializer
from rq_dashboard import web as dashboard
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from domain.errors import (
    AIWebhookError,
    Forbidden,
    NotFound,
    QueueUnavailable,
    Refused,
    SettingsError,
    error_body,
)
from domain.settings import Settings

# Its job and workers pages name no serializer; RQ would then unpickle what lies in Redis.
rq.serializers.PickleSerializer = JSONSerializer
dashboard.config.serializer = JSONSerializer

FlaskAnswer = tuple[dict[str, object], int, dict[str, str]]


def create_rq_dashboard(redis_url: str, *, username: str, password: str) -> ASGIApp:
    """The dashboard for the Redis at `redis_url` (redis, rediss, unix, redis+sentinel), at `/` or where it is mounted.

    Every request needs the user name and password (HTTP Basic). Only a POST from a page of its own changes anything.
    """
    if not password:
        raise SettingsError("RQ_DASHBOARD_PASSWORD is not set.", hint="Set it: who opens rq-dashboard can delete jobs.")
    return Guard(WSGIMiddleware(create_flask_app(redis_url)), username, password)  # type: ignore[arg-type]


def create_flask_app(redis_url: str) -> Flask:
    # Flask has a /static of its own, which would hide the dashboard's: it is told to serve the same files.
    app = Flask("rq_dashboard", static_folder=dashboard.blueprint.static_folder)
    app.config["RQ_DASHBOARD_REDIS_URL"] = redis_url
    app.register_blueprint(dashboard.blueprint)
    dashboard.setup_rq_connection(app)
    app.before_request(change_by_post_only)
    app.register_error_handler(HTTPException, answer_http_error)
    app.register_error_handler(NoSuchJobError, answer_no_job)
    app.register_error_handler(RedisError, answer_no_redis)
    return app


def change_by_post_only() -> None:
    """What can be posted to changes state; a link or an image of a foreign page can cause a GET of it."""
    rule = request.url_rule
    if rule is not None and "POST" in (rule.methods or ()) and request.method != "POST":
        raise MethodNotAllowed(["POST"])


def answer_http_error(error: HTTPException) -> FlaskAnswer:
    status = error.code or 500
    if status >= 500:
        return error_body(AIWebhookError("rq-dashboard broke while answering.")), status, {}
    headers = {"allow": "POST"} if isinstance(error, MethodNotAllowed) else {}
    return error_body(Refused(f"{error.name}.", hint="Start at the dashboard's first page.")), status, headers


def answer_no_job(error: NoSuchJobError) -> FlaskAnswer:
    ours = NotFound(
        "There is no such job.", hint="RQ forgets a job that is done; `ai-webhook deliveries list` does not."
    )
    return error_body(ours), ours.status, {}


def answer_no_redis(error: RedisError) -> FlaskAnswer:
    ours = QueueUnavailable(f"Redis does not answer ({type(error).__name__}).")
    return error_body(ours), ours.status, {}


class Guard:
    """Asks for the user name and the password, and refuses changes that another site's page asks the browser for:
    the browser would send the password with them."""

    def __init__(self, app: ASGIApp, username: str, password: str) -> None:
        self.app = app
        self.credentials = f"{username}:{password}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self.refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if not hmac.compare_digest(basic_credentials(headers.get("authorization", "")), self.credentials):
            error = Forbidden("The user name or password is missing or wrong.", hint="RQ_DASHBOARD_PASSWORD has it.")
            challenge = {"www-authenticate": 'Basic realm="rq-dashboard", charset="UTF-8"'}
            return JSONResponse(error_body(error), 401, challenge)
        origin = headers.get("origin")  # browsers send it with every POST
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            error = Forbidden("A page of another site asked for this.", hint="Use the dashboard's own buttons.")
            return JSONResponse(error_body(error), 403)
        return None


def basic_credentials(header: str) -> bytes:
    """`user:password` of an Authorization header, or nothing when it is malformed."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def serve(settings: Settings) -> None:
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL is not set.", hint="rq-dashboard shows what is in it.")
    password = settings.rq_dashboard_password
    app = create_rq_dashboard(
        settings.redis_url.get_secret_value(),
        username=settings.rq_dashboard_username,
        password=password.get_secret_value() if password else "",
    )
    config = uvicorn.Config(
        app,
        host="0.0.0.0",  # noqa: S104 - behind a password, and in a container nothing else can be reached
        port=settings.rq_dashboard_port,
        log_level=settings.log_level.lower(),
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run()


def stop(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def main() -> int:
    # uvicorn ends its work on SIGTERM and then raises the signal again: to have been told to stop is no failure.
    signal.signal(signal.SIGTERM, stop)
    try:
        serve(Settings.from_env())
    except AIWebhookError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
