"""Errors that no view answers: under /api/ in the API's format, elsewhere as a line of text."""

import logging
from collections.abc import Callable

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.views import defaults

from toolkit.rest.problems import refuse

Answer = Callable[[HttpRequest], HttpResponse]
API = "/api/"

logger = logging.getLogger(__name__)


def refuse_other_hosts(get_response: Answer) -> Answer:
    """Return the middleware that refuses requests for hosts that are not ours, in a line each."""

    def middleware(request: HttpRequest) -> HttpResponse:
        try:
            request.get_host()
        except DisallowedHost as error:
            logger.warning("A request was refused. %s", error)
            return _refuse(
                request,
                status=400,
                code="wrong_host",
                detail="Nothing is served under the name in the Host header. Use a name of this "
                "installation; its operator lists them in ALLOWED_HOSTS.",
            )
        return get_response(request)

    return middleware


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that cannot be read."""
    if not request.path.startswith(API):
        return defaults.bad_request(request, exception)
    detail = "The request cannot be read. Nothing was done."
    return refuse(request, status=400, code="parse_error", detail=detail)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer after a mistake of our own."""
    if not request.path.startswith(API):
        return defaults.server_error(request)
    return refuse(request, status=500, code="error", detail="Server Error (500)")


def _refuse(request: HttpRequest, *, status: int, code: str, detail: str) -> HttpResponse:
    if request.path.startswith(API):
        return refuse(request, status=status, code=code, detail=detail)
    return HttpResponse(f"{detail}\n", status=status, content_type="text/plain; charset=utf-8")
