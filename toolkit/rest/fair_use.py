"""Fair use: so many requests in a while, for each token, each user of a session, each address.

Who has used up theirs is answered 429 until the next while begins. Whoever is refused for another
reason (401, 403, 406) is counted, too. The reasons: docs/adr/0027-who-gets-in.md.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from time import monotonic, time
from typing import TYPE_CHECKING, Any
from zlib import crc32

from django.conf import settings
from django.core.cache import caches
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError
from rest_framework.exceptions import APIException, Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from toolkit.access.addresses import client_address

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which itself imports what is in the settings

# How long nothing is counted after the cache did not answer, so that no request waits for it but
# one in a while.
REST = 10.0  # seconds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Usage:
    """What somebody has used of what they may."""

    kind: str  # of whoever is counted: token, user, address
    limit: int  # requests
    seconds: int  # in which they may be made
    used: int | None  # None: nobody knows, because the cache does not answer
    resets_in: int  # seconds

    @property
    def is_fair(self) -> bool:
        """Whether there was something left for this request."""
        return self.used is None or self.used <= self.limit

    def headers(self) -> dict[str, str]:
        """Return what is told of it (draft-ietf-httpapi-ratelimit-headers-10)."""
        policy = {"RateLimit-Policy": f'"{self.kind}";q={self.limit};w={self.seconds}'}
        if self.used is None:
            return policy
        left = max(0, self.limit - self.used)
        return {**policy, "RateLimit": f'"{self.kind}";r={left};t={self.resets_in}'}


class TooMany(Throttled):
    """429: whoever asks has used up what they may in this while."""

    default_detail = "These were too many requests."
    extra_detail_singular = "Wait {wait} second (Retry-After), then go on."
    extra_detail_plural = "Wait {wait} seconds (Retry-After), then go on."


class FairUse(BaseThrottle):
    """Counts a request, and refuses it if there were too many; API_RATE says how many those are."""

    def allow_request(self, request: Request, view: "APIView") -> bool:
        """Let a request pass that is within what whoever asks may have.

        Raises:
            TooMany: it is not.
        """
        if settings.API_RATE is None:
            return True
        limit, seconds = settings.API_RATE
        usage = _count(*_whose(request), limit, seconds)
        request._request.fair_use = usage  # type: ignore[attr-defined]  # for tell_usage
        if not usage.is_fair:
            raise TooMany(usage.resets_in)
        return True


def count_refused(request: Request | None, view: Any) -> None:
    """Count a request that was refused before DRF has counted it.

    Raises:
        TooMany: there were too many, which is told instead of the refusal.
    """
    if request is not None and not hasattr(request._request, "fair_use"):
        view.check_throttles(request)


def tell_usage(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """Put on every answer of the API what is left; a middleware."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        usage: Usage | None = getattr(request, "fair_use", None)
        for name, value in usage.headers().items() if usage else ():
            response[name] = value
        return response

    return answer


def _whose(request: Request) -> tuple[str, str]:
    """Return whose the request is: the kind, and the name that tells them apart."""
    try:
        if request.auth is not None:
            return "token", str(request.auth.pk)[:32]
        if request.user.is_authenticated:
            return "user", str(request.user.pk)
    except (APIException, DatabaseError):  # a login that was refused, or cannot be looked up
        pass
    return "address", client_address(request._request)


def _count(kind: str, name: str, limit: int, seconds: int) -> Usage:
    """Count one request, in the while that it falls into.

    Each counts from a moment of their own, so that not all come back at the same time.
    """
    now = time() + crc32(name.encode()) % seconds
    number, gone = divmod(now, seconds)
    key = f"fair-use:{kind}:{name}:{number:.0f}"
    return Usage(kind, limit, seconds, _increase(key, 2 * seconds), ceil(seconds - gone))


def _counts() -> Any:
    """Return where requests are counted (toolkit.rest.shared_counts)."""
    return caches["default"]


_rest_until = 0.0


def _increase(key: str, kept_for: int) -> int | None:
    """Return how many requests there are now under a key; None if the cache does not answer."""
    global _rest_until
    if monotonic() < _rest_until:
        return None
    try:
        return int(_counts().count(key, kept_for=kept_for))
    except (RedisError, OSError) as error:
        _rest_until = monotonic() + REST
        logger.warning(
            "Requests are not counted for %.0f s, and none is refused for being one too many: the "
            "cache does not answer (%s).",
            REST,
            error,
        )
        return None
