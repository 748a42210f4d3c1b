"""What the engine needs of a transport, and the one that the settings choose."""

from collections.abc import Sequence
from functools import cache
from typing import Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from messages_app.sender.answers import Answer
from messages_app.sender.contract import Request

CONNECT_TIMEOUT = 3  # seconds
# What an installation of before may have in MESSAGE_SENDER_BACKEND.
FORMER_NAMES = {
    "messages_app.sender.curl.CurlTransport": f"{__package__}.curl.CurlTransport",
    "messages_app.sender.threads.RequestsTransport": f"{__package__}.requests.RequestsTransport",
}
MAX_BODY = 64 * 1024  # bytes of an answer; a longer one is not what we asked for


class Transport(Protocol):
    """Many requests at once. Every submitted request comes back as exactly one answer."""

    def __init__(
        self, *, url: str, token: str, concurrency: int, timeout: float, may_repeat: bool
    ) -> None:
        """Prepare for `concurrency` open requests to the API at `url`.

        A request ends after `timeout` seconds, connecting included. Where a kept connection is cut,
        it `may_repeat` itself and must say so in the answer, or must not.
        """

    @property
    def capacity(self) -> int:
        """How many requests may be submitted now."""

    @property
    def is_idle(self) -> bool:
        """Whether no request is open."""

    def submit(self, request: Request) -> None:
        """Begin a request; at most `capacity` of them."""

    def poll(self, timeout: float) -> Sequence[Answer]:
        """Return the answers that have come, waiting up to `timeout` seconds for one."""


@cache
def transport() -> Transport:
    """Return this process's transport; its connections stay open from task to task.

    Raises:
        ImproperlyConfigured: there is no token, so that nothing may be sent.
    """
    if not settings.MESSAGE_SENDER_TOKEN:
        raise ImproperlyConfigured(
            "MESSAGE_SENDER_TOKEN is empty, so nothing is sent. Set it, or start everything with "
            "'make run', which then uses the sandbox sender."
        )
    name = settings.MESSAGE_SENDER_BACKEND
    backend: type[Transport] = import_string(FORMER_NAMES.get(name, name))
    return backend(
        url=settings.MESSAGE_SENDER_URL.rstrip("/"),
        token=settings.MESSAGE_SENDER_TOKEN,
        concurrency=settings.MESSAGE_SENDER_CONCURRENCY,
        timeout=settings.MESSAGE_SENDER_TIMEOUT,
        may_repeat=settings.MESSAGE_SENDER_IDEMPOTENT,
    )
