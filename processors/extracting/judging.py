"""What the model holds of each utterance of a talk, and from where on it counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from domain.session import Turn
from processors.extracting.model import Form, Model, form_of, load
from processors.extracting.utterances import Utterance, utterances

Setting = Literal["alone", "together"]  # a person with an assistant or a recorder; several people among themselves

# What the model learned from mail ("request") is what one person says to an assistant; what it learned from meetings
# is what people say to each other.
_LEARNED: dict[Setting, dict[str, str]] = {"alone": {"action_item": "request"}, "together": {}}


@dataclass(frozen=True, slots=True)
class Judged:
    """The utterances of a talk with a probability of each label: `probabilities[utterance, label]`."""

    utterances: Sequence[Utterance]
    setting: Setting
    model: Model
    probabilities: NDArray[np.float32]

    @property
    def form(self) -> Form:
        return form_of([utterance.text for utterance in self.utterances])

    def of(self, label: str) -> NDArray[np.float32]:
        """The probability of a label for each utterance."""
        learned = _LEARNED[self.setting].get(label, label)
        return self.probabilities[:, self.model.labels.index(learned)]

    def past(self, label: str) -> list[int]:
        """Places of the utterances that get the label: past its threshold, or past a lower one close to such a one."""
        likely = self.of(label)
        rule = self.model.about["thresholds"][self.form][_LEARNED[self.setting].get(label, label)]
        return spread(likely >= rule["seed"], likely >= rule["spread"], rule["gap"])


def spread(seeds: NDArray[np.bool_], others: NDArray[np.bool_], gap: int) -> list[int]:
    """Seeds, and the others that lie at most `gap` from a seed or from another that was so found."""
    found = seeds.copy()
    candidates = np.flatnonzero(seeds | others)
    for order in (candidates, candidates[::-1]):
        last = None
        for place in order:
            if found[place] or (last is not None and abs(int(place) - last) <= gap):
                found[place] = True
                last = int(place)
    return [int(place) for place in np.flatnonzero(found)]


def judge(turns: Sequence[Turn]) -> Judged:
    """Pure; 10 to 50 µs an utterance."""
    said = utterances(turns)
    model = load()
    probabilities = model.probabilities([u.text for u in said], [u.speaker for u in said])
    return Judged(said, setting_of(turns), model, probabilities)


def setting_of(turns: Sequence[Turn]) -> Setting:
    speakers = {turn.speaker for turn in turns if turn.role in ("user", "other")}
    return "together" if len(speakers) > 1 else "alone"
