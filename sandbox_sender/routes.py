"""Routes: which requests of a port go to the send endpoint, and which to the control pages."""

from __future__ import annotations

from typing import Protocol

from sandbox_sender.answers import Answer, build_method_not_allowed
from sandbox_sender.control import Control
from sandbox_sender.send_endpoint import SendEndpoint

SEND_PATHS = (b"/send", b"/v1/send")
USE_POST = build_method_not_allowed("POST")


class Routes(Protocol):
    """Takes a request and returns its answer and the seconds that the answer waits."""

    def answer(
        self, method: bytes, url: bytes, authorization: bytes, body: bytes
    ) -> tuple[Answer, float]:
        """Return the answer to a request, and the seconds that it waits."""


class ControlRoutes:
    """The control port: no messages are sent to it, and no fault or outage applies to it."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def answer(
        self, method: bytes, url: bytes, authorization: bytes, body: bytes
    ) -> tuple[Answer, float]:
        """Answer with a control page."""
        return self.control.answer(method, url.partition(b"?")[0], body), 0.0


class SendRoutes(ControlRoutes):
    """The main port: messages, and also all pages of the control port."""

    def __init__(self, send_endpoint: SendEndpoint, control: Control) -> None:
        super().__init__(control)
        self.send_endpoint = send_endpoint

    def answer(
        self, method: bytes, url: bytes, authorization: bytes, body: bytes
    ) -> tuple[Answer, float]:
        """Send messages to the send endpoint; answer all else with a control page."""
        folder, _, path_id = url.partition(b"?")[0].rpartition(b"/")
        if folder not in SEND_PATHS:
            return super().answer(method, url, authorization, body)
        if method != b"POST":
            return USE_POST, 0.0
        endpoint = self.send_endpoint
        if excess := endpoint.refuse_excess():
            return excess, 0.0  # At once, unread: while it waited it would be open itself.
        return endpoint.answer(authorization, path_id, body), endpoint.draw.draw_delay()
