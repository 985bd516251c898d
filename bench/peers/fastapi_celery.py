"""What one would write first: a FastAPI route that checks the signature and hands the body to a Celery task over Redis.

The signature is that of Standard Webhooks (https://www.standardwebhooks.com). There is no more to it: a delivery that
comes twice is two tasks, and its body is the task's argument.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable

from celery import Celery
from fastapi import FastAPI, HTTPException, Request

TASK = "process"


def celery_app(redis_url: str, process: Callable[[str, str], None] | None = None) -> Celery:
    """A Celery whose task is `process(delivery id, body)`, acknowledged when it is done; None: only to send to it."""
    celery = Celery("peer", broker=redis_url)
    celery.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=1)
    if process is not None:
        celery.task(process, name=TASK)
    return celery


def hand_over(celery: Celery, delivery_id: str, body: str) -> None:
    celery.send_task(TASK, args=[delivery_id, body])


def fastapi_app(redis_url: str, secret: str) -> FastAPI:
    """POST /webhook/generic, and GET /healthz. `secret` is one of Standard Webhooks, whsec_ and base64."""
    app, celery = FastAPI(), celery_app(redis_url)
    key = base64.b64decode(secret.removeprefix("whsec_"))

    async def webhook(request: Request) -> dict[str, str]:
        body = await request.body()
        given = request.headers
        signed = f"{given['webhook-id']}.{given['webhook-timestamp']}.".encode() + body
        signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        if not hmac.compare_digest(f"v1,{signature}", given["webhook-signature"]):
            raise HTTPException(401)
        hand_over(celery, given["webhook-id"], body.decode())
        return {"status": "accepted"}

    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    app.add_api_route("/webhook/generic", webhook, methods=["POST"])
    app.add_api_route("/healthz", healthz)
    return app
