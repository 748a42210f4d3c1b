"""Something that takes traces, as a collector of OpenTelemetry does."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Taken(NamedTuple):
    """A span that was handed over."""

    name: str
    trace: bytes
    attributes: dict[str, Any]
    events: list[str]


class Collector(ThreadingHTTPServer):
    """A server that keeps all spans."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Call)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.spans: list[Taken] = []

    def take(self, body: bytes) -> None:
        """Keep the spans of a call."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    values = {each.key: each.value for each in span.attributes}
                    attributes = {
                        name: getattr(value, str(value.WhichOneof("value")))
                        for name, value in values.items()
                    }
                    events = [event.name for event in span.events]
                    self.spans.append(Taken(span.name, span.trace_id, attributes, events))


class _Call(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:  # as http.server wants it
        self.server.take(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""
    with Collector() as collector:
        thread = Thread(target=collector.serve_forever, args=[0.05])
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()
