"""Twilio: what is said in a call while it goes on, and transcripts of Conversational Intelligence.

    live         a form: CallSid, TranscriptionEvent, Track, Final, Timestamp, SequenceId, TranscriptionData (JSON with
                 `transcript`); one final segment is one turn, at the instant of its Timestamp
    voicemail    a form: CallSid, TranscriptionSid, TranscriptionText, TranscriptionStatus
    Intelligence {"transcript_sid", "event_type"?, …} or the same within an event of Event Streams; fetched are
                 GET /v2/Transcripts/SID (which call it was, who spoke on which channel) and, page by page,
                 GET /v2/Transcripts/SID/Sentences (media_channel, transcript, start_time and end_time in seconds)

The inbound track is the person on the telephone; what they heard is the outbound track, be it a machine or somebody
else, so it has no role. All of it is the session of the call. The names of the form's fields are those that working
integrations read; the offsets of sentences are documented as strings, and numbers are read as well.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, quote, urlsplit

from domain.delivery import Delivery, Fetch, Reading
from domain.errors import UnknownEvent, Unreadable
from domain.session import Role, SessionDraft, Turn
from processors.readers.captions import Entry
from processors.readers.dialogue import bounded, clean_speaker
from processors.readers.payload import (
    Fields,
    decode,
    fields_of,
    instant_of,
    missing,
    parse_json,
    parse_object,
    session_of_source,
    wrong_type,
)
from processors.readers.words import details, turns_of

FORM = "application/x-www-form-urlencoded"
FORM_FIELDS = 1000
TRACKS: Mapping[str, tuple[str, Role]] = {"inbound_track": ("Inbound", "user"), "outbound_track": ("Outbound", "other")}
SILENT_CALLBACKS = frozenset({"transcription-started", "transcription-stopped", "transcription-error"})
AVAILABLE = frozenset(
    {
        "voice_intelligence_transcript_available",
        "com.twilio.engagement-intelligence.transcript.finished",
    }
)
SILENT_EVENTS = frozenset(
    {
        "com.twilio.engagement-intelligence.transcript.operators.results-available",
    }
)
PAGE = 1000
TRANSCRIPTS = "/v2/Transcripts/"


def read(delivery: Delivery) -> Reading | Fetch | None:
    """A segment of a call, a message left, or a finished transcript; None for callbacks without words.

    Raises Unreadable: no_turns when nothing was said.
    """
    media_type = delivery.content_type.partition(";")[0].strip().lower()
    if media_type == FORM or delivery.body.lstrip()[:1] not in (b"{", b"["):
        return read_callback(delivery, parse_form(delivery.body))
    return read_notice(delivery, notice_of(parse_json(delivery.body)))


def parse_form(body: bytes) -> Fields:
    """The fields of a form, without NUL characters. Raises Unreadable: invalid_utf8, wrong_type."""
    text = decode(body)
    try:
        pairs = parse_qsl(text.strip(), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS)
    except UnicodeDecodeError:
        raise Unreadable("A field of the form is not UTF-8.", code="invalid_utf8") from None
    except ValueError:
        raise Unreadable(f"The form has more than {FORM_FIELDS} fields.", code="wrong_type") from None
    return Fields({name: value.replace("\0", "") for name, value in pairs})


def read_callback(delivery: Delivery, form: Fields) -> Reading | None:
    event = form.text("TranscriptionEvent")
    if event == "transcription-content":
        return read_segment(delivery, form)
    if event in SILENT_CALLBACKS:
        return None
    if event is not None:
        raise UnknownEvent(delivery.source)
    if form.text("TranscriptionStatus") == "completed" or form.text("TranscriptionText"):
        return read_message(delivery, form)
    if form.text("TranscriptionStatus") or form.text("CallStatus") or form.text("RecordingStatus"):
        return None
    raise missing("TranscriptionEvent")


def read_segment(delivery: Delivery, form: Fields) -> Reading | None:
    """One segment; None for one that will come again as final."""
    if (form.text("Final") or "").lower() == "false":
        return None
    text = segment_text(form)
    if text is None:
        return None
    speaker, role = TRACKS.get(form.text("Track") or "", ("", "other"))
    turn = Turn(speaker, text, role, start_time=instant_of(form.text("Timestamp") or ""))
    return Reading(call_of(delivery, form), turns=bounded([turn]), extent="live")


def segment_text(form: Fields) -> str | None:
    """`transcript` in the JSON of TranscriptionData; None when it is empty."""
    data = form.required_text("TranscriptionData")
    return fields_of("TranscriptionData", parse_json(data.encode())).text("transcript")


def read_message(delivery: Delivery, form: Fields) -> Reading:
    """What a caller left on the machine: all of it one turn, without times."""
    text = form.text("TranscriptionText")
    if text is None:
        raise Unreadable("There is nothing to keep: the message has no words.", code="no_turns")
    return Reading(call_of(delivery, form), turns=bounded([Turn("Caller", text, "user")]))


def call_of(delivery: Delivery, form: Fields) -> SessionDraft:
    call = form.identifier("CallSid", "TranscriptionSid")
    if call is None:
        raise missing("CallSid")
    language = form.text("LanguageCode")
    return SessionDraft(session_of_source(delivery, call), metadata={"language_code": language} if language else {})


def notice_of(value: object) -> Fields:
    """The one notice of a JSON body; Event Streams wrap it in a list and an envelope."""
    if isinstance(value, list):
        if len(value) > 1:
            raise Unreadable("The events of one delivery are of different calls.", code="mixed_sessions")
        value = value[0] if value else None
    notice = fields_of("event", value)
    if isinstance(notice.get("data"), dict):
        return Fields({"event_type": notice.get("type"), **notice.mapping("data")}, "data")
    return Fields(notice.values)


def read_notice(delivery: Delivery, notice: Fields) -> Reading | Fetch | None:
    event = notice.text("event_type")
    if event in SILENT_EVENTS:
        return None
    if event is not None and event not in AVAILABLE:
        raise UnknownEvent(delivery.source)
    transcript = notice.identifier("transcript_sid")
    if transcript is None:
        raise missing(notice.at("transcript_sid"))
    address = TRANSCRIPTS + quote(transcript, safe="")
    if not delivery.fetched:
        return fetch(address)
    if len(delivery.fetched) == 1:
        return fetch(f"{address}/Sentences?PageSize={PAGE}")
    about, *pages = (parse_object(answer) for answer in delivery.fetched)
    following = next_page(pages[-1])
    if following is not None:
        return fetch(following)
    return read_transcript(delivery, transcript, about, pages)


def fetch(address: str) -> Fetch:
    """The token is `ACCOUNT_SID:AUTH_TOKEN` in base64, as HTTP Basic wants it."""
    return Fetch(address, token_prefix="Basic ")  # noqa: S106 - the name of a scheme


def next_page(page: Fields) -> str | None:
    """The address of the page after this one, within the API: where the answer says it lies is not followed."""
    address = page.object("meta").text("next_page_url")
    if address is None:
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        raise wrong_type("meta.next_page_url", address, "a URL") from None
    if not parts.path.startswith(TRANSCRIPTS):
        raise wrong_type("meta.next_page_url", address, "a URL of the same API")
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def read_transcript(delivery: Delivery, transcript: str, about: Fields, pages: Iterable[Fields]) -> Reading:
    channel = about.object("channel")
    speakers = speakers_of(channel)
    sentences = [sentence for page in pages for sentence in page.objects("sentences")]
    entries = [entry for sentence in sentences if (entry := entry_of(sentence, speakers)) is not None]
    if not entries:
        raise Unreadable("There is nothing to keep: the transcript has no words.", code="no_turns")
    roles = dict(speakers.values())
    turns = tuple(replace(turn, role=roles.get(turn.speaker, "other")) for turn in turns_of(entries))
    call = channel.object("media_properties").object("reference_sids").identifier("call_sid")
    session = SessionDraft(
        session_of_source(delivery, call or transcript),
        status="completed",
        participants=tuple(dict.fromkeys(name for name, _ in speakers.values())),
        metadata={
            "transcript_sid": transcript,
            **details(about, "language_code", "duration", "media_start_time"),
        },
    )
    return Reading(session, turns=turns, extent="whole")


def speakers_of(channel: Fields) -> dict[float, tuple[str, Role]]:
    """Name and role by channel. The customer is the person who calls; the agent may be a person too."""
    speakers: dict[float, tuple[str, Role]] = {}
    for person in channel.objects("participants"):
        number, role = person.number("channel_participant"), person.text("role")
        name = clean_speaker(person.text("full_name") or role or "")
        if number is not None and name:
            speakers[number] = (name, "user" if role and role.lower() == "customer" else "other")
    return speakers


def entry_of(sentence: Fields, speakers: Mapping[float, tuple[str, Role]]) -> Entry | None:
    text = sentence.text("transcript")
    if text is None:
        return None
    number = sentence.number("media_channel" if sentence.get("media_channel") is not None else "mediaChannel")
    unnamed = None if number is None else f"Channel {number:.0f}"
    speaker = unnamed if number is None or number not in speakers else speakers[number][0]
    start, end = offset(sentence, "start_time", "startTime"), offset(sentence, "end_time", "endTime")
    backwards = start is not None and end is not None and end < start
    return Entry(text, speaker, start, None if backwards else end)


def offset(sentence: Fields, *names: str) -> float | None:
    """Seconds from a number, or from a string of one such as `"0.84"`."""
    name = next((name for name in names if sentence.get(name) is not None), names[0])
    value = sentence.get(name)
    if not isinstance(value, str):
        return sentence.number(name)
    try:
        number = float(value) if len(value) < 40 else None
    except ValueError:
        number = None
    if number is None or not 0 <= number < float("inf"):
        raise wrong_type(sentence.at(name), value, "a number of seconds")
    return number
