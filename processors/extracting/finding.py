"""One sentence to one finding: the strongest rule that holds, with what the sentence says in a few words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from processors.extracting.cleaning import headline, tags_of, without_lead, without_tail
from processors.extracting.corrections import TURN_WORDS, TURNS, is_fragment, replaced
from processors.extracting.guards import OPENS_QUESTION, may_ask, stands
from processors.extracting.phrases import WORD, compiled
from processors.extracting.rules import Rule, Table


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that holds for a sentence; what it found, as a headline; what stood before that; all that was said."""

    rule: Rule
    content: str
    before: str
    said: str


_PRONOUN = compiled(r"(that|this|it|those|these|them|that one|this one|the same|him|her|so)")
_STRONG_GUESS = 0.75
_POINTS = compiled(r"\b(it|that|this|them|one)\b")
_RESIDUE = compiled(r"[\s:,;.…—–-]*((that|to|is to|is that|is)\s+)?[\s:,;—–-]*")


def find(said: str, words: Sequence[str], table: Table, requests: bool) -> Finding | None:
    """The strongest rule that holds. `requests`: "can you …?" is addressed to somebody who could do it."""
    heard, said = said, without_lead(said)
    asking = "?" in words and "?" in said[-3:]
    if asking:
        statement = without_tail(said)
        asking = statement == said or bool(OPENS_QUESTION.match(said))
        said = said if asking else statement
    for rule in table.candidates(said, words):
        if (asking and not may_ask(rule)) or (rule.takes == "request" and not requests):
            continue
        match = rule.match(said)
        if match and stands(rule, said, match):
            content = headline(_content(rule, said, match, table))
            if rule.explicit or rule.type == "question" or _says_enough(content, rule.confidence):
                return Finding(rule, content, said[: match.start()], heard)
    return None


def _content(rule: Rule, said: str, match: re.Match[str], table: Table) -> str:
    if rule.takes == "whole":
        return said
    named = match.groupdict().get("what")
    content = said[match.end() :] if named is None or _PRONOUN.fullmatch(named) else named
    return _unnested(rule, _RESIDUE.sub("", content, count=1), table)


def says_something(content: str) -> bool:
    return bool(WORD.search(content)) and not _PRONOUN.fullmatch(content)


def _says_enough(content: str, confidence: float) -> bool:
    """Whether a guess has something to it: "do that later" and "buy it" have not."""
    pointing = confidence < _STRONG_GUESS and _POINTS.search(content)
    return len(tags_of(content)) > (1 if pointing else 0)


def _unnested(rule: Rule, content: str, table: Table) -> str:
    """The content without a second trigger of the same kind: "I have an idea: what if we add …"."""
    content = without_lead(content)
    for inner in table.nested[rule.type]:
        if match := inner.pattern.match(content):
            return _RESIDUE.sub("", content[match.end() :], count=1)
    return content


def amended(finding: Finding, correction: str) -> Finding:
    said = replaced(finding.content, correction)
    return replace(finding, content=headline(said), said=f"{finding.before}{said}")


def find_corrected(said: str, words: Sequence[str], table: Table, requests: bool) -> Finding | None:
    """As `find`, but where the speaker turns in the middle of the sentence, what was said last counts."""
    turns = list(TURNS.finditer(said)) if not TURN_WORDS.isdisjoint(words) else []
    if not turns:
        return find(said, words, table, requests)
    first = find(said[: turns[0].start()], words, table, requests)
    last = said[turns[-1].end() :]
    second = find(last, words, table, requests)
    if second and (second.rule.explicit or (first and first.rule.type == second.rule.type)):
        return second
    if first and is_fragment(last):
        return amended(first, last)
    return None if first and turns[-1]["firmly"] else find(said, words, table, requests)
