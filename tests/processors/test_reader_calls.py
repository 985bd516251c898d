"""Voice agents: ElevenLabs, Vapi, Retell, Omi, Bland, Synthflow, Speechify, Ultravox, and OpenAI's thin events."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.delivery import Fetch, Reading
from domain.errors import UnknownEvent, Unreadable
from processors.joining import join
from processors.readers import read
from processors.readers.payload import instant_of
from tests.processors.meeting import (
    check_any_part_may_be_wrong,
    check_bodies_of_others,
    found,
    items,
    planned,
)
from tests.processors.sent import RECEIVED, Row, deliver, payload, reading_of, refusal, rows, value

ULTRAVOX_PAGES = (payload("ultravox", "fetched/page_1.json"), payload("ultravox", "fetched/page_2.json"))


def recorded(source: str, name: str) -> Reading:
    fetched = ULTRAVOX_PAGES if source == "ultravox" else ()
    return reading_of(deliver(source, payload(source, f"{name}.json"), fetched))


@pytest.mark.parametrize(
    ("source", "name", "session", "first", "last", "decision", "action"),
    [
        (
            "elevenlabs",
            "post_call_transcription",
            "elevenlabs-conv_51k2",
            [
                ("Garden helper", "assistant", "Good morning Mara, what shall we plan today?", 0, None),
                ("User", "user", "Morning. I'm out with the dog, so keep it short.", 5, None),
            ],
            ("User", "user", "Okay, that's all, thanks.", 105, None),
            "We plant a hedge instead of the fence",
            "Ask the nursery for the price of forty hornbeams",
        ),
        (
            "vapi",
            "end-of-call-report",
            "vapi-0d3c6f2e-1111-4a5b-9c77-2f1e0c9d8a10",
            [
                ("Assistant", "assistant", "Hello, how can I help?", 1.1, 3.1),
                ("User", "user", "I want to go over the invoices of this month.", 5.1, 7.0995),
            ],
            ("User", "user", "Good, bye.", 85.1, 87.0995),
            "Switch to the print shop in the station",
            "Write the notice to the old printer",
        ),
        (
            "retell",
            "call_analyzed",
            "retell-call_8c1",
            [
                ("Agent", "assistant", "Ready when you are.", 0.7, 1.85),
                ("User", "user", "So, the bathroom. We looked at grey and blue.", 2.85, 5.5),
            ],
            None,
            "Take the blue tiles",
            "Order sixteen square metres of the blue tiles",
        ),
        (
            "omi",
            "conversation",
            "omi-conv_77",
            [
                ("Tom", "other", "Ready when you are.", 2.4, 4.5),
                ("Mara", "user", "So, the bathroom. We looked at grey and blue.", 5.4, 7.5),
            ],
            ("Mara", "user", "Then we leave it. That was it.", 65.4, 67.5),
            "Take the blue tiles",
            "Order sixteen square metres of the blue tiles",
        ),
        (
            "bland",
            "call",
            "bland-9b1c",
            [
                ("Assistant", "assistant", "Good morning Mara, what shall we plan today?", 0, None),
                ("User", "user", "Morning. I'm out with the dog, so keep it short.", 2, None),
            ],
            ("User", "user", "Okay, that's all, thanks.", 42, None),
            "We plant a hedge instead of the fence",
            "Ask the nursery for the price of forty hornbeams",
        ),
        (
            "synthflow",
            "call",
            "synthflow-550e8400-e29b-41d4-a716-446655440010",
            [
                ("bot", "assistant", "Hello, how can I help?", None, None),
                ("human", "user", "I want to go over the invoices of this month.", None, None),
            ],
            ("human", "user", "Good, bye.", None, None),
            "Switch to the print shop in the station",
            "Write the notice to the old printer",
        ),
        (
            "speechify",
            "conversation.completed",
            "speechify-conv_1",
            [
                ("Assistant", "assistant", "Ready when you are.", 0, None),
                ("User", "user", "So, the bathroom. We looked at grey and blue.", 2, None),
            ],
            ("User", "user", "Then we leave it. That was it.", 42, None),
            "Take the blue tiles",
            "Order sixteen square metres of the blue tiles",
        ),
        (
            "ultravox",
            "call.ended",
            "ultravox-6f1d0c52-0000-4000-8000-00000000000a",
            [
                ("Agent", "assistant", "Good morning Mara, what shall we plan today?", 0.5, 3),
                ("User", "user", "Morning. I'm out with the dog, so keep it short.", 4.5, 7),
            ],
            ("User", "user", "Okay, that's all, thanks.", 84.5, 87),
            "We plant a hedge instead of the fence",
            "Ask the nursery for the price of forty hornbeams",
        ),
    ],
)
def test_a_call_is_read_turn_by_turn(
    source: str, name: str, session: str, first: list[Row], last: Row | None, decision: str, action: str
) -> None:
    reading = recorded(source, name)
    told = rows(reading)
    assert len(told) == 22  # what tools did and what the prompt says is no speech
    assert [row[:3] for row in told[:2]] == [row[:3] for row in first]
    assert [row[3:] for row in told[:2]] == [pytest.approx(row[3:]) for row in first]
    assert last is None or (told[-1][:3], told[-1][3:]) == (last[:3], pytest.approx(last[3:]))
    starts = [row[3] for row in told if row[3] is not None]
    assert starts == sorted(starts)
    assert (reading.session.id, reading.session.status, reading.extent) == (session, "completed", "whole")
    assert decision in [title for title, _ in found(reading, "decision")]
    assert any(title.startswith(action) for title, _ in found(reading, "action_item"))


def test_what_the_senders_say_of_a_call_is_kept_with_its_session() -> None:
    eleven = recorded("elevenlabs", "post_call_transcription")
    assert (eleven.session.title, eleven.summary) == (
        "Hedge instead of a fence",
        "The user chose a hornbeam hedge and asked for prices.",
    )
    assert eleven.session.participants == ("Garden helper", "User")
    assert eleven.session.metadata["data_collection"] == {"plant": "hornbeam"}
    assert recorded("vapi", "end-of-call-report").session.metadata["structured_data"] == {"open_invoices": 4}
    retell = recorded("retell", "call_analyzed").session.metadata
    assert (retell["user_sentiment"], retell["custom_analysis"]) == ("Positive", {"square_metres": 16})
    assert recorded("bland", "call").session.metadata["variables"] == {"language": "en"}
    assert recorded("synthflow", "call").session.metadata["collected"] == {"day": "Friday"}
    assert recorded("speechify", "conversation.completed").session.metadata["evaluations"] == {
        "colour": "blue",
        "polite": True,
    }
    assert recorded("ultravox", "call.ended").session.title == "Hedge instead of fence"


@pytest.mark.parametrize(
    ("source", "name", "at"),
    [
        ("elevenlabs", "post_call_transcription", "2026-03-02T07:51:40Z"),
        ("vapi", "end-of-call-report", "2026-03-02T07:53:01.100Z"),
        ("retell", "call_analyzed", "2026-03-02T08:00:00.700Z"),
        ("omi", "conversation", "2026-03-02T08:00:02.400Z"),
        ("bland", "call", "2026-03-02T10:00:02Z"),
        ("speechify", "conversation.completed", "2026-03-02T09:59:00Z"),
        ("ultravox", "call.ended", "2026-03-02T10:00:01.500Z"),
    ],
)
def test_turns_know_when_they_were_said(source: str, name: str, at: str) -> None:
    assert recorded(source, name).turns[0].start_time == instant_of(at)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("elevenlabs", "post_call_audio"),
        ("elevenlabs", "call_initiation_failure"),
        ("vapi", "status-update"),
        ("vapi", "transcript.partial"),
        ("retell", "call_started"),
        ("omi", "day_summary"),
        ("bland", "no_answer"),
        ("ultravox", "call.started"),
        ("ultravox", "call.joined"),
        ("ultravox", "call.billed"),
        ("openai", "realtime.call.incoming"),
        ("openai", "response.completed"),
    ],
)
def test_what_carries_no_talk_is_known_and_left(source: str, name: str) -> None:
    assert read(deliver(source, payload(source, f"{name}.json"))) is None


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("elevenlabs", {"type": "agent_born", "data": {}}),
        ("vapi", {"message": {"type": "brand-new"}}),
        ("retell", {"event": "call_dreamt", "call": {}}),
        ("speechify", {"event": "conversation.begun"}),
        ("ultravox", {"event": "call.paused", "call": {"callId": "1"}}),
        ("openai", {"type": "weather.changed"}),
    ],
)
def test_an_event_that_nobody_knows_is_unknown(source: str, body: Any) -> None:
    assert isinstance(refusal(deliver(source, body)), UnknownEvent)


def test_a_summary_may_come_alone() -> None:
    reading = recorded("elevenlabs", "post_call_transcription.summary_only")
    assert (reading.turns, reading.summary) == ((), "The user asked for the opening hours.")


def test_an_older_report_of_vapi_is_read_from_its_text() -> None:
    reading = recorded("vapi", "end-of-call-report.older")
    assert [row[:3] for row in rows(reading)] == [
        ("AI", "assistant", "Hello, how can I help?"),
        ("User", "user", "Note that the invoice is late."),
    ]
    assert reading.summary == "The user reported a late invoice."


def test_live_sentences_and_the_report_are_one_talk() -> None:
    live, report = recorded("vapi", "transcript.final"), recorded("vapi", "end-of-call-report")
    assert (live.extent, live.session.status) == ("live", None)
    assert live.session.id == report.session.id
    assert join([live, report]).turns == join([report, live]).turns == report.turns


def test_retells_updates_its_end_and_its_analysis_are_one_talk() -> None:
    parts = [recorded("retell", name) for name in ("transcript_updated", "call_ended", "call_analyzed")]
    assert [len(part.turns) for part in parts] == [4, 22, 22]
    assert {part.session.id for part in parts} == {"retell-call_8c1"}
    joined = join(parts)
    assert joined.turns == parts[2].turns
    assert joined.summary == "Blue tiles were chosen; Tom lays them in May."


def test_an_update_without_times_waits_for_the_end_of_the_call() -> None:
    body = {
        "event": "transcript_updated",
        "call": {"call_id": "1", "transcript_object": [{"role": "user", "content": "Hi"}]},
    }
    assert read(deliver("retell", body)) is None


def test_the_end_of_a_call_that_comes_late_leaves_its_analysis_alone() -> None:
    call = {"call_id": "1", "transcript_object": [{"role": "user", "content": "Hi"}]}
    ended = reading_of(deliver("retell", {"event": "call_ended", "call": call}))
    call["call_analysis"] = {"custom_analysis_data": {"tiles": "blue"}}
    analysed = reading_of(deliver("retell", {"event": "call_analyzed", "call": call}))
    assert analysed.session.metadata == {"custom_analysis": {"tiles": "blue"}}
    assert ended.session.metadata == {}


def test_speech_of_a_role_nobody_knows_is_kept_and_what_is_no_speech_is_not() -> None:
    roles = ("user", "supervisor", "tool_call_result", "system", "")
    talk = [{"role": role, "content": f"words of {role or 'nobody'}"} for role in roles]
    reading = reading_of(
        deliver("retell", {"event": "call_ended", "call": {"call_id": "1", "transcript_object": talk}})
    )
    assert [(turn.speaker, turn.role, turn.text) for turn in reading.turns] == [
        ("User", "user", "words of user"),
        ("Supervisor", "other", "words of supervisor"),
        ("Speaker", "other", "words of nobody"),
    ]


def test_omis_wearer_is_the_user_and_its_items_are_the_senders() -> None:
    reading = recorded("omi", "conversation")
    assert {(turn.speaker, turn.role) for turn in reading.turns} == {("Mara", "user"), ("Tom", "other")}
    assert [content["text"] for _, content in items(reading)] == ["Order the blue tiles", "Measure the bathroom"]
    assert [title for title, _ in planned(reading)] == ["Order the blue tiles"]


def test_omis_live_segments_are_placed_by_when_they_came() -> None:
    bare = reading_of(deliver("omi", payload("omi", "live.json"), session_id="omi-wearer-1"))
    later = recorded("omi", "live.server")
    assert {bare.session.id, later.session.id} == {"omi-wearer-1"}
    assert [(t.speaker, t.role, t.text, t.start_time) for t in bare.turns] == [
        ("SPEAKER_01", "other", "Blue or grey?", RECEIVED),
        ("SPEAKER_00", "user", "Blue.", RECEIVED + timedelta(seconds=1.6)),
    ]
    assert (bare.extent, bare.turns[0].start_seconds) == ("live", None)


def test_ultravox_is_asked_page_by_page_with_its_own_key() -> None:
    body = payload("ultravox", "call.ended.json")
    first = read(deliver("ultravox", body))
    second = read(deliver("ultravox", body, ULTRAVOX_PAGES[:1]))
    address = "/api/calls/6f1d0c52-0000-4000-8000-00000000000a/messages"
    assert isinstance(first, Fetch) and isinstance(second, Fetch)
    assert (first.url, first.token_header, first.token_prefix) == (address, "X-API-Key", "")
    assert second.url == f"{address}?cursor=cD0xMA%3D%3D"


def test_an_address_without_a_cursor_is_not_followed() -> None:
    page = {"results": [], "next": "https://elsewhere.example.test/messages"}
    error = refusal(deliver("ultravox", payload("ultravox", "call.ended.json"), (page,)))
    assert error.code == "wrong_type" and "elsewhere" not in error.message


def elevenlabs(talk: list[tuple[str, str]]) -> Any:
    turns = [{"role": "user", "message": text, "time_in_call_secs": 3} for _, text in talk]
    return deliver(
        "elevenlabs", {"type": "post_call_transcription", "data": {"conversation_id": "c", "transcript": turns}}
    )


def vapi(talk: list[tuple[str, str]]) -> Any:
    turns = [{"role": "user", "message": text, "secondsFromStart": 3} for _, text in talk]
    message = {"type": "end-of-call-report", "call": {"id": "c"}, "artifact": {"messages": turns}}
    return deliver("vapi", {"message": message})


def retell(talk: list[tuple[str, str]]) -> Any:
    turns = [{"role": "agent", "content": text, "words": []} for _, text in talk]
    return deliver("retell", {"event": "call_ended", "call": {"call_id": "c", "transcript_object": turns}})


def omi(talk: list[tuple[str, str]]) -> Any:
    turns = [{"text": text, "speaker": speaker, "is_user": False, "start": 1, "end": 0} for speaker, text in talk]
    return deliver("omi", {"id": "c", "transcript_segments": turns})


def bland(talk: list[tuple[str, str]]) -> Any:
    return deliver("bland", {"call_id": "c", "transcripts": [{"user": "user", "text": text} for _, text in talk]})


def speechify(talk: list[tuple[str, str]]) -> Any:
    turns = [{"role": "user", "content": text} for _, text in talk]
    return deliver("speechify", {"event": "conversation.completed", "conversation": {"id": "c"}, "messages": turns})


def ultravox(talk: list[tuple[str, str]]) -> Any:
    page = {"results": [{"role": "MESSAGE_ROLE_USER", "text": text} for _, text in talk], "next": None}
    return deliver("ultravox", {"event": "call.ended", "call": {"callId": "c"}}, (page,))


@pytest.mark.parametrize("delivery", [elevenlabs, vapi, retell, omi, bland, speechify, ultravox])
def test_many_turns_in_any_script(delivery: Callable[[list[tuple[str, str]]], Any]) -> None:
    talk = [("", f"שלום 👋🏽 {number}") for number in range(50_000)]
    reading = reading_of(delivery(talk))
    assert [("", turn.text) for turn in reading.turns] == talk


def test_times_may_be_of_any_size_and_go_backwards() -> None:
    huge = {"role": "user", "message": "Hi", "time": 1e308, "secondsFromStart": 1e300}
    message = {"type": "end-of-call-report", "call": {"id": "c"}, "artifact": {"messages": [huge]}}
    assert refusal(deliver("vapi", {"message": message})).code == "wrong_type"
    backwards = [{"role": "user", "message": t, "time_in_call_secs": s} for t, s in (("b", 9), ("a", 2))]
    body = {"type": "post_call_transcription", "data": {"conversation_id": "c", "transcript": backwards}}
    assert [turn.start_seconds for turn in reading_of(deliver("elevenlabs", body)).turns] == [9, 2]
    far = {"type": "post_call_transcription", "data": {"metadata": {"start_time_unix_secs": 1}, "transcript": [
        {"role": "user", "message": "Hi", "time_in_call_secs": 1e300}]}}  # fmt: skip
    assert reading_of(deliver("elevenlabs", far)).turns[0].start_time is None


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("elevenlabs", "post_call_transcription"),
        ("vapi", "end-of-call-report"),
        ("vapi", "transcript.final"),
        ("retell", "call_analyzed"),
        ("omi", "conversation"),
        ("omi", "live"),
        ("omi", "live.server"),
        ("bland", "call"),
        ("synthflow", "call"),
        ("synthflow", "flat"),
        ("speechify", "conversation.completed"),
        ("openai", "response.completed"),
    ],
)
def test_any_part_may_be_wrong(source: str, name: str) -> None:
    check_any_part_may_be_wrong(source, name)


def test_any_part_of_a_fetched_page_may_be_wrong() -> None:
    check_any_part_may_be_wrong("ultravox", "call.ended", "page_1", "page_2")


@pytest.mark.parametrize(
    "source", ["elevenlabs", "vapi", "retell", "omi", "bland", "synthflow", "speechify", "ultravox", "openai"]
)
def test_bodies_of_other_senders_are_refused_or_empty(source: str) -> None:
    check_bodies_of_others(source)
    with pytest.raises(Unreadable):
        read(deliver(source, value("circleback", "meeting.json") if source != "omi" else {"name": "x"}))


def test_the_url_may_name_the_session() -> None:
    given = deliver("bland", payload("bland", "call.json"), session_id="garden")
    assert reading_of(given).session.id == "garden"


def test_an_instant_before_our_calendar_is_refused() -> None:
    body = {"type": "post_call_transcription", "data": {"metadata": {"start_time_unix_secs": -1e17}}}
    assert refusal(deliver("elevenlabs", body)).code == "wrong_type"
    assert datetime(2026, 3, 2, tzinfo=UTC) < RECEIVED
