"""rq-dashboard, repaired, as an ASGI app to be mounted behind a login. Importing this takes some 100 ms: do it late.

It reads RQ's keys, which hold ids only, so it never shows what was said. What it cannot do by itself is mended here:
it changes state on GET, and reads jobs with pickle, which would run whatever lies in Redis. Its pages hold scripts and
styles within, and compile templates: the policy lets just that through, for scripts that carry this answer's word.
"""

import secrets
from functools import cache
from typing import Any

import rq.serializers
from a2wsgi import WSGIMiddleware
from flask import Flask, Response, request
from redis.exceptions import RedisError
from rq.exceptions import NoSuchJobError
from rq.serializers import JSONSerializer
from rq_dashboard import web as dashboard
from starlette.types import ASGIApp
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from broker.clients import open_client
from domain.errors import AIWebhookError, NotFound, QueueUnavailable, Refused, error_body

# Its job and workers pages name no serializer; RQ would then unpickle what lies in Redis.
rq.serializers.PickleSerializer = JSONSerializer
dashboard.config.serializer = JSONSerializer


@cache
def reached(redis_url: str) -> Any:
    return open_client(redis_url)


# It would read the URL in a way of its own, and make a client anew for every request.
dashboard.from_url = lambda redis_url, **its_own: (None, reached(redis_url))

FlaskAnswer = tuple[dict[str, object], int, dict[str, str]]

# What its pages show of a job is put into them as HTML: a script that came that way has no nonce, and does not run.
SCRIPT = b'<script type="text/javascript">'
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval' 'nonce-{nonce}'; style-src 'self'; "
    "style-src-attr 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def create_rq_dashboard(redis_url: str) -> ASGIApp:
    """The dashboard for the Redis at `redis_url` (redis, rediss, unix, redis+sentinel), at `/` or where it is mounted.

    Only a POST changes anything. Who may ask, and from which page, is for the caller to check.
    """
    return WSGIMiddleware(create_flask_app(redis_url))  # type: ignore[return-value]


def create_flask_app(redis_url: str) -> Flask:
    # Flask has a /static of its own, which would hide the dashboard's: it is told to serve the same files.
    app = Flask("rq_dashboard", static_folder=dashboard.blueprint.static_folder)
    app.config["RQ_DASHBOARD_REDIS_URL"] = redis_url
    app.register_blueprint(dashboard.blueprint)
    dashboard.setup_rq_connection(app)
    app.before_request(change_by_post_only)
    app.after_request(with_policy)
    app.register_error_handler(HTTPException, answer_http_error)
    app.register_error_handler(NoSuchJobError, answer_no_job)
    app.register_error_handler(RedisError, answer_no_redis)
    return app


def change_by_post_only() -> None:
    """What can be posted to changes state; a link or an image of a foreign page can cause a GET of it."""
    rule = request.url_rule
    if rule is not None and "POST" in (rule.methods or ()) and request.method != "POST":
        raise MethodNotAllowed(["POST"])


def with_policy(response: Response) -> Response:
    nonce = secrets.token_urlsafe(16)
    if response.mimetype == "text/html":
        marked = f'<script type="text/javascript" nonce="{nonce}">'.encode()
        response.set_data(response.get_data().replace(SCRIPT, marked, 1))
    response.headers["content-security-policy"] = POLICY.format(nonce=nonce)
    response.headers["x-content-type-options"] = "nosniff"
    response.headers["referrer-policy"] = "same-origin"
    return response


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
