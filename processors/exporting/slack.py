"""Slack: a message for each event. The secret is a bot's token, for a channel, or the URL of an incoming webhook."""

import orjson

from domain.outgoing import News
from processors.exporting.api import Api, NotTaken, Told
from processors.exporting.wording import TEXT_CHARS, one_line

ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def tell(news: News, api: Api) -> Told | None:
    message = {"text": text(news), "unfurl_links": False, "unfurl_media": False}
    if api.token.startswith(("https://", "http://")):
        return Told(api.post(api.token, orjson.dumps(message), {"content-type": "application/json"}))
    bearer = {"authorization": f"Bearer {api.token}"}
    answer = api.ask("POST", "/chat.postMessage", {"channel": news.target, **message}, bearer)
    if not isinstance(answer, dict) or answer.get("ok") is not True:  # Slack says so with 200
        raise NotTaken("refused_there", 200)
    return Told(200)


def text(news: News) -> str:
    """mrkdwn; what was said is escaped, so that it names no channel and nobody."""
    subject = (news.task if news.task is not None else news.memory) or {}
    about = news.event.replace(".", " ").replace("_", " ")
    if news.memory is not None:
        about += f" ({subject['type'].replace('_', ' ')})"
    lines = [f"*{about}*: {escaped(one_line(str(subject['title'])) or str(subject['id']))}"]
    if news.details and subject.get("quote"):
        lines.append("> " + escaped(one_line(str(subject["quote"]), TEXT_CHARS)))
    return "\n".join(lines)


def escaped(text: str) -> str:
    """As Slack has it: these three and no others."""
    return text.translate(ESCAPED)
