"""The access log: a line for each request, with who asked and how long the answer took.

Neither query nor body is in it: what somebody searches for is a name or a number.
"""

import logging
import re
from collections.abc import Callable
from time import perf_counter

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.encoding import escape_uri_path
from django.utils.functional import LazyObject, empty
from structlog.contextvars import bind_contextvars

from toolkit.access.addresses import client_address
from toolkit.access.models import grant_of

Answer = Callable[[HttpRequest], HttpResponse]
# Whoever asks for these asks every few seconds.
WATCHED = ("/health/", "/metrics")
# What an address of REST or of the console is about.
SUBJECT = re.compile(r"/(mailing|client|message|webhook)s?/([0-9]{1,18})(?=/)")

logger = logging.getLogger("access")


def log_requests(get_response: Answer) -> Answer:
    """Return the middleware that logs requests.

    What programs and open pages ask for again and again is logged only when it fails.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        began_at = perf_counter()
        bind_contextvars(**{what: int(pk) for what, pk in SUBJECT.findall(request.path)})
        response = get_response(request)
        is_usual = _is_routine(request) and response.status_code < 500
        logger.log(
            logging.DEBUG if is_usual else logging.INFO,
            "%s %s", request.method, escape_uri_path(request.path),
            extra={
                "status": response.status_code,
                "ms": round(1000 * (perf_counter() - began_at)),
                "address": client_address(request),
                **_who(request),
            },
        )  # fmt: skip
        return response

    return middleware


def _is_routine(request: HttpRequest) -> bool:
    """Tell whether a machine looks if all is well, or a page asks for its parts and its styles."""
    is_file = request.path.startswith(settings.STATIC_URL)
    return is_file or request.path in WATCHED or "HX-Request" in request.headers


def _who(request: HttpRequest) -> dict[str, str]:
    """Return the user and what their token is called, as far as somebody has asked for them."""
    user = getattr(request, "user", None)
    # To ask now might cost a query, or fail where the database is away.
    is_unknown = isinstance(user, LazyObject) and user._wrapped is empty
    if user is None or is_unknown or not user.is_authenticated:
        return {}
    found = {"user": user.get_username()}
    if token := getattr(request, "auth", None):
        grant = grant_of(token)
        found["token"] = (grant and grant.name) or token.token_key
    return found
