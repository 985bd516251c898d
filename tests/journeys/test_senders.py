"""Every recorded payload of every sender, signed as it signs, through real processes to memories and tasks."""

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from domain.delivery import NATIVE, Delivery, Fetch, Reading, delivery_key
from ingest.signing import sign_as
from ingest.sources import SOURCES
from processors.joining import join
from processors.readers import ANNOUNCING, READERS, read
from store.database import Connection, connect
from tests.conftest import ROOT
from tests.ingest.test_signature_families import secret_of
from tests.journeys.stack import Up, running_up
from tests.processors.sender_api import Api, answering

PAYLOADS = ROOT / "tests" / "payloads"
WITHOUT_PAYLOADS = {
    NATIVE,  # our own clients: tests/processors/test_reader_native.py and tests/ingest
    "chatgpt",  # the body is of our own schema: tests/ingest/test_chatgpt.py
}
WITHOUT_TALK = {"openai", "livekit"}  # nothing that was said ever comes from them
TYPES = {".json": "application/json", ".form": "application/x-www-form-urlencoded"}
PLACE = re.compile(rb"https://[a-z0-9.-]+(?=/)")

# What the API answers, in order, to what the reader asks for.
FETCHED = {
    "assemblyai/completed.json": ["transcript.json"],
    "daily/transcript.ready-to-download.json": ["access_link.json", "transcript.vtt"],
    "fireflies/meeting.summarized.json": ["summarized.json"],
    "fireflies/meeting.transcribed.json": ["transcribed.json"],
    "fireflies/older_form.json": ["transcribed.json"],
    "grain/recording_added.json": ["recording.json", "transcript.json"],
    "grain/recording_updated.json": ["recording.json", "transcript.json"],
    "granola/note.access_granted.json": ["note.json", "page_1.json", "page_2.json"],
    "granola/note.edited.json": ["note.json", "page_1.json", "page_2.json"],
    "granola/note.generated.json": ["note.json", "page_1.json", "page_2.json"],
    "recall/transcript.done.json": ["transcript.json", "file.json"],
    "tldv/TranscriptReady.announced.json": ["transcript.json"],
    "twilio/event_stream.json": ["transcript.json", "sentences_1.json", "sentences_2.json"],
    "twilio/transcript_available.json": ["transcript.json", "sentences_1.json", "sentences_2.json"],
    "ultravox/call.ended.json": ["page_1.json", "page_2.json"],
    "zoom/contact_center.recording_transcript_completed.json": ["contact_center.vtt"],
    "zoom/phone.recording_transcript_completed.json": ["phone.json"],
    "zoom/recording.transcript_completed.json": ["meeting.vtt"],
    "zoom/two_files.json": ["meeting.vtt", "meeting_later.vtt"],
}


PLACED_BY_ARRIVAL = {"omi-wearer-1"}  # their times are when we received them


@dataclass(frozen=True)
class Sent:
    source: str
    name: str
    key: str
    reading: Reading | None


def recorded() -> list[Path]:
    """Payloads of senders; `fetched/` beside them holds answers of their APIs."""
    return sorted(path for path in PAYLOADS.glob("*/*.*") if path.parent.name in SOURCES.keys() - WITHOUT_PAYLOADS)


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    api = Api()
    yield api
    api.close()


@pytest.fixture(scope="module")
def up(api: Api) -> Iterator[Up]:
    settings = {f"WEBHOOK_SECRET_{source.upper()}": secret_of(source) for source in SOURCES}
    settings |= {f"FETCH_URL_{source.upper()}": api.url for source in ANNOUNCING}
    settings |= {f"FETCH_TOKEN_{source.upper()}": "a-token" for source in ANNOUNCING}
    with running_up(**settings) as running:
        yield running


@pytest.fixture(scope="module")
def conn(up: Up) -> Iterator[Connection]:
    with connect(up.database_url(), "test") as connection:
        yield connection


@pytest.fixture(scope="module")
def sent(up: Up, api: Api, conn: Connection) -> list[Sent]:
    """All of them, each answered at once, and then brought to their end by the workers."""
    with httpx2.Client(base_url=up.url) as client:
        posted = [post(client, up, api, conn, path) for path in recorded()]
    found = [one for one in posted if one is not None]
    names: dict[str, list[str]] = defaultdict(list)
    for one in found:
        names[one.key].append(one.name)
    assert all(len(same) == 1 for same in names.values()), [same for same in names.values() if len(same) > 1]
    wait_for(conn, [one.key for one in found])
    return found


def wait_for(conn: Connection, keys: list[str]) -> None:
    deadline = time.monotonic() + 60
    finished = "SELECT count(*) AS n FROM deliveries WHERE id = ANY (%s) AND state <> 'received'"
    while conn.execute(finished, [keys]).fetchone() != {"n": len(keys)}:
        assert time.monotonic() < deadline, conn.execute(
            "SELECT source, event, error FROM deliveries WHERE state = 'received'"
        ).fetchall()
        time.sleep(0.05)


def post(client: httpx2.Client, up: Up, api: Api, conn: Connection, path: Path) -> Sent | None:
    """None for a handshake, which leaves nothing."""
    source, body = path.parent.name, path.read_bytes()
    if source in ANNOUNCING:
        body = PLACE.sub(api.url.encode(), body)
    content_type = TYPES[path.suffix]
    reading = expected(api, path, body, content_type)
    now, query = datetime.now(UTC), query_of(path)
    where, headers = sign_as(
        source, body, secret_of(source), base_url=up.url, content_type=content_type, query=query, now=now
    )
    if source == "github":
        headers |= {"x-github-event": path.stem, "x-github-delivery": path.stem}
    answer = client.post(where, content=body, headers=headers)
    assert answer.status_code == SOURCES[source].status, (path, answer.text)
    key = answer.json().get("delivery") if answer.content else ultravox_key(body)
    if key is None:
        return None
    if f"{source}/{path.name}" in FETCHED:
        wait_for(conn, [key])  # before the next one asks at the same address
    return Sent(source, path.name, key, reading)


def query_of(path: Path) -> dict[str, str]:
    return {"uid": "wearer-1"} if path.parent.name == "omi" else {}


def ultravox_key(body: bytes) -> str:
    """The one sender that is answered without a body, as it wants it."""
    event = json.loads(body)
    return delivery_key("ultravox", f"{event['event']}:{event['call']['callId']}")


def expected(api: Api, path: Path, body: bytes, content_type: str) -> Reading | None:
    """What the reader says to it, with the API's answers laid ready where it asks for them."""
    source = path.parent.name
    event = path.stem if source == "github" else "transcript"
    session = "omi-wearer-1" if source == "omi" and body.lstrip().startswith(b"[") else None
    delivery = Delivery(source, path.name, event, datetime.now(UTC), content_type, body, session)
    files = iter(FETCHED.get(f"{source}/{path.name}", []))
    while isinstance(outcome := read(delivery), Fetch):
        name = next(files, None)
        assert name is not None, f"{path.name} wants {outcome.url}, and FETCHED has no more answers for it"
        answer = PLACE.sub(api.url.encode(), (path.parent / "fetched" / name).read_bytes())
        parts = urlsplit(outcome.url)
        api.routes[parts.path + (f"?{parts.query}" if parts.query else "")] = answering(answer)
        delivery = replace(delivery, fetched=(*delivery.fetched, answer))
    assert outcome is None or isinstance(outcome, Reading)
    return outcome


def test_every_sender_has_a_reader_and_recorded_payloads() -> None:
    assert READERS.keys() == SOURCES.keys()
    assert {path.parent.name for path in recorded()} == SOURCES.keys() - WITHOUT_PAYLOADS


def test_every_payload_is_processed_or_knowingly_ignored(conn: Connection, sent: list[Sent]) -> None:
    rows = conn.execute("SELECT id, source, event, state, error_code, error FROM deliveries").fetchall()
    states = {row["id"]: row for row in rows}
    for one in sent:
        row = states[one.key]
        assert row["state"] == ("processed" if one.reading else "ignored"), (one.name, row)


def test_turns_are_stored_as_they_were_said(conn: Connection, sent: list[Sent]) -> None:
    talks: dict[tuple[str, str], list[Reading]] = defaultdict(list)
    sessions = {row["id"]: row["session_id"] for row in conn.execute("SELECT id, session_id FROM deliveries")}
    for one in sent:
        if one.reading:
            talks[one.source, sessions[one.key]].append(one.reading)
    assert {source for source, _ in talks} == {one.source for one in sent} - WITHOUT_TALK
    for (source, session), readings in talks.items():
        rows = conn.execute(
            "SELECT speaker, role, text, start_seconds, end_seconds, start_time FROM turns"
            " WHERE session_id = %s AND role <> 'summary' ORDER BY seq",
            [session],
        ).fetchall()
        stored = [tuple(row.values()) for row in rows]
        told = [reading for reading in readings if reading.extent != "part"]
        whole = [join(told)] if told else []
        turns = [turn for reading in whole for turn in reading.turns]
        parts = [turn for reading in readings if reading.extent == "part" for turn in reading.turns]
        said = [(t.speaker, t.role, t.text, t.start_seconds, t.end_seconds, t.start_time) for t in (*turns, *parts)]
        if session in PLACED_BY_ARRIVAL:
            stored, said = ([row[:-1] for row in rows] for rows in (stored, said))
        assert sorted(map(repr, stored)) == sorted(map(repr, said)), (source, session)
        if len(readings) == 1:
            assert stored == said, (source, session)


def test_each_sender_gives_decisions_with_their_words_and_tasks(conn: Connection, sent: list[Sent]) -> None:
    talking = {one.source for one in sent} - WITHOUT_TALK
    memories = conn.execute(
        "SELECT d.source, m.type, m.quote, t.text FROM memories m JOIN deliveries d ON d.id = m.delivery"
        " LEFT JOIN turns t ON t.id = m.turn"
    ).fetchall()
    assert all(row["quote"] in row["text"] for row in memories if row["quote"])
    assert talking == {row["source"] for row in memories if row["type"] == "decision" and row["quote"]}
    tasks = conn.execute(  # of its own, or of another sender that said the same before
        "SELECT d.source FROM tasks k JOIN deliveries d ON d.id = k.delivery UNION"
        " SELECT d.source FROM tasks k JOIN memories m ON m.merged_into = k.memory"
        " JOIN deliveries d ON d.id = m.delivery"
    ).fetchall()
    assert talking == {row["source"] for row in tasks}


def test_what_comes_again_is_a_duplicate(up: Up, api: Api, conn: Connection, sent: list[Sent]) -> None:
    before = conn.execute("SELECT count(*) AS n FROM turns").fetchone()
    again = 0
    with httpx2.Client(base_url=up.url) as client:
        for path in recorded():
            one = post(client, up, api, conn, path)
            again += one is not None and one.key in {known.key for known in sent}
    assert again == len(sent)
    assert conn.execute("SELECT count(*) AS n FROM turns").fetchone() == before
