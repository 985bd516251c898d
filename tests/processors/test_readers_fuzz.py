"""Any JSON at any place of a recorded payload, for every reader: read or refused, and a refusal quotes nothing."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.readers import READERS
from tests.processors.meeting import sensible
from tests.processors.sent import PAYLOADS, deliver, paths

ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NOT_HERE = {"native", "chatgpt", "generic"}  # queries and our own forms: their own tests and tests/ingest


def recorded(source: str) -> list[Any]:
    return [json.loads(path.read_bytes()) for path in sorted((PAYLOADS / source).glob("*.json"))]


@pytest.mark.parametrize("source", sorted(READERS.keys() - NOT_HERE))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_anything_anywhere_is_read_or_refused(source: str, data: st.DataObject) -> None:
    body = copy.deepcopy(data.draw(st.sampled_from(recorded(source))))
    for _ in range(data.draw(st.integers(1, 3))):
        places = list(paths(body))
        if not places:
            break
        *way, last = data.draw(st.sampled_from(places))
        inner = body
        for step in way:
            inner = inner[step]
        inner[last] = data.draw(ANYTHING)
    sensible(deliver(source, body))
