"""OpenAI's webhooks: thin events about responses, batches and calls. None of them carries what was said.

The talk of a call flows over the socket of the application that answers it, which posts it to us as any sender does.
"""

from domain.delivery import Delivery
from domain.errors import UnknownEvent
from processors.readers.payload import parse_object

KNOWN_FAMILIES = (
    "agent.",
    "batch.",
    "eval.run.",
    "fine_tuning.job.",
    "live.",
    "realtime.call.",
    "response.",
    "safety.",
)


def read(delivery: Delivery) -> None:
    if not parse_object(delivery.body).required_text("type").startswith(KNOWN_FAMILIES):
        raise UnknownEvent("openai")
