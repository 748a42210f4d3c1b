"""What is handed over as traces, and what nobody is told."""

from contextlib import suppress

import pytest
import responses
from django.db import IntegrityError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from mailing_manager_project.tracing import _Exporter
from tests.servers import free_port

URL = "http://collector.example/v1/traces"
NUMBER = "79991234567"


def fail_in_a_span(exporter: _Exporter) -> None:
    """Have a span end with an error that has a phone number in it."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with (
        suppress(IntegrityError),
        provider.get_tracer("test").start_as_current_span("saving") as span,
    ):
        span.set_attribute("http.url", f"/?search={NUMBER}")
        raise IntegrityError(f"Key (phone_number)=({NUMBER}) already exists.")


def test_phone_numbers_are_masked_in_errors_too() -> None:
    with responses.RequestsMock() as calls:
        calls.post(URL)
        fail_in_a_span(_Exporter(URL))
        body = calls.calls[0].request.body
    assert isinstance(body, bytes)
    told = str(ExportTraceServiceRequest.FromString(body))
    assert "Key (phone_number)=(***) already exists." in told
    assert "saving" in told
    assert NUMBER not in told


def test_that_nobody_takes_them_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    exporter = _Exporter(f"http://127.0.0.1:{free_port()}/v1/traces", timeout=0.1)
    for _ in range(2):
        fail_in_a_span(exporter)
    (line,) = caplog.messages
    assert line.startswith("Nobody takes the traces at http://127.0.0.1:")
