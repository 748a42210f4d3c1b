"""Errors that no view answers: under /api/ in the API's format, elsewhere as a page.

The pages need nothing that may be broken: no database, and no session.
"""

import logging
from collections.abc import Callable

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import translation

from toolkit import request_ids
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
        return _page(request, 400)
    detail = "The request cannot be read. Nothing was done."
    return refuse(request, status=400, code="parse_error", detail=detail)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer somebody who lacks the rights for a page."""
    return _page(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer where there is nothing; under /api/, a view does."""
    return _page(request, 404)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form that does not come from a page of this login."""
    return _page(request, 403, "403_csrf.html")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer after a mistake of our own."""
    if not request.path.startswith(API):
        return _page(request, 500)
    return refuse(request, status=500, code="error", detail="Server Error (500)")


def _page(request: HttpRequest, status: int, template: str = "") -> HttpResponse:
    """Return an error as a page, in the reader's language, or the browser's if no more is known."""
    language = getattr(request, "LANGUAGE_CODE", "")
    language = language or translation.get_language_from_request(request)
    with translation.override(language):
        page = render_to_string(template or f"{status}.html", {"request_id": request_ids.current()})
    return HttpResponse(page, status=status)


def _refuse(request: HttpRequest, *, status: int, code: str, detail: str) -> HttpResponse:
    if request.path.startswith(API):
        return refuse(request, status=status, code=code, detail=detail)
    return HttpResponse(f"{detail}\n", status=status, content_type="text/plain; charset=utf-8")
