"""What a reading becomes in its session: understood, and kept beside what is there or in the place of it.

A talk may be told by several deliveries: all of them are read again and told together, so that their order makes no
difference. Everything here belongs into one transaction.
"""

import logging
import traceback
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from domain.delivery import Delivery, Reading
from domain.errors import AIWebhookError, SessionForgotten, Unreadable
from domain.memory import MemoryDraft
from domain.session import Chunk, SessionDraft, Turn, language_of
from domain.settings import Settings
from domain.task import TaskDraft
from processors.chunking import chunk
from processors.extracting.dates import with_dates
from processors.extracting.owners import with_owners
from processors.extracting.tags import with_tags
from processors.extracting.whole import completed, extract_whole, wanted_answers
from processors.joining import join
from processors.matching import known_again, told_once
from processors.readers import Outcome, read
from processors.redacting import redact_reading
from processors.remembering import keep_memories, keep_replacements, keep_tasks
from processors.rq_worker import JobTimeout
from processors.tasking import plan
from store import artifacts, chunks, deliveries, extraction, forgetting, memories, sessions, tasks
from store.database import Connection
from store.extraction import Gap

log = logging.getLogger("ai_webhook.processors")

# What senders call the language of a talk, which readers keep with the session.
LANGUAGE_NAMES = ("language_code", "language", "main_language", "transcript_language", "detected_language")


@dataclass(frozen=True, slots=True)
class Understanding:
    """A delivery understood: everything that is to be kept of it, nothing of it stored yet."""

    reading: Reading
    turns: tuple[Turn, ...]
    chunks: list[Chunk]
    memories: list[MemoryDraft]
    tasks: list[TaskDraft]
    gaps: list[Gap]


def understand(conn: Connection, settings: Settings, reading: Reading, received_at: datetime) -> Understanding:
    """Chunks, extracts and plans; `received_at` stands in for when it was said, where the turns do not tell.

    The same reading gives the same understanding, but for what a language model has answered meanwhile.
    """
    reading = redact_reading(reading, settings.redacted_kinds())
    turns = reading.turns
    if reading.summary:
        turns = (*turns, Turn(speaker="", role="summary", text=reading.summary))
    answers = extraction.answers(conn, [piece.digest for piece in wanted_answers(turns, settings)])
    found, gaps = extract_whole(turns, settings, answers)
    zone = ZoneInfo(settings.timezone)
    found, unfinished = completed(found, lambda some: with_owners(with_dates(some, turns, received_at, zone), turns))
    drafts = told_once(reading.memories, with_tags(found, turns))
    planned = {task.memory for task in reading.tasks}
    tasks = [
        task
        for task in plan(drafts, default_agent=settings.default_agent, approve_confidence=settings.approve_confidence)
        if task.memory not in planned
    ]
    return Understanding(
        reading=reading,
        turns=turns,
        chunks=chunk(turns, max_words=settings.chunk_words, format=reading.format),
        memories=drafts,
        tasks=[*reading.tasks, *tasks],
        gaps=[*gaps, *unfinished],
    )


def tell(conn: Connection, settings: Settings, delivery: Delivery, reading: Reading) -> Understanding:
    """Adds a reading to its session: beside what is there, in the place of an earlier reading of the same delivery, or
    joined with what other deliveries told of the same talk."""
    reading = named(delivery, reading)
    begin_session(conn, settings, delivery, reading)
    if delivery.readings and delivery.session_id not in (None, reading.session.id):
        take_back(conn, settings, delivery)
    if reading.extent != "part":
        return tell_together(conn, settings, delivery, reading)
    understood = understand(conn, settings, reading, delivery.received_at)
    keep(conn, settings, delivery, understood, replaced=[delivery.key] if delivery.readings else [])
    return understood


def tell_together(conn: Connection, settings: Settings, delivery: Delivery, reading: Reading) -> Understanding:
    """Reads all that was told of a talk again, with one more delivery, and keeps what comes of them together."""
    before = tellings(conn, settings, delivery, reading.session.id)
    told = sorted([*before, (delivery, reading)], key=lambda pair: (pair[0].received_at, pair[0].key))
    joined = join([read_one for _, read_one in told])
    if before and not delivery.readings and says_the_same(joined, join([read_one for _, read_one in before])):
        return understand(conn, settings, Reading(reading.session), delivery.received_at)
    understood = understand(conn, settings, joined, told[0][0].received_at)
    replaced = [other.key for other, _ in before]
    if delivery.readings:
        replaced.append(delivery.key)
    keep(conn, settings, told[0][0], understood, replaced)
    return understood


def tellings(
    conn: Connection, settings: Settings, delivery: Delivery, session_id: str
) -> list[tuple[Delivery, Reading]]:
    """What the other deliveries of a talk tell of it, in the order of arrival."""
    found = []
    for told in deliveries.telling(conn, session_id, delivery.source, settings.keys().sealing):
        if told.key == delivery.key:
            continue
        read_one = attempt_to_read(told)
        if isinstance(read_one, Reading) and read_one.extent != "part" and read_one.session.id == session_id:
            found.append((told, named(told, read_one)))
        else:
            log.warning("delivery=%s tells its talk no more; reprocess it", told.key)
    return found


def says_the_same(one: Reading, other: Reading) -> bool:
    return replace(one, session=other.session, format=other.format, extent=other.extent) == other


def take_back(conn: Connection, settings: Settings, delivery: Delivery) -> None:
    """Takes what an earlier reading gave out of its session; the others of a talk tell it without this one."""
    session = SessionDraft(delivery.session_id or "")
    sessions.lock(conn, session.id)
    rest = tellings(conn, settings, delivery, session.id)
    reading = join([read_one for _, read_one in rest]) if rest else Reading(session)
    replaced = [delivery.key, *(told.key for told, _ in rest)]
    first = rest[0][0] if rest else delivery
    keep(conn, settings, first, understand(conn, settings, reading, first.received_at), replaced)


def named(delivery: Delivery, reading: Reading) -> Reading:
    """The reading with ids for what its sender named not, so that it is known when it is read again."""
    return replace(
        reading,
        tasks=tuple(
            task if task.id or task.memory is not None else replace(task, id=tasks.made_id(f"{delivery.key} {place}"))
            for place, task in enumerate(reading.tasks)
        ),
        artifacts=tuple(
            artifact if artifact.id else replace(artifact, id=f"artifact_{delivery.key[:12]}_{place}")
            for place, artifact in enumerate(reading.artifacts)
        ),
    )


def begin_session(conn: Connection, settings: Settings, delivery: Delivery, reading: Reading) -> None:
    """Makes the session, or adds what the delivery says of it, and locks it. Raises SessionForgotten for what came
    before it was forgotten: only a session that is made anew can be one, or one of which a part was."""
    session = reading.session
    if delivery.readings and sessions.lock(conn, session.id):
        return  # what it said of the session when it came may be out of date
    if session.must_exist and not sessions.exists(conn, session.id):
        # The delivery that begins the session may be on its way in another batch.
        raise Unreadable("The session that this command is for does not exist.", code="unknown_session", retry=True)
    if session.language is None:
        named = next(
            (session.metadata[name] for name in LANGUAGE_NAMES if isinstance(session.metadata.get(name), str)), None
        )
        session = replace(session, language=language_of(named))
    here = sessions.ensure(conn, session, live=reading.extent == "live", language=settings.language)
    is_late = here["forgets_until"] is not None and delivery.received_at <= here["forgets_until"]
    if is_late or (here["is_new"] and forgetting.is_forgotten(conn, session.id, delivery.received_at)):
        raise SessionForgotten("What this delivery is for was forgotten.")


def keep(
    conn: Connection, settings: Settings, delivery: Delivery, understood: Understanding, replaced: Sequence[str]
) -> None:
    """Writes an understanding in the place of what the `replaced` deliveries gave. Needs a transaction."""
    reading = understood.reading
    session_id = reading.session.id
    drafts, freed = understood.memories, list[str]()
    if replaced:
        drafts = known_again(drafts, memories.in_use(conn, session_id, replaced))
        freed = sessions.withdraw(conn, session_id, replaced)
    turn_ids = sessions.add_turns(conn, session_id, delivery.key, delivery.received_at, understood.turns)
    chunks.add(
        conn,
        session_id,
        delivery.key,
        understood.chunks,
        turn_ids=turn_ids,
        extracted=[items_of(c, understood.memories) for c in understood.chunks],
        freed=freed,
    )
    memory_ids, standing = keep_memories(conn, session_id, delivery, drafts, turn_ids, replaced)
    if replaced:
        memories.withdraw(conn, session_id, replaced, kept=memory_ids, turn_ids=turn_ids)
    keep_tasks(conn, session_id, delivery, drafts, understood.tasks, memory_ids, standing)
    keep_replacements(conn, drafts, memory_ids)
    if replaced or understood.gaps:
        extraction.record_gaps(conn, delivery.key, understood.gaps, settings.max_attempts)
    for artifact in reading.artifacts:
        if not (replaced and artifact.id and artifacts.get(conn, artifact.id)):
            artifacts.attach(conn, session_id, artifact, delivery=delivery.key)


def items_of(piece: Chunk, drafts: Sequence[MemoryDraft]) -> dict[str, list[str]]:
    """Titles of what was extracted from a chunk, by type."""
    items: dict[str, list[str]] = defaultdict(list)
    for draft in drafts:
        if draft.turn is not None and piece.first_turn <= draft.turn <= piece.last_turn:
            items[draft.type].append(draft.title)
    return items


def attempt_to_read(delivery: Delivery) -> Outcome | AIWebhookError:
    try:
        return read(delivery)
    except JobTimeout:
        raise
    except AIWebhookError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a reader's bug is this delivery's failure, kept and replayable
        return AIWebhookError(where_it_broke(error))


def where_it_broke(error: Exception) -> str:
    """The kind of an error and its place in our code; never its message, which may quote what was said."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}."
