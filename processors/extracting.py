"""Turns to memories by rules: what was decided, asked, wished for and is to be done, in the speaker's own words.

A sentence is found with its span, cleaned of hesitation, tried against a table of rules, and guarded against what
only sounds alike ("we haven't decided", "she said let's go"). The rules read English. Naming, merging and storing
memories is for others. An extractor that learns from examples would stand beside this one, behind the same `extract`.

Everything is linear in the length of the text: whatever was sent, patterns see at most LONGEST_SENTENCE characters.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import eq
from typing import Any, Literal, cast

from domain.memory import MEMORY_TYPES, MemoryDraft, MemoryType
from domain.session import Role, Turn

LONGEST_SENTENCE = 600
LONGEST_TITLE = 100
MOST_TAGS = 4

Span = tuple[int, int]


# The language of the patterns ---------------------------------------------------------------------------------

# No group is possessive ("(…)*+"): Python before 3.11.5 lets such a group match what it should not, or not at all.
# Patterns are regular expressions with three shorthands: "(a|b)" does not capture, "<name>" stands for the part of
# that name, and "@word" or "@(words|words)" marks words of which a sentence must hold one for the pattern to match.
_PARTS = {
    "agent": r"((the )?@(claude|codex|gemini|researcher)( code| cli)?|(the )?@research agent)",
    "item": (
        r"(@action items?|@(task|tasks|todo|todos|ticket|tickets|reminder|reminders)|to[- ]@(do|dos)( items?)?"
        r"|@follow[- ]ups?)"
    ),
    "list": r"((my|our) @list|(my|our|the) (to-?do|to do|task|action) @list|(my|our) (to-@dos|@todos|@tasks))",
    "of what": (
        r"( (for|to|on) <list>)?( (for|on) <day>)?(,? (for|on) <agent>)?"
        r"(,? (to|that says?|saying|called|named|which is|that we|for|about|that))?"
    ),
    "a few": r"(an?|another|one more|new|two|three|some|these|a few|a couple of)",
    "feature": (  # "add a task view" is about a program, not a thing to do
        r"(list|view|board|manager|queue|bar|page|tracker|runner|table|feature|system|type|model|service|app|button"
        r"|screen|tracking|management|scheduler)s?"
    ),
    "now": r"( (just|now|also|already|finally|both|all|really|basically|definitely|actually|then|still))*",
    "we": r"(i|we)('?ve| have|'d)?<now>",
    "we are": r"(i'?m|i am|we're|we are)<now>",
    "we will": r"(i'll|we'll|i will|we will)<now>",
    "we would": r"(i|we)('d| would)?( (really|much|definitely|always|generally|personally|usually))*",
    "must": r"('ve)?('ll)? @(got to|gotta|have to|need to|must)( also| really| still)*",
    "jotting": r"(add|create|make|log|open|put|remind|take|set|note|write (this|that) down|assign|give)",
    "number": r"(\d[\d,.]*|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|fifty|a hundred)",
    "nice": r"(cool|nice|great|awesome|good|neat|useful|helpful|fun|interesting|amazing|handy|lovely|sweet)",
    "query": r"(what|why|how|when|where|who|which)",
    "auxiliary": (
        r"(is|are|was|were|do|does|did|can|could|should|would|will|have|has|had|shall|isn't|aren't|don't|doesn't|didn't"
        r"|can't|couldn't|shouldn't|won't|wouldn't)"
    ),
    "one": r"(i|we|you|they|he|she|it|there|this|that|these|those|the|my|our|your|any|anyone|someone)",
    "work": (
        r"(add|analy[sz]e|audit|benchmark|build|change|check|clean up|compare|configure|convert|create|debug|delete"
        r"|deploy|design|document|draft|edit|email|extract|figure out|find|finish|fix|generate|implement|improve"
        r"|install|investigate|look (up|into|at|for)|measure|merge|migrate|move(?! on)|optimi[sz]e|outline|plan"
        r"|prepare|profile|prototype|publish|pull|push|put together|read up|refactor|release|remove|rename|replace"
        r"|report|research|review|rewrite|run|schedule|search|send|set up|ship|sketch|summari[sz]e|switch|test"
        r"|track down|translate|update|upgrade|upload|verify|wire up|write)\b"
    ),
    "errand": (
        r"(ask|book|bring|buy|call|contact|file|follow up|get back|invite|meet|message|order|organi[sz]e|pay|phone"
        r"|pick up|post|print|renew|reply|return|ring|share|sign up|submit|talk to|tell(?! you)|text|use)\b"
    ),
    "state": (  # "we have to be careful" is nothing to do
        r"(be|have|know|think|say|admit|see|go|get going|run|leave|head|confess|tell|ask you|hear|feel|wait|stop|sleep"
        r"|eat|worry|believe|wonder|agree|apologi[sz]e|get used|live|deal)\b"
    ),
    "urgency": (
        r"(@urgent(ly)?|(high|top|low)[- ]@priority|@asap|@(as soon as possible)|@(when you get) (a|the) chance"
        r"|@(when you have) (a moment|time))"
    ),
    "weekday": r"(mon|tues|wednes|thurs|fri|satur|sun)day",
    "day": (
        r"(today|tonight|(tomorrow|<weekday>)( (morning|afternoon|evening|night))?|noon|midnight"
        r"|(this|next) (week|month|weekend|sprint|quarter|year|morning|afternoon|evening|<weekday>)"
        r"|(the )?end of (the |this )?(day|week|month|quarter|sprint|year)"
        r"|(january|february|march|april|may|june|july|august|september|october|november|december)"
        r" \d{1,2}(st|nd|rd|th)?"
        r"|the \d{1,2}(st|nd|rd|th))"
    ),
    "clock": (
        r"(\d{1,2}(:\d\d)?( ?[ap]\.?m\b\.?| o'clock)"
        r"|(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve) o'clock)"
    ),
    "pause": r"[\s,.;:!—–-]",
    "no wait": (
        r"((oh|um|uh|and),? )*"
        r"(no,? (wait|sorry|actually)|wait,? (no|actually)|actually,? (no(?! longer)|wait)|sorry,? no)\b"
        r"(<pause>*\b(actually|no|wait|i mean|make (it|that))\b)*<pause>*"
    ),
    "scratch that": r"(no,? )?(scratch|strike) that\b(<pause>*\b(actually|instead|please|make (it|that))\b)*<pause>*",
    "or rather": r"(or rather|correction|(no,? )?make that)\b<pause>*",
}
_PART = re.compile(r"<([a-z ]+)>")
_CAPTURING = re.compile(r"(?<!\\)\((?!\?)")
_NEEDED = re.compile(r"@(?:([\w']+)|\(([\w' |]+)\))")


def _expanded(phrase: str) -> str:
    while (longer := _PART.sub(lambda part: _PARTS.get(part[1], part[0]), phrase)) != phrase:
        phrase = longer
    return phrase


def _pattern(phrase: str) -> re.Pattern[str]:
    return re.compile(_CAPTURING.sub("(?:", _expanded(phrase).replace("@", "")), re.IGNORECASE)


def _needed(phrase: str) -> frozenset[str]:
    return frozenset(w for match in _NEEDED.finditer(_expanded(phrase)) for w in (match[1] or match[2]).split("|"))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


class _Clue:
    """A pattern that is tried only where one of the words it needs is found; looking for them is far cheaper."""

    def __init__(self, phrase: str) -> None:
        self.pattern, self.needs = _pattern(phrase), tuple(_needed(phrase))

    def search(self, said: str) -> re.Match[str] | None:
        lower = said.lower()
        return self.pattern.search(said) if any(word in lower for word in self.needs) else None


# Sentences ----------------------------------------------------------------------------------------------------

_MARKS = re.compile(r"[.!?…\n][.!?…]*+[\"'”’)\]]*+\s*+")
_ABBREVIATIONS = _words("e.g i.e mr mrs ms dr vs approx")
_ELLIPSIS = ("..", "…")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_PARTS |= {
    "and": r"(and|but|then|plus|also|so|okay|anyway|oh|um|uh)\b,?\s+",
    "command": (
        r"(((can|could|would) you |please |also )*"
        r"((add|create|make|log|open|put|take) (an?|another|one more) ([\w-]+ ){0,2}?(<item>|@note)\b"
        r"|@remind me\b|(have|ask|tell|get) <agent>\b)|(@action item|@todo|to @do):)"
    ),
    "statement": (
        r"(i'?ve decided|(i|we) decided|we agreed|let'?s (use|go with)|what if (we|i) |how about |maybe we |we need to"
        r"|i need to|i have to|the risk is|i'?m worried|i prefer|i'd rather|note that|remember to|i wonder )"
    ),
}
_JOINT = _pattern(r"([,;—]|\n|\s(?=(and|but|then|plus|also)\s))\s*+(<and>){0,4}(?=<command>)")
_JOINT_WORDS = (
    *("item", "task", "todo", "to do", "to-do", "ticket", "remind", "follow", "note"),
    *("claude", "codex", "gemini", "research"),
)
_RUN_ON_JOINT = _pattern(r"\s(<and>){1,4}(?=<statement>)")
_RUN_ON_CHARS = 60
_ONE_MORE = _pattern(r"\b(and|also|plus|but)\b")
_SUBORDINATE = _pattern(r"\s*((so|and|but) )?(if|since|when|because|after|before|as|once|while|until|for|in|on|at)\b")


def sentences(text: str) -> Iterator[Span]:
    """The spans of the sentences of a text, without the white space around them.

    A line break ends a sentence unless the next line goes on in lower case. Two commands in one breath ("use
    SQLite and add a task to …") are two sentences. Long text without marks is cut where a statement begins anew.
    """
    lower = text.lower()
    joint = _JOINT if any(word in lower for word in _JOINT_WORDS) else None
    start = 0
    for end in _sentence_ends(text):
        for first, last in _parts(text, start, end, joint):
            said = text[first:last]
            bare = said.strip()
            if bare:
                first += len(said) - len(said.lstrip())
                yield first, first + len(bare)
        start = end


def _sentence_ends(text: str) -> Iterator[int]:
    for match in _MARKS.finditer(text):
        marks, follows = match.group().rstrip(), text[match.end() : match.end() + 1]
        space_follows = not follows or len(marks) < match.end() - match.start()
        goes_on = (not marks or marks.endswith(_ELLIPSIS)) and follows.islower()
        shortened = marks == "." and _last_word(text, match.start()) in _ABBREVIATIONS
        if space_follows and not goes_on and not shortened:
            yield match.start() + len(marks)
    yield len(text)


def _last_word(text: str, end: int) -> str:
    return text[max(0, end - 8) : end].rpartition(" ")[2].lower()


def _parts(text: str, start: int, end: int, joint: re.Pattern[str] | None) -> Iterator[Span]:
    if joint is None and end - start <= _RUN_ON_CHARS:
        yield start, end
        return
    while end - start > LONGEST_SENTENCE:
        space = text.rfind(" ", start + 1, start + LONGEST_SENTENCE)
        cut = space if space > start else start + LONGEST_SENTENCE
        yield from _unjoined(text, start, cut, joint)
        start = cut
    yield from _unjoined(text, start, end, joint)


def _unjoined(text: str, start: int, end: int, joint: re.Pattern[str] | None) -> Iterator[Span]:
    joints = list(joint.finditer(text, start, end)) if joint else []
    if end - start > _RUN_ON_CHARS and not text[start:end].rstrip().endswith((".", "!", "?")):
        joints = sorted([*joints, *_RUN_ON_JOINT.finditer(text, start, end)], key=re.Match.start)
    for found in joints:
        if found.start() >= start and not _is_condition(text, start, found):
            yield start, found.start()
            start = found.end()
    yield start, end


def _is_condition(text: str, start: int, joint: re.Match[str]) -> bool:
    """Whether what stands before a joint only leads to what follows: "If it rains, remind me to …"."""
    one_more = joint.re is _JOINT and _ONE_MORE.search(joint.group())
    return not one_more and bool(_SUBORDINATE.match(text, start, joint.start()))


# Cleaning -----------------------------------------------------------------------------------------------------


def _unless_after(words: str) -> str:
    return "".join(rf"(?<!\b{word} )" for word in words.split())


_HESITATION_WORDS = _words("um umm uh uhh uhm er erm hm hmm mm mmm ah eh")
_HESITATION = _pattern(r",? ?\b(u+m+|u+h+m?|erm?|hm+|mm+|ah|eh)\b,?(?![\w'-])")
_OF_A_SORT = _unless_after("what some this that any which a the same other of") + r"\b(sort|kind) of\b,?"
_FILLERS = {  # each is tried where the text has its phrase
    "you know": _pattern(
        ",? ?"
        + _unless_after("do did let if as so that")
        + r"\byou know\b(?! (what|how|why|if|who|the|it|that)\b)[,?]?"
    ),
    "i mean": _pattern(r"(?<!, )(?<!what )\bi mean\b(?! (it|that|to)\b),?|, i mean,"),
    "sort of": _pattern(_OF_A_SORT),
    "kind of": _pattern(_OF_A_SORT),
    " like,": _pattern(r",? " + _unless_after("was were is feels looks") + "like,(?= )"),
    "could like": _pattern(r"(?<=\bcould )like\b"),
    "maybe like": _pattern(r"(?<=\bmaybe )like\b"),
}
_STUTTER = re.compile(r"\b(\w+(?:'\w+)?)(?:[,-]* \1\b)+", re.IGNORECASE)
_STUTTERED = _words("i we the a to and it that so let's you in of is my i'm i'll we're it's")
_SPACE_BEFORE_MARK = re.compile(r" +(?=[,.;:?!])")
_LEAD = _pattern(
    r"(((so(?! that)|and|okay|ok|well|yeah|yep|yup|alright|all right|oh|ooh+|hey|but|also|actually|anyways?|basically"
    r"|honestly|then|plus|now(?! that)|i think|i guess|i feel like|by the way|first of all)\b[,.:;!…—-]*"
    r"|(yes|no|right|great|cool|perfect|good|nice|awesome|sure|exactly|look|listen|again|mhm|<agent>)[,!])(\s+|$))+"
)
_LEADING_WORDS = _words(
    "so and okay ok well yeah yep yup alright all oh ooh oooh hey but also actually anyway anyways basically"
    " honestly then plus now i by first yes no right great cool perfect good nice awesome sure exactly look listen"
    " again mhm claude codex gemini the researcher research"
)
_TAIL = _pattern(
    r"[\s,.;—-](right|okay|ok|i think|i guess|i suppose|please|thanks|thank you|yeah|huh|then"
    r"|though|and|or something( like that)?|or whatever|and stuff( like that)?|what do you think|does that make sense"
    r"|if that makes sense|is that ok(ay)?|don't you think|isn't it|sounds? good|if you can|for me)[\s,.;?!—-]*$"
)
_REASON = _Clue(
    r"(^|[\s,])(@because( of)?|@(so that)"
    r"|@since(?! (last|yesterday|then|when|\d|<weekday>|january|the (start|beginning))))\s+(?P<why>\S.*)"
)
_URGENT_TAIL = _Clue(r"[\s,.;—-]((and )?(it's|it is|that's|this is) )?(an? )?<urgency>$")
_QUOTES = re.compile('["“”]')
_NOT_TO = _pattern(r"^not to ")
_BEFORE = " \t,.;:!?-–—…\"'“”‘’*_•(["
_EDGES = " \t,.;:!?-–—…\"'“”‘’*_"


def without_fillers(sentence: str, words: Sequence[str]) -> str:
    """The sentence on one line, with straight quotes, without fillers and stutters. `words`: its own in lower case."""
    said = " ".join(sentence.replace("’", "'").split())
    lower = said.lower()
    fillers = [filler for phrase, filler in _FILLERS.items() if phrase in lower]
    if not _HESITATION_WORDS.isdisjoint(words):
        fillers.insert(0, _HESITATION)
    for filler in fillers:
        said = " ".join(filler.sub(" ", said).split())
    if fillers:
        said = _SPACE_BEFORE_MARK.sub("", said)
        words = said.lower().replace(",", "").split()
    if any(map(eq, words, words[1:])):
        said = _STUTTER.sub(_said_once, said)
    return said.lstrip(_BEFORE)


def _said_once(stutter: re.Match[str]) -> str:
    return stutter[1] if stutter[1].lower() in _STUTTERED else stutter[0]


def without_lead(said: str) -> str:
    """The sentence without the words that only lead into it: so, and, okay, well, I think."""
    first = _WORD.match(said)
    lead = _LEAD.match(said) if first and first.group().lower() in _LEADING_WORDS else None
    return said[lead.end() :] if lead else said


def headline(content: str) -> str:
    """A title: the content without reasons, tags and marks around it, capitalised and cut at a word. May be empty."""
    content = _QUOTES.sub("", content)
    reason = _REASON.search(content)
    if reason and reason.start() > 0:
        content = content[: reason.start()]
    content = _without_tail(content).strip(_EDGES)
    if urgent := _URGENT_TAIL.search(content):
        content = _without_tail(content[: urgent.start()])
    content = _NOT_TO.sub("not ", without_lead(content).strip(_EDGES), count=1)
    if len(content) > LONGEST_TITLE:
        space = content.rfind(" ", 1, LONGEST_TITLE + 1)
        content = content[: space if space > 0 else LONGEST_TITLE].rstrip(_EDGES)
    return content[:1].upper() + content[1:]


def _without_tail(said: str) -> str:
    while tail := _TAIL.search(said):
        said = said[: tail.start()]
    return said


# Rules --------------------------------------------------------------------------------------------------------

Takes = Literal["rest", "whole", "back", "request"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One way of saying something. It is tried only on sentences that hold one of the phrases in `needs`; most do not.

    The title is what follows the match ("rest"), the sentence ("whole"), or what stands before the match when nothing
    follows ("back": "Postgres, final answer"). A "request" is a "rest" that counts only when said to an assistant.
    """

    type: MemoryType
    confidence: float
    explicit: bool
    takes: Takes
    needs: frozenset[str]
    pattern: re.Pattern[str]

    def match(self, said: str) -> re.Match[str] | None:
        # A pattern that holds only at the start is not looked for elsewhere.
        return self.pattern.match(said) if self.pattern.pattern.startswith("^") else self.pattern.search(said)


_OUTRIGHT = r"""
action_item
  0.95 rest  (add|create|make|log|open|file|put|set up|set|start|record|schedule|take)( me| down| in| up)?
             \ <a few>( [\w-]+){0,3}? <item>(?! <feature>\b)<of what>
  0.95 rest  (add|create|log) <item>(?! <feature>\b)<of what>
  0.95 back  (add|put) (?P<what>\S.{0,80}?) (to|on|onto) <list>
  0.95 rest  (add|put) (to|on) (<list>|the @list)
  0.95 back  (add|log|make|put|save|set|turn) (this|that|it)( down)?( into| as)? an? <item>
  0.95 rest  @(remind me|remind us)
             ( (again|later|please|tomorrow|tonight|today|(next|on|this) \w+|in the \w+|in \w+ \w+))* (to|about|that)
  0.90 rest  ^((the|my|another) )?@action items?(?! (are|was|were|from|in|list|that)\b)
  0.95 rest  ^@todo
  0.90 rest  (?<!\bi )(?<!\byou )(?<!\bwe )(?<!\bthey )@(remember to)
  0.90 rest  don'?t (let (me|us) )?@(forget to)
  0.90 rest  (i|we)('d| would)? @(need you to|want you to|like you to)(?! (remember|note|know|be|keep)\b)
  0.90 rest  ((have|let) <agent>(?! (been|ever|already|and|know)\b)|(ask|tell|get|want|need) <agent> to)
  0.90 back  (assign|give|hand|send) (this|that|it) to <agent>
decision
  0.95 rest  (what )?<we> @decided(?! by\b)( is)?( (that|to|on|upon))?
  0.90 back  (it's|it is|it was|that's)( all| been)? @(decided|settled)(?! (by|in|on)\b)( that)?
  0.90 rest  @(let's|lets) (just |all )?(go ahead and )?(go (ahead )?with|(?=(use|stick with|stick to)\b))
  0.90 rest  (<we are> @(going with)|<we will> @(go with)|<we are> (going|gonna)( to)?<now> @(go with))
  0.95 rest  (the|our|my|final) @decision (is|was|has been)( made)?( to| that)?
  0.90 rest  <we> @(agreed to|agreed that|agreed on)(?! disagree)
  0.90 rest  <we> @(chose|chosen|settled on|opted for)|(we|i'?ve|we'?ve|i have|we have)<now> @picked(?!.{0,30}\bup\b)
  0.90 back  ((and )?that's )?(my |our |the )?@(final answer)( is)?( that)?
risk
  0.90 rest  (the|one|another|my|our)( (big|biggest|main|only|real|other|major))? @(risk|danger|worry|concern|fear)
             ( (here|there|i have|with \S+( \S+)?))? (is|would be|was)(?! (low|small|minimal|gone|over)\b)( that)?
  0.85 rest  <we are>( (a bit|a little|very|mostly|quite|kind of))?<now> @(worried|concerned|nervous|scared)
             ( (that|about))?(?= \w)
  0.85 rest  what (really )?@(worries me)( (most|a bit|here|more))?( about \w+)?( is)?( that)?
  0.85 rest  there('s| is) (a|some)( \w+)? @(risk that|risk of|danger that|danger of)
fact
  0.90 back  (^|and )(please )?@(remember that|remember this)(?=[.!]*$)
  0.90 rest  (?<!\bi )(?<!\bdo you )(?<!\bif you )@(remember that)(?! (time|one|guy|day|thing)\b)
  0.85 rest  ^((please|just) )?@remember([,:]| (?=(we|the|i|i'm|it|it's|there|there's|my|our)\b))
  0.90 rest  for the @record
  0.95 rest  note (down )?@(the fact that)
note
  0.95 rest  (@(note that|note down that)|@(note to self)( to)?|@(note down))
  0.95 rest  (make|take|add|write|create) (a|another)( \w+)? @note(?! <feature>\b)( (of|that|to|about|saying))?
  0.90 rest  @(keep in mind that)|(?<!\bto )@(keep in mind)
  0.90 back  (?<!\bto )(@(keep that in mind|keep this in mind|keep it in mind)|(write|jot|note) (this|that|it) @down)
  0.90 rest  (?<!\bto )(?<!\bgonna )@(write down|jot down)( that)?
context
  0.90 rest  @for (context|(some|a bit of|a little|more) (context|background)|background(?=,))
  0.90 rest  the @(background|context) (here )?is( that)?
  0.85 rest  @(just so you)( all)? know( that)?
preference
  0.90 rest  <we would> @prefer( (to|that))?
  0.90 rest  (i|we)('d| would)( much)? @rather(?! than)( have)?
  0.90 rest  (my|our) @preference (is|would be)( (to|for|that))?
  0.85 rest  i (?=@(always want|never want)\b)
idea
  0.90 rest  ((i|we)('ve)? (just )?(have|had|got)|here's) (an|another|one more|this|a( \w+)?)( \w+)? @idea
             ( (that|to|where))?
  0.90 rest  my @idea (is|was|would be)( (that|to))?
question
  0.90 rest  (the|my|one|another|an)( (open|big|real|other|only|main))? @question (is|was|would be|remains)
"""

_GUESSED = r"""
decision
  0.60 rest  @(let's|lets) (?=not (use|add|build|include|ship|support|bother with|store|change|touch)\b)
  0.60 rest  @(let's|lets) (just )?(?=(keep(?! \w+in[g']| in mind)|call it|name it|skip|drop|make it|switch to|ship)\b)
  0.70 rest  (?<!that )(?<!what )(we'll|we will|we're (going to|gonna)|we are going to) (just )?(?=@use \w)
action_item
  0.70 request  @(can you|could you|would you|will you)
             ( (please|also|just|maybe|quickly|go ahead and|then|perhaps|try to|help me))* (?=<work>)
  0.65 request  ^@please (also |go ahead and )?(?=<work>)
  0.70 rest  <agent>,? (should|can|could|needs to|has to|will|please)( (you|also|please|then))* (?=<work>)
  0.75 rest  (the |my |our )?@(next step|next steps) (is|are|would be)( to)?
  0.70 rest  we<must>(?! <state>)(?= \w)
  0.65 rest  i<must>(?! <state>)(?= \w)
  0.60 rest  @(i'll|we'll|i will|we will|i'm going to|i'm gonna|i am going to|we're going to|we're gonna)<now>
             \ (go ahead and )?(?=<work>|<errand>)
  0.60 rest  ^(?-i:[A-Z][a-z]+) (@will|is @going to|@needs to)( also)? (?=<work>|<errand>)
  0.45 rest  @(somebody|someone) (really )?(should|needs to|has to|ought to)( probably| really)?
idea
  0.80 rest  @(what if) (?!.{1,60}\b(breaks?|fails?|crash(es)?|goes down|leaks?|times out|stops? working)\b)
             (((instead|maybe) )?(we|i)( (just|also|maybe|instead|actually|could))*)?
  0.75 rest  @(how about) (?!(you|that|it|this|now|him|her|them)\b)((if )?(we|i) )?(just |maybe )?
  0.60 rest  @(what about) (?=\w+ing\b|an? )
  0.60 rest  @(maybe we|perhaps we)('d)? (can|could|should|might|ought to)( (also|just|even|then))*(?! (be|not|have)\b)
  0.60 rest  the @idea (here )?(is|was|would be)( (that|to))?
  0.70 rest  @(it would|that would|this would|it'd|that'd|wouldn't it|it might|it could)<now>( probably)? be
             ( (so|really|pretty|super|very))? <nice>( if( (i|we|you)('d)?( (could|had|can))?)?| to)
  0.65 rest  (one|another|the other|an) @(option|approach|alternative) (is|would be|could be|might be)( to| that)?
  0.60 rest  @(why don't we|why not)(?= \w+ \w+)
  0.60 rest  i('m| am| was|'ve been| have been)<now> @(thinking about|thinking of) (?=\w+ing\b)
  0.60 rest  i('m| am| was|'ve been| have been)<now> @thinking ((that|maybe) )*(we|i|you)('d)? (could|should|can|might)
             ( (also|just))*
  0.50 rest  (^|[,;:.—] ?|\b(and|but|or|guess|think|then|maybe) )@(we could|we should)
             ( (also|just|even|always|probably|then|maybe))*
             (?! (be|have|hear|see|tell|not|feel|know|barely|only|never)\b)(?= \w)
risk
  0.55 whole (might|could|may) ((just|easily|totally|also) )?(@(break|fail|crash|leak|backfire)|go @wrong)
preference
  0.75 rest  @(i like|i really like) (?=.{1,80}\bbetter\b)
  0.65 rest  i (really )?(?=@(don't like|don't really like|dont like)\b)
context
  0.60 whole (we're|we are)( (currently|both|all))? @(working on|building) (?=\w)
  0.60 whole (?<!\bin )(?<!\bof )(?<!\bfor )@(the project is|this project is|our project is|my project is)
             (?! (not|done|dead|late)\b)
question
  0.75 rest  i('m| am| was)?( just)? @(wonder|wondering|curious)(?=( about)? (whether|if|<query>)\b)
fact
  0.70 rest  @(turns out)( that)?
  0.50 whole @costs (about |around |over |only )?([$€£]\d+|\d[\d,.]*|an?|two|three|four|five|ten|nothing)
  0.50 whole (it|this|that|which|(the|our|their|my) [\w-]+|(?-i:[A-Z]\w+))
             \ @(supports|allows|requires|doesn't support|doesn't allow|does not support|does not allow)(?= \w)
  0.40 whole (?<!who )(?<!what )@has (about |around |over |only |exactly |at least )?<number> (?=\w)
"""

_SUMMED_UP = r"""
decision
  0.85 rest  ^(?!.{0,60}\b(not|never|whether|if|wasn't|weren't|haven't|hasn't|didn't)\b)([\w', ]{1,40}? )?
             @(decided|agreed|chose|opted|settled) (to|on|that|for|upon)
"""

# "Decision: …", "Open question, …", "Action item for Sam: …"
_LABELS: dict[MemoryType, str] = {
    "decision": "(final )?@(decision|decisions)",
    "action_item": "(@action (items?|points?)( number \\w+| \\d+)?|@(todo|todos|task)|to[- ]@(do|dos)|@follow[- ]ups?)",
    "question": "((open|quick) )?@(question|questions)",
    "idea": "(crazy )?@(idea|ideas)",
    "risk": "@(risk|risks)",
    "fact": "(fun )?@(fact|facts)",
    "note": "(side )?@(note|notes)( to self)?",
    "preference": "@(preference|preferences)",
    "context": "((a bit of|a little|some|more) )?@(context|background|fyi)( here)?",
}
_LABELLED = (
    r"^((my|the|our|first|second|third|next|another|one|one more|a|new|big|just a) )?%s( (for|on) [\w ]{1,24}?)?"
    r"(\s?[:—–]|\s-\s|,(?= )|( is| are):)\s*"
)


def _rule(type: MemoryType, confidence: float, explicit: bool, takes: Takes, phrase: str) -> Rule:
    return Rule(type, confidence, explicit, takes, _needed(phrase), _pattern(phrase))


def _rules(table: str, *, explicit: bool) -> Iterator[Rule]:
    """The rules of a table: under each type, rows of confidence, takes and phrase; deeper lines go on with a phrase."""
    type: Any = None
    for line in re.sub(r"\n {8,}", "", table.strip()).splitlines():
        if not line.startswith(" "):
            type = line
            continue
        confidence, takes, phrase = line.split(None, 2)
        yield _rule(
            type,
            float(confidence),
            explicit,
            cast(Takes, takes),
            phrase if phrase.startswith("^") else rf"\b({phrase})\b",
        )


class _Table:
    """Rules in order of strength, found by the words they need: what was said outright comes before guesses."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = sorted(rules, key=lambda rule: not rule.explicit)
        self.by_word: dict[str, list[tuple[int, str]]] = {}
        for place, rule in enumerate(self.rules):
            for phrase in rule.needs:
                self.by_word.setdefault(max(phrase.split(), key=len), []).append((place, phrase))
        self.nested = {
            type: [rule for rule in self.rules if rule.type == type and rule.takes == "rest"] for type in MEMORY_TYPES
        }

    def may_hold(self, words: Sequence[str]) -> bool:
        return not self.by_word.keys().isdisjoint(words)

    def candidates(self, said: str, words: Sequence[str]) -> list[Rule]:
        said = said.lower()
        places = {
            place
            for word in words
            if word in self.by_word
            for place, phrase in self.by_word[word]
            if phrase == word or phrase in said
        }
        return [self.rules[place] for place in sorted(places)]


_LABEL_RULES = [_rule(type, 0.97, True, "rest", _LABELLED % name) for type, name in _LABELS.items()]
# These have no words of their own: "?" stands for a sentence that ends so, or has no mark and may open a question.
_MARKED = Rule("question", 0.75, False, "whole", frozenset("?"), re.compile(r"\?"))
_UNMARKED = Rule(
    "question",
    0.55,
    False,
    "whole",
    frozenset("?"),
    _pattern(
        r"^(?=[^.!?]*$)(?-i:<query>( (?!(i|we|you|they|he|she|it|if)\b)[\w']+){0,2}? <auxiliary> <one>"
        r"|what's (the|your|our|my)|(?!do\b|ha|ma)<auxiliary> <one>|(do|have) (i|we|you|they))(?=( \S+){2})"
    ),
)
_PEOPLE = _Table(
    *_LABEL_RULES, *_rules(_OUTRIGHT, explicit=True), *_rules(_GUESSED, explicit=False), _MARKED, _UNMARKED
)
_ASSISTANT = _Table(*_LABEL_RULES)
_SUMMARY = _Table(*_LABEL_RULES, *_rules(_SUMMED_UP, explicit=True))


# Guards -------------------------------------------------------------------------------------------------------

# Each is looked for in what stands before a match.
_NEGATED = _pattern(
    r"\b(not|never|no need to|(?<!why )don'?t|doesn'?t|didn'?t|won't|can't|haven't|without)\b[^,;:]{0,60}$"
)
_SUPPOSED = _pattern(
    r"\b((if|whether|unless|suppose|supposing|imagine|assuming)\b( (?!(and|but|so)\b)[\w']+){0,4}"
    r"|(until|when|whenever|before|after|once|wish|thought|let's say)( that)?) ?$"
)
_ASKED = _pattern(r"\b(do|does|did|should|would|could|can|have|has|had|how|why|where|who|which|what|because) ?$")
_OBJECT = _pattern(r"\b(all|things?|stuff|everything|that|maybe|might) ?$")
_REPORTED = _pattern(
    r"(?<!\bi )(?<!\bwe )\b(said|says|saying|told|mentioned|claims|claimed|was like|were like)\b(,? [\w']+){0,3},? ?$"
)
_OTHERS = _pattern(
    r"\b(we (can|could|would|might|may)"
    r"|(they|users?|people|it|which|who|he|she|app)( (can|could|would|might|may|will|should|to))?) $"
)
_CONDITIONAL = _pattern(r"^(if|unless|once|when)\b")
_GUARDS: dict[MemoryType, tuple[re.Pattern[str], ...]] = {
    "decision": (_NEGATED, _SUPPOSED, _ASKED),
    "action_item": (_NEGATED, _SUPPOSED),
    "fact": (_NEGATED, _SUPPOSED, _ASKED),
    "note": (_NEGATED, _SUPPOSED),
    "preference": (_NEGATED, _SUPPOSED, _ASKED),
    "context": (_SUPPOSED,),
    "risk": (_NEGATED,),
}
_OUR_OWN = _pattern(r"(what )?we\b(?!'ll|'re)")
_OPENS_QUESTION = _pattern(r"(<query>|whose|<auxiliary>)\b")
_OPENERS = _words(re.sub(r"[(|)]", " ", _expanded("<query> <auxiliary> what's")))
_CHATTER = _pattern(
    r"((is|was) (that|this|it) (right|ok(ay)?|clear|all|good|it|fine)|((do )?you )?know what i mean"
    r"|does that make sense|makes? sense|are you (still )?there|(can|do|did) you hear me"
    r"|how are you( doing)?( today)?|how's it going|what's up|what do you think|what about you|how about you"
    r"|what did you say|what was that|you know what|(can|could) you (repeat that|say that again)"
    r"|(is there )?anything else( i can .*| you .*)?|are you sure|isn't it|don't you think|sounds? good"
    r"|you see what i mean)"
)


def _may_ask(rule: Rule) -> bool:
    """Whether a sentence that asks can still be this. "We decided on blue?" decides nothing."""
    if rule.type in ("action_item", "note", "fact"):
        return rule.explicit or rule.takes == "request"
    return rule.type in ("idea", "question")


def _stands(rule: Rule, said: str, match: re.Match[str]) -> bool:
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
    return len(_WORD.findall(said)) >= 3 and not _CHATTER.fullmatch(said.strip(_EDGES))


# Details ------------------------------------------------------------------------------------------------------

_DUE = _pattern(
    r"\b(?<!since )(?<!last )((by|before|until|due|on|at|no later than) (<day>|<clock>)"
    r"|(before|by|in time for) (the|our|my) (?!way\b)[\w-]+"
    r"|in (an?|\d+|two|three|four|five|ten) (minutes?|hours?|days?|weeks?|months?)|<day>)( at <clock>)?(?!\w)"
)
_WHEN = _pattern(r"\b((by|before|until|on|at) )?(<day>|<clock>)(?!\w)")
_INSTEAD = _Clue(
    r"(\b@(instead of|rather than)|, (and )?@not"
    r"|(?<=\w)(?<!than) @over(?! (the (weekend|phone|next|air|network|past)|time|there|here|to|and|\d)\b))"
    r" (?!(sure|yet|only|just|that|really|because)\b)"
    r"(?P<what>[^,;.?!]+?)(?=$|[,;.?!]| (because|since|so that|for|when|by)\b)"
)
_INSTEAD_TYPES = frozenset({"decision", "preference", "action_item", "idea"})
_PRIORITY = _Clue(r"\b<urgency>\b")
_NAME = (
    r"(?-i:(?!(The|This|That|These|Those|There|Then|They|It|We|You|He|She|What|Who|Nobody|Claude|Codex|Gemini)\b"
    r"|Every|Some|Any)[A-Z][a-z]+)"
)
_OWNER = _pattern(
    rf"^(?P<does>{_NAME}) (will|is going to|needs to|has to|should)\b|\b(item|task|to-?do) for (?P<given>{_NAME})\b"
    r"|\b((can|could|would|will) (?P<asked>you)|(?P<you>you) to)\b(?!( please| also)* <jotting>\b)"
    r"|\b(?P<me>i)('ll|'m going to|'m gonna|'ve got to| will| have to| need to| must| gotta)\b"
)
_NAMES_AGENT = _Clue(
    r"\b((task|item|to-?do|to do|job|ticket|reminder|one) for|have|ask|tell|get|let|want|need|by|hey"
    r"|(give|assign|send|hand) \w+ to) (?P<given><agent>)\b"
    r"|(^|, )(?P<called><agent>)(?= (should|can|could|needs|has to|will|please)\b|[,:])"
)
_AGENTS = {"claude": "claude_code", "codex": "codex", "gemini": "gemini_cli", "research": "researcher"}


def details(type: MemoryType, said: str) -> dict[str, Any]:
    """What else the sentence says of a memory of this type, in its words: only the keys that were found."""
    found: dict[str, Any] = {}
    if reason := _REASON.search(without_lead(said)):
        why = reason["why"] if reason.start() else reason["why"].partition(",")[0]
        found["rationale"] = _without_tail(why).strip(_EDGES)
    if type in _INSTEAD_TYPES and (other := _INSTEAD.search(said)):
        found["instead_of"] = _without_tail(other["what"]).strip(_EDGES)
    if type in ("action_item", "decision") and (due := _DUE.search(said)):
        found["due"] = due.group()
    if type == "action_item":
        found |= _assignment(said)
    return {key: value for key, value in found.items() if value}


def _assignment(said: str) -> dict[str, str]:
    found = {}
    if owner := _OWNER.search(said):
        name = next(filter(None, owner.groups()))
        found["owner"] = {"i": "I"}.get(name, "you" if name.lower() == "you" else name)
    if priority := _PRIORITY.search(said):
        found["priority"] = priority.group().lower()
    if agent := _NAMES_AGENT.search(said):
        named = (agent["given"] or agent["called"]).lower()
        found["agent"] = next(name for word, name in _AGENTS.items() if word in named)
    return found


_EMPTY_WORDS = _words(
    "a about actually add ahead all also always am an and another any are as ask at away back be because been before"
    " being but by can can't come could did do does doesn't doing don't done down each else even every for from get"
    " gets go going good got had has have he her here him his how i i'd i'll i'm i've if in instead into is it it'd"
    " it's its just keep let let's like lot made make makes making many maybe me might more most much must my need"
    " needs never new next no not now of off on one only or other our out over own people please put really right same"
    " say see she should so some something sort still such sure take than that that's the their them then there"
    " there's these they they're thing things think this those to too two up us use used using very want was way we"
    " we'd we'll we're we've well were what what's when where whether which while who why will with without won't"
    " would yes yet you you're your"
)


def tags_of(title: str) -> tuple[str, ...]:
    """The first few words of a title that carry meaning, in lower case."""
    words = (word for word in _WORD.findall(title.lower()) if len(word) > 1 and word not in _EMPTY_WORDS)
    return tuple(dict.fromkeys(words))[:MOST_TAGS]


# Corrections --------------------------------------------------------------------------------------------------

_STARTS_OVER = _pattern(r"(<no wait>|<or rather>)")
_TURNS = _pattern(
    r"<pause>((?P<firmly><pause>*+(<no wait>|<scratch that>)|(?<=,)\s?<or rather>)"
    r"|(?<=[,—–-])\s?((no|wait|sorry),\s|(i mean|actually) (?=\S+( \S+){0,2}$)))"
)
_TAKES_BACK = _pattern(
    r"((scratch|strike|cancel|forget|ignore|undo|delete|drop) (that|it|this)( last)?( one| task| note| item)?"
    r"(?= (please|actually|let's|instead|i|we|add|make)\b|<pause>*$|[,.;!—-])"
    r"|never ?mind( (that|all that))?(?=[,.;!—-]|$| (actually|let's)\b)|forget about (that|it))"
    r"<pause>*((please|instead|actually)<pause>*)*"
)
_TURN_WORDS = _words(
    "no wait sorry actually scratch strike cancel forget ignore undo delete drop never nevermind rather correction"
    " make mean"
)
_CLAUSE = _pattern(
    r"(that|it|this|i|we|they|he|she|you|there|what|which|that's|it's|let me|i'm|i've|don't|because|but)\b(?! one\b)"
)
_VERB = _pattern(r"(<work>|<errand>|(keep|make|go|stick|drop|start|have)\b)")
_FINITE = _pattern(
    r"\b(is|are|was|were|am|has|had|will|can|could|should|would|does|did|do|might|\w+'(s|re|ve|ll|d|m|t))\b"
)


def _replaced(content: str, correction: str) -> str:
    """The content with its last part said anew: ("use SQLite", "Postgres") gives "use Postgres"."""
    correction = without_lead(correction).strip(_EDGES)
    first = correction.partition(" ")[0].lower()
    same_word = f" {content.lower()} ".rfind(f" {first} ")
    old, new = list(_WHEN.finditer(content)), _WHEN.match(correction)
    if old and new:
        return content[: old[-1].start()] + correction + content[old[-1].end() :]
    if same_word > 0:
        return content[:same_word] + correction
    if _VERB.match(content) and not _VERB.match(correction):
        return f"{content.partition(' ')[0]} {correction}"
    return correction


def _is_fragment(said: str) -> bool:
    """Whether this can stand in for a part of what was said before: "Postgres", "write the docs"; not "it rains"."""
    said = headline(said)
    words = len(_WORD.findall(said))
    if _VERB.match(said):
        return words <= 8
    return 0 < words <= 4 and not _CLAUSE.match(said) and not _FINITE.search(said)


# Finding ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Finding:
    """A rule that holds for a sentence; what it found, as a headline; what stood before that; all that was said."""

    rule: Rule
    content: str
    before: str
    said: str


_PRONOUN = _pattern(r"(that|this|it|those|these|them|that one|this one|the same|him|her|so)")
_STRONG_GUESS = 0.75
_POINTS = _pattern(r"\b(it|that|this|them|one)\b")
_RESIDUE = _pattern(r"[\s:,;.…—–-]*((that|to|is to|is that|is)\s+)?[\s:,;—–-]*")


def _find(said: str, words: Sequence[str], table: _Table, requests: bool) -> _Finding | None:
    """The strongest rule that holds. `requests`: "can you …?" is addressed to somebody who could do it."""
    heard, said = said, without_lead(said)
    asking = "?" in words and "?" in said[-3:]
    if asking:
        statement = _without_tail(said)
        asking = statement == said or bool(_OPENS_QUESTION.match(said))
        said = said if asking else statement
    for rule in table.candidates(said, words):
        if (asking and not _may_ask(rule)) or (rule.takes == "request" and not requests):
            continue
        match = rule.match(said)
        if match and _stands(rule, said, match):
            content = headline(_content(rule, said, match, table))
            if rule.explicit or rule.type == "question" or _says_enough(content, rule.confidence):
                return _Finding(rule, content, said[: match.start()], heard)
    return None


def _content(rule: Rule, said: str, match: re.Match[str], table: _Table) -> str:
    if rule.takes == "whole":
        return said
    named = match.groupdict().get("what")
    content = said[match.end() :] if named is None or _PRONOUN.fullmatch(named) else named
    return _unnested(rule, _RESIDUE.sub("", content, count=1), table)


def _says_something(content: str) -> bool:
    return bool(_WORD.search(content)) and not _PRONOUN.fullmatch(content)


def _says_enough(content: str, confidence: float) -> bool:
    """Whether a guess has something to it: "do that later" and "buy it" have not."""
    pointing = confidence < _STRONG_GUESS and _POINTS.search(content)
    return len(tags_of(content)) > (1 if pointing else 0)


def _unnested(rule: Rule, content: str, table: _Table) -> str:
    """The content without a second trigger of the same kind: "I have an idea: what if we add …"."""
    content = without_lead(content)
    for inner in table.nested[rule.type]:
        if match := inner.pattern.match(content):
            return _RESIDUE.sub("", content[match.end() :], count=1)
    return content


def _amended(finding: _Finding, correction: str) -> _Finding:
    said = _replaced(finding.content, correction)
    return replace(finding, content=headline(said), said=f"{finding.before}{said}")


def _find_corrected(said: str, words: Sequence[str], table: _Table, requests: bool) -> _Finding | None:
    """As `_find`, but where the speaker turns in the middle of the sentence, what was said last counts."""
    turns = list(_TURNS.finditer(said)) if not _TURN_WORDS.isdisjoint(words) else []
    if not turns:
        return _find(said, words, table, requests)
    first = _find(said[: turns[0].start()], words, table, requests)
    last = said[turns[-1].end() :]
    second = _find(last, words, table, requests)
    if second and (second.rule.explicit or (first and first.rule.type == second.rule.type)):
        return second
    if first and _is_fragment(last):
        return _amended(first, last)
    return None if first and turns[-1]["firmly"] else _find(said, words, table, requests)


# Extraction ---------------------------------------------------------------------------------------------------


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
    found: _Finding | None = None  # what `last` gave, and the place of its draft
    draft: int | None = None
    waiting: _Finding | None = None  # a trigger in `last` whose content is still to come: "Add an action item."
    turning: bool = False  # "No, wait." was a sentence of its own


_NEARLY_NOTHING = _words(
    "actually ah and but hang hm hmm mm mhm no oh ok okay on right so sorry uh um wait well yeah yep yes"
)
_PLACE = _pattern(r"(for|in|on) [\w' -]{2,40},? ?")
_WAITING_TURNS = 2  # the other's "Sure, what is it?" may come between a trigger and its content
_LATELY = 50  # so many memories back an assistant's record may repeat
_AGENT_WORDS = _needed("<agent>")
_VAGUE = 0.6


def extract(turns: Sequence[Turn]) -> list[MemoryDraft]:
    """The memories in these turns, in the order in which they were said.

    People are heard in full; an assistant only where it records outright ("Action item: …") what nobody had said
    before; a summary only when there is nothing else.
    """
    hearing = _Hearing(turns)
    only_summaries = all(turn.role == "summary" for turn in turns)
    for position, turn in enumerate(turns):
        if turn.role == "assistant":
            hearing.hear(position, _ASSISTANT)
        elif turn.role != "summary":
            hearing.hear(position, _PEOPLE)
        elif only_summaries:
            hearing.hear(position, _SUMMARY)
    return [draft for draft in hearing.drafts if draft]


class _Hearing:
    """One pass over the turns. What is said later can complete, correct or take back what was said before."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.turns = turns
        self.drafts: list[MemoryDraft | None] = []
        self.speakers: dict[tuple[Role, str], _Speaker] = {}

    def hear(self, position: int, table: _Table) -> None:
        """Takes in one turn, sentence by sentence."""
        turn = self.turns[position]
        speaker = self.speakers.setdefault((turn.role, turn.speaker), _Speaker())
        for start, end in sentences(turn.text):
            text = turn.text[start:end]
            words = _WORD.findall(text.lower().replace("’", "'"))
            if "?" in text[-3:] or (text[-1].isalnum() and text[0].islower() and not _OPENERS.isdisjoint(words[:3])):
                words.append("?")
            if _NEARLY_NOTHING.issuperset(words):
                speaker.turning |= "no" in words and ("wait" in words or "actually" in words)
                continue
            sentence = _Sentence(position, start, end, words)
            turning = speaker.draft is not None and (speaker.turning or not _TURN_WORDS.isdisjoint(words))
            if turning or speaker.waiting or table.may_hold(words):
                self._take(sentence, speaker, table, turning)
            else:
                speaker.last, speaker.found, speaker.draft = sentence, None, None
            speaker.turning = False

    def _take(self, sentence: _Sentence, speaker: _Speaker, table: _Table, turning: bool) -> None:
        said = self._said(sentence)
        if turning and self._turned(said, sentence, speaker, table):
            return
        requests = self.turns[sentence.turn].role == "user" or not _AGENT_WORDS.isdisjoint(sentence.words)
        finding = _find_corrected(said, sentence.words, table, requests)
        if not self._completed(said, finding, sentence, speaker):
            self._keep(finding, sentence, speaker)

    def _turned(self, said: str, sentence: _Sentence, speaker: _Speaker, table: _Table) -> bool:
        """Whether the sentence took back or mended the memory before it: "Scratch that.", "No wait, Postgres."."""
        bare = without_lead(said)
        back, over = _TAKES_BACK.match(bare), _STARTS_OVER.match(said)
        if not (back or over or speaker.turning) or speaker.found is None:
            return False
        rest = bare[back.end() :] if back else said[over.end() :] if over else bare
        before, earlier = speaker.found, speaker.last
        finding = _find(rest, sentence.words, table, requests=True)
        if finding and (finding.rule.explicit or finding.rule.type == before.rule.type):
            self._drop(speaker)
            self._keep(finding, sentence, speaker)
        elif _is_fragment(rest):
            self._drop(speaker)
            self._keep(_amended(before, rest), self._since(earlier, sentence), speaker)
        elif back:
            self._drop(speaker)
            speaker.last = sentence
        else:
            return False
        return True

    def _completed(self, said: str, finding: _Finding | None, sentence: _Sentence, speaker: _Speaker) -> bool:
        """Whether the sentence is what a trigger was waiting for."""
        trigger, earlier = speaker.waiting, speaker.last
        if trigger is None or earlier is None:
            return False
        bare = without_lead(said)
        if _CHATTER.fullmatch(bare.strip(_EDGES)):
            return True
        speaker.waiting = None
        if sentence.turn - earlier.turn > _WAITING_TURNS:
            return False
        same = finding is not None and finding.rule.type == trigger.rule.type
        content = finding.content if finding and same else headline(bare)
        if not _says_something(content) or (finding and finding.rule.explicit and not same):
            return False
        if not _TAKES_BACK.match(bare):
            whole = replace(trigger, content=content, said=f"{trigger.said} {said}")
            self._keep(whole, self._since(earlier, sentence), speaker)
        return True

    def _keep(self, finding: _Finding | None, sentence: _Sentence, speaker: _Speaker) -> None:
        if finding and not _says_something(finding.content):
            finding, sentence = self._referred(finding, sentence, speaker)
        draft = self._draft(finding, sentence) if finding else None
        speaker.last, speaker.found, speaker.draft = sentence, finding, None
        if draft:
            speaker.draft = len(self.drafts)
            self.drafts.append(draft)

    def _referred(self, finding: _Finding, sentence: _Sentence, speaker: _Speaker) -> tuple[_Finding | None, _Sentence]:
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

    def _draft(self, finding: _Finding, sentence: _Sentence) -> MemoryDraft | None:
        rule, turn = finding.rule, self.turns[sentence.turn]
        title = _title(finding)
        if not _WORD.search(title) or (turn.role == "assistant" and self._was_said(rule.type, title)):
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


def _title(finding: _Finding) -> str:
    """The headline with the place named first put last: "For storage, let's use SQLite" is "Use SQLite for storage"."""
    title, place = finding.content, finding.before.strip(_EDGES)
    if finding.rule.takes == "rest" and _PLACE.fullmatch(place) and len(title) + len(place) < LONGEST_TITLE:
        return f"{title} {place[0].lower()}{place[1:]}"
    return title
