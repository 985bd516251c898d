"""Readers: pure functions from a delivery to what it says. One file a source, chosen by the tables here.

A reader raises `Unreadable` with a code and a path, and never quotes what was said. Cutting into chunks, finding
memories in the turns and writing are left to the other stages.
"""

from collections.abc import Callable, Mapping

import orjson

from domain.delivery import NATIVE, CommandRequest, Delivery, Fetch, Query, Reading
from domain.outgoing import ExternalChange
from processors.readers import (
    assemblyai,
    bland,
    chatgpt,
    circleback,
    daily,
    deepgram,
    elevenlabs,
    fathom,
    fireflies,
    generic,
    github,
    grain,
    granola,
    livekit,
    native,
    omi,
    openai,
    otter,
    readai,
    recall,
    retell,
    speechify,
    synthflow,
    texts,
    tldv,
    twilio,
    ultravox,
    vapi,
    zoom,
)

Outcome = Reading | Query | CommandRequest | Fetch | ExternalChange | None
Reader = Callable[[Delivery], Outcome]

READERS: Mapping[str, Reader] = {
    NATIVE: native.read,
    "assemblyai": assemblyai.read,
    "bland": bland.read,
    "chatgpt": chatgpt.read,
    "circleback": circleback.read,
    "daily": daily.read,
    "deepgram": deepgram.read,
    "elevenlabs": elevenlabs.read,
    "fathom": fathom.read,
    "fireflies": fireflies.read,
    "generic": generic.read,
    "github": github.read,
    "grain": grain.read,
    "granola": granola.read,
    "livekit": livekit.read,
    "omi": omi.read,
    "openai": openai.read,
    "otter": otter.read,
    "readai": readai.read,
    "recall": recall.read,
    "retell": retell.read,
    "speechify": speechify.read,
    "synthflow": synthflow.read,
    "tldv": tldv.read,
    "twilio": twilio.read,
    "ultravox": ultravox.read,
    "vapi": vapi.read,
    "zoom": zoom.read,
}

# Sources of which a delivery may only announce a transcript that has to be fetched.
ANNOUNCING = frozenset(
    {"assemblyai", "daily", "fireflies", "grain", "granola", "recall", "tldv", "twilio", "ultravox", "zoom"}
)

# Bodies that are text whoever sends them.
TEXT_READERS: Mapping[str, Reader] = {
    "text/vtt": texts.read_caption_file,
    "application/x-subrip": texts.read_caption_file,
    "text/srt": texts.read_caption_file,
    "text/plain": texts.read_plain,
    "text/markdown": texts.read_markdown,
}


def read(delivery: Delivery) -> Outcome:
    """What the delivery says or asks, what has to be fetched first, what became elsewhere of a task, or None when it is
    known to carry nothing to keep.

    Raises Unreadable, and of that UnknownEvent for an event that the source's reader does not know.

    Sources without a reader of their own are read as our own transcript JSON (`generic`).
    """
    media_type = delivery.content_type.partition(";")[0].strip().lower()
    reader = TEXT_READERS.get(media_type)
    # fetch() and curl call JSON text/plain when nobody tells them better.
    if reader is None or (media_type == "text/plain" and is_json_object(delivery.body)):
        reader = READERS.get(delivery.source, generic.read)
    return reader(delivery)


def is_json_object(body: bytes) -> bool:
    if not body.lstrip().startswith(b"{"):
        return False
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False
