"""What every surface asks for: an action, done for a caller, with all that it takes, and kept in the audit log."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from access.actions import ACTIONS
from access.auditing import UNAUDITED, Audit, entry_of, is_read
from access.routes import ENDPOINTS
from domain.caller import READ, Caller
from domain.errors import AIWebhookError, DatabaseUnavailable, MissingScope
from domain.settings import Settings
from store import repeats
from store.database import Connection, Pool, borrowed
from store.embedding import embedder, meaning_of
from store.reading import open_reading

Found = TypeVar("Found")

# The order of events is only known where they are written.
ONLY_READ = frozenset(
    endpoint.name
    for endpoint in ENDPOINTS
    if endpoint.method == "GET" and ACTIONS[endpoint.name].scope == READ and endpoint.name != "list_events"
)
BY_MEANING = {"search": "query", "get_context": "question"}  # actions that the embedding server is asked for


class Service:
    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.default_agent = settings.default_agent
        self.pool = pool
        self.embedder = embedder(settings)
        self.audit = Audit(pool)
        self.sealing = settings.keys().sealing
        self.reading = open_reading(settings, pool)

    def act(
        self, caller: Caller, name: str, asked: dict[str, Any], *, key: str | None = None, fresh: bool = False
    ) -> Any:
        """What the action answers. With a key it is done once, and answered again to who asks the same again. What is
        read to be changed has to be `fresh`; else a replica may answer.

        Raises any of our errors; MissingScope comes before anything is done.
        """
        self.check(caller, name, asked)
        action = ACTIONS[name]
        complete = self.completed(name, asked)

        def do(conn: Connection) -> Any:
            if key is None:
                return action.act(caller, conn, **complete)
            again: Callable[[], Any] = lambda: action.act(caller, conn, **complete)  # noqa: E731
            return repeats.once(conn, f"{caller.name} {caller.token}", key, [name, asked], again)

        def kept(conn: Connection) -> Any:
            return do(conn) if name in UNAUDITED else self.audited(conn, caller, name, asked, do)

        if name in ONLY_READ and not fresh:
            return self.reading.read(reader_of(caller), kept)
        with borrowed(self.pool) as conn:
            answer = kept(conn)
            self.reading.wrote(reader_of(caller), conn)
        return answer

    def read(self, caller: Caller, look: Callable[[Connection], Found]) -> Found:
        """What is there beyond what actions answer; `look` only reads, and may be called twice."""
        return self.reading.read(reader_of(caller), look)

    def check(self, caller: Caller, name: str, asked: Mapping[str, Any] | None = None) -> None:
        """Raises MissingScope."""
        try:
            caller.require(ACTIONS[name].scope)
        except MissingScope as error:
            self.audit.read(entry_of(caller, name, asked or {}, outcome=error.code))
            raise

    def audited(
        self, conn: Connection, caller: Caller, name: str, asked: Mapping[str, Any], do: Callable[[Connection], Any]
    ) -> Any:
        """Does it and keeps who did: of a deed in one transaction with it, of what was refused after it."""
        reads = is_read(name, ACTIONS[name].scope)
        try:
            if not reads:
                with conn.transaction():
                    answer = do(conn)
                    self.audit.deed(conn, entry_of(caller, name, asked, answer))
                return answer
            answer = do(conn)
        except DatabaseUnavailable:
            raise
        except AIWebhookError as error:
            self.audit.read(entry_of(caller, name, asked, outcome=error.code))
            raise
        self.audit.read(entry_of(caller, name, asked))
        return answer

    def completed(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        """With what no caller says: the default agent, the keys of bodies, and what a question means, asked for
        beforehand."""
        if (question := BY_MEANING.get(name)) is not None:
            return asked | meaning_of(self.embedder, "" if asked.get("unfinished") else asked[question])
        if name == "get_delivery_body":
            return asked | {"sealing": self.sealing}
        if name == "create_task" and not asked.get("agent_name") and not asked.get("capabilities"):
            return asked | {"agent_name": self.default_agent}
        return asked

    def with_connection(self, work: Callable[[Connection], Found]) -> Found:
        with borrowed(self.pool) as conn:
            return work(conn)


def reader_of(caller: Caller) -> tuple[str, str]:
    return caller.name, caller.token
