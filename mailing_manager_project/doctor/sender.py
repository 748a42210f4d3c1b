"""The sender: whether it can be reached, and what is known of our token."""

import json
import socket
import ssl
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.utils import timezone
from requests.utils import get_environ_proxies

from mailing_manager_project.doctor.findings import Finding, error, fine, warning
from messages_app.models import SendingControl
from messages_app.sender.answers import TOKEN_HINT
from messages_app.sender.transports.base import CONNECT_TIMEOUT, authorities, is_loopback
from messages_app.sending.lately import outcomes_lately
from toolkit import clock
from toolkit.terminal import in_words

PORTS = {"http": 80, "https": 443}
SOON = timedelta(days=14)  # before a certificate or a token expires
RENEW = "Ask whoever runs the sender for a new one before it expires."


def look() -> Iterator[Finding]:
    """Connect to the sender, and verify its certificate as a delivery does. Nothing is sent."""
    address = settings.MESSAGE_SENDER_URL
    url = urlsplit(address)
    place = f"{url.hostname}:{_port(url)}"
    proxies = {} if is_loopback(address) else get_environ_proxies(address)
    if proxy := proxies.get(url.scheme):
        yield fine(
            f"{place} is reached through a proxy, {urlsplit(proxy).hostname}; it was not tried.",
            "Unset http_proxy and https_proxy, or list the sender in no_proxy, if that is wrong.",
        )
        return
    try:
        expires_at = _connect(url)
    except ssl.SSLError as reason:
        yield error(
            f"{place} shows a certificate that is not trusted: {reason}.",
            "Name the authority's file in MESSAGE_SENDER_CA_FILE, or correct MESSAGE_SENDER_URL.",
        )
    except OSError as reason:
        said, hint = f"{place} cannot be reached: {reason}.", "Correct MESSAGE_SENDER_URL, "
        hint += "or open the way there (DNS, firewall)."
        if settings.MESSAGE_SENDER_TOKEN:
            yield error(said, hint)
        else:
            yield warning(said, f"{hint} Where main.py sends to the sandbox it does not matter.")
    else:
        yield fine(f"{place} takes connections.")
        if expires_at:
            yield _ending("The sender's certificate", expires_at)


def look_at_token() -> Iterator[Finding]:
    """Say what is known of the token without sending a message; its contract has no such request.

    A token that is a JWT says itself until when it is good (RFC 7519).
    """
    if expires_at := _expiry(settings.MESSAGE_SENDER_TOKEN):
        yield _ending("MESSAGE_SENDER_TOKEN", expires_at)
    reason = SendingControl.objects.current().reason  # empty while the breaker is closed
    accepted = outcomes_lately(now=clock.now()).get("")
    if TOKEN_HINT in reason:
        yield error(
            f"The sender refuses it: {reason}",
            "Correct MESSAGE_SENDER_TOKEN where the queue messages is served, restart the worker, "
            "and run 'manage.py sender probe'.",
        )
    elif accepted:
        yield fine(f"The sender takes it: it accepted {accepted:,} messages in the last minutes.")
    else:
        yield fine(
            "Whether the sender takes it cannot be told without a message.",
            "Send yourself one: on the review page of a draft, or by POST mailings/ID/test/.",
        )


def _connect(url: SplitResult) -> datetime | None:
    """Connect to a host; return until when its certificate is good, if it has one.

    Raises:
        OSError: that is not possible; `ssl.SSLError` where the certificate is not trusted.
    """
    host = url.hostname or ""
    with socket.create_connection((host, _port(url)), timeout=CONNECT_TIMEOUT) as link:
        if url.scheme != "https":
            return None
        context = ssl.create_default_context(cafile=authorities())
        with context.wrap_socket(link, server_hostname=host) as secure:
            certificate = secure.getpeercert() or {}
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    return datetime.fromtimestamp(ends, tz=UTC)


def _port(url: SplitResult) -> int:
    return url.port or PORTS[url.scheme]


def _expiry(token: str) -> datetime | None:
    """Return until when a token is good, if it is a JWT that says so."""
    try:
        claims = token.split(".")[1]
        content = json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return datetime.fromtimestamp(content["exp"], tz=UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _ending(what: str, at: datetime) -> Finding:
    left = at - timezone.now()
    if left <= timedelta():
        return error(f"{what} expired at {in_words(at)}.", "Get a new one.")
    if left < SOON:
        return warning(f"{what} expires in {in_words(left)}.", RENEW)
    return fine(f"{what} is good for {in_words(left)}.")
