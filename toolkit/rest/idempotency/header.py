"""The header Idempotency-Key, bare or quoted (draft-ietf-httpapi-idempotency-key-header, 2.1)."""

import re

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

HEADER = "Idempotency-Key"
MAX_LENGTH = 255
# A String of RFC 9651 (3.3.3): printable ASCII in quotes, in which \ stands before " and \.
QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
BARE = re.compile(r"[!#-~][!-~]*")  # visible ASCII that does not begin with a quote


def read_key(request: Request) -> str | None:
    """Return the key of a request, without quotes; None if it has no such header.

    Raises:
        ValidationError: it is empty, too long, or not written as the header's grammar says.
    """
    header = request.headers.get(HEADER)
    if header is None:
        return None
    key = parse(header)
    if not key or len(key) > MAX_LENGTH:
        raise ValidationError(
            {
                HEADER: f"Write 1 to {MAX_LENGTH} visible ASCII characters, such as a UUID, with "
                "or without quotes. Nothing was done."
            },
            code="invalid_idempotency_key",
        )
    return key


def parse(header: str) -> str | None:
    """Return the key that a header means; None if it is malformed."""
    text = header.strip(" \t")
    if quoted := QUOTED.fullmatch(text):
        return re.sub(r'\\(["\\])', r"\1", quoted[1])
    return text if BARE.fullmatch(text) else None
