"""Tokens of the REST API: made with a name, a scope and a last day; revoked with the password."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from knox.models import AuthToken

from toolkit.access.models import Grant, Scope

DAYS = 365  # that a token is valid, unless somebody says otherwise
MOST_DAYS = 3650


@transaction.atomic
def create_token(
    user: User, *, name: str = "", scope: str = Scope.OPERATE, days: int = DAYS
) -> str:
    """Make a token of a user and return it; only a hash of it is kept."""
    made, token = AuthToken.objects.create(user, expiry=timedelta(days=days))
    Grant.objects.create(token=made, name=name, scope=scope)
    return str(token)


class PasswordsEndTokens:
    """A password validator that refuses nothing, and revokes the tokens of whoever gets a new one.

    Django calls it whenever a password was changed: in the console by its owner or an
    administrator, by `changepassword`, or by `set_password` and `save`; and not when only its hash
    is made anew at a login. A password that is taken away ("unusable") ends no token: that is how
    users are kept who are programs and never log in.
    """

    def validate(self, password: str, user: Any = None) -> None:
        """Accept every password."""

    def get_help_text(self) -> str:
        """Say to whoever chooses a password what it does."""
        return "A new password revokes all API tokens of its user."

    def password_changed(self, password: str, user: Any = None) -> None:
        """Revoke the tokens of a user whose password was changed."""
        AuthToken.objects.filter(user=user).delete()
