"""Traces by OpenTelemetry, from the request to the last statement: names and ids, never what was said.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set and the extra `otel` installed; a span costs next to nothing then.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.propagate import extract, inject

from domain.errors import SettingsError
from domain.settings import Settings

TRACER = trace.get_tracer("ai_webhook")
PARENT = "traceparent"


def set_up_tracing(settings: Settings, process: str) -> None:
    """`process` is `web`, `worker` or the like. The exporter reads OpenTelemetry's own variables for all the rest."""
    if settings.otlp_endpoint is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the extra is not installed.",
            hint="Run `pip install 'ai-webhook[otel]'`, or unset it.",
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": f"ai-webhook-{process}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{settings.otlp_endpoint.rstrip('/')}/v1/traces")))
    trace.set_tracer_provider(provider)


@contextmanager
def span(name: str, parent: str = "", **attributes: str | int) -> Iterator[None]:
    """A span beneath `parent`, what `here()` answered elsewhere, or beneath that which is open. An error is told by its
    kind: its message may quote what was said."""
    context = extract({PARENT: parent}) if parent else None
    with TRACER.start_as_current_span(
        name, context, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield
        except Exception as error:
            opened.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise


def here() -> str:
    """The open span, in W3C's form, for who goes on elsewhere; empty when nothing is traced."""
    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get(PARENT, "")


def is_traced() -> bool:
    return trace.get_current_span().is_recording()
