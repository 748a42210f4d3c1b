"""Logins by password: how many may fail, what is answered to one too many, and a line of each.

The reasons: docs/adr/0027-who-gets-in.md. django-axes counts the failures, in the database.
"""

import logging
from datetime import timedelta
from math import ceil
from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_username
from axes.models import AccessAttempt
from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import Max, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext

from toolkit.access.addresses import client_address

# So many times as often as with one name may logins fail from one address, which many may share.
NAMES = 10

logger = logging.getLogger(__name__)


class Limits(AxesDatabaseHandler):
    """Counts the failures with one name from one address, and those from an address by a tenth.

    Those with one name from everywhere do not count: else whoever knows the name of an operator
    could lock them out. An address, or a network of IPv6, is harder to have than a name.
    """

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Return the failures that count for a login."""
        with_name: int = super().get_failures(request, credentials)
        since = get_cool_off_threshold(request)
        found = AccessAttempt.objects.filter(
            ip_address=address_of(request), attempt_time__gte=since
        ).aggregate(failures=Sum("failures_since_start"))
        return max(with_name, (found["failures"] or 0) // NAMES)


def address_of(request: HttpRequest) -> str | None:
    """Return the address that a login comes from; None where there is none, as at a socket."""
    return client_address(request) or None


def locked_out(
    request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    """Answer a login of which there were too many."""
    wait = _wait(request, credentials)
    context = {
        **site.each_context(request),
        "minutes": ceil(wait / 60),
        "title": gettext("Too many failed logins"),
    }
    page = render(request, "admin/locked_out.html", context, status=429)
    page["Retry-After"] = str(wait)
    return page


def log_logins() -> None:
    """Have a line logged of each login, failure, lockout and logout."""
    user_logged_in.connect(_log_login, dispatch_uid="log_login")
    user_login_failed.connect(_log_failure, dispatch_uid="log_failure")
    user_locked_out.connect(_log_lockout, dispatch_uid="log_lockout")
    user_logged_out.connect(_log_logout, dispatch_uid="log_logout")


def _wait(request: HttpRequest, credentials: dict[str, Any] | None) -> int:
    """Return the seconds until the last failure is forgotten."""
    attempts = AccessAttempt.objects.filter(ip_address=address_of(request))
    named = attempts.filter(username=get_client_username(request, credentials))
    last = ((named.exists() and named) or attempts).aggregate(last=Max("attempt_time"))["last"]
    left: timedelta = (last or timezone.now()) + settings.AXES_COOLOFF_TIME - timezone.now()
    return max(1, ceil(left.total_seconds()))


def _log_login(request: HttpRequest, user: User, **_: object) -> None:
    logger.info("%r logged in from %s.", user.get_username(), _place(request))


def _log_failure(
    credentials: dict[str, Any], request: HttpRequest | None = None, **_: object
) -> None:
    if not getattr(request, "axes_locked_out", False):  # Then there is a line of that.
        name = credentials.get("username")
        logger.warning("A login of %s from %s failed.", _whom(name), _place(request))


def _log_lockout(request: HttpRequest, username: str | None, **_: object) -> None:
    logger.warning(
        "A login of %s from %s was refused, because too many failed. There is none for up to %s.",
        _whom(username),
        _place(request),
        settings.AXES_COOLOFF_TIME,
    )


def _log_logout(request: HttpRequest, user: User | None, **_: object) -> None:
    if user:
        logger.info("%r logged out from %s.", user.get_username(), _place(request))


def _whom(name: object) -> str:
    """Return a name for the log; one that nobody has may be a password in the wrong field."""
    return repr(name) if User.objects.filter(username=name).exists() else "an unknown name"


def _place(request: HttpRequest | None) -> str:
    return (client_address(request) if request else "") or "an unknown address"
