"""What was said without hesitation, fillers and lead-ins; titles and tags made of it."""

import re
from collections.abc import Sequence
from operator import eq

from processors.extracting.phrases import WORD, Clue, compiled, word_set

LONGEST_TITLE = 100
MOST_TAGS = 4


def _unless_after(words: str) -> str:
    return "".join(rf"(?<!\b{word} )" for word in words.split())


_HESITATION_WORDS = word_set("um umm uh uhh uhm er erm hm hmm mm mmm ah eh")
_HESITATION = compiled(r",? ?\b(u+m+|u+h+m?|erm?|hm+|mm+|ah|eh)\b,?(?![\w'-])")
_OF_A_SORT = _unless_after("what some this that any which a the same other of") + r"\b(sort|kind) of\b,?"
_FILLERS = {  # each is tried where the text has its phrase
    "you know": compiled(
        ",? ?"
        + _unless_after("do did let if as so that")
        + r"\byou know\b(?! (what|how|why|if|who|the|it|that)\b)[,?]?"
    ),
    "i mean": compiled(r"(?<!, )(?<!what )\bi mean\b(?! (it|that|to)\b),?|, i mean,"),
    "sort of": compiled(_OF_A_SORT),
    "kind of": compiled(_OF_A_SORT),
    " like,": compiled(r",? " + _unless_after("was were is feels looks") + "like,(?= )"),
    "could like": compiled(r"(?<=\bcould )like\b"),
    "maybe like": compiled(r"(?<=\bmaybe )like\b"),
}
_STUTTER = re.compile(r"\b(\w+(?:'\w+)?)(?:[,-]* \1\b)+", re.IGNORECASE)
_STUTTERED = word_set("i we the a to and it that so let's you in of is my i'm i'll we're it's")
_SPACE_BEFORE_MARK = re.compile(r" +(?=[,.;:?!])")
_LEAD = compiled(
    r"(((so(?! that)|and|okay|ok|well|yeah|yep|yup|alright|all right|oh|ooh+|hey|but|also|actually|anyways?|basically"
    r"|honestly|then|plus|now(?! that)|i think|i guess|i feel like|by the way|first of all)\b[,.:;!…—-]*"
    r"|(yes|no|hi|hello|right|great|fine|cool|perfect|good|nice|awesome|sure|exactly|look|listen|again|mhm|<agent>)[,!])(\s+|$))+"
)
_LEADING_WORDS = word_set(
    "so and okay ok well yeah yep yup alright all oh ooh oooh hey but also actually anyway anyways basically"
    " honestly then plus now i by first yes no right great cool perfect good nice awesome sure exactly look listen"
    " again mhm fine hi hello claude codex gemini the researcher research"
)
_TAIL = compiled(
    r"[\s,.;—-](right|okay|ok|i think|i guess|i suppose|please|thanks|thank you|yeah|huh|then"
    r"|though|and|or something( like that)?|or whatever|and stuff( like that)?|what do you think|does that make sense"
    r"|if that makes sense|is that ok(ay)?|don't you think|isn't it|sounds? good|if you can|for me)[\s,.;?!—-]*$"
)
REASON = Clue(
    r"(^|[\s,])(@because( of)?|@(so that)"
    r"|@since(?! (last|yesterday|then|when|\d|<weekday>|january|the (start|beginning))))\s+(?P<why>\S.*)"
)
_URGENT_TAIL = Clue(r"[\s,.;—-]((and )?(it's|it is|that's|this is) )?(an? )?<urgency>$")
_QUOTES = re.compile('["“”]')
_NOT_TO = compiled(r"^not to ")
_BEFORE = " \t,.;:!?-–—…\"'“”‘’*_•(["
EDGES = " \t,.;:!?-–—…\"'“”‘’*_"


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
    first = WORD.match(said)
    lead = _LEAD.match(said) if first and first.group().lower() in _LEADING_WORDS else None
    return said[lead.end() :] if lead else said


def headline(content: str) -> str:
    """A title: the content without reasons, tags and marks around it, capitalised and cut at a word. May be empty."""
    content = _QUOTES.sub("", content)
    reason = REASON.search(content)
    if reason and reason.start() > 0:
        content = content[: reason.start()]
    content = without_tail(content).strip(EDGES)
    if urgent := _URGENT_TAIL.search(content):
        content = without_tail(content[: urgent.start()])
    content = _NOT_TO.sub("not ", without_lead(content).strip(EDGES), count=1)
    if len(content) > LONGEST_TITLE:
        space = content.rfind(" ", 1, LONGEST_TITLE + 1)
        content = content[: space if space > 0 else LONGEST_TITLE].rstrip(EDGES)
    return content[:1].upper() + content[1:]


def without_tail(said: str) -> str:
    while tail := _TAIL.search(said):
        said = said[: tail.start()]
    return said


_EMPTY_WORDS = word_set(
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
    return telling_words(title)[:MOST_TAGS]


def telling_words(text: str) -> tuple[str, ...]:
    """The words of a text that carry meaning, each once, in lower case."""
    words = (word for word in WORD.findall(text.lower()) if len(word) > 1 and word not in _EMPTY_WORDS)
    return tuple(dict.fromkeys(words))
