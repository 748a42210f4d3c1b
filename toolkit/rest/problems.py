"""Problem details (RFC 9457), for callers that ask for them; and errors outside of the views.

Whoever names application/problem+json in Accept is told of errors in that format, and of
everything else as usual. Nothing is told there that our own format does not have.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, JsonResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

MEDIA_TYPE = "application/problem+json"
JSON = "application/json"


def is_wanted(request: HttpRequest | Request) -> bool:
    """Tell whether the caller names the format of problems in Accept."""
    accepted = str(request.headers.get("Accept", "")).lower().split(",")
    return any(each.partition(";")[0].strip() == MEDIA_TYPE for each in accepted)


def as_problem(error: Mapping[str, Any], status: int) -> dict[str, Any]:
    """Return an error of our format as a problem; `type` is called `kind` in it."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": " ".join(each["detail"] for each in error["errors"]),
        "kind": error["type"],
        "errors": error["errors"],
    }


def refuse(request: HttpRequest, *, status: int, code: str, detail: str) -> JsonResponse:
    """Return an error that no view answers, in the format that the caller asks for."""
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "client_error"
    error: dict[str, Any] = {
        "type": kind,
        "errors": [{"code": code, "detail": detail, "attr": None}],
    }
    if is_wanted(request):
        return JsonResponse(as_problem(error, status), status=status, content_type=MEDIA_TYPE)
    return JsonResponse(error, status=status)


class Negotiation(DefaultContentNegotiation):
    """Answers in JSON whoever asks for problems only: there is nothing else to tell them in."""

    def get_accept_list(self, request: Request) -> list[str]:
        """Return the media types that are accepted."""
        accepted: list[str] = super().get_accept_list(request)
        return [*accepted, JSON] if is_wanted(request) else accepted
