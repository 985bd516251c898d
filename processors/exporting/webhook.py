"""Signed webhooks: an event as JSON, signed by Standard Webhooks.

What people said stays here unless the subscription has `details`; a title is always told.
"""

from datetime import UTC, datetime
from typing import Any

import orjson

from domain.outgoing import News
from domain.standard_webhooks import signed_headers
from processors.exporting.api import Api, Told

SAID = {"quote", "speaker", "content", "input_data", "error_message"}  # what people said, or agents about it


def tell(news: News, api: Api) -> Told | None:
    """Posts the event. The id is the same over all tries, and the time that of the try, as the specification says."""
    body = orjson.dumps({"type": news.event, "timestamp": rfc3339(news.at), "data": data(news)})
    headers = signed_headers(api.secrets, news.id, int(api.now.timestamp()), body)
    return Told(api.post(news.target, body, {"content-type": "application/json", **headers}))


def data(news: News) -> dict[str, Any]:
    """The task or memory as it is now, who did it, and for a task the state it came from."""
    subject = (news.task if news.task is not None else news.memory) or {}
    told = {name: value for name, value in subject.items() if news.details or name not in SAID}
    told["actor"] = news.actor
    if news.task is not None:
        told["from"] = news.from_status
        if news.details:
            told["reason"] = news.reason
    return told


def rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
