"""Accounts: a password that was made for somebody, and which is changed at the first login."""

import secrets

from django.contrib.auth.models import User
from django.db import transaction

from toolkit.access.models import FirstPassword


@transaction.atomic
def give_first_password(user: User) -> str:
    """Make a password for somebody and return it; only a hash of it is kept.

    Whoever logs in with it has to choose another one. It ends sessions and tokens of before.
    """
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.save()
    FirstPassword.objects.update_or_create(user=user)
    return password
