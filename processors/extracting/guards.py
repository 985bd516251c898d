"""What only sounds like a memory: negated, supposed, asked or reported ("we haven't decided", "she said let's go")."""

import re

from domain.memory import MemoryType
from processors.extracting.cleaning import EDGES
from processors.extracting.phrases import WORD, compiled, expanded, word_set
from processors.extracting.rules import Rule

# Each is looked for in what stands before a match.
_NEGATED = compiled(
    r"\b(not|never|no need to|(?<!why )don'?t|doesn'?t|didn'?t|won't|can't|haven't|without)\b[^,;:]{0,60}$"
)
_SUPPOSED = compiled(
    r"\b((if|whether|unless|suppose|supposing|imagine|assuming)\b( (?!(and|but|so)\b)[\w']+){0,4}"
    r"|(until|when|whenever|before|after|once|wish|thought|let's say)( that)?) ?$"
)
_ASKED = compiled(r"\b(do|does|did|should|would|could|can|have|has|had|how|why|where|who|which|what|because) ?$")
_OBJECT = compiled(r"\b(all|things?|stuff|everything|that|maybe|might) ?$")
_REPORTED = compiled(
    r"(?<!\bi )(?<!\bwe )\b(said|says|saying|told|mentioned|claims|claimed|was like|were like)\b(,? [\w']+){0,3},? ?$"
)
_OTHERS = compiled(
    r"\b(we (can|could|would|might|may)"
    r"|(they|users?|people|it|which|who|he|she|app)( (can|could|would|might|may|will|should|to))?) $"
)
_CONDITIONAL = compiled(r"^(if|unless|once|when)\b")
_GUARDS: dict[MemoryType, tuple[re.Pattern[str], ...]] = {
    "decision": (_NEGATED, _SUPPOSED, _ASKED),
    "action_item": (_NEGATED, _SUPPOSED),
    "fact": (_NEGATED, _SUPPOSED, _ASKED),
    "note": (_NEGATED, _SUPPOSED),
    "preference": (_NEGATED, _SUPPOSED, _ASKED),
    "context": (_SUPPOSED,),
    "risk": (_NEGATED,),
}
_OUR_OWN = compiled(r"(what )?we\b(?!'ll|'re)")
OPENS_QUESTION = compiled(r"(<query>|whose|<auxiliary>)\b")
OPENERS = word_set(re.sub(r"[(|)]", " ", expanded("<query> <auxiliary> what's")))
CHATTER = compiled(
    r"((is|was) (that|this|it) (right|ok(ay)?|clear|all|good|it|fine)|((do )?you )?know what i mean"
    r"|does that make sense|makes? sense|are you (still )?there|(can|do|did) you hear me"
    r"|how are you( doing)?( today)?|how's it going|what's up|what do you think|what about you|how about you"
    r"|what did you say|what was that|you know what|(can|could) you (repeat that|say that again)"
    r"|(is there )?anything else( i can .*| you .*)?|are you sure|isn't it|don't you think|sounds? good"
    r"|you see what i mean)"
)


def may_ask(rule: Rule) -> bool:
    """Whether a sentence that asks can still be this. "We decided on blue?" decides nothing."""
    if rule.type in ("action_item", "note", "fact"):
        return rule.explicit or rule.takes == "request"
    return rule.type in ("idea", "question")


def stands(rule: Rule, said: str, match: re.Match[str]) -> bool:
    before = said[: match.start()]
    if rule.type == "question":
        return rule.takes != "whole" or _asks(said)
    if any(guard.search(before) for guard in _GUARDS.get(rule.type, ())):
        return False
    if rule.type == "decision":
        return not _REPORTED.search(before) or bool(_OUR_OWN.match(match.group()))
    if rule.type == "action_item" and rule.explicit:
        return not _OTHERS.search(before)
    if rule.type == "action_item":
        return not any(guard.search(before) for guard in (_ASKED, _OBJECT, _REPORTED, _CONDITIONAL))
    return True


def _asks(said: str) -> bool:
    return len(WORD.findall(said)) >= 3 and not CHATTER.fullmatch(said.strip(EDGES))
