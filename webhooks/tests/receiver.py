"""A receiver of webhooks: a real HTTP server that answers as a test tells it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message as Headers
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic, sleep
from typing import Any, NamedTuple

PATIENCE = 60  # seconds


class Received(NamedTuple):
    """A call as it came in."""

    path: str
    port: int  # of the caller
    headers: Headers
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        """Return the body, parsed."""
        content: dict[str, Any] = json.loads(self.body)
        return content


class Receiver:
    """What came in, and what is answered: a status and headers, after `answering` is set."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self.received: list[Received] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.answering = threading.Event()
        self.answering.set()

    def hang(self) -> None:
        """Answer nothing any more, until `answering` is set."""
        self.answering.clear()

    def wait_for(self, number: int) -> list[Received]:
        """Wait until so many calls have come in."""
        wait_until(lambda: len(self.received) >= number)
        return self.received

    @property
    def changes(self) -> list[dict[str, Any]]:
        """Return all changes of messages that were told."""
        return [
            change
            for each in self.received
            if each.content["type"] == "messages.changed"
            for change in each.content["data"]["messages"]
        ]


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline, "It has not come to pass."
        sleep(0.02)


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """Run a receiver on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            port = self.client_address[1]
            receiver.received.append(Received(self.path, port, self.headers, body))
            receiver.answering.wait(PATIENCE)
            try:
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(receiver.body)))
                self.end_headers()
                self.wfile.write(receiver.body)
            except OSError:
                pass  # The caller has gone.

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.answering.set()
        server.shutdown()
        thread.join()
        server.server_close()
