"""Bodies that are the transcript itself: plain text, Markdown, WebVTT, SRT. The URL may name its session."""

import re

from domain.delivery import Delivery, Reading
from domain.errors import Unreadable
from domain.session import SessionDraft, Turn
from processors.readers.captions import looks_like_captions, read_captions
from processors.readers.dialogue import read_dialogue
from processors.readers.items import TITLE_CHARS
from processors.readers.payload import parse_text, session_id_of, shorten

HEADING = re.compile(r"^# +(\S.*)$", re.MULTILINE)


def read_plain(delivery: Delivery) -> Reading:
    """Lines such as `User: …`, Otter's export, or captions sent under a plain name."""
    text = parse_text(delivery.body)
    if looks_like_captions(text):
        return reading_of(delivery, read_captions(text))
    return reading_of(delivery, read_dialogue(text))


def read_markdown(delivery: Delivery) -> Reading:
    """As plain text; the first `# ` heading is the title of the session and no part of the talk."""
    text = parse_text(delivery.body)
    heading = HEADING.search(text)
    if heading is None:
        return reading_of(delivery, read_dialogue(text))
    spoken = text[: heading.start()] + text[heading.end() :]
    return reading_of(delivery, read_dialogue(spoken), shorten(heading[1], TITLE_CHARS))


def read_caption_file(delivery: Delivery) -> Reading:
    """A WebVTT or SRT file."""
    return reading_of(delivery, read_captions(parse_text(delivery.body)))


def reading_of(delivery: Delivery, turns: tuple[Turn, ...], title: str | None = None) -> Reading:
    if not turns:
        raise Unreadable("There is nothing to keep: the text holds no words.", code="no_turns")
    named = any(turn.speaker for turn in turns)
    session = SessionDraft(session_id_of(delivery), title=title)
    return Reading(session, turns=turns, format="dialogue" if named else "transcript")
