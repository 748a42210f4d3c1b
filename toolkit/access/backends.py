"""Who may log in by password: those who have no company account, where local logins are allowed."""

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone

from toolkit.access import factors
from toolkit.access.company import account_of


class LocalAccounts:
    """Decides on passwords. Sessions and rights are Django's backend's, which is never asked."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        code: str = "",
        **unused: Any,
    ) -> User:
        """Return whose name and password these are, and code, if they have a second factor.

        Raises:
            PermissionDenied: nobody's, or of somebody who does not log in so. The password was
                looked at in any case, so that nobody learns from the time it took who is here.
        """
        user = ModelBackend().authenticate(request, username, password)
        if not isinstance(user, User) or not settings.LOCAL_LOGINS or account_of(user):
            raise PermissionDenied
        if not factors.check(user, code, now=timezone.now()):
            raise PermissionDenied
        return user
