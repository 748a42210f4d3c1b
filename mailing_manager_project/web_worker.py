"""The web server's worker: threads that slow clients cannot keep, the last ones for /health/.

A proxy that takes in requests whole before it hands them on belongs in front of it: this only
keeps a few slow clients from switching off an installation that has none (docs/operations.md).
"""

import json
import logging
import socket
from contextlib import suppress
from threading import BoundedSemaphore
from time import monotonic
from typing import Any

from gunicorn.http import errors
from gunicorn.workers.gthread import TConn, ThreadWorker

from toolkit import request_ids

TIME_FOR_HEADERS = 5.0  # seconds
TIME_FOR_ALL = 30.0  # seconds for headers and body; a body of 10 MB from an ordinary line
FREE_THREADS = 2  # that only /health/ may take
HEALTH = "/health/"

# What is wrong with a request that cannot be parsed; 400 if it is nothing of these.
STATUSES: dict[type[Exception], tuple[str, str, str]] = {
    errors.LimitRequestLine: (
        "414 URI Too Long",
        "uri_too_long",
        "The address with its query is too long. Ask for less at once.",
    ),
    errors.LimitRequestHeaders: (
        "431 Request Header Fields Too Large",
        "headers_too_large",
        "There are too many headers, or one is too long.",
    ),
    errors.UnsupportedTransferCoding: (
        "501 Not Implemented",
        "unknown_transfer_coding",
        "Send the body with a Content-Length, or chunked.",
    ),
}
MALFORMED = ("400 Bad Request", "malformed_request", "This is no request in HTTP/1.1.")
BUSY = ("503 Service Unavailable", "server_busy", "Too much is being asked at once. Try again.")

logger = logging.getLogger("access")


class Worker(ThreadWorker):
    """Hangs up on who takes too long to ask, and refuses at once what would take the last threads.

    Without a deadline a thread reads for ever from who sends a byte a second; without free threads
    a load balancer would think this server dead while it waits for a database that is slow.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadlines: dict[TConn, float] = {}
        self._seats = BoundedSemaphore(max(1, self.cfg.threads - FREE_THREADS))

    def handle(self, conn: TConn) -> Any:
        """Read a request and answer it. Runs in a thread of its own."""
        self._deadlines[conn] = monotonic() + TIME_FOR_HEADERS
        try:
            return super().handle(conn)
        finally:
            self._deadlines.pop(conn, None)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Answer a request whose headers are there, unless all threads but the last are at work."""
        self._deadlines[conn] = monotonic() + TIME_FOR_ALL
        if req.path == HEALTH:
            return super().handle_request(req, conn)
        if not self._seats.acquire(blocking=False):
            _answer(conn.sock, conn.client, *BUSY)
            return False
        try:
            return super().handle_request(req, conn)
        finally:
            self._seats.release()

    def notify(self) -> None:
        """Tell gunicorn that this worker is alive; hang up on who is too slow. Comes each second.

        They are not read from any more, which ends the waiting of their threads. An answer that is
        being written goes on.
        """
        super().notify()
        now = monotonic()
        for conn, deadline in self._deadlines.copy().items():
            if deadline < now:
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer a request that cannot be parsed, in the format of the API."""
        if not isinstance(exc, errors.ParseException):
            super().handle_error(req, client, addr, exc)
            return
        _answer(client, addr, *STATUSES.get(type(exc), MALFORMED), reason=str(exc))


def _answer(
    client: socket.socket, address: Any, status: str, code: str, detail: str, reason: str = ""
) -> None:
    """Log and write an error that never gets to Django, and end the connection with it."""
    request_id = request_ids.new()
    about = {"request_id": request_id, "status": int(status[:3]), "address": (address or [""])[0]}
    logger.info("A request was refused unread: %s.", reason or code, extra=about)
    kind = "server_error" if status.startswith("5") else "client_error"
    error = {"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}
    body = json.dumps(error)
    headers = [
        *(f"HTTP/1.1 {status}", "Connection: close", "Content-Type: application/json"),
        *(f"Content-Length: {len(body)}", "Cache-Control: no-store"),
        f"{request_ids.HEADER}: {request_id}",
        *(["Retry-After: 1"] if status == BUSY[0] else []),
    ]
    with suppress(OSError):
        client.sendall("\r\n".join([*headers, "", body]).encode())
