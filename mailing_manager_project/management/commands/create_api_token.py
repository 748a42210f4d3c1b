"""`manage.py create_api_token USERNAME`: create a token of the REST API for a program."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from knox.models import AuthToken


class Command(BaseCommand):
    """Print a new token, and nothing else, on standard output."""

    help = (
        "Print a new API token of a user. Programs send it in the header "
        "'Authorization: Token ...'. It is shown once; the admin can revoke it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the argument."""
        parser.add_argument("username")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        """Create the token and print it.

        Raises:
            CommandError: there is no such user, or it may not log in.
        """
        user = get_user_model().objects.filter(username=username).first()
        if user is None:
            raise CommandError(
                f"There is no user {username!r}. "
                "Add it in the admin or with 'python manage.py createsuperuser'."
            )
        if not user.is_active:
            raise CommandError(
                f"User {username!r} is not active, so the API would refuse its token. "
                "Tick 'Active' for this user in the admin first."
            )
        _, token = AuthToken.objects.create(user)
        self.stdout.write(token)
