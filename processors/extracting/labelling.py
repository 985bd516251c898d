"""Every label that an utterance of a talk gets, for comparison with annotated talk; memories keep fewer.

decision, action_item, problem, idea, question, offer, summary     where the model is past its threshold
decision, action_item, problem, idea, question                     also where a rule heard it said outright
commitment                                                         an offer or action item in the first person
"""

from collections import defaultdict
from collections.abc import Sequence

from domain.session import Turn
from processors.extracting import hearing
from processors.extracting.items import TYPES
from processors.extracting.judging import judge
from processors.extracting.phrases import compiled

_LABELS = {type: label for label, type in TYPES.items()}
_ALONE = ("decision", "action_item", "problem", "idea", "question")
_PROMISES = compiled(r"\b(i'll|i will|i'm (gonna|going to)|i can|i could|i'd|we'll|we will|let me)\b")


def labels_of(turns: Sequence[Turn]) -> dict[int, set[str]]:
    """The labels of each turn that has one, by its position."""
    judged = judge(turns)
    labels: dict[int, set[str]] = defaultdict(set)
    for label in (*_ALONE, "offer", "summary"):
        for place in judged.past(label):
            labels[judged.utterances[place].turn].add(label)
    for place in judged.past("offer"):
        if _PROMISES.search(judged.utterances[place].text):
            labels[judged.utterances[place].turn].add("commitment")
    unmarked = judged.form == "recognised"  # there the rules hear questions that the model takes for statements
    for draft in hearing.extract(turns):
        outright = draft.explicit or (unmarked and draft.type == "question")
        if outright and draft.type in _LABELS and draft.turn is not None:
            labels[draft.turn].add(_LABELS[draft.type])
    return dict(labels)
