"""What of a language model's answer is believed: items whose words were said by a person in the piece it was shown.

Nothing that it finds was said outright, so its tasks wait for a person.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from domain.memory import MemoryDraft
from domain.session import Turn
from processors.extracting.cleaning import LONGEST_TITLE, headline, tags_of
from processors.extracting.pieces import Piece

MOST_ITEMS = 40  # of a piece
MOST_ALTERNATIVES = 5
MOST_CONFIDENT = 0.85  # below what lets a task start without a person
LONGEST_QUOTE = 1_000  # characters: what is longer carries no single statement

# Control characters, which no database takes or which move a terminal; and marks that turn the direction of text.
_UNSEEN = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], " ")


def _shortened(text: str, longest: int) -> str:
    return " ".join(text[: 2 * longest].translate(_UNSEEN).split())[:longest].rstrip()


def _short_enough(quote: str) -> str:
    if len(quote) > LONGEST_QUOTE or "\0" in quote:
        raise ValueError("a quote is short and holds what can be said")
    return quote


# Cut rather than refused, by functions rather than limits, which small servers cannot make a grammar of.
Title = Annotated[str, AfterValidator(lambda text: _shortened(text, 3 * LONGEST_TITLE))]
Words = Annotated[str, AfterValidator(lambda text: _shortened(text, 300))]
Name = Annotated[str, AfterValidator(lambda text: _shortened(text, 60))]


class Item(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: Literal["idea", "decision", "question", "action_item", "fact", "note", "preference", "context", "risk"]
    title: Title
    turn: int
    quote: Annotated[str, AfterValidator(_short_enough)]
    confidence: float = Field(0.6, allow_inf_nan=False)
    rationale: Words | None = None
    alternatives: Annotated[list[Words], AfterValidator(lambda others: others[:MOST_ALTERNATIVES])] = []
    due: Name | None = None
    owner: Name | None = None


class Items(BaseModel):
    items: list[Item]


def believable(listed: Sequence[Any]) -> list[dict[str, Any]]:
    """Those that have the form of an item, as what they are kept as."""
    found = []
    for entry in listed[:MOST_ITEMS]:
        try:
            found.append(Item.model_validate(entry).model_dump(exclude_none=True))
        except ValidationError:
            continue  # one bad item is no reason to lose the others
    return found


def drafts(turns: Sequence[Turn], piece: Piece, items: Sequence[Mapping[str, Any]]) -> list[MemoryDraft]:
    """The items whose quotes were said by a person in this piece."""
    found = (_draft(turns, piece, Item.model_validate(item)) for item in items)
    return [draft for draft in found if draft is not None]


def _draft(turns: Sequence[Turn], piece: Piece, item: Item) -> MemoryDraft | None:
    place = _place(turns, piece, item)
    title = headline(item.title)[:LONGEST_TITLE]
    if place is None or not tags_of(title):
        return None
    position, start = place
    told = item.model_dump(include={"rationale", "due", "owner", "alternatives"})
    return MemoryDraft(
        type=item.type,
        title=title,
        content={name: value for name, value in told.items() if value},
        tags=tags_of(title),
        confidence=round(min(max(item.confidence, 0.0), MOST_CONFIDENT), 3),
        extractor="llm",
        speaker=turns[position].speaker,
        turn=position,
        char_start=start,
        char_end=start + len(item.quote),
        quote=item.quote,
    )


def _place(turns: Sequence[Turn], piece: Piece, item: Item) -> tuple[int, int] | None:
    """Where the quote stands: in the turn that was named, else in the only turn of the piece that has it."""
    if not item.quote.strip():
        return None
    places = [
        (position, start)
        for position in range(piece.first, piece.last + 1)
        if turns[position].role in ("user", "other") and (start := turns[position].text.find(item.quote)) >= 0
    ]
    named = [place for place in places if place[0] == piece.first + item.turn]
    if named:
        return named[0]
    return places[0] if len(places) == 1 else None
