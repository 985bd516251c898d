"""How likely an utterance is a decision, an action item, an idea …: a linear model, learned from labelled talk.

docs/extraction.md says what it was trained on and how often it is right; scripts/train_extractor makes its file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.extracting.features import BITS, groups

MODEL_FILE = Path(__file__).with_name("model.npz")
_BLOCK = 512  # utterances whose features are weighed at a time, so that memory stays flat

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Model:
    """`weights`: one row of all labels for each hashed feature, times 127/`scale`; `about`: what training found.

    `calibration` turns a score into a probability: a slope and an offset for each label.
    """

    labels: tuple[str, ...]
    weights: NDArray[np.int8]
    scale: Scores
    bias: Scores
    groups: Scores
    calibration: Scores
    about: Mapping[str, Any]

    def scores(self, texts: Sequence[str], speakers: Sequence[str]) -> Scores:
        """One row an utterance, one column a label; the utterances are all of one talk, in order."""
        total: Scores = np.tile(self.bias, (len(texts), 1))
        if not texts:
            return total
        for group, share in zip(groups(texts, speakers), self.groups, strict=True):
            if share:
                begins = np.cumsum(group.counts) - group.counts
                for first in range(0, len(texts), _BLOCK):
                    last = min(first + _BLOCK, len(texts))
                    low, high = begins[first], begins[last - 1] + group.counts[last - 1]
                    found = self.weights[group.indices[low:high]].astype(np.float32)
                    summed = np.add.reduceat(found, begins[first:last] - low, axis=0)
                    total[first:last] += summed * (self.scale * share / np.sqrt(group.counts[first:last, None]))
        return total

    def probabilities(self, texts: Sequence[str], speakers: Sequence[str]) -> Scores:
        slope, offset = self.calibration
        likely: Scores = 1 / (1 + np.exp(-(self.scores(texts, speakers) * slope + offset)))
        return likely


@cache
def load(path: Path = MODEL_FILE) -> Model:
    """The model that comes with the package, read once a process: a few milliseconds."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(bytes(file["about"]))
        return Model(
            labels=tuple(about["labels"]),
            weights=file["weights"],
            scale=file["scale"],
            bias=file["bias"],
            groups=file["groups"],
            calibration=file["calibration"],
            about=about,
        )


def save(model: Model, path: Path) -> None:
    """Writes the file that `load` reads; the same model gives the same bytes."""
    assert model.weights.shape == (1 << BITS, len(model.labels))
    np.savez_compressed(
        path,
        weights=model.weights,
        scale=model.scale,
        bias=model.bias,
        groups=model.groups,
        calibration=model.calibration,
        about=np.frombuffer(json.dumps(dict(model.about), indent=1).encode(), np.uint8),
    )
