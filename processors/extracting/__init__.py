"""Turns to memories: what was decided, asked, wished for and is to be done, in the speaker's own words.

rules    explicit forms, and guesses by forms         hearing.py, with the table in rules.py
         what one proposes and another agrees to      agreeing.py
model    what talk of the kind was labelled           judging.py, items.py
weighed  both together                                weighing.py
llm      what a language model answered, if any       llm.py, beside the others
"""

from collections.abc import Collection, Sequence

from domain.memory import MemoryDraft
from domain.session import Turn
from processors.extracting import agreeing, hearing, weighing

__all__ = ["extract"]

DEFAULT_EXTRACTORS = ("rules", "model")


def extract(turns: Sequence[Turn], extractors: Collection[str] = DEFAULT_EXTRACTORS) -> list[MemoryDraft]:
    """The memories in these turns by rules, model or both, in the order in which they were said. Pure."""
    by_rules = agreeing.with_agreed(turns, hearing.extract(turns)) if "rules" in extractors else []
    return weighing.weighed(turns, by_rules) if "model" in extractors else by_rules
