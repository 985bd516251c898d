"""Texts as vectors, by a model of the operator's choice: asked of a server with OpenAI's protocol, kept beside texts.

Off unless AI_WEBHOOK_EMBEDDINGS_URL is set; needs the extension pgvector. Search goes on by words alone whenever the
server does not answer.
"""

import logging
import math
import time
from collections.abc import Sequence
from typing import Any, Protocol

import httpx2
import orjson
from psycopg.types.json import Jsonb

from domain.errors import AIWebhookError, SettingsError
from domain.settings import Settings
from store.database import Connection, all_rows, run
from store.statements import statements

SQL = statements("embedding")
BATCH = 32  # texts a call
MOST_BATCHES = 20  # of a sweep
TEXT_CHARS = 4_000  # of a text that a model is shown: most read no more
ANSWER_BYTES = 20_000_000
DIMENSIONS = 4_096

log = logging.getLogger("ai_webhook.store")


class EmbeddingFailed(AIWebhookError):
    """The embedding server gave no vectors that can be used. The message never quotes a text."""

    code = "embedding_failed"
    status = 502


class Embedder(Protocol):
    """Texts to vectors of one length, in order. Raises EmbeddingFailed."""

    model: str

    def questions(self, texts: Sequence[str]) -> list[list[float]]: ...

    def texts(self, texts: Sequence[str]) -> list[list[float]]: ...


class EmbeddingServer:
    """An Embedder behind `POST {url}/embeddings`. Some models want words before a question and before a text."""

    def __init__(self, settings: Settings) -> None:
        key = settings.embeddings_key.get_secret_value() if settings.embeddings_key else None
        self.model = settings.embeddings_model or ""
        self.prefixes = (settings.embeddings_question_prefix, settings.embeddings_text_prefix)
        self.timeout_seconds = settings.embeddings_timeout_seconds
        self.client = httpx2.Client(
            base_url=settings.embeddings_url or "",
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=self.timeout_seconds,
            follow_redirects=False,
        )
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it would log whole URLs

    def questions(self, texts: Sequence[str]) -> list[list[float]]:
        return self._vectors([f"{self.prefixes[0]} {text[:TEXT_CHARS]}".strip() for text in texts])

    def texts(self, texts: Sequence[str]) -> list[list[float]]:
        return self._vectors([f"{self.prefixes[1]} {text[:TEXT_CHARS]}".strip() for text in texts])

    def _vectors(self, texts: Sequence[str]) -> list[list[float]]:
        body, last_moment = bytearray(), time.monotonic() + self.timeout_seconds
        try:
            with self.client.stream("POST", "embeddings", json={"model": self.model, "input": list(texts)}) as response:
                if response.status_code != 200:
                    raise EmbeddingFailed(f"The embedding server answered {response.status_code}.")
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > ANSWER_BYTES or time.monotonic() > last_moment:
                        raise EmbeddingFailed("The embedding server's answer is too long, or takes too long.")
        except httpx2.HTTPError as error:
            raise EmbeddingFailed(f"The embedding server cannot be asked ({type(error).__name__}).") from None
        return read_vectors(bytes(body), len(texts))


def read_vectors(body: bytes, expected: int) -> list[list[float]]:
    """The vectors of an answer, in the order of the texts."""
    try:
        data = orjson.loads(body)["data"]
        vectors = [entry["embedding"] for entry in sorted(data, key=lambda entry: entry["index"])]
        sizes = {len(vector) for vector in vectors}
        fits = all(isinstance(x, int | float) and math.isfinite(x) for vector in vectors for x in vector)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise EmbeddingFailed("The embedding server's answer has another form.") from None
    if len(vectors) != expected or len(sizes) != 1 or not 1 <= min(sizes) <= DIMENSIONS or not fits:
        raise EmbeddingFailed("The embedding server's vectors do not fit the texts.")
    return vectors


def embedder(settings: Settings) -> Embedder | None:
    return EmbeddingServer(settings) if settings.embeddings_url else None


def prepare(conn: Connection) -> None:
    """Makes the extension and the tables. Raises SettingsError when PostgreSQL has no pgvector."""
    try:
        run(conn, SQL["prepare"])
    except AIWebhookError as error:
        raise SettingsError(
            "AI_WEBHOOK_EMBEDDINGS_URL is set, but PostgreSQL has no extension `vector`, or not for this user.",
            hint="Install pgvector and have its owner run CREATE EXTENSION vector, or unset AI_WEBHOOK_EMBEDDINGS_URL.",
        ) from error


def fill(conn: Connection, embedder: Embedder, most: int = MOST_BATCHES * BATCH) -> int:
    """Makes the vectors that are missing or of another model, the latest texts first; answers how many."""
    made = 0
    for kind in ("turns", "chunks"):
        while made < most:
            rows = all_rows(conn, SQL[f"{kind}_without"], {"model": embedder.model, "limit": min(BATCH, most - made)})
            if not rows:
                break
            vectors = embedder.texts([row["text"] for row in rows])
            found: list[dict[str, Any]] = [
                {"id": row["id"], "vector": vector} for row, vector in zip(rows, vectors, strict=True)
            ]
            parameters = {"model": embedder.model, "dimensions": len(vectors[0]), "vectors": Jsonb(found)}
            run(conn, SQL[f"keep_{kind}"], parameters)
            made += len(rows)
    return made


def meaning_of(embedder: Embedder | None, question: str) -> dict[str, Any]:
    """What search() is to be given of the question's meaning: nothing when there is no embedder, or no answer."""
    if embedder is None or not question.strip():
        return {}
    try:
        return {"meaning": embedder.questions([question])[0], "model": embedder.model}
    except EmbeddingFailed as error:
        log.warning("search goes by words alone: %s", error.message)
        return {}
