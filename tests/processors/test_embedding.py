"""Search by meaning: vectors from a server over real HTTP, kept by pgvector, and what happens when one is missing."""

import hashlib
import math
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import orjson
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.testclient import TestClient

from access.api import Api as WebApi
from domain.errors import SettingsError
from domain.settings import Settings
from processors.__main__ import open_workshop
from processors.jobs import Workshop, sweep
from store import embedding
from store.database import Connection, open_pool
from store.embedding import EmbeddingFailed, EmbeddingServer, meaning_of, read_vectors
from store.search import search
from tests.conftest import delivery
from tests.processors.sender_api import Api, answering
from tests.processors.workshop import accept, talk, work

ROUTE = "/v1/embeddings"
# What a model knows that the words do not say.
MEANS = {"dog": "animal", "puppy": "animal", "invoice": "money", "bill": "money", "paid": "money"}


def vector(text: str) -> list[float]:
    """A bag of meanings in eight numbers: words of one meaning fall together."""
    found = [0.01] * 8
    for word in text.lower().replace("?", " ").replace(".", " ").split():
        if word in MEANS:
            found[hashlib.sha256(MEANS[word].encode()).digest()[0] % 8] += 1
    size = math.sqrt(sum(x * x for x in found))
    return [x / size for x in found]


class Model:
    """A server that speaks OpenAI's protocol."""

    def __init__(self) -> None:
        self.api = Api()
        self.api.routes[ROUTE] = self.answer

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        texts = orjson.loads(self.api.asked[-1][3])["input"]
        data = [{"index": n, "embedding": vector(text)} for n, text in enumerate(texts)]
        answering(orjson.dumps({"data": data[::-1]}))(request)


@pytest.fixture
def model() -> Iterator[Model]:
    model = Model()
    yield model
    model.api.close()


@pytest.fixture
def asking(settings: Settings, model: Model) -> Iterator[Workshop]:
    shop = open_workshop(with_server(settings, model), "worker-under-test")
    yield shop
    shop.pool.close()


def with_server(settings: Settings, model: Model, name: str = "animals") -> Settings:
    changed = {
        "embeddings_url": f"{model.api.url}/v1",
        "embeddings_model": name,
        "embeddings_question_prefix": "query:",
        "embeddings_text_prefix": "passage:",
    }
    return settings.model_copy(update=changed)


SAID = ("The puppy ate my shoes.", "Somebody paid the bill in March.", "The weather was fine.", "Let's meet on Monday.")


def tell(shop: Workshop) -> None:
    accept(shop.settings, delivery(talk("walk", *SAID)))
    work(shop)


def asked(shop: Workshop, conn: Connection, question: str, kind: str = "turns") -> list[str]:
    hits = search(conn, question, kinds=[kind], **meaning_of(shop.embedder, question))
    return [hit["snippet"] for hit in hits]


def vectors(conn: Connection) -> list[tuple[str, int]]:
    rows = conn.execute("SELECT model, dimensions FROM turn_vectors ORDER BY id").fetchall()
    return [(row["model"], row["dimensions"]) for row in rows]


def test_what_means_the_same_is_found_without_its_words(asking: Workshop, conn: Connection) -> None:
    tell(asking)
    assert search(conn, "Where is the dog?", kinds=["turns"]) == []
    sweep(asking)
    assert vectors(conn) == [("animals", 8)] * 4
    assert asked(asking, conn, "Where is the dog?")[0] == SAID[0]
    assert asked(asking, conn, "Which invoice is still open?")[0] == SAID[1]
    assert SAID[0] in asked(asking, conn, "Where is the dog?", "chunks")[0]


def test_the_model_is_told_which_is_a_question(asking: Workshop, conn: Connection, model: Model) -> None:
    tell(asking)
    sweep(asking)
    asked(asking, conn, "Where is the dog?")
    inputs = [orjson.loads(body)["input"] for _, _, _, body in model.api.asked]
    assert inputs[0][-1].startswith("passage: ")
    assert inputs[-1] == ["query: Where is the dog?"]


def test_words_still_count(asking: Workshop, conn: Connection) -> None:
    tell(asking)
    sweep(asking)
    assert asked(asking, conn, "How was the weather?")[0] == SAID[2]


def test_vectors_of_another_model_are_made_anew(
    settings: Settings, asking: Workshop, conn: Connection, model: Model
) -> None:
    tell(asking)
    sweep(asking)
    other = open_workshop(with_server(settings, model, "better"), "worker-under-test")
    assert asked(other, conn, "Where is the dog?") == []
    sweep(other)
    assert vectors(conn) == [("better", 8)] * 4
    assert asked(other, conn, "Where is the dog?")[0] == SAID[0]
    other.pool.close()


def test_a_text_that_changes_gets_a_new_vector(asking: Workshop, conn: Connection) -> None:
    tell(asking)
    sweep(asking)
    conn.execute("UPDATE turns SET text = 'An invoice.' WHERE text = %s", [SAID[0]])
    assert len(vectors(conn)) == 3
    sweep(asking)
    assert len(vectors(conn)) == 4
    assert SAID[0] not in asked(asking, conn, "Where is the dog?")


def test_a_text_that_goes_takes_its_vector_along(asking: Workshop, conn: Connection) -> None:
    tell(asking)
    sweep(asking)
    conn.execute("DELETE FROM sessions WHERE id = 'walk'")
    assert vectors(conn) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b'{"data": []}',
        b'{"data": [{"index": 0, "embedding": []}]}',
        b'{"data": [{"index": 0, "embedding": ["a"]}]}',
        b'{"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0]}]}',
        b'{"data": 3}',
        b"[1]",
    ],
)
def test_an_answer_of_another_form_is_refused(body: bytes) -> None:
    with pytest.raises(EmbeddingFailed):
        read_vectors(body, 1)


def test_a_server_that_fails_leaves_search_by_words_and_the_vectors_for_later(
    asking: Workshop, conn: Connection, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    model.api.routes[ROUTE] = answering(b"the puppy is secret", 500)
    tell(asking)
    sweep(asking)
    assert vectors(conn) == []
    assert asked(asking, conn, "the weather")[0] == SAID[2]
    assert "puppy" not in caplog.text
    model.api.routes[ROUTE] = model.answer
    sweep(asking)
    assert len(vectors(conn)) == 4


def test_a_server_that_is_not_there_is_told_in_a_sentence(settings: Settings, model: Model) -> None:
    server = EmbeddingServer(with_server(settings, model))
    model.api.close()
    with pytest.raises(EmbeddingFailed, match="cannot be asked"):
        server.questions(["Where is the dog?"])


def test_without_pgvector_the_worker_says_what_to_do(
    asking: Workshop, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(embedding.SQL, "prepare", "CREATE EXTENSION no_such_extension")
    with pytest.raises(SettingsError, match="vector"):
        embedding.prepare(conn)


def test_the_api_asks_for_the_meaning_while_it_holds_no_connection(
    asking: Workshop, settings: Settings, model: Model
) -> None:
    tell(asking)
    sweep(asking)
    known = with_server(settings, model).model_copy(update={"token": SecretStr("the-token")})
    with (
        open_pool(settings.conninfo(), "test", 1) as pool,
        TestClient(Starlette(routes=WebApi(known, pool).routes)) as api,
    ):

        def answer_if_free(request: BaseHTTPRequestHandler) -> None:
            with pool.connection(timeout=5):  # the only one there is
                model.answer(request)

        model.api.routes[ROUTE] = answer_if_free
        for path, found in (("/search", "items"), ("/context", "passages")):
            headers = {"authorization": "Bearer the-token"}
            reply = api.get(f"/api{path}", params={"q": "Where is the dog?"}, headers=headers).json()
            assert SAID[0] in str(reply[found][0])


def test_a_beginning_of_a_word_has_no_meaning(asking: Workshop, settings: Settings, model: Model) -> None:
    known = with_server(settings, model).model_copy(update={"token": SecretStr("the-token")})
    with (
        open_pool(settings.conninfo(), "test", 1) as pool,
        TestClient(Starlette(routes=WebApi(known, pool).routes)) as api,
    ):
        headers = {"authorization": "Bearer the-token"}
        assert api.get("/api/search?q=pup&unfinished=true", headers=headers).status_code == 200
    assert model.api.asked == []


def test_off_is_the_default(shop: Workshop) -> None:
    assert shop.embedder is None
    assert meaning_of(None, "Where is the dog?") == {}
