"""A transport whose open requests are as many as the throttle finds right."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from messages_app.sender.answers import Answer
from messages_app.sender.contract import Request
from messages_app.sender.throttle import Throttle
from toolkit.clock import monotonic

if TYPE_CHECKING:
    from messages_app.sender.transports.base import Transport


class ThrottledTransport:
    """Hands requests to another transport, no more at once than its throttle allows."""

    def __init__(self, transport: "Transport") -> None:
        """Wrap a transport that nothing was submitted to; its capacity is never exceeded."""
        self._transport = transport
        self._throttle = Throttle(transport.capacity)

    @property
    def capacity(self) -> int:
        """How many requests may be submitted now."""
        return min(self._transport.capacity, self._throttle.room(monotonic()))

    @property
    def is_idle(self) -> bool:
        """Whether no request is open."""
        return self._transport.is_idle

    def submit(self, request: Request) -> None:
        """Begin a request. The caller makes sure that `capacity` is not 0."""
        self._throttle.begin(request.id)
        self._transport.submit(request)

    def poll(self, timeout: float) -> Sequence[Answer]:
        """Return the answers that have come, waiting up to `timeout` seconds for one.

        It returns earlier without one when the next request may begin.
        """
        answers = self._transport.poll(min(timeout, self._throttle.pause() or timeout))
        return self._throttle.hear(answers, monotonic())
