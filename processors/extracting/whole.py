"""A whole talk through all extractors that are set, so that what breaks in a part of it takes only that part.

What could not be read is a gap: recorded, and tried again alone.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from domain.memory import MemoryDraft
from domain.session import Turn
from domain.settings import Settings
from processors.extracting import believing, extract, llm
from processors.extracting.covered import Covered
from processors.extracting.pieces import Piece, pieces
from processors.rq_worker import JobTimeout
from store.extraction import Gap

log = logging.getLogger("ai_webhook.processors")

Answers = Mapping[str, Sequence[Mapping[str, Any]]]


def wanted_answers(turns: Sequence[Turn], settings: Settings) -> list[Piece]:
    """The pieces that a language model should have read, when one is set."""
    return list(pieces(turns, llm.kind_of(settings))) if "llm" in settings.extractor_names() else []


def extract_whole(turns: Sequence[Turn], settings: Settings, answers: Answers) -> tuple[list[MemoryDraft], list[Gap]]:
    """The memories of a talk, and the gaps in it. `answers` are those of a language model, by piece. Pure."""
    names = [name for name in settings.extractor_names() if name != "llm"]
    found, gaps = without_faults(turns, names) if names else ([], [])
    for piece in wanted_answers(turns, settings):
        if piece.digest in answers:
            covered = Covered(found)
            for draft in believing.drafts(turns, piece, answers[piece.digest]):
                if next(covered.overlapping(draft), None) is None:
                    covered.add(draft)
            found = covered.drafts
        else:
            gaps.append(Gap("llm", piece.digest, piece.turns))
    return sorted(found, key=lambda draft: (draft.turn or 0, draft.char_start or 0)), gaps


def without_faults(turns: Sequence[Turn], names: Sequence[str]) -> tuple[list[MemoryDraft], list[Gap]]:
    """As `extract`; where that breaks, piece by piece, without the pieces that break."""
    try:
        return extract(turns, names), []
    except JobTimeout:
        raise
    except Exception as error:  # noqa: BLE001 - a fault in a rule must not cost the whole talk
        log.warning("extraction broke and goes on in pieces: %s", type(error).__name__)
    found, gaps = list[MemoryDraft](), list[Gap]()
    for piece in pieces(turns, "rules"):
        try:
            drafts = extract(turns[piece.first : piece.last + 1], names)
        except JobTimeout:
            raise
        except Exception as error:  # noqa: BLE001 - it is recorded as a gap
            gaps.append(Gap("rules", piece.digest, error_code=f"extraction_error:{type(error).__name__}"))
            continue
        found += [replace(draft, turn=piece.first + (draft.turn or 0)) for draft in drafts]
    return found, gaps


def completed(
    drafts: Sequence[MemoryDraft], complete: Callable[[Sequence[MemoryDraft]], list[MemoryDraft]]
) -> tuple[list[MemoryDraft], list[Gap]]:
    """The drafts as `complete` gives them back; where that breaks, those that broke it as they are, with a gap each."""
    try:
        return complete(drafts), []
    except JobTimeout:
        raise
    except Exception as error:  # noqa: BLE001 - a fault in a field must not cost the memory
        log.warning("fields broke and are told one by one: %s", type(error).__name__)
    kept, gaps = list[MemoryDraft](), list[Gap]()
    for draft in drafts:
        try:
            kept += complete([draft])
        except JobTimeout:
            raise
        except Exception as error:  # noqa: BLE001 - it is recorded as a gap
            digest = hashlib.sha256(f"fields {draft.turn} {draft.char_start} {draft.quote}".encode()).hexdigest()
            gaps.append(Gap("rules", digest, error_code=f"extraction_error:{type(error).__name__}"))
            kept.append(draft)
    return kept, gaps
