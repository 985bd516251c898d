"""The language of a session: told by the sender in some form, else that of the setting."""

import pytest

from domain.errors import SettingsError
from domain.session import LANGUAGES, SIMPLE, language_of
from domain.settings import Settings
from processors.jobs import Workshop
from store.database import Connection
from tests.conftest import delivery
from tests.processors.workshop import accept, work


@pytest.mark.parametrize(
    ("told", "language"),
    [
        ("de", "german"),
        ("de-DE", "german"),
        ("DE_at", "german"),
        ("German", "german"),
        ("nb-NO", "norwegian"),
        ("ja", "simple"),
        ("Klingon", "simple"),
        ("simple", "simple"),
        ("multi", None),
        (" ", None),
        (None, None),
    ],
)
def test_names_and_codes_mean_a_language(told: str | None, language: str | None) -> None:
    assert language_of(told) == language


def test_the_database_knows_every_language_that_a_code_may_mean(conn: Connection) -> None:
    for name in {*LANGUAGES.values(), SIMPLE}:
        row = conn.execute("SELECT is_language(%s) AND words_of(%s, '42') @@ '42' AS known", [name, name]).fetchone()
        assert row == {"known": True}, name


def language(conn: Connection, session: str) -> tuple[str, set[str]]:
    row = conn.execute("SELECT language FROM sessions WHERE id = %s", [session]).fetchone()
    assert row is not None
    turns = conn.execute("SELECT DISTINCT language FROM turns WHERE session_id = %s", [session]).fetchall()
    chunks = conn.execute(
        "SELECT DISTINCT language FROM conversation_chunks WHERE session_id = %s", [session]
    ).fetchall()
    return row["language"], {found["language"] for found in turns + chunks}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"session": "walk", "language": "de", "text": "Anna: Die Häuser."}', "german"),
        ('{"session": {"id": "walk", "language": "French"}, "text": "Anna: Les chevaux."}', "french"),
        ('{"session": "walk", "metadata": {"language_code": "it-IT"}, "text": "Anna: I cavalli."}', "italian"),
        ('{"session": "walk", "text": "Anna: The houses."}', "english"),
        ('{"session": "walk", "language": "ja", "text": "Anna: Konnichiwa."}', "simple"),
    ],
)
def test_a_session_is_in_the_language_that_its_sender_names(
    shop: Workshop, conn: Connection, body: str, told: str
) -> None:
    accept(shop.settings, delivery(body))
    work(shop)
    assert language(conn, "walk") == (told, {told})


def test_what_is_told_later_is_for_all_of_the_session(shop: Workshop, conn: Connection) -> None:
    accept(shop.settings, delivery('{"session": "walk", "text": "Anna: Die Häuser sind verkauft."}'))
    work(shop)
    accept(shop.settings, delivery('{"session": "walk", "language": "de", "text": "Anna: Ein Haus."}'))
    work(shop)
    assert language(conn, "walk") == ("german", {"german"})
    accept(shop.settings, delivery('{"session": "walk", "text": "Anna: Noch eins."}'))
    work(shop)
    assert language(conn, "walk") == ("german", {"german"})


def test_a_caption_is_kept_with_its_turn_and_its_chunk(shop: Workshop, conn: Connection) -> None:
    turn = '{"speaker": "Anna", "text": "Look.", "caption": "a photo of a zebra"}'
    accept(shop.settings, delivery(f'{{"session": "walk", "turns": [{turn}]}}'))
    work(shop)
    row = conn.execute("SELECT caption FROM turns").fetchone()
    chunk = conn.execute("SELECT content FROM conversation_chunks").fetchone()
    assert row == {"caption": "a photo of a zebra"}
    assert chunk == {"content": "Anna: Look. [a photo of a zebra]"}


def test_the_setting_names_the_language_of_all_others() -> None:
    assert Settings(AI_WEBHOOK_LANGUAGE="de").language == "german"
    with pytest.raises(SettingsError, match="german"):
        Settings.from_env({"AI_WEBHOOK_LANGUAGE": "klingon"}, env_file=None)
