"""What the engine needs of a transport, and the one that the settings choose."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from messages_app.sender.answers import Answer

CONNECT_TIMEOUT = 3  # seconds
MAX_BODY = 64 * 1024  # bytes of an answer; a longer one is not what we asked for


class Request(NamedTuple):
    """One message as the sender takes it. `text` is already a JSON string, quotes included."""

    id: int
    phone_number: str
    text: str

    @property
    def body(self) -> str:
        """The JSON object that is posted."""
        return f'{{"id": {self.id}, "phone": {self.phone_number}, "text": {self.text}}}'


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
    def free(self) -> int:
        """How many requests may be submitted now."""

    @property
    def is_idle(self) -> bool:
        """Whether no request is open."""

    def submit(self, request: Request) -> None:
        """Begin a request; at most `free` of them."""

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
    backend: type[Transport] = import_string(settings.MESSAGE_SENDER_BACKEND)
    return backend(
        url=settings.MESSAGE_SENDER_URL.rstrip("/"),
        token=settings.MESSAGE_SENDER_TOKEN,
        concurrency=settings.MESSAGE_SENDER_CONCURRENCY,
        timeout=settings.MESSAGE_SENDER_TIMEOUT,
        may_repeat=settings.MESSAGE_SENDER_IDEMPOTENT,
    )
