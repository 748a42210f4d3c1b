"""Which addresses a webhook may go to: public ones, unless WEBHOOKS_ALLOW_PRIVATE says otherwise.

Whoever may add a webhook has this host call an address of their choice, so it must not be one that
only this host can reach: another program on it, the network behind it, the cloud's metadata. The
name is looked up when a webhook is saved, so that its author is told; what counts is the check at
each connection (`transport`), of the very address that is connected to.
"""

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError

MAX_LENGTH = 1000  # characters of a URL
LOOK_UP_TIME = 3.0  # seconds that looking up a name may take while somebody waits
LOWEST_FREE_PORT = 1024  # below are services that have other uses, such as mail
USUAL_PORTS = (443, None)
# Visible ASCII without what parsers of URLs disagree about.
WRITTEN_SAFELY = re.compile(r"[!#-;=?-\[\]_a-z~]+", re.IGNORECASE)
ENDS_IN_A_NUMBER = re.compile(r"(^|\.)(0x[0-9a-f]*|[0-9]+)\.?$", re.IGNORECASE)
# What is not on the public internet, by IANA's registries of special-purpose addresses. Listed,
# because what Python's `is_global` says of them differs from release to release.
SPECIAL_IPV4 = [
    IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # Azure's metadata, which looks public and is not
    )
]
PUBLIC_IPV6 = IPv6Network("2000::/3")
SPECIAL_IPV6 = [
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
NAT64 = IPv6Network("64:ff9b::/96")  # an IPv4 address is in its last four bytes


def check_url(url: str) -> None:
    """Refuse a URL that no webhook can have.

    Raises:
        ValidationError: with the code `invalid_url`, `insecure_url`, `unknown_host` or
            `private_address`.
    """
    parts = _parsed(url)
    if settings.WEBHOOKS_ALLOW_PRIVATE:
        return
    if parts.scheme != "https":
        raise ValidationError("Begin it with https://.", code="insecure_url")
    if parts.port not in USUAL_PORTS and (parts.port or 0) < LOWEST_FREE_PORT:
        raise ValidationError("Use port 443, or one from 1024 on.", code="invalid_url")
    if not all(is_public(address) for address in _look_up(parts.hostname or "")):
        raise ValidationError(
            "This leads to a private address. Give the receiver a public one, or have an "
            "administrator set WEBHOOKS_ALLOW_PRIVATE.",
            code="private_address",
        )


def is_allowed(address: str) -> bool:
    """Tell whether a webhook may connect to an IP address."""
    return bool(settings.WEBHOOKS_ALLOW_PRIVATE) or is_public(address)


def is_public(address: str) -> bool:
    """Tell whether an IP address is on the public internet, also one that stands for another."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and (inner := _inner(ip)):
        ip = inner
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in SPECIAL_IPV4)
    return ip in PUBLIC_IPV6 and not any(ip in network for network in SPECIAL_IPV6)


def _inner(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for."""
    return IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else ip.ipv4_mapped


def _parsed(url: str) -> SplitResult:
    invalid = ValidationError(
        "Write a URL such as https://example.com/webhooks: visible ASCII, without a user, a "
        "password or a #, and with a host that is a name or an ordinary IP address.",
        code="invalid_url",
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise invalid from None
    host = parts.hostname or ""
    is_written_safely = len(url) <= MAX_LENGTH and WRITTEN_SAFELY.fullmatch(url)
    if not is_written_safely or parts.scheme not in ("http", "https") or port == 0:
        raise invalid
    if not host or "@" in parts.netloc or "#" in url or "%" in parts.netloc or _is_odd(host):
        raise invalid
    return parts


def _is_odd(host: str) -> bool:
    """Tell whether a host is an IP address in a form that some read otherwise, such as 0177.1."""
    try:
        ip_address(host)
    except ValueError:
        return bool(ENDS_IN_A_NUMBER.search(host))
    return False


def _look_up(host: str) -> list[str]:
    """Return the IP addresses of a host.

    Raises:
        ValidationError: there are none, or nobody knows them within LOOK_UP_TIME.
    """
    pool = ThreadPoolExecutor(1)
    try:
        found = pool.submit(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        return [str(entry[4][0]) for entry in found.result(LOOK_UP_TIME)]
    except (OSError, UnicodeError, TimeoutError):
        raise ValidationError(
            f"The host {host[:100]} cannot be found. Is its name right?", code="unknown_host"
        ) from None
    finally:
        pool.shutdown(wait=False)
