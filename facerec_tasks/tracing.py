"""OpenTelemetry traces from the web tier through SQS to the worker: one trace for each request.

Optional: without the packages of ``requirements/tracing.txt``, or without an exporter, nothing is
imported and nothing is slower. OpenTelemetry's own environment variables say where spans go:
``OTEL_EXPORTER_OTLP_ENDPOINT`` (or ``OTEL_TRACES_EXPORTER``: ``otlp``, ``console``, ``none``).
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import logging
import os
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

FLUSH_MILLISECONDS = 2000
"""How long an ending process waits for a collector."""


def exporter_name(environment: Mapping[str, str]) -> str:
    """``otlp``, ``console`` or ``none``."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return "none"
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    default = "otlp" if any(environment.get(name) for name in endpoints) else "none"
    return environment.get("OTEL_TRACES_EXPORTER") or default


def configure(role: str) -> bool:
    """Instruments Celery and botocore of this process; whether there will be traces.

    To be called once, in a worker after the fork.
    """
    chosen = exporter_name(os.environ)
    if chosen == "none":
        return False
    try:
        _instrument(role, chosen)
    except ImportError as error:
        log.warning("no traces: %s; install requirements/tracing.txt", error)
        return False
    return True


def _instrument(role: str, exporter: str) -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    from opentelemetry.sdk.trace.sampling import (
        ALWAYS_OFF,
        ALWAYS_ON,
        ParentBased,
        Sampler,
        SamplingResult,
    )

    class OwnRequests(Sampler):
        """No trace of its own for a call to AWS that serves no request, such as a long poll."""

        def should_sample(self, *given: Any, **named: Any) -> SamplingResult:
            """By name from :class:`ParentBased`, as ``kind``."""
            chosen = ALWAYS_OFF if named["kind"] == trace.SpanKind.CLIENT else ALWAYS_ON
            return chosen.should_sample(*given, **named)

        def get_description(self) -> str:
            return "OwnRequests"

    resource = Resource.create({"service.name": f"facerec-{role}"})
    provider = TracerProvider(resource=resource, sampler=ParentBased(OwnRequests()))
    chosen = ConsoleSpanExporter() if exporter == "console" else OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(chosen))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]
    BotocoreInstrumentor().instrument()  # type: ignore[no-untyped-call]


def flush(**_: Any) -> None:
    """Sends what has not been sent; for processes that end without Python's own exit."""
    from opentelemetry import trace

    provider: Any = trace.get_tracer_provider()
    provider.force_flush(FLUSH_MILLISECONDS)
