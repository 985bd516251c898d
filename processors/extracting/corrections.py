"""Words by which speakers correct themselves or take back what they said, and what comes of it."""

from processors.extracting.cleaning import EDGES, headline, without_lead
from processors.extracting.details import WHEN
from processors.extracting.phrases import WORD, compiled, word_set

STARTS_OVER = compiled(r"(<no wait>|<or rather>)")
TURNS = compiled(
    r"<pause>((?P<firmly><pause>*+(<no wait>|<scratch that>)|(?<=,)\s?<or rather>)"
    r"|(?<=[,—–-])\s?((no|wait|sorry),\s|(i mean|actually) (?=\S+( \S+){0,2}$)))"
)
TAKES_BACK = compiled(
    r"((scratch|strike|cancel|forget|ignore|undo|delete|drop) (that|it|this)( last)?( one| task| note| item)?"
    r"(?= (please|actually|let's|instead|i|we|add|make)\b|<pause>*$|[,.;!—-])"
    r"|never ?mind( (that|all that))?(?=[,.;!—-]|$| (actually|let's)\b)|forget about (that|it))"
    r"<pause>*((please|instead|actually)<pause>*)*"
)
TURN_WORDS = word_set(
    "no wait sorry actually scratch strike cancel forget ignore undo delete drop never nevermind rather correction"
    " make mean"
)
_CLAUSE = compiled(
    r"(that|it|this|i|we|they|he|she|you|there|what|which|that's|it's|let me|i'm|i've|don't|because|but)\b(?! one\b)"
)
_VERB = compiled(r"(<work>|<errand>|(keep|make|go|stick|drop|start|have)\b)")
_FINITE = compiled(
    r"\b(is|are|was|were|am|has|had|will|can|could|should|would|does|did|do|might|\w+'(s|re|ve|ll|d|m|t))\b"
)


def replaced(content: str, correction: str) -> str:
    """The content with its last part said anew: ("use SQLite", "Postgres") gives "use Postgres"."""
    correction = without_lead(correction).strip(EDGES)
    first = correction.partition(" ")[0].lower()
    same_word = f" {content.lower()} ".rfind(f" {first} ")
    old, new = list(WHEN.finditer(content)), WHEN.match(correction)
    if old and new:
        return content[: old[-1].start()] + correction + content[old[-1].end() :]
    if same_word > 0:
        return content[:same_word] + correction
    if _VERB.match(content) and not _VERB.match(correction):
        return f"{content.partition(' ')[0]} {correction}"
    return correction


def is_fragment(said: str) -> bool:
    """Whether this can stand in for a part of what was said before: "Postgres", "write the docs"; not "it rains"."""
    said = headline(said)
    words = len(WORD.findall(said))
    if _VERB.match(said):
        return words <= 8
    return 0 < words <= 4 and not _CLAUSE.match(said) and not _FINITE.search(said)
