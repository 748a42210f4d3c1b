"""Users as commands name them."""

from django.contrib.auth.models import User
from django.core.management.base import CommandError


def find_user(username: str) -> User:
    """Return an active user.

    Raises:
        CommandError: there is no such user, or nothing of theirs works.
    """
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(
            f"There is no user {username!r}. "
            "Add it in the admin or with 'python manage.py createsuperuser'."
        )
    if not user.is_active:
        raise CommandError(
            f"User {username!r} is not active, so neither logins nor tokens work. "
            "Tick 'Active' for this user in the admin first."
        )
    return user
