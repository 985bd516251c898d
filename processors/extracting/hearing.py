"""Turns to memories by rules, in one pass. What is said later completes, corrects or takes back what was said before.

A sentence is found with its span, cleaned of hesitation, tried against the table of rules, and guarded against what
only sounds alike. Naming, merging and storing memories is for others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.memory import MemoryDraft, MemoryType
from domain.session import Role, Turn
from processors.extracting.cleaning import EDGES, LONGEST_TITLE, headline, tags_of, without_fillers, without_lead
from processors.extracting.corrections import STARTS_OVER, TAKES_BACK, TURN_WORDS, is_fragment
from processors.extracting.details import details
from processors.extracting.finding import Finding, amended, find, find_corrected, says_something
from processors.extracting.guards import CHATTER, OPENERS
from processors.extracting.phrases import WORD, compiled, needed_words, word_set
from processors.extracting.rules import ASSISTANT, PEOPLE, SUMMARY, Table
from processors.extracting.sentences import LONGEST_SENTENCE, sentences


@dataclass(frozen=True, slots=True)
class _Sentence:
    """Where a sentence stands, and its words in lower case, with "?" as a word of its own."""

    turn: int
    start: int
    end: int
    words: list[str]


@dataclass(slots=True)
class _Speaker:
    """What is kept of a speaker until their next sentence."""

    last: _Sentence | None = None
    found: Finding | None = None  # what `last` gave, and the place of its draft
    draft: int | None = None
    waiting: Finding | None = None  # a trigger in `last` whose content is still to come: "Add an action item."
    turning: bool = False  # "No, wait." was a sentence of its own


_NEARLY_NOTHING = word_set(
    "actually ah and but hang hm hmm mm mhm no oh ok okay on right so sorry uh um wait well yeah yep yes"
)
_PLACE = compiled(r"(for|in|on) [\w' -]{2,40},? ?")
_WAITING_TURNS = 2  # the other's "Sure, what is it?" may come between a trigger and its content
_LATELY = 50  # so many memories back an assistant's record may repeat
_AGENT_WORDS = needed_words("<agent>")
_VAGUE = 0.6


def extract(turns: Sequence[Turn]) -> list[MemoryDraft]:
    """The memories in these turns, in the order in which they were said.

    People are heard in full; an assistant only where it records outright ("Action item: …") what nobody had said
    before; a summary only when there is nothing else.
    """
    hearing = Hearing(turns)
    only_summaries = all(turn.role == "summary" for turn in turns)
    for position, turn in enumerate(turns):
        if turn.role == "assistant":
            hearing.hear(position, ASSISTANT)
        elif turn.role != "summary":
            hearing.hear(position, PEOPLE)
        elif only_summaries:
            hearing.hear(position, SUMMARY)
    return [draft for draft in hearing.drafts if draft]


class Hearing:
    """One pass over the turns. What is said later can complete, correct or take back what was said before."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.turns = turns
        self.drafts: list[MemoryDraft | None] = []
        self.speakers: dict[tuple[Role, str], _Speaker] = {}

    def hear(self, position: int, table: Table) -> None:
        """Takes in one turn, sentence by sentence."""
        turn = self.turns[position]
        speaker = self.speakers.setdefault((turn.role, turn.speaker), _Speaker())
        for start, end in sentences(turn.text):
            text = turn.text[start:end]
            words = WORD.findall(text.lower().replace("’", "'"))
            if "?" in text[-3:] or (text[-1].isalnum() and text[0].islower() and not OPENERS.isdisjoint(words[:3])):
                words.append("?")
            if _NEARLY_NOTHING.issuperset(words):
                speaker.turning |= "no" in words and ("wait" in words or "actually" in words)
                continue
            sentence = _Sentence(position, start, end, words)
            turning = speaker.draft is not None and (speaker.turning or not TURN_WORDS.isdisjoint(words))
            if turning or speaker.waiting or table.may_hold(words):
                self._take(sentence, speaker, table, turning)
            else:
                speaker.last, speaker.found, speaker.draft = sentence, None, None
            speaker.turning = False

    def _take(self, sentence: _Sentence, speaker: _Speaker, table: Table, turning: bool) -> None:
        said = self._said(sentence)
        if turning and self._turned(said, sentence, speaker, table):
            return
        requests = self.turns[sentence.turn].role == "user" or not _AGENT_WORDS.isdisjoint(sentence.words)
        finding = find_corrected(said, sentence.words, table, requests)
        if not self._completed(said, finding, sentence, speaker):
            self._keep(finding, sentence, speaker)

    def _turned(self, said: str, sentence: _Sentence, speaker: _Speaker, table: Table) -> bool:
        """Whether the sentence took back or mended the memory before it: "Scratch that.", "No wait, Postgres."."""
        bare = without_lead(said)
        back, over = TAKES_BACK.match(bare), STARTS_OVER.match(said)
        if not (back or over or speaker.turning) or speaker.found is None:
            return False
        rest = bare[back.end() :] if back else said[over.end() :] if over else bare
        before, earlier = speaker.found, speaker.last
        finding = find(rest, sentence.words, table, requests=True)
        if finding and (finding.rule.explicit or finding.rule.type == before.rule.type):
            self._drop(speaker)
            self._keep(finding, sentence, speaker)
        elif is_fragment(rest):
            self._drop(speaker)
            self._keep(amended(before, rest), self._since(earlier, sentence), speaker)
        elif back:
            self._drop(speaker)
            speaker.last = sentence
        else:
            return False
        return True

    def _completed(self, said: str, finding: Finding | None, sentence: _Sentence, speaker: _Speaker) -> bool:
        """Whether the sentence is what a trigger was waiting for."""
        trigger, earlier = speaker.waiting, speaker.last
        if trigger is None or earlier is None:
            return False
        bare = without_lead(said)
        if CHATTER.fullmatch(bare.strip(EDGES)):
            return True
        speaker.waiting = None
        if sentence.turn - earlier.turn > _WAITING_TURNS:
            return False
        same = finding is not None and finding.rule.type == trigger.rule.type
        content = finding.content if finding and same else headline(bare)
        if not says_something(content) or (finding and finding.rule.explicit and not same):
            return False
        if not TAKES_BACK.match(bare):
            whole = replace(trigger, content=content, said=f"{trigger.said} {said}")
            self._keep(whole, self._since(earlier, sentence), speaker)
        return True

    def _keep(self, finding: Finding | None, sentence: _Sentence, speaker: _Speaker) -> None:
        if finding and not says_something(finding.content):
            finding, sentence = self._referred(finding, sentence, speaker)
        draft = self._draft(finding, sentence) if finding else None
        speaker.last, speaker.found, speaker.draft = sentence, finding, None
        if draft:
            speaker.draft = len(self.drafts)
            self.drafts.append(draft)

    def _referred(self, finding: Finding, sentence: _Sentence, speaker: _Speaker) -> tuple[Finding | None, _Sentence]:
        """The finding with its content from elsewhere: "Postgres, final answer.", "… Add that to my list."."""
        pointing = bool(finding.content) or finding.rule.takes == "back"
        earlier = speaker.last
        if pointing and tags_of(finding.before):
            return replace(finding, content=headline(finding.before), before=""), sentence
        if pointing and earlier and sentence.turn - earlier.turn <= _WAITING_TURNS:
            content = speaker.found.content if speaker.found else headline(self._said(earlier))
            if speaker.found and not speaker.found.rule.explicit:
                self._drop(speaker)
            return replace(finding, content=content), self._since(earlier, sentence)
        if pointing:
            vague = replace(finding.rule, confidence=_VAGUE)
            return replace(finding, rule=vague, content=headline(finding.said)), sentence
        speaker.waiting = finding if finding.rule.explicit else None
        return None, sentence

    def _draft(self, finding: Finding, sentence: _Sentence) -> MemoryDraft | None:
        rule, turn = finding.rule, self.turns[sentence.turn]
        title = _title(finding)
        if not WORD.search(title) or (turn.role == "assistant" and self._was_said(rule.type, title)):
            return None
        return MemoryDraft(
            type=rule.type,
            title=title,
            content=details(rule.type, finding.said),
            tags=tags_of(title),
            confidence=rule.confidence,
            explicit=rule.explicit,
            extractor="rules",
            speaker=turn.speaker,
            turn=sentence.turn,
            char_start=sentence.start,
            char_end=sentence.end,
            quote=self._text(sentence),
        )

    def _was_said(self, type: MemoryType, title: str) -> bool:
        tags = set(tags_of(title))
        same = (set(draft.tags) for draft in self.drafts[-_LATELY:] if draft and draft.type == type)
        return any(2 * len(tags & other) >= max(1, min(len(tags), len(other))) for other in same)

    def _drop(self, speaker: _Speaker) -> None:
        if speaker.draft is not None:
            self.drafts[speaker.draft] = None
            speaker.draft = speaker.found = None

    def _since(self, earlier: _Sentence | None, sentence: _Sentence) -> _Sentence:
        if earlier is None or earlier.turn != sentence.turn or sentence.end - earlier.start > 2 * LONGEST_SENTENCE:
            return sentence
        return replace(sentence, start=earlier.start)

    def _said(self, sentence: _Sentence) -> str:
        return without_fillers(self._text(sentence), sentence.words)

    def _text(self, sentence: _Sentence) -> str:
        return self.turns[sentence.turn].text[sentence.start : sentence.end]


def _title(finding: Finding) -> str:
    """The headline with the place named first put last: "For storage, let's use SQLite" is "Use SQLite for storage"."""
    title, place = finding.content, finding.before.strip(EDGES)
    if finding.rule.takes == "rest" and _PLACE.fullmatch(place) and len(title) + len(place) < LONGEST_TITLE:
        return f"{title} {place[0].lower()}{place[1:]}"
    return title
