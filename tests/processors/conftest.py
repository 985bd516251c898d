"""A worker's workshop on real servers."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from domain import tracing
from domain.settings import Settings
from processors import readers
from processors.__main__ import open_workshop
from processors.jobs import Workshop
from tests.processors.language_model import ROUTE, replying, rubber
from tests.processors.language_model import workshop as asking_workshop
from tests.processors.sender_api import Api
from tests.processors.workshop import read_acme


@pytest.fixture
def shop(settings: Settings) -> Iterator[Workshop]:
    workshop = open_workshop(settings, "worker-under-test")
    yield workshop
    workshop.pool.close()


@pytest.fixture
def acme_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `acme` a source with a reader of its own."""
    monkeypatch.setattr(readers, "READERS", {**readers.READERS, "acme": read_acme})


@pytest.fixture
def api() -> Iterator[Api]:
    """The API of a sender."""
    server = Api()
    yield server
    server.close()


@pytest.fixture
def server(api: Api) -> Api:
    """A language model's server that finds one decision, whatever it is asked."""
    api.routes[ROUTE] = replying(rubber())
    return api


@pytest.fixture
def asking(settings: Settings, server: Api) -> Iterator[Workshop]:
    """A workshop that asks it."""
    workshop = asking_workshop(settings, server)
    yield workshop
    workshop.pool.close()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "TRACER", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()
