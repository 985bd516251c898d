"""What a language model's server may answer, and how slowly, without harm to anything but its own items."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import orjson
import pytest

from domain.settings import Settings
from processors.jobs import Workshop
from store.database import Connection
from tests.processors.language_model import ROUTE, completion, found, gaps, later, listing, replying, rubber, tell
from tests.processors.language_model import workshop as asking_workshop
from tests.processors.sender_api import Answer, Api, answering, redirecting
from tests.processors.workshop import states

RUBBER = [("decision", "Rubber instead of metal")]


def reply(**more: Any) -> Answer:
    """A whole answer, with some of it replaced."""
    body = orjson.loads(completion(listing(rubber()))) | more
    return answering(orjson.dumps(body), content_type="application/json")


@pytest.fixture
def hasty(settings: Settings, server: Api) -> Iterator[Workshop]:
    """A workshop that gives the server half a second."""
    shop = asking_workshop(settings, server, llm_timeout_seconds=0.5)
    yield shop
    shop.pool.close()


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": "many", "completion_tokens": 3},
        {"prompt_tokens": -900, "completion_tokens": 3},
        {"prompt_tokens": 10**18, "completion_tokens": 3},
        [1, 2],
        "free",
    ],
)
def test_a_count_of_tokens_that_is_none_is_estimated(
    asking: Workshop, server: Api, conn: Connection, usage: object
) -> None:
    server.routes[ROUTE] = reply(usage=usage)
    tell(asking)
    later(asking, conn)
    assert (found(conn), states(conn)) == (RUBBER, {"processed": 1})
    (row,) = conn.execute("SELECT tokens_in, tokens_out FROM llm_answers")
    assert 300 < row["tokens_in"] < 3000
    assert row["tokens_out"] == 4000


@pytest.mark.parametrize(
    "choices",
    [[], None, "x", ["x"], {"a": 1}, [{}], [{"message": None}], [{"message": "text"}], [{"message": {"content": [1]}}]],
)
def test_an_answer_of_another_form_is_none(asking: Workshop, server: Api, conn: Connection, choices: object) -> None:
    server.routes[ROUTE] = reply(choices=choices)
    tell(asking)
    later(asking, conn)
    assert (found(conn), gaps(conn), states(conn)) == ([], [("llm", "llm_bad_answer")], {"processed": 1})


def test_what_no_database_takes_and_what_deceives_the_eye_is_cleaned_away(
    asking: Workshop, server: Api, conn: Connection
) -> None:
    server.routes[ROUTE] = replying(
        rubber(title="Rubber\x00 instead\u202e of\nmetal", rationale="too\x00 cold", alternatives=["me\x07tal"]),
        rubber(quote="Rubber wins\x00"),
    )
    tell(asking)
    later(asking, conn)
    assert (found(conn), states(conn)) == (RUBBER, {"processed": 1})
    (row,) = conn.execute("SELECT content FROM memories WHERE extractor = 'llm'")
    assert (row["content"]["rationale"], row["content"]["alternatives"]) == ("too cold", ["me tal"])


def test_an_answer_without_end_is_not_read_to_its_end(hasty: Workshop, server: Api, conn: Connection) -> None:
    sent = []

    def flood(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-type", "application/json")
        request.end_headers()
        try:
            while sum(sent) < 60_000_000:
                sent.append(request.wfile.write(b" " * 65_536))
        except OSError:
            return

    server.routes[ROUTE] = flood
    tell(hasty)
    later(hasty, conn)
    assert gaps(conn) == [("llm", "llm_too_large")]
    assert sum(sent) < 50_000_000


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_trickles_in_is_cut_off(hasty: Workshop, server: Api, conn: Connection, status: int) -> None:
    def trickle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("content-type", "application/json")
        request.end_headers()
        try:
            while not server.released.wait(0.1):
                request.wfile.write(b" ")
        except OSError:
            return

    server.routes[ROUTE] = trickle
    tell(hasty)
    later(hasty, conn)
    assert gaps(conn) == [("llm", "llm_timeout" if status == 200 else "llm_unavailable")]
    assert states(conn) == {"processed": 1}


def test_a_talk_is_not_carried_on_to_another_server(asking: Workshop, server: Api, conn: Connection) -> None:
    elsewhere = Api()
    elsewhere.routes["/taken"] = replying(rubber())
    server.routes[ROUTE] = redirecting(f"{elsewhere.url}/taken", 307)
    tell(asking)
    later(asking, conn)
    assert (elsewhere.asked, found(conn), gaps(conn)) == ([], [], [("llm", "llm_refused")])
    elsewhere.close()


def test_what_was_said_is_in_no_log_however_much_is_logged(
    asking: Workshop, server: Api, conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        tell(asking)
        later(asking, conn)
    assert found(conn) == RUBBER
    assert "buttons" not in caplog.text


def test_texts_are_cut_and_a_quote_that_is_a_speech_is_none(asking: Workshop, server: Api, conn: Connection) -> None:
    speech = "rubber and metal " * 100
    server.routes[ROUTE] = replying(
        rubber(title="rubber " * 1_000, rationale="cold " * 1_000, owner="o" * 1_000, alternatives=["steel"] * 50),
        rubber(turn=1, quote=speech.strip(), title="A speech about rubber"),
    )
    tell(asking, "Rubber wins for the buttons.", speech)
    later(asking, conn)
    (row,) = conn.execute("SELECT title, content FROM memories WHERE extractor = 'llm'")
    assert len(row["title"]) <= 100
    assert len(row["content"]["rationale"]) <= 300
    assert len(row["content"]["alternatives"]) == 5
    assert len(row["content"]["owner"]) <= 100
