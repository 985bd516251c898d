"""Items that two speakers make together: "Should we use Postgres?" – "Yes, do it."

One proposes, a person agrees, and what was proposed is decided or to be done. The quote is the proposal's, since that
is where the content is said; of "Postgres or SQLite?" it is the answer's.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domain.memory import MemoryDraft, MemoryType
from domain.session import Turn
from processors.extracting.cleaning import EDGES, headline, tags_of, without_fillers, without_lead
from processors.extracting.covered import Covered
from processors.extracting.details import details
from processors.extracting.phrases import WORD, compiled
from processors.extracting.sentences import sentences

_LONGEST_PROPOSAL = 200
_MARKS = re.compile(r"[.!?]")
_NEXT_TURNS = 2  # an answer may come after somebody else's
_FIRM, _WEAK = 0.85, 0.65
_ALSO = r"( (just|also|then|maybe|please|go ahead and|really|both|all))*"
_PROPOSALS: tuple[tuple[MemoryType, re.Pattern[str]], ...] = (
    (
        "action_item",
        compiled(
            rf"^((should|shall|can) i|(do|would|did) you (want|like|need) me to|(do you )?want me to){_ALSO} "
            r"(?!<state>)(?P<what>\S.*)\?$"
        ),
    ),
    (
        "decision",
        compiled(
            rf"^((should|shall|can|could) we|(do|did) (we|you) (want|decide|agree) to|why don't we"
            r"|(are we|we're) (going|gonna) to"
            rf"|(are|is) (we|it) (agreed|settled|ok|okay|fine) (that we|to|if we)|(what|how) about( if)? we){_ALSO} "
            r"(?!<state>|(start|begin|talk|continue|go (on|over|through)|move on|look|have a (look|break)|do this)\b)"
            r"(?P<what>\S.*?)(,? (then|or not|right|yes|okay|agreed))?\?$"
        ),
    ),
)
_NOTED = compiled(
    r"^(add|create|make|open|note|set|put|log)( (a|an|another|this|that|it|you|down))*( new)? "
    r"(task|todo|to-do|to do|action item|ticket|reminder|note)( for (you|that|this))?( (to|about|for|that))?\b"
    r"|^remind you (to|about|that)\b"
)
_AGREES = compiled(
    r"^((oh|um|uh|well|and|so),? )*(?P<how>(yes|yeah|yep|yup|sure|okay|ok|absolutely|definitely|of course|agreed"
    r"|exactly|please|perfect|great|fine|sounds good|good idea|do (it|that)|go (ahead|for it)|let's)"
    r"([,.! ]+(yes|yeah|please|do|do (it|that)|go (ahead|for it)|let's|let's (do|go with|use) (it|that|this)"
    r"|that's (fine|good|great|it)|i (think so|agree)|we (should|will|do)|sounds good|good idea|absolutely|definitely"
    r"|thanks|thank you|great|perfect|sure|okay|agreed))*)[.!, ]*$"
)
_FIRMLY = compiled(
    r"\b(do (it|that)|do$|go (ahead|for it)|let's|please|agreed|absolutely|definitely|we (should|will)|of course)\b"
)
_OPTION = r"((the|an?|this|that) )?[\w.+#-]+( [\w.+#-]+)?"
_CHOICE = compiled(rf"(^|[\s,])(?P<first>{_OPTION}),? or (?P<second>{_OPTION})( then)?\?$")
_CHOSEN = compiled(
    r"^((let's|i'd|we'll|definitely|i say|i think) )*((use|go with|take|say|do|have) )?"
    r"(?P<what>[\w.+#' -]{2,40}?)( then| please)?[.!]*$"
)
_ONLY_LETTERS = re.compile(r"\W+")


@dataclass(frozen=True, slots=True)
class _Sentence:
    start: int
    end: int
    said: str


def with_agreed(turns: Sequence[Turn], drafts: Sequence[MemoryDraft]) -> list[MemoryDraft]:
    """The drafts with what was agreed upon, which takes the place of the question or idea that it was before."""
    covered, added, gone = Covered(drafts), list[MemoryDraft](), set[int]()
    for new in agreed(turns):
        before = list(covered.overlapping(new))
        if not any(old.explicit or old.type == new.type for old in before):
            gone |= {id(old) for old in before}
            added.append(new)
    kept = [old for old in drafts if id(old) not in gone] + added
    return sorted(kept, key=lambda draft: (draft.turn or 0, draft.char_start or 0))


def agreed(turns: Sequence[Turn]) -> Iterator[MemoryDraft]:
    """What was proposed in one turn and agreed to, or chosen, in one of the next."""
    for position, turn in enumerate(turns):
        answer = _answer(turns, position) if turn.role != "summary" else None
        asked = _asked(turn.text) if answer is not None else None
        if answer is not None and asked is not None:
            yield from _concluded(turns, position, asked, answer)


def _asked(text: str) -> _Sentence | None:
    """The last question of a turn; of one without any marks its last sentence, which may be one."""
    if "?" not in text and _MARKS.search(text):
        return None
    spans = [span for span in sentences(text) if "?" in text[span[0] : span[1]] or "?" not in text]
    if not spans or spans[-1][1] - spans[-1][0] > _LONGEST_PROPOSAL:
        return None
    start, end = spans[-1]
    bare = text[start:end]
    said = without_lead(without_fillers(bare, WORD.findall(bare.lower().replace("’", "'"))))
    return _Sentence(start, end, f"{said.rstrip(EDGES)}?")


def _answer(turns: Sequence[Turn], position: int) -> int | None:
    """The next turn of a person who is not the one who asked."""
    asker = (turns[position].role, turns[position].speaker)
    for later in range(position + 1, min(len(turns), position + 1 + _NEXT_TURNS)):
        turn = turns[later]
        if turn.role in ("user", "other") and (turn.role, turn.speaker) != asker:
            return later
    return None


def _concluded(turns: Sequence[Turn], position: int, asked: _Sentence, answer: int) -> Iterator[MemoryDraft]:
    start, end = next(sentences(turns[answer].text), (0, 0))
    reply = " ".join(turns[answer].text[start:end].replace("’", "'").split())
    if choice := _CHOICE.search(asked.said):
        chosen = _CHOSEN.match(without_lead(reply).strip(EDGES))
        if chosen and (title := _choice(choice, chosen["what"])):
            yield _draft(turns, answer, start, end, "decision", title, _FIRM, asked.said)
        return
    agrees = _AGREES.match(reply)
    for type, pattern in _PROPOSALS if agrees else ():
        if type == "decision" and turns[position].role == "assistant":
            continue  # "Shall we make a list?" is only how it talks
        if proposal := pattern.match(asked.said):
            noted = _NOTED.match(proposal["what"])
            title = headline(proposal["what"][noted.end() :] if noted else proposal["what"])
            if tags_of(title):
                sure = _FIRM if noted or _FIRMLY.search(reply) else _WEAK
                yield _draft(turns, position, asked.start, asked.end, "action_item" if noted else type, title, sure,
                             asked.said, outright=bool(noted))  # fmt: skip
            return


def _choice(choice: re.Match[str], answer: str) -> str | None:
    """ "Postgres instead of SQLite", when the answer is one of the two."""
    said = _ONLY_LETTERS.sub("", answer.lower())
    for mine, other in ((choice["first"], choice["second"]), (choice["second"], choice["first"])):
        if said and _ONLY_LETTERS.sub("", mine.lower()).endswith(said):
            return headline(f"{answer} instead of {other}")
    return None


def _draft(
    turns: Sequence[Turn],
    position: int,
    start: int,
    end: int,
    type: MemoryType,
    title: str,
    confidence: float,
    said: str,
    *,
    outright: bool = False,
) -> MemoryDraft:
    turn = turns[position]
    return MemoryDraft(
        type=type,
        title=title,
        content=details(type, title) | details(type, said),
        tags=tags_of(title),
        confidence=confidence,
        explicit=outright,
        extractor="rules",
        speaker=turn.speaker,
        turn=position,
        char_start=start,
        char_end=end,
        quote=turn.text[start:end],
    )
