"""One talk told by several deliveries: live segments, a report, an analysis, each perhaps more than once. Pure.

What comes of them depends on what they say and not on the order in which they came: the live segments are merged, and
the fullest telling of the whole talk takes their place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from domain.delivery import Reading
from domain.memory import MemoryDraft
from domain.session import Turn
from domain.task import TaskDraft

SHORTER = 0.5  # a "whole" talk of less than this share of what was heard live was cut off on its way

Turns = tuple[Turn, ...]


def join(readings: Sequence[Reading]) -> Reading:
    """All that was told of one talk, as one reading. `readings` are in the order of arrival, at least one."""
    main = fullest([reading for reading in readings if reading.turns]) or readings[0]
    turns = main.turns if main.extent == "whole" else merge_live([r.turns for r in readings if r.extent == "live"])
    offsets = places(readings)
    return Reading(
        session=readings[-1].session,
        turns=turns,
        format=main.format,
        summary=max((r.summary for r in readings if r.summary), key=lambda text: (len(text), text), default=None),
        memories=tuple(located(m, reading.turns, turns) for reading in readings for m in reading.memories),
        tasks=tuple(shifted(task, next(offsets)) for reading in readings for task in reading.tasks),
        artifacts=tuple(artifact for reading in readings for artifact in reading.artifacts),
        extent="whole" if any(reading.extent == "whole" for reading in readings) else "live",
    )


def fullest(readings: Sequence[Reading]) -> Reading | None:
    """The whole talk where one is told that was not cut off, else a live segment; None when no turn is told at all."""
    live = [reading for reading in readings if reading.extent == "live"]
    heard = length(merge_live([reading.turns for reading in live]))
    whole = max((r for r in readings if r.extent == "whole"), key=lambda r: fullness(r.turns), default=None)
    if whole and length(whole.turns) >= SHORTER * heard:
        return whole
    return live[0] if live else None


def fullness(turns: Turns) -> tuple[object, ...]:
    """More words, then more times and more names; the rest only makes the choice the same in every order."""
    timed = sum(start_of(turn) is not None for turn in turns)
    return length(turns), timed, sum(bool(turn.speaker) for turn in turns), repr(turns)


def length(turns: Turns) -> int:
    return sum(len(turn.text) for turn in turns)


def start_of(turn: Turn) -> float | None:
    if turn.start_seconds is not None:
        return turn.start_seconds
    return turn.start_time.timestamp() if turn.start_time else None


def merge_live(segments: Sequence[Turns]) -> Turns:
    """All segments, each once: of those with one speaker and start the longest, which went on or was corrected.

    By time, where every one has a time; else as they came.
    """
    merged: dict[object, Turn] = {}
    for place, turn in enumerate(turn for turns in segments for turn in turns):
        start = start_of(turn)
        name = place if start is None else (turn.speaker, start)
        merged[name] = max(
            merged.get(name, turn), turn, key=lambda t: (len(t.text), t.text, str(t.end_seconds), t.role)
        )
    turns = [(start_of(turn), turn) for turn in merged.values()]
    if all(start is not None for start, _ in turns):
        turns.sort(key=lambda pair: (pair[0], pair[1].speaker))
    return tuple(turn for _, turn in turns)


def located(memory: MemoryDraft, before: Turns, after: Turns) -> MemoryDraft:
    """A memory whose `turn` counted in the turns before, counting in those after: there, or where its words are said
    again, or without a place."""
    if memory.turn is None or before == after:
        return memory
    if before[memory.turn] in after:
        return replace(memory, turn=after.index(before[memory.turn]))
    for place, turn in enumerate(after):
        if memory.quote and (start := turn.text.find(memory.quote)) >= 0:
            return replace(memory, turn=place, char_start=start, char_end=start + len(memory.quote))
    return replace(memory, turn=None, char_start=None, char_end=None, quote=None)


def places(readings: Sequence[Reading]) -> Iterator[int]:
    """For each task of each reading, where the memories of its reading begin among all."""
    begin = 0
    for reading in readings:
        yield from [begin] * len(reading.tasks)
        begin += len(reading.memories)


def shifted(task: TaskDraft, begin: int) -> TaskDraft:
    return task if task.memory is None else replace(task, memory=task.memory + begin)
