"""Answers as they go over the wire: without a body to HEAD, kept by nobody, compressed."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

Answer = Callable[[HttpRequest], Any]
API = "/api/"
# What fits into one packet is not sent any sooner when it is smaller.
SMALL = 1400  # bytes


def leave_out_bodies(get_response: Answer) -> Answer:
    """Return the middleware that answers HEAD without the body, and with its length."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.method != "HEAD":
            return response  # type: ignore[no-any-return]  # what the next one gives
        if response.streaming:
            response.streaming_content = ()
        else:
            response.content = b""  # Content-Length stays.
        return response  # type: ignore[no-any-return]

    return middleware


def keep_private(get_response: Answer) -> Answer:
    """Return the middleware that says of answers of the API who may keep them.

    What has an ETag may be kept by whoever asked, who must ask again before using it. Everything
    else is kept by nobody. Answers that say something else of themselves, such as the schema, are
    left as they are.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = get_response(request)
        if request.path.startswith(API):
            rule = "private, no-cache" if "ETag" in response else "no-store"
            response.headers.setdefault("Cache-Control", rule)
        return response

    return middleware


class CompressAnswers(GZipMiddleware):
    """Compresses what the API answers, if it is long and the caller takes it.

    Not the console's pages, in which secrets (CSRF tokens) and what somebody typed stand side by
    side: from the length of such a page the secret can be guessed (BREACH). Answers of the API
    have no secrets of that kind, other sites' scripts cannot ask for them with somebody's session
    (SameSite), and Django makes their length vary by up to a hundred bytes besides.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> Any:
        """Return the answer, compressed if that is worth it."""
        is_page = response.get("Content-Type", "").startswith("text/html")
        if is_page or not request.path.startswith(API) or _is_small(response):
            return response
        return super().process_response(request, response)


def _is_small(response: Any) -> bool:
    return not response.streaming and len(response.content) < SMALL
