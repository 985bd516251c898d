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
    aiw:aside           hash: the deliveries that no key here vouches for, each with since when and why; never processed
    aiw:awaited         hash: the deliveries whose senders wait for a task to end, each with that task and since when
    aiw:copied          written after each acceptance that waits for replicas; holds nothing
    aiw:looking         while a worker looks for what was forgotten
    aiw:aged            for a minute after one looked for what has outlived its time
    aiw:measures        hash: what workers have counted, for /metrics (domain/measures.py has its fields)
    aiw:ready           written when somebody asks whether Redis takes writes
    aiw:refused:DAY     hash: how often, when last and why each source was refused on that day; nothing of what was sent

RQ's own keys hold ids only: what was said lies in aiw:delivery:KEY and aiw:reply:KEY and nowhere else.

A packed delivery is a line of JSON and then the body, byte for byte. Under AI_WEBHOOK_ENCRYPTION_KEY both are sealed
behind a line that names key and delivery; under AI_WEBHOOK_QUEUE_KEY a line with a code stands before it all, since
whoever can write to Redis could else have anything processed as if a sender had sent it.
"""

import json
from datetime import date, datetime
from typing import Any

from domain.delivery import Delivery
from domain.errors import SealedElsewhere, Unverified
from domain.sealing import NO_KEYS, Keys

PREFIX = "aiw:"
LINE = json.JSONEncoder(separators=(",", ":"))  # json.dumps would make one anew for each delivery
OPEN = PREFIX + "open"
BATCHES = PREFIX + "batches"
SWEEP = PREFIX + "sweep"
AWAITED = PREFIX + "awaited"
LOOKING = PREFIX + "looking"
AGED = PREFIX + "aged"
COPIED = PREFIX + "copied"
MEASURES = PREFIX + "measures"
READY = PREFIX + "ready"
ASIDE = PREFIX + "aside"
SIGNED, SEALED = b"s1 ", b"e1 "  # what a line begins with; JSON begins with {
FOR_SIGNING = b"aiw:delivery\n"  # the key may have other uses one day
REFUSED_SECONDS = 8 * 24 * 3600  # how long it is kept what was refused on a day


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


def refused_name(day: date) -> str:
    return f"{PREFIX}refused:{day.isoformat()}"


def pack(delivery: Delivery, keys: Keys = NO_KEYS) -> bytes:
    head: dict[str, Any] = {
        "source": delivery.source,
        "delivery_id": delivery.delivery_id,
        "event": delivery.event,
        "received_at": delivery.received_at.isoformat(),
        "content_type": delivery.content_type,
        "session_id": delivery.session_id,
    }
    if delivery.trace:
        head["trace"] = delivery.trace
    if delivery.sync:
        head["sync"] = True
    packed = LINE.encode(head).encode() + b"\n" + delivery.body
    if keys.sealing.current:
        line = f"{SEALED.decode()}{keys.sealing.current} {delivery.key}"
        packed = line.encode() + b"\n" + keys.sealing.seal(packed, line)
    if keys.signing.keys:
        packed = SIGNED + keys.signing.mac(FOR_SIGNING + packed) + b"\n" + packed
    return packed


def unpack(packed: bytes, keys: Keys = NO_KEYS, *, unsigned: bool = False) -> Delivery:
    """The delivery. Raises Unverified unless a key of ours vouches for it, or SealedElsewhere; `unsigned` takes the
    caller's word for it that it is ours."""
    packed = packed if unsigned and not packed.startswith(SIGNED) else verified(packed, keys, unsigned)
    try:
        return parse(unsealed(packed, keys))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise Unverified("A delivery in Redis is not in the form in which our endpoint puts it there.") from None


def verified(packed: bytes, keys: Keys, unsigned: bool = False) -> bytes:
    """Without the line of the signature."""
    if not packed.startswith(SIGNED):
        if keys.signing.keys:
            raise Unverified("A delivery in Redis is not signed, but AI_WEBHOOK_QUEUE_KEY is set here.")
        return packed
    line, _, rest = packed.partition(b"\n")
    if unsigned or keys.signing.vouches(line.removeprefix(SIGNED), FOR_SIGNING + rest):
        return rest
    if not keys.signing.keys:
        raise Unverified("A delivery in Redis is signed, but AI_WEBHOOK_QUEUE_KEY is not set here.")
    raise Unverified("A delivery in Redis is not signed with an AI_WEBHOOK_QUEUE_KEY that is set here.")


def unsealed(packed: bytes, keys: Keys) -> bytes:
    if not packed.startswith(SEALED):
        return packed
    line, _, sealed = packed.partition(b"\n")
    return keys.sealing.open(sealed, line.split(b" ")[1].decode(), line.decode())


def parse(packed: bytes) -> Delivery:
    line, _, body = packed.partition(b"\n")
    head = json.loads(line)
    head["received_at"] = datetime.fromisoformat(head["received_at"])
    return Delivery(body=body, **head)


def opened(key: str, packed: bytes, keys: Keys) -> Delivery | Unverified | SealedElsewhere:
    """The delivery that lies under this key, or why it is not to be trusted: a true one of another place is none."""
    try:
        delivery = unpack(packed, keys)
    except (Unverified, SealedElsewhere) as error:
        return error
    return delivery if delivery.key == key else Unverified("A delivery in Redis lies where another belongs.")


def claimed(packed: bytes, keys: Keys) -> Delivery | None:
    """What says that it is a delivery, whoever put it there; None for what cannot be read."""
    try:
        return unpack(packed, keys, unsigned=True)
    except (Unverified, SealedElsewhere):
        return None
