"""LiveKit: events in which nothing is spoken."""

from typing import Any

import pytest

from domain.errors import UnknownEvent
from processors.readers import ANNOUNCING, read
from tests.processors.sent import broken, deliver, foreign, payload, refusal, sensible, value


@pytest.mark.parametrize("name", ["room_finished.json", "participant_joined.json", "egress_ended.json"])
def test_events_carry_nothing_to_keep(name: str) -> None:
    assert read(deliver("livekit", payload("livekit", name), content_type="application/webhook+json")) is None
    assert "livekit" not in ANNOUNCING


def test_an_event_that_nobody_knows_is_told_as_such() -> None:
    assert isinstance(refusal(deliver("livekit", {"event": "room_painted"})), UnknownEvent)


@pytest.mark.parametrize(
    ("body", "code"),
    [({}, "missing_field"), ({"event": ["x"]}, "wrong_type"), ([], "wrong_type"), (b"{", "invalid_json")],
)
def test_what_is_wrong_is_told_by_a_code(body: Any, code: str) -> None:
    assert refusal(deliver("livekit", body)).code == code


def test_every_way_to_break_a_body_and_those_of_others_end_well() -> None:
    for body in broken(value("livekit", "egress_ended.json")):
        sensible(deliver("livekit", body))
    for other in foreign("livekit"):
        sensible(deliver("livekit", other))
