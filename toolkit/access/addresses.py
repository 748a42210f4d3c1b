"""From which address somebody asks, also behind proxies."""

from ipaddress import IPv6Address, IPv6Network, ip_address

from django.conf import settings
from django.http import HttpRequest

SITE = 64  # bits of an IPv6 address that name one site, which may use all the others as it likes


def client_address(request: HttpRequest) -> str:
    """Return the address of whoever asks; of IPv6 the network; nothing if it cannot be known.

    Each proxy writes at the end of X-Forwarded-For who has asked it; what stands before that,
    anybody can have made up. So of as many proxies as TRUSTED_PROXIES says, the entry of the
    outermost one is believed, and without any the connection's own address.
    """
    direct = str(request.META.get("REMOTE_ADDR", ""))
    entries = str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",")
    trusted = entries[-settings.TRUSTED_PROXIES :][:1] if settings.TRUSTED_PROXIES else []
    return next((found for text in (*trusted, direct) if (found := _read(text))), "")


def _read(text: str) -> str:
    """Return an address in its usual form, without a port; nothing if it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, SITE), strict=False).network_address)
