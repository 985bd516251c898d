"""LiveKit: events of rooms, participants, tracks, egress and ingress. No transcript is among them.

Applications that keep a transcript post it themselves, as the source `generic`.
"""

from domain.delivery import Delivery
from domain.errors import UnknownEvent
from processors.readers.payload import parse_object

SILENT = frozenset(
    {
        *(f"room_{name}" for name in ("started", "finished")),
        *(f"participant_{name}" for name in ("joined", "left", "connection_aborted")),
        *(f"track_{name}" for name in ("published", "unpublished")),
        *(f"egress_{name}" for name in ("started", "updated", "ended")),
        *(f"ingress_{name}" for name in ("started", "ended")),
    }
)


def read(delivery: Delivery) -> None:
    """Nothing, for the events of LiveKit. Raises UnknownEvent for others."""
    body = parse_object(delivery.body)
    if body.required_text("event") not in SILENT:
        raise UnknownEvent(delivery.source)
