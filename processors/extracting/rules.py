"""The table of rules: ways of saying that something was decided, is to be done, asked, wished for or worth knowing.

The rules read English.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from domain.memory import MEMORY_TYPES, MemoryType
from processors.extracting.phrases import compiled, needed_words

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
  0.65 back  ^(?P<what>(?!(what|how|that|this|who|where|here|there|as|so|yes|no|like|i|if|think|believe|maybe|when)\b)
             [\w'+#-]+( [\w'+#-]+){0,3}) @(it is)(?=[,.!;]|$)
  0.60 rest  @(let's|lets) (just )?(?=(do|take|leave|wait for|move|put|stay with|have|book|buy|cut|meet)
             \ (?!(it|that|this|so|a look|fun|a break|see|hope|know|go)\b)\w)
  0.60 whole <we are>( (not|never|no longer|definitely|absolutely))* @(taking|keeping|buying|dropping|skipping|switching
             |moving|selling|hiring|cancelling|replacing)(?! (about|notes|care|up)\b)(?= \w)
  0.55 whole (we'll|we will|i'll) (just )?(@take|@stay|@stick|@skip|@drop|@keep)
             (?! (a look|in mind|a moment|you|it easy|care|that in mind)\b)
  0.70 whole @(from now on)
  0.55 whole (?<!that )(?<!what )@stays (with|where|on|as|in|the same|at)\b
  0.55 whole (it's|it is) @(going to be|gonna be) (?!(a (lot|bit|long|while|mess)|hard|fun|great|fine|okay|ok|nice|cold
             |hot|late|so|very|really|pretty)\b)
  0.55 whole (?<!when )(?<!if )we (do|meet|start|ship|launch|release|leave|play)\b [^.?]{0,40}\b
             (@monday|@tuesday|@wednesday|@thursday|@friday|@saturday|@sunday|@tomorrow|(@(next week)))\b
  0.70 rest  (?<!that )(?<!what )(we'll|we will|we're (going to|gonna)|we are going to) (just )?(?=@use \w)
  0.70 rest  @(let's|lets) (just )?(?=((switch|go|move|change) back to|revert|scrap|ditch|abandon|undo|forget about)\b)
  0.70 rest  (we'll|we will|we're|we are|i'm|i am)( (just|going to|gonna))?
             \ (?=@(scrap|scrapping|ditch|ditching|abandon|abandoning)\b)
  0.70 rest  (we'll|we will|we're( going)?|we are( going)?) (?=@(switch back to|switching back to|back to) \w)
  0.70 whole ^((please )?@(scrap|ditch|abandon)|@(forget about)) (the|that|using) \w
  0.60 rest  (?<!that )\bwe( (?=@(no longer) (use|need|want|do|support|plan|build|ship)\b)
             |('re| are) (?=@(no longer) \w+ing\b))
  0.60 rest  (?<!that )\b(we're|we are) (?=not \w+ing\b.{1,60}\b@(any more|anymore|after all)\b)
  0.60 rest  (?<!that )\bwe (?=(won't|will not|don't (use|need|want|do|support|build|ship)) .{1,60}
             \b@(any more|anymore|after all)\b)
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
    return Rule(type, confidence, explicit, takes, needed_words(phrase), compiled(phrase))


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


class Table:
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
    compiled(
        r"^(?=[^.!?]*$)(?-i:<query>( (?!(i|we|you|they|he|she|it|if)\b)[\w']+){0,2}? <auxiliary> <one>"
        r"|what's (the|your|our|my)|(?!do\b|ha|ma)<auxiliary> <one>|(do|have) (i|we|you|they))(?=( \S+){2})"
    ),
)
PEOPLE = Table(*_LABEL_RULES, *_rules(_OUTRIGHT, explicit=True), *_rules(_GUESSED, explicit=False), _MARKED, _UNMARKED)
ASSISTANT = Table(*_LABEL_RULES)
SUMMARY = Table(*_LABEL_RULES, *_rules(_SUMMED_UP, explicit=True))
