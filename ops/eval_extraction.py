"""Labels for utterances of annotated talk, to compare with what its annotators marked; others score them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from domain.session import Turn
from processors.extracting.labelling import labels_of


def predictions(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """{"meeting", "i", "labels"} for each utterance of {"meeting", "i", "speaker", "text"} that gets a label.

    Annotations in the rows are not looked at. The utterances of a meeting stand together and in order.
    """
    for meeting, talk in groupby(rows, key=lambda row: row["meeting"]):
        said = list(talk)
        labels = labels_of(turns_of(said))
        for place in sorted(labels):
            yield {"meeting": meeting, "i": said[place]["i"], "labels": sorted(labels[place])}


def turns_of(rows: Sequence[Mapping[str, Any]]) -> list[Turn]:
    return [Turn(str(row.get("speaker", "")), row["text"], "other") for row in rows]


def counts(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many utterances got each label."""
    number: dict[str, int] = defaultdict(int)
    for row in found:
        for label in row["labels"]:
            number[label] += 1
    return [{"label": label, "utterances": number[label]} for label in sorted(number)]
