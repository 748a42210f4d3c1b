"""Authentication of REST requests: by token, sent as `Token …` or `Bearer …`, or by session."""

import logging
from hmac import compare_digest
from typing import Any

from django.contrib.auth.models import User
from django.db import DatabaseError
from django.urls import reverse
from django.utils import timezone
from knox.crypto import hash_token
from knox.models import AuthToken
from knox.settings import CONSTANTS
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
    get_authorization_header,
)
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from toolkit.access.company import may_use_tokens
from toolkit.access.models import Grant
from toolkit.access.sessions import must_change_password, must_set_up_factor

SCHEMES = (b"token", b"bearer")
REALM = 'realm="Mailing Manager"'
INVALID = f'Bearer {REALM}, error="invalid_token", Token {REALM}'  # RFC 6750, 3.1
UNKNOWN = "There is no such token, or it was revoked. An administrator can make another one."
AWAY = (
    "The user of this token has not logged in by the company's account for a while, or may not any "
    "more. It works again when they log in to the console."
)

logger = logging.getLogger(__name__)


class StrictTokenAuthentication(BaseAuthentication):
    """Knox's tokens, looked up by one query; an expired one is named as that, and stays."""

    def authenticate(self, request: Request) -> tuple[User, AuthToken] | None:
        """Return the user and the token; None where another kind of login is tried.

        Raises:
            AuthenticationFailed: there is no such token, it has expired, or its user is inactive,
                or has not come in by the company's account for long.
        """
        scheme, *words = get_authorization_header(request).split() or [b""]
        if scheme.lower() not in SCHEMES:
            return None
        if len(words) != 1 or not words[0].isalnum():
            raise AuthenticationFailed(
                "This is no token. Write the word Token or Bearer, one space and the token."
            )
        token = _find(words[0].decode())
        if token.expiry and token.expiry <= timezone.now():
            raise AuthenticationFailed(
                f"This token expired at {token.expiry:%Y-%m-%d %H:%M} UTC. An administrator can "
                "make another one."
            )
        if not token.user.is_active:
            raise AuthenticationFailed("The user of this token is not active any more.")
        if not may_use_tokens(token.user, now=timezone.now()):
            raise AuthenticationFailed(AWAY)
        _note_use(token)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """Return what the WWW-Authenticate of a 401 says: how to log in, and what was wrong."""
        scheme = get_authorization_header(request).split()[:1]
        is_tried = bool(scheme) and scheme[0].lower() in SCHEMES
        return INVALID if is_tried else f"Bearer {REALM}, Token {REALM}"


class LimitedSessionAuthentication(SessionAuthentication):
    """The console's sessions; not those of whoever has to do something there before all else."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """Return the user, if there is a session.

        Raises:
            PermissionDenied: the password has to be changed, or a second factor set up; or the
                CSRF token is missing.
        """
        found: tuple[Any, None] | None = super().authenticate(request)
        if found and must_change_password(request._request):
            raise PermissionDenied(
                "Your password was made for you. Choose one of your own first, in the console: "
                f"{reverse('admin:password_change')}."
            )
        if found and must_set_up_factor(request._request):
            raise PermissionDenied(
                f"Set up a second factor first, in the console: {reverse('admin:second_factor')}."
            )
        return found


def _find(text: str) -> AuthToken:
    """Return the token with this text, with its user and its grant.

    Raises:
        AuthenticationFailed: there is none.
    """
    rows = AuthToken.objects.filter(token_key=text[: CONSTANTS.TOKEN_KEY_LENGTH])
    digest = hash_token(text)
    for token in rows.select_related("user__company_account", "grant"):
        if compare_digest(digest, token.digest):
            return token
    raise AuthenticationFailed(UNKNOWN)


def _note_use(token: AuthToken) -> None:
    """Note that a token was used; a database that cannot take it refuses nobody to read."""
    try:
        Grant.objects.note_use(token, now=timezone.now())
    except DatabaseError:
        logger.warning("That token %s was used could not be noted.", token.token_key, exc_info=True)
