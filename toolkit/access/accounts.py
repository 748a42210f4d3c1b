"""Accounts: a password that was made for somebody, and the one group that is their role."""

import secrets
from collections.abc import Collection

from django.contrib.auth.models import Group, User
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


def set_role(user: User, role: str, *, roles: Collection[str]) -> None:
    """Put a user into the group of a role, and into no other one that is a role."""
    groups = Group.objects.filter(name__in=roles)
    user.groups.remove(*groups.exclude(name=role))
    user.groups.add(*groups.filter(name=role))
