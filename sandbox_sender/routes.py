"""Routes: which requests of a port go to the send endpoint, and which to the control pages."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Protocol

from sandbox_sender.answers import Answer, build_error, build_method_not_allowed
from sandbox_sender.control import Control
from sandbox_sender.send_endpoint import SendEndpoint

SEND_PATHS = (b"/send", b"/v1/send")
USE_POST = build_method_not_allowed("POST")
OTHER_HOST = build_error(
    403, "The pages of the sandbox are at localhost, at an IP address or a name without dots."
)


class Routes(Protocol):
    """Takes a request and returns its answer and the seconds that the answer waits."""

    def answer(
        self, method: bytes, url: bytes, authorization: bytes, body: bytes, host: bytes
    ) -> tuple[Answer, float]:
        """Return the answer to a request, and the seconds that it waits."""


class ControlRoutes:
    """The control port: no messages are sent to it, and no fault or outage applies to it."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def answer(
        self, method: bytes, url: bytes, authorization: bytes, body: bytes, host: bytes
    ) -> tuple[Answer, float]:
        """Answer with a control page, unless a page of another site asks for it."""
        if is_public_name(host):
            return OTHER_HOST, 0.0
        return self.control.answer(method, url.partition(b"?")[0], body), 0.0


class SendRoutes(ControlRoutes):
    """The main port: messages, and also all pages of the control port."""

    def __init__(self, send_endpoint: SendEndpoint, control: Control) -> None:
        super().__init__(control)
        self.send_endpoint = send_endpoint

    def answer(
        self, method: bytes, url: bytes, authorization: bytes, body: bytes, host: bytes
    ) -> tuple[Answer, float]:
        """Send messages to the send endpoint; answer all else with a control page."""
        folder, _, path_id = url.partition(b"?")[0].rpartition(b"/")
        if folder not in SEND_PATHS:
            return super().answer(method, url, authorization, body, host)
        if method != b"POST":
            return USE_POST, 0.0
        endpoint = self.send_endpoint
        if excess := endpoint.refuse_excess():
            return excess, 0.0  # At once, unread: while it waited it would be open itself.
        return endpoint.answer(authorization, path_id, body), endpoint.draw.draw_delay()


def is_public_name(host: bytes) -> bool:
    """Tell whether a Host header names what anybody can have pointed to this machine.

    A page of such a name could read numbers and texts here, because its browser takes this for the
    page's own host (DNS rebinding). Of messages that is no danger: they need the token.
    """
    name = host.decode("latin-1").strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    name = name.rstrip(".")
    if "." not in name or name.endswith(".localhost"):
        return False
    try:
        ip_address(name)
    except ValueError:
        return True
    return False
