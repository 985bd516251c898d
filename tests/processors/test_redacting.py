"""Secrets that are taken out, and what only looks like one."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.delivery import Reading
from domain.errors import SettingsError
from domain.session import SessionDraft, Turn
from domain.settings import Settings
from processors.jobs import Workshop
from processors.redacting import redact, redact_body, redact_reading
from store.database import Connection
from tests.conftest import delivery
from tests.processors.workshop import accept, command, states, talk, work

ALL = ("card", "key", "mail", "phone")
A_KEY = "sk-proj-" + "Ab3dEf6hIj9k" * 4
TOKEN = "ghp_" + "a1B2c3D4e5" * 4


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("It's 4111 1111 1111 1111, valid until June.", "It's [card number], valid until June."),
        ("Amex 3782-822463-10005.", "Amex [card number]."),
        ("card 5555555555554444 please", "card [card number] please"),
        (f"My key is {A_KEY}.", "My key is [key]."),
        (f"token={TOKEN}", "token=[key]"),
        ("use AKIAIOSFODNN7EXAMPLE for it", "use [key] for it"),
        ("postgres://walker:b1scuit@db/prices", "postgres://walker:[key]@db/prices"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIB\n-----END RSA PRIVATE KEY-----", "[key]"),
        ("write to mara.k+dog@example.co.uk today", "write to [mail address] today"),
        ("call +49 30 901820 or (030) 901820", "call [phone number] or [phone number]"),
        ("ring 212-555-0187", "ring [phone number]"),
    ],
)
def test_a_secret_becomes_words(said: str, kept: str) -> None:
    assert redact(said, ALL) == kept


@pytest.mark.parametrize(
    "said",
    [
        "order 4111 1111 1111 1112 is late",  # fails Luhn's check
        "0000 0000 0000 0000",
        "version 3.11.7, build 20261125",
        "on 2026-11-25 at 10:30",
        "25/11/2026",
        "127.0.0.1:5432",
        "it costs 1,250,000 euros, maybe 12.500.000",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "the task-sk-learn model",
        "a sk-8 hockey stick, AKIA and ghp_",
        "say @biscuit or a@b",
        "in 2024 or 2025, between 10 and 20 percent",
        "Bach BWV 1007, bars 12-16",
        "https://example.com/a:b/c",
    ],
)
def test_what_only_looks_like_a_secret_stays(said: str) -> None:
    assert redact(said, ALL) == said


def test_only_the_kinds_that_are_set_are_taken_out() -> None:
    said = f"4111 1111 1111 1111, {A_KEY}, mara@example.com, +49 30 901820"
    assert redact(said, ("card", "key")) == "[card number], [key], mara@example.com, +49 30 901820"
    assert redact(said, ()) == said
    assert redact_body(said.encode(), ()) == said.encode()


@given(st.text(max_size=300))
def test_anything_is_redacted_once_and_for_all(said: str) -> None:
    once = redact(said, ALL)
    assert redact(once, ALL) == once


@given(st.text(alphabet="0123456789 -+()@.eyJsk_AKIA:/", max_size=400))
def test_nothing_that_resembles_secrets_breaks_it(said: str) -> None:
    once = redact(said, ALL)
    assert redact(once, ALL) == once


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value)


@given(json_values)
def test_a_json_document_keeps_its_shape(value: Any) -> None:
    body = orjson.dumps([value, A_KEY])
    redacted = orjson.loads(redact_body(body, ALL))
    assert shape(redacted) == shape([value, A_KEY])
    assert redacted[1] == "[key]"


def test_a_body_without_secrets_stays_the_same_bytes() -> None:
    body = b'{ "text" : "caf\\u00e9, 12 euros" }'
    assert redact_body(body, ALL) is body


def test_a_secret_that_json_escapes_is_found() -> None:
    body = b'{"text": "\\u0073k-' + A_KEY[3:].encode() + b'"}'
    assert orjson.loads(redact_body(body, ALL)) == {"text": "[key]"}


def test_what_a_sender_fetches_and_names_things_by_is_left_alone() -> None:
    named = {
        "id": "4111111111111111",
        "recordingUrl": f"https://x/{TOKEN}",
        "download_token": TOKEN,
        "at": 4111111111111111,
    }
    assert orjson.loads(redact_body(orjson.dumps(named | {"text": TOKEN}), ALL)) == named | {"text": "[key]"}


@pytest.mark.parametrize(
    "piece", ["4111 ", "sk-", "eyJa.", "a@", "+49 ", "AKIA", "-----BEGIN PRIVATE KEY-----", "://a:"]
)
def test_a_megabyte_of_beginnings_is_read_to_the_end(piece: str) -> None:
    assert redact(piece * (1_000_000 // len(piece)), ALL)


def test_what_becomes_a_secret_only_as_a_turn_is_not_in_it() -> None:
    reading = Reading(SessionDraft("walk"), turns=(Turn("Alice", f"Take {TOKEN}."),), summary=TOKEN)
    redacted = redact_reading(reading, ALL)
    assert (redacted.turns[0].text, redacted.summary) == ("Take [key].", "[key]")


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match="AI_WEBHOOK_REDACT"):
        Settings.from_env({"AI_WEBHOOK_REDACT": "card,names"}, None)
    assert Settings.from_env({"AI_WEBHOOK_REDACT": "none"}, None).redacted_kinds() == ()


def test_no_table_holds_a_secret_that_was_said(shop: Workshop, conn: Connection) -> None:
    said = f"Add a task: rotate {A_KEY}. I've decided to pay with 4111 1111 1111 1111."
    accept(
        shop.settings,
        delivery(talk("walk", said).encode()),
        command("store_memory", data={"type": "decision", "key": "pay", "content": {"text": said}}),
        command("delegate_task", data={"description": f"Rotate {A_KEY}", "agent": "codex"}),
    )
    work(shop)
    assert states(conn) == {"processed": 3}
    tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables
    for table in (row["tablename"] for row in tables):
        for row in conn.execute(f'SELECT t::text AS line FROM public."{table}" t').fetchall():
            line = row["line"]
            assert A_KEY not in line and A_KEY.encode().hex() not in line, table
            assert "4111 1111" not in line and b"4111 1111".hex() not in line, table
    kept = conn.execute("SELECT quote FROM memories WHERE type = 'action_item' AND quote IS NOT NULL").fetchall()
    assert [row["quote"] for row in kept] == ["Add a task: rotate [key]."]
