"""The language of the rules: regular expressions with named parts and with words that must be there."""

import re

# No group is possessive ("(…)*+"): Python before 3.11.5 lets such a group match what it should not, or not at all.
# Patterns are regular expressions with three shorthands: "(a|b)" does not capture, "<name>" stands for the part of
# that name, and "@word" or "@(words|words)" marks words of which a sentence must hold one for the pattern to match.
PARTS = {
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
_PART = re.compile(r"<([a-z ]+)>")
_CAPTURING = re.compile(r"(?<!\\)\((?!\?)")
_NEEDED = re.compile(r"@(?:([\w']+)|\(([\w' |]+)\))")


def expanded(phrase: str) -> str:
    while (longer := _PART.sub(lambda part: PARTS.get(part[1], part[0]), phrase)) != phrase:
        phrase = longer
    return phrase


def compiled(phrase: str) -> re.Pattern[str]:
    return re.compile(_CAPTURING.sub("(?:", expanded(phrase).replace("@", "")), re.IGNORECASE)


def needed_words(phrase: str) -> frozenset[str]:
    return frozenset(w for match in _NEEDED.finditer(expanded(phrase)) for w in (match[1] or match[2]).split("|"))


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Clue:
    """A pattern that is tried only where one of the words it needs is found; looking for them is far cheaper."""

    def __init__(self, phrase: str) -> None:
        self.pattern, self.needs = compiled(phrase), tuple(needed_words(phrase))

    def search(self, said: str) -> re.Match[str] | None:
        lower = said.lower()
        return self.pattern.search(said) if any(word in lower for word in self.needs) else None


WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
