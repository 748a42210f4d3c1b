"""Whose language and time zone the console's pages are in. REST has English and UTC, always.

A user's own (toolkit.access.models.Preferences) count first; then what the browser says, its
language by Accept-Language, its time zone by the cookie that console/time_zone.js sets.
"""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers

from toolkit import time_zones
from toolkit.access.models import Preferences, preferences_of

CONSOLE = "/admin/"
COOKIE = "time_zone"
# The field in which a form says in which zone it was shown (admin/console/time_zone_field.html).
FIELD = "_time_zone"


class PersonalLocale:
    """Answers the console's requests in the language and time zone of whoever sent them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request; of the console, in its user's language and time zone."""
        if not _is_of_console(request):
            return self.get_response(request)
        preferences = _preferences(request)
        language = preferences.language or translation.get_language_from_request(request)
        request.LANGUAGE_CODE = language  # as Django's own middleware does
        with (
            translation.override(language),
            timezone.override(_zone(preferences.timezone or request.COOKIES.get(COOKIE, ""))),
        ):
            response = self.get_response(request)
        response.headers.setdefault("Content-Language", language)
        patch_vary_headers(response, ("Accept-Language", "Cookie"))
        return response

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        """Read a form in the zone in which it was shown, though its user has another by now."""
        # Of other requests, only a view may read the body.
        if _is_of_console(request) and request.POST.get(FIELD) in time_zones.names():
            timezone.activate(ZoneInfo(request.POST[FIELD]))


def _is_of_console(request: HttpRequest) -> bool:
    return request.path_info.startswith(CONSOLE)


def _preferences(request: HttpRequest) -> Preferences:
    user = request.user
    return preferences_of(user) if isinstance(user, User) else Preferences()


def _zone(name: str) -> ZoneInfo | None:
    """Return the time zone of a name; None, for that of the installation, if there is none."""
    return ZoneInfo(name) if name in time_zones.names() else None
