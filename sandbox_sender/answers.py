"""Answers of the sandbox, as bytes ready to be written."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import NamedTuple

KEEP_OPEN = -1.0  # close_after of an answer that leaves the connection open
# A client that is still writing when the connection closes gets a reset instead of the answer,
# so what it writes is read and thrown away for a while.
DRAIN_SECONDS = 0.2


class Answer(NamedTuple):
    """One HTTP answer; close_after is in seconds, KEEP_OPEN leaves the connection open."""

    status: int
    data: bytes
    close_after: float = KEEP_OPEN

    def closing(self, after: float = 0.0) -> Answer:
        """Return the same answer for a connection that closes `after` seconds later."""
        data = self.data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        return Answer(self.status, data, after)


def build(
    status: int,
    body: bytes,
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Answer:
    """Return an answer with this body, its Content-Length and extra headers."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return Answer(status, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)


def build_json(status: int, data: object, headers: dict[str, str] | None = None) -> Answer:
    """Return an answer whose body is JSON."""
    return build(status, json.dumps(data).encode(), headers=headers)


def build_error(status: int, message: str, headers: dict[str, str] | None = None) -> Answer:
    """Return a refusal as the sender API writes it: a code that is not 0, and a reason."""
    return build_json(status, {"code": status, "message": message}, headers)


OK = build_json(200, {"code": 0, "message": "OK"})
UNAUTHORIZED = build_error(
    401, "The token is missing or wrong.", {"WWW-Authenticate": 'Bearer realm="sandbox sender"'}
)
NOT_FOUND = build_error(404, "There is nothing here. Messages go to POST /send/{id}.")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NOT_HTTP = build_error(400, "This is not an HTTP/1.1 request.").closing(DRAIN_SECONDS)

# What happens in place of an answer: the connection is reset, or nothing comes. Compare with `is`.
RESET = Answer(0, b"", 0.0)
HANG = Answer(0, b"", 0.0)


def build_method_not_allowed(allowed: str) -> Answer:
    """Return the refusal of a method that names the allowed ones."""
    return build_error(405, f"Use {allowed} here.", {"Allow": allowed})
