"""Tokens of the REST API: made with a name, a scope and a last day."""

from datetime import timedelta

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
