"""The protocol of a transport, and the transport that MESSAGE_SENDER_BACKEND names."""

import ssl
from collections.abc import Sequence
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from certifi import where
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from messages_app.sender.answers import Answer
from messages_app.sender.contract import Request
from messages_app.sender.transports.throttled import ThrottledTransport

CONNECT_TIMEOUT = 3  # seconds
# Earlier versions had these names of transports, and MESSAGE_SENDER_BACKEND may still say them.
FORMER_NAMES = {
    "messages_app.sender.curl.CurlTransport": f"{__package__}.curl.CurlTransport",
    "messages_app.sender.threads.RequestsTransport": f"{__package__}.requests.RequestsTransport",
}
# Where Debian, Fedora and Alpine keep what the system trusts.
SYSTEM_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
MAX_BODY = 64 * 1024  # bytes of an answer; a longer one counts as a broken connection


def is_loopback(url: str) -> bool:
    """Tell whether an address is on this machine: no proxy of the environment is for that.

    Messages for the sandbox, which promises that nothing leaves the machine, would otherwise go
    to whatever http_proxy names, and its answers would pass for the sandbox's.
    """
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def authorities() -> str:
    """Return the PEM file of the authorities that may vouch for the sender's certificate.

    MESSAGE_SENDER_CA_FILE, or else those that are trusted for everything.
    """
    return str(settings.MESSAGE_SENDER_CA_FILE) or system_authorities()


def system_authorities() -> str:
    """Return the PEM file of the authorities that this machine trusts.

    That of SSL_CERT_FILE, as everywhere, or the system's, or where it has none, the one that comes
    with requests.
    """
    usual = [ssl.get_default_verify_paths().cafile, *SYSTEM_AUTHORITIES]
    return next((path for path in usual if path and Path(path).exists()), where())


class Transport(Protocol):
    """Sends many requests at once; for each one submitted, `poll` returns exactly one answer."""

    def __init__(
        self, *, url: str, token: str, concurrency: int, timeout: float, may_repeat: bool
    ) -> None:
        """Prepare for `concurrency` open requests to the API at `url`.

        A request ends after `timeout` seconds, connecting included. With `may_repeat` the transport
        may post a message a second time when a kept connection is cut; its answer then says
        `is_repeated`. Without it, it must not.
        """

    @property
    def capacity(self) -> int:
        """How many requests may be submitted now."""

    @property
    def is_idle(self) -> bool:
        """Whether no request is open."""

    def submit(self, request: Request) -> None:
        """Begin a request. The caller makes sure that `capacity` is not 0."""

    def poll(self, timeout: float) -> Sequence[Answer]:
        """Return the answers that have come, waiting up to `timeout` seconds for one."""


@cache
def transport() -> Transport:
    """Return the transport of this process; its connections stay open from task to task.

    Raises:
        ImproperlyConfigured: MESSAGE_SENDER_TOKEN is empty.
    """
    fixed: int | None = settings.MESSAGE_SENDER_CONCURRENCY
    sending = _make(
        fixed or settings.MESSAGE_SENDER_MAX_CONCURRENCY,
        may_repeat=settings.MESSAGE_SENDER_IDEMPOTENT,
    )
    return sending if fixed else ThrottledTransport(sending)


def transport_of_one() -> Transport:
    """Return a transport for one request, which its caller has alone; it posts it once.

    Raises:
        ImproperlyConfigured: MESSAGE_SENDER_TOKEN is empty.
    """
    return _make(1, may_repeat=False)


def _make(concurrency: int, *, may_repeat: bool) -> Transport:
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
        concurrency=concurrency,
        timeout=settings.MESSAGE_SENDER_TIMEOUT,
        may_repeat=may_repeat,
    )
