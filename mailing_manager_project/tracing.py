"""Traces by OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT names who takes them.

A request is a span, and so is each task: that of `send_message` is one delivery, which has many
messages. What is logged meanwhile are the span's events. Everything else is set by OTEL_… in the
environment, as in all programs.
"""

import logging
import os
from collections.abc import Sequence
from typing import Any

from celery.signals import worker_process_shutdown
from django.http import HttpRequest, HttpResponse
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import Status
from opentelemetry.util.types import Attributes
from structlog.contextvars import get_contextvars

from mailing_manager_project.log_lines import FIELDS, Outage, mask_number

logger = logging.getLogger(__name__)


def begin() -> None:
    """Have everything from now on traced in this process, and in those that it forks."""
    name = os.environ.get("OTEL_SERVICE_NAME") or "mailing-manager"
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(_Subjects())
    provider.add_span_processor(BatchSpanProcessor(_Exporter()))
    trace.set_tracer_provider(provider)
    DjangoInstrumentor().instrument(
        excluded_urls="health/,metrics", request_hook=_leave_out_query, response_hook=_name
    )
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]
    logging.getLogger().addHandler(_Events(logging.INFO))
    # Celery ends the processes of a pool without what Python does at the end.
    worker_process_shutdown.connect(lambda **_: provider.force_flush(), weak=False)


class _Subjects(SpanProcessor):
    """Has spans say what lines of the log say: for which request, and of which mailing they are."""

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        span.set_attributes(get_contextvars())


class _Events(logging.Handler):
    """Makes what is logged during a span an event of it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record to the span of this moment; where there is none, that does nothing."""
        about = {name: vars(record)[name] for name in FIELDS if name in vars(record)}
        trace.get_current_span().add_event(record.getMessage(), about)


class _Exporter(OTLPSpanExporter):
    """Hands over no phone numbers, and says once that nobody takes the traces.

    The package says it again and again.
    """

    _outage = Outage("Traces are taken again.")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand spans over."""
        result = super().export([_masked(span) for span in spans])
        if result is SpanExportResult.SUCCESS:
            self._outage.end()
        elif self._outage.begin():
            logger.warning("Nobody takes the traces at %s; they are lost.", self._endpoint)
        return result


def _masked(span: ReadableSpan) -> ReadableSpan:
    """Return a span without what may be a phone number; errors of the database repeat some."""
    error = span.status.description
    return ReadableSpan(
        span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_masked_values(span.attributes),
        events=[
            Event(mask_number(event.name), _masked_values(event.attributes), event.timestamp)
            for event in span.events
        ],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, error and mask_number(error)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _masked_values(attributes: Attributes) -> Attributes:
    return {
        name: mask_number(value) if isinstance(value, str) else value
        for name, value in (attributes or {}).items()
    }


def _name(span: trace.Span, request: HttpRequest, response: HttpResponse) -> None:
    """Have the span of a request say which one it was; when it began, nobody knew."""
    span.set_attributes(get_contextvars())


def _leave_out_query(span: trace.Span, request: HttpRequest) -> None:
    """Have a span not say what somebody searches for."""
    address = f"{request.scheme}://{request.META.get('HTTP_HOST', '')}{request.path}"
    span.set_attributes({"http.url": address, "http.target": request.path, "url.query": ""})
