"""ETag, If-Match and If-None-Match: a change is made to what its author has seen, or not at all.

The rules and their reasons are in docs/adr/0026-no-lost-updates.md.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.utils.encoders import JSONEncoder

# What a 304 repeats of the headers of the answer that it stands for (RFC 9110, 15.4.5).
KEPT_HEADERS = ("Cache-Control", "Content-Location", "ETag", "Vary")


class PreconditionFailed(APIException):
    """412: it is not what the caller has seen any more."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_detail = (
        "This was changed since you read it (If-Match). Read it again, then change what is there "
        "now. Nothing was done."
    )
    default_code = "precondition_failed"


def etag_of(shown: Mapping[str, Any]) -> str:
    """Return the entity tag of what a representation shows, in quotes."""
    text = json.dumps(shown, sort_keys=True, cls=JSONEncoder)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def is_among(etag: str, header: str) -> bool:
    """Tell whether a list of tags, as If-Match and If-None-Match have them, names this one.

    `*` names any. W/ before a tag does not count: ours name what is shown and not its bytes, and
    whatever compresses an answer on its way must put W/ there.
    """
    tags = parse_etags(header)
    return tags == ["*"] or etag in {tag.removeprefix("W/") for tag in tags}


def not_modified(response: HttpResponse) -> HttpResponse:
    """Return 304 in place of an answer that the caller has already."""
    headers = {name: response[name] for name in KEPT_HEADERS if name in response}
    return HttpResponseNotModified(headers=headers)
