"""How likely an utterance is a decision, an action item, an idea …, learned from labelled talk.

Two models look at it, one by the letters and words (linear, over hashed features) and a small network by what words
mean; their scores are added. docs/extraction.md says what they were trained on and how often they are right;
scripts/train_extractor makes the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from processors.extracting.features import BITS, groups
from processors.extracting.network import BUCKETS, FIRST, Network

MODEL_FILE = Path(__file__).with_name("model.npz")
_BLOCK = 512  # utterances whose features are weighed at a time, so that memory stays flat

Scores = NDArray[np.float32]
Form = Literal["written", "recognised"]


@dataclass(frozen=True, slots=True)
class Linear:
    """`weights`: a row of all labels for each hashed feature, as roots of their size (`packed`), times `scale`.

    `shares`: how much the features of each group count.
    """

    weights: NDArray[np.int8]
    scale: Scores
    bias: Scores
    shares: Scores

    def scores(self, texts: Sequence[str], speakers: Sequence[str]) -> Scores:
        total = np.zeros((len(texts), len(self.bias)), np.float32)
        size = np.zeros(len(texts), np.float32)
        for group, share in zip(groups(texts, speakers), self.shares, strict=True):
            begins = np.cumsum(group.counts) - group.counts
            size += share * share * group.counts
            for first in range(0, len(texts), _BLOCK):
                last = min(first + _BLOCK, len(texts))
                low, high = begins[first], begins[last - 1] + group.counts[last - 1]
                found = _SQUARES[self.weights[group.indices[low:high]]]
                total[first:last] += np.add.reduceat(found, begins[first:last] - low, axis=0) * share
        scores: Scores = (total * (self.scale / np.sqrt(size)[:, None]) + self.bias).astype(np.float32)
        return scores


# The square of each packed weight with its sign; negative ones count from the end.
_SQUARES = (np.arange(256, dtype=np.float32) - 256 * (np.arange(256) > 127)) / 127
_SQUARES = (_SQUARES * np.abs(_SQUARES)).astype(np.float32)


def packed(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], Scores]:
    """Weights in a byte each: the root of its size, so that small ones keep their difference; and the scale."""
    scale = np.abs(weights).max(axis=0)
    return np.rint(np.sign(weights) * np.sqrt(np.abs(weights) / scale) * 127).astype(np.int8), scale.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Model:
    """Both models: `shares` is how much the linear one counts for each label; `about` is what training found.

    `calibration` turns a score into a probability: a slope and an offset for each label, for each form of the text:
    `written` with marks, or `recognised` from speech without any.
    """

    labels: tuple[str, ...]
    linear: Linear
    network: Network
    shares: Scores
    calibration: Mapping[Form, Scores]
    about: Mapping[str, Any]

    def scores(self, texts: Sequence[str], speakers: Sequence[str]) -> Scores:
        """One row an utterance, one column a label; the utterances are all of one talk, in order."""
        if not texts:
            return np.zeros((0, len(self.labels)), np.float32)
        by_letters, by_meaning = self.linear.scores(texts, speakers), self.network.scores(texts, speakers)
        scores: Scores = self.shares * by_letters + (1 - self.shares) * by_meaning
        return scores

    def probabilities(self, texts: Sequence[str], speakers: Sequence[str]) -> Scores:
        slope, offset = self.calibration[form_of(texts)]
        likely: Scores = 1 / (1 + np.exp(-(self.scores(texts, speakers) * slope + offset)))
        return likely


def form_of(texts: Sequence[str]) -> Form:
    """Raw speech recognition has no marks; one in twenty may come from anywhere."""
    marked = sum(any(mark in text for mark in ".?!") for text in texts)
    return "recognised" if 20 * marked <= len(texts) else "written"


@cache
def load(path: Path = MODEL_FILE) -> Model:
    """The model that comes with the package, read once a process: some 30 ms."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(bytes(file["about"]))
        words = bytes(file["vocabulary"]).decode().split("\n")
        model = Model(
            labels=tuple(about["labels"]),
            linear=Linear(file["linear"], file["linear scale"], file["linear bias"], file["linear shares"]),
            network=Network(
                places={word: FIRST + BUCKETS + place for place, word in enumerate(words)},
                weights={
                    name.removeprefix("network "): file[name].astype(np.float32)
                    for name in file.files
                    if name.startswith("network ")
                },
            ),
            shares=file["shares"],
            calibration={"written": file["calibration written"], "recognised": file["calibration recognised"]},
            about=about,
        )
    assert model.network.tables  # made now, rather than when the first talk waits for them
    return model


def save(model: Model, path: Path) -> None:
    """Writes the file that `load` reads."""
    assert model.linear.weights.shape == (1 << BITS, len(model.labels))
    arrays: dict[str, NDArray[Any]] = {
        "linear": model.linear.weights,
        "linear scale": model.linear.scale,
        "linear bias": model.linear.bias,
        "linear shares": model.linear.shares,
        "vocabulary": np.frombuffer("\n".join(model.network.places).encode(), np.uint8),
        "shares": model.shares,
        "about": np.frombuffer(json.dumps(dict(model.about), indent=1).encode(), np.uint8),
    }
    arrays |= {f"calibration {form}": curves for form, curves in model.calibration.items()}
    arrays |= {f"network {name}": matrix.astype(np.float16) for name, matrix in model.network.weights.items()}
    np.savez_compressed(path, allow_pickle=False, **arrays)
