"""Where news goes: a function for each kind of subscription, all of one form, chosen by the table here.

`tell(news, api)` brings what is there in line with what is here, and returns what came of it; None when there was
nothing to tell. Called again with the same news it may repeat a message, but makes no second issue. It raises NotTaken
or Unreached, which are tried again; when, and what is recorded, is left to processors/outgoing.py.
"""

from collections.abc import Callable, Mapping

from domain.outgoing import News
from processors.exporting import github, linear, slack, webhook
from processors.exporting.api import Api, Told

TELL: Mapping[str, Callable[[News, Api], Told | None]] = {
    "github": github.tell,
    "linear": linear.tell,
    "slack": slack.tell,
    "webhook": webhook.tell,
}

# Where an API is, unless AI_WEBHOOK_OUT_URL_<KIND> says so: GitHub Enterprise, a gateway of your own.
API_BASES: Mapping[str, str] = {
    "github": "https://api.github.com",
    "linear": "https://api.linear.app",
    "slack": "https://slack.com/api",
}
