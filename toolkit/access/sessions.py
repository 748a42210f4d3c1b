"""How long a login lasts, and what comes before all else: a password of one's own, a second factor.

A session ends twelve hours after its login, however busy it is, and after an hour in which nobody
did anything. A page that renews itself (htmx) is nobody.
"""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.contrib.auth.views import redirect_to_login
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from toolkit.access import factors
from toolkit.access.models import FirstPassword

# Keys of the session. Moments are whole seconds since 1970.
BEGAN, SEEN = "login_began_at", "last_seen_at"
MUST_CHANGE = "password_must_change"
MUST_SET_UP = "second_factor_must_be_set_up"
EXACTNESS = 300  # seconds; a session is not written more often to know when somebody was there
# Pages of the console for whoever has to change their password, or to set up a second factor.
OPEN_PAGES = {
    *("password_change", "password_change_done", "second_factor"),
    *("login", "login_link", "company_login", "company_callback", "logout", "jsi18n"),
}


class SessionLimits:
    """Ends sessions that are too old, and leads to what has to be done before all else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request, without a login if it has ended."""
        # Looked at only where there is one, for an answer that looked varies by cookie.
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
        if key and not (key.isascii() and key.isalnum()):
            request.session = SessionStore()  # Postgres cannot even look for a NUL.
        elif key and _has_ended(request):
            logout(request)
            if "HX-Request" in request.headers:  # Or the login page is put into a panel.
                return HttpResponse(headers={"HX-Refresh": "true"})
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *unused: Any) -> HttpResponse | None:
        """Lead whoever has to change their password, or set up a second factor, to that page."""
        page = request.resolver_match
        is_open = page is None or page.url_name in OPEN_PAGES
        if is_open or not request.path.startswith(reverse("admin:index")):
            return None
        if request.method == "POST" and not request.user.is_authenticated:
            return _lead_back(request)
        if must_change_password(request):
            messages.warning(request, _("Choose a password of your own before you go on."))
            return redirect("admin:password_change")
        if must_set_up_factor(request):
            messages.warning(request, _("Set up a second factor before you go on."))
            return redirect("admin:second_factor")
        return None


def _lead_back(request: HttpRequest) -> HttpResponse:
    """Have somebody log in again, and then come back to the page from which a form was sent."""
    text = _("Your login has ended, and what you sent was not done. Log in, then do it again.")
    messages.warning(request, text)
    came_from = urlsplit(request.META.get("HTTP_REFERER", ""))
    is_ours = came_from.netloc == request.get_host()
    query = f"?{came_from.query}" if came_from.query else ""
    return redirect_to_login(f"{came_from.path}{query}" if is_ours else reverse("admin:index"))


def must_change_password(request: HttpRequest) -> bool:
    """Tell whether whoever is logged in by a session has to change their password first."""
    return _has_mark(request, MUST_CHANGE)


def must_set_up_factor(request: HttpRequest) -> bool:
    """Tell whether whoever is logged in by a session has to set up a second factor first."""
    return _has_mark(request, MUST_SET_UP)


def _has_mark(request: HttpRequest, mark: str) -> bool:
    return settings.SESSION_COOKIE_NAME in request.COOKIES and bool(request.session.get(mark))


def begin_sessions() -> None:
    """Have each login note when it began, and what has to be done before all else."""
    user_logged_in.connect(_begin, dispatch_uid="begin_session")


def _begin(request: HttpRequest, user: User, **unused: object) -> None:
    request.session[BEGAN] = request.session[SEEN] = int(time.time())
    if FirstPassword.objects.filter(user=user).exists():
        request.session[MUST_CHANGE] = True
    if factors.is_required(user) and not factors.factor_of(user):
        request.session[MUST_SET_UP] = True


def _has_ended(request: HttpRequest) -> bool:
    """Tell whether a login is too old; if not, keep what is known of it up to date.

    Where the database does not answer, nothing is told here: whatever asks who is logged in fails
    by itself, and says so as it should.
    """
    try:
        if SESSION_KEY not in request.session:
            return False
        if _is_too_old(request):
            return True
        _look_for_new_password(request)
    except DatabaseError:
        pass
    return False


def _is_too_old(request: HttpRequest) -> bool:
    """Tell whether a session is too old; if not, note that somebody is there."""
    session, now = request.session, int(time.time())
    began = session.get(BEGAN)
    if began is None:  # a login of before there were limits
        session[BEGAN] = session[SEEN] = now
        return False
    if now - began >= settings.SESSION_COOKIE_AGE or now - session[SEEN] >= settings.SESSION_IDLE:
        return True
    if now - session[SEEN] >= EXACTNESS and "HX-Request" not in request.headers:
        session[SEEN] = now
    return False


def _look_for_new_password(request: HttpRequest) -> None:
    """Let somebody go on who has changed their password."""
    session = request.session
    if (
        MUST_CHANGE in session
        and not FirstPassword.objects.filter(user_id=session[SESSION_KEY]).exists()
    ):
        del session[MUST_CHANGE]
