"""A delivery's form in Redis: the names of the keys and the bytes under them, agreed between endpoint and worker.

    aiw:delivery:KEY    the packed delivery, from its acceptance until PostgreSQL has recorded it
    aiw:seen:KEY        left behind for a while, so that a repeat is answered "duplicate" at once
    aiw:batch:ID        list of the delivery keys that the RQ job ID carries
    aiw:batch:ID:meta   hash: owner (the worker that has it), runs, excused (of these), retry_at (unix seconds)
    aiw:batches         set of the batches that are not finished; the sweep looks after them
    aiw:open            the batch that may still take deliveries: its job waits in the queue
    aiw:alive:WORKER    lives while that worker does, and holds the batch that it is at
    aiw:reply:KEY       for a while, what came of a delivery whose sender waits for it
    aiw:replied:KEY     list that gets an element when the reply is there: what the endpoint waits at

RQ's own keys hold ids only: what was said lies in aiw:delivery:KEY and aiw:reply:KEY and nowhere else.
"""

import json
from datetime import datetime
from typing import Any

from domain.delivery import Delivery

PREFIX = "aiw:"
LINE = json.JSONEncoder(separators=(",", ":"))  # json.dumps would make one anew for each delivery
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


def reply_name(key: str) -> str:
    return f"{PREFIX}reply:{key}"


def replied_name(key: str) -> str:
    return f"{PREFIX}replied:{key}"


def pack(delivery: Delivery) -> bytes:
    """One line of JSON about the delivery, then its body byte for byte."""
    head: dict[str, Any] = {
        "source": delivery.source,
        "delivery_id": delivery.delivery_id,
        "event": delivery.event,
        "received_at": delivery.received_at.isoformat(),
        "content_type": delivery.content_type,
        "session_id": delivery.session_id,
    }
    if delivery.sync:
        head["sync"] = True
    return LINE.encode(head).encode() + b"\n" + delivery.body


def unpack(packed: bytes) -> Delivery:
    line, _, body = packed.partition(b"\n")
    head = json.loads(line)
    head["received_at"] = datetime.fromisoformat(head["received_at"])
    return Delivery(body=body, **head)
