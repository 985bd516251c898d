"""Zoom: recordings of meetings and calls whose transcripts are files, and the summaries of its AI Companion.

    {"event", "event_ts", "payload": {"account_id", "object": {...}}, "download_token"?}

    recording.transcript_completed                 object.uuid, topic, recording_files[] with file_type TRANSCRIPT
    phone.recording_transcript_completed           object.recordings[]: call_id, transcript_download_url
    contact_center.recording_transcript_completed  object.engagement_id, transcript_url, users[], consumers[]
    meeting.summary_completed                      object.meeting_uuid, summary_content; a summary, no turns

The files are fetched with the event's own `download_token`. Those of meetings are WebVTT. Those of phone calls and
of the contact center are not documented: WebVTT and the JSON timeline that others met there are both read.
A recording that was paused has several files; each counts its times from its own `recording_start`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain.delivery import Delivery, Extent, Fetch, Reading
from domain.errors import UnknownEvent, Unreadable
from domain.session import SessionDraft, Turn
from processors.readers.captions import Entry, looks_like_captions, read_captions, timing
from processors.readers.dialogue import clean_speaker
from processors.readers.items import TITLE_CHARS
from processors.readers.payload import (
    Fields,
    instant_of,
    missing,
    parse_object,
    parse_text,
    seconds_of,
    session_of_source,
    shorten,
)
from processors.readers.words import details, turns_of

SUMMARIES = frozenset({"meeting.summary_completed", "meeting.summary_updated", "meeting.summary_shared"})
# Known, with nothing to keep. `meeting.aic_transcript_completed` names a file that no documented address leads to.
SILENT = frozenset(
    {
        "endpoint.url_validation",
        "app_deauthorized",
        *(f"meeting.{name}" for name in ("started", "ended", "created", "updated", "deleted", "permanently_deleted")),
        *(f"meeting.summary_{name}" for name in ("recovered", "trashed", "deleted")),
        *(f"meeting.participant_{name}" for name in ("joined", "left", "joined_waiting_room", "left_waiting_room")),
        "meeting.aic_transcript_completed",
        *(f"webinar.{name}" for name in ("started", "ended", "created", "updated", "deleted")),
        *(f"recording.{name}" for name in ("started", "stopped", "paused", "resumed", "completed", "renamed")),
        *(f"recording.{name}" for name in ("trashed", "deleted", "recovered", "batch_deleted", "batch_trashed")),
        *(f"phone.{side}_{name}" for side in ("caller", "callee") for name in ("ringing", "connected", "ended")),
        *(f"phone.{side}_{name}" for side in ("caller", "callee") for name in ("missed", "call_log_completed")),
        *(f"phone.recording_{name}" for name in ("started", "stopped", "completed", "deleted", "failed")),
        *(f"contact_center.recording_{name}" for name in ("started", "stopped", "completed", "deleted")),
    }
)
LABEL = re.compile(r"([^:<>\n]{1,80}): (?=\S)")
USUAL = 0.8  # the share of labelled cues from which every label is a speaker
KEPT = ("start_time", "duration", "timezone", "host_email", "date_time", "direction", "meeting_start_time")


@dataclass(frozen=True, slots=True)
class File:
    """A transcript to be fetched, and when its recording began."""

    url: str
    begun: datetime | None = None


@dataclass(frozen=True, slots=True)
class Talk:
    """What an event says about a talk, and where its transcript is."""

    session: SessionDraft
    files: Sequence[File]
    people: tuple[str, ...] = ()


def read(delivery: Delivery) -> Reading | Fetch | None:
    """The turns of a recording, once its files are fetched, or a summary; None for events without either.

    Raises Unreadable: no_turns for a file without words or one that is no transcript, such as a login page;
    mixed_sessions for the recordings of several calls in one event.
    """
    body = parse_object(delivery.body)
    event = body.required_text("event")
    if event in SILENT:
        return None
    payload = body.object("payload")
    item = payload.object("object")
    if event in SUMMARIES:
        return read_summary(delivery, item)
    talk = talk_of(delivery, event, item)
    if len(delivery.fetched) < len(talk.files):
        token = body.text("download_token") or payload.text("download_token")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return Fetch(talk.files[len(delivery.fetched)].url, headers=headers)
    # A call may be recorded more than once, with an event for each; a meeting names all of its files in one.
    extent: Extent = "whole" if event.startswith("recording.") else "part"
    return read_files(talk, delivery.fetched, extent=extent)


def talk_of(delivery: Delivery, event: str, item: Fields) -> Talk:
    match event:
        case "recording.transcript_completed":
            return meeting_of(delivery, item)
        case "phone.recording_transcript_completed":
            return call_of(delivery, item)
        case "contact_center.recording_transcript_completed":
            return engagement_of(delivery, item)
    raise UnknownEvent(delivery.source)


def meeting_of(delivery: Delivery, item: Fields) -> Talk:
    files = [
        File(file.required_text("download_url"), time_of(file, "recording_start"))
        for file in item.objects("recording_files")
        if (file.text("file_type") or "").upper() == "TRANSCRIPT"
    ]
    if not files:
        raise missing(item.at("recording_files"))
    if all(file.begun is not None for file in files):
        files.sort(key=lambda file: file.begun.timestamp() if file.begun else 0.0)
    return Talk(draft(delivery, item, "uuid", title=title_of(item, "topic")), files)


def call_of(delivery: Delivery, item: Fields) -> Talk:
    recordings = item.objects("recordings")
    if not recordings:
        raise missing(item.at("recordings"))
    first = recordings[0]
    call = first.identifier("call_id", "id")
    if any(recording.identifier("call_id", "id") != call for recording in recordings):
        raise Unreadable("The recordings of one event are of different calls.", code="mixed_sessions")
    files = [
        File(recording.required_text("transcript_download_url"), time_of(recording, "date_time"))
        for recording in recordings
    ]
    names = (first.text("caller_name", "caller_number"), first.text("callee_name", "callee_number"))
    people = tuple(dict.fromkeys(clean_speaker(name) for name in names if name))
    return Talk(draft(delivery, first, "call_id", "id", people=people), files, people)


def engagement_of(delivery: Delivery, item: Fields) -> Talk:
    url = item.text("transcript_url", "transcript_download_url")
    if url is None:
        raise missing(item.at("transcript_url"))
    described = [*item.objects("users"), *item.objects("consumers")]
    names = [person.text("display_name", "user_name", "consumer_display_name", "name") for person in described]
    people = tuple(dict.fromkeys(clean_speaker(name) for name in names if name))
    return Talk(draft(delivery, item, "engagement_id", people=people), [File(url)], people)


def draft(
    delivery: Delivery, item: Fields, *id_names: str, title: str | None = None, people: Iterable[str] = ()
) -> SessionDraft:
    own_id = item.identifier(*id_names)
    if own_id is None:
        raise missing(item.at(id_names[0]))
    return SessionDraft(
        session_of_source(delivery, own_id), title=title, participants=tuple(people), metadata=details(item, *KEPT)
    )


def title_of(item: Fields, *names: str) -> str | None:
    title = item.text(*names)
    return shorten(title, TITLE_CHARS) if title else None


def time_of(fields: Fields, name: str) -> datetime | None:
    return instant_of(fields.text(name) or "")


def read_summary(delivery: Delivery, item: Fields) -> Reading:
    """The summary, as it is or in the parts that older accounts get: overview, details, next steps."""
    summary = item.text("summary_content") or "\n\n".join(summary_parts(item))
    if not summary:
        raise Unreadable("There is nothing to keep: the summary is empty.", code="no_turns")
    title = title_of(item, "meeting_topic", "summary_title")
    session = draft(delivery, item, "meeting_uuid", "uuid", title=title)
    return Reading(session, summary=summary, extent="whole")


def summary_parts(item: Fields) -> Iterable[str]:
    if overview := item.text("summary_overview"):
        yield overview
    for detail in item.objects("summary_details"):
        if text := detail.text("summary"):
            label = detail.text("label")
            yield f"{label}: {text}" if label else text
    if steps := item.texts("next_steps"):
        yield "\n".join(["Next steps:", *(f"- {step}" for step in steps)])


def read_files(talk: Talk, fetched: Sequence[bytes], *, extent: Extent) -> Reading:
    turns: list[Turn] = []
    first = talk.files[0].begun
    for file, content in zip(talk.files, fetched, strict=False):
        spoken = read_file(content, talk.people)
        apart = (file.begun - first).total_seconds() if file.begun and first else None
        turns += spoken if file is talk.files[0] else [moved(turn, apart) for turn in spoken]
    if not turns:
        raise Unreadable("There is nothing to keep: the transcript has no words.", code="no_turns")
    named = tuple(dict.fromkeys(turn.speaker for turn in turns if turn.speaker))
    session = replace(
        talk.session,
        participants=talk.session.participants or named[:100],
        status="completed" if extent == "whole" else None,
    )
    return Reading(session, turns=tuple(turns), format="dialogue" if named else "transcript", extent=extent)


def read_file(content: bytes, people: Sequence[str]) -> tuple[Turn, ...]:
    text = parse_text(content)
    if looks_like_captions(text):
        return read_captions(with_voices(text), participants=people)
    if text.lstrip().startswith("{"):
        return read_timeline(parse_object(content))
    raise Unreadable("There is nothing to keep: what was fetched is no transcript.", code="no_turns")


def with_voices(text: str) -> str:
    """WebVTT with the names before Zoom's colons as voice tags: `Lind, Mara (she/her): …` is no name by its form.

    Zoom begins nearly every cue with its speaker. Where most cues have no label, only repeated ones are speakers;
    a cue without one goes on with the speaker before it.
    """
    lines = text.split("\n")
    cues = [i for i, line in enumerate(lines[1:], start=1) if timing(lines[i - 1])]
    labels = {i: label for i in cues if (label := LABEL.match(lines[i]))}
    counts = Counter(label[1] for label in labels.values())
    everywhere = len(labels) >= USUAL * len(cues)
    speaker = None
    for i in cues:
        label = labels.get(i)
        if label and (everywhere or counts[label[1]] > 1):
            speaker = label[1]
            lines[i] = f"<v {speaker}>{lines[i][label.end() :]}"
        elif speaker and lines[i].strip():
            lines[i] = f"<v {speaker}>{lines[i]}"
    return "\n".join(lines)


def read_timeline(body: Fields) -> tuple[Turn, ...]:
    """`{"timeline": [{"text", "ts": "HH:MM:SS.mmm", "end_ts", "users": [{"username"}]}]}`."""
    entries = []
    for part in body.objects("timeline"):
        if text := part.text("text"):
            names = [name for user in part.objects("users") if (name := user.text("username"))]
            start, end = seconds_of(part.text("ts") or ""), seconds_of(part.text("end_ts") or "")
            backwards = start is not None and end is not None and end < start
            entries.append(Entry(text, clean_speaker(", ".join(names)) or None, start, None if backwards else end))
    return turns_of(entries)


def moved(turn: Turn, seconds: float | None) -> Turn:
    """The turn of a later file by the clock of the first; without times when nobody knows how far they are apart."""
    if seconds is None:
        return replace(turn, start_seconds=None, end_seconds=None)
    start, end = turn.start_seconds, turn.end_seconds
    return replace(
        turn,
        start_seconds=None if start is None else start + seconds,
        end_seconds=None if end is None else end + seconds,
    )
