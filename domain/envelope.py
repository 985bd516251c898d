"""A delivery's form in Redis: the names of the keys and the bytes under them, agreed between endpoint and worker.

    aiw:delivery:KEY    the packed delivery, from its acceptance until PostgreSQL has recorded it
    aiw:seen:KEY        left behind for a while, so that a repeat is answered "duplicate" at once
    aiw:batch:ID        list of the delivery keys that the RQ job ID carries
    aiw:batch:ID:meta   hash: owner (the worker that has it), runs, retry_at (unix seconds)
    aiw:batches         set of the batches that are not finished; the sweep looks after them
    aiw:open            the batch that may still take deliveries: its job waits in the queue
    aiw:alive:WORKER    lives while that worker does

RQ's own keys hold ids only: what was said lies in aiw:delivery:KEY and nowhere else.
"""

import json
from datetime import datetime

from domain.delivery import Delivery

PREFIX = "aiw:"
OPEN = PREFIX + "open"
BATCHES = PREFIX + "batches"
SWEEP = PREFIX + "sweep"


def delivery_name(key: str) -> str:
    return f"{PREFIX}delivery:{key}"


def seen_name(key: str) -> str:
    return f"{PREFIX}seen:{key}"


def batch_name(batch: str) -> str:
    return f"{PREFIX}batch:{batch}"


def meta_name(batch: str) -> str:
    return f"{PREFIX}batch:{batch}:meta"


def alive_name(worker: str) -> str:
    return f"{PREFIX}alive:{worker}"


def pack(delivery: Delivery) -> bytes:
    """One line of JSON about the delivery, then its body byte for byte."""
    head = {
        "source": delivery.source,
        "delivery_id": delivery.delivery_id,
        "event": delivery.event,
        "received_at": delivery.received_at.isoformat(),
        "content_type": delivery.content_type,
        "session_id": delivery.session_id,
    }
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + delivery.body


def unpack(packed: bytes) -> Delivery:
    line, _, body = packed.partition(b"\n")
    head = json.loads(line)
    head["received_at"] = datetime.fromisoformat(head["received_at"])
    return Delivery(body=body, **head)
