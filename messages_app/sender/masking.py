"""Masks what the sender's words must not carry into a log, the database or a page."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings

MASK = "***"
# A token that the sender has cut short is not found as it is.
BEARER = re.compile(r"\b(bearer)\s+[^\s\"',;<>]{8,}", re.IGNORECASE)
USERINFO = re.compile(r"//[^\s/@]+@")
# Digits that may be a phone number, however it is written.
NUMBER = re.compile(r"\+?\(?\d(?:[ ().\-\u2010\u2011]{0,3}\d){6,}")


def mask(text: str, *, is_cut: bool = False) -> str:
    """Return a text without our token, credentials of addresses, and what may be a phone number.

    `is_cut` says that the text may end in the middle of a secret: its end is left out then.
    """
    secrets = sorted(set(_secrets()), key=len, reverse=True)
    for secret in secrets:
        text = re.sub(re.escape(secret), MASK, text, flags=re.IGNORECASE)
    text = USERINFO.sub(f"//{MASK}@", text)
    text = BEARER.sub(rf"\1 {MASK}", text)
    text = NUMBER.sub(_mask_number, text)
    return text[: -max([40, *map(len, secrets)])] if is_cut else text


def _secrets() -> Iterator[str]:
    """Yield our token and password, each in the spellings in which an answer may repeat it."""
    address = urlsplit(settings.MESSAGE_SENDER_URL)
    user, password = unquote(address.username or ""), unquote(address.password or "")
    if password:
        yield b64encode(f"{user}:{password}".encode()).decode()
    for secret in filter(None, (settings.MESSAGE_SENDER_TOKEN, password)):
        yield from (secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1])


def _mask_number(found: re.Match[str]) -> str:
    """Return the mask, or the address of a host, which only looks like a phone number."""
    try:
        return str(ip_address(found[0]))
    except ValueError:
        return MASK
