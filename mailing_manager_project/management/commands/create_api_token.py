"""`manage.py create_api_token USERNAME`: create a token of the REST API for a program."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mailing_manager_project.management.people import find_user
from toolkit.access.models import Grant, Scope
from toolkit.access.tokens import DAYS, MOST_DAYS, create_token

LONGEST_NAME = Grant._meta.get_field("name").max_length or 0


class Command(BaseCommand):
    """Print a new token, and nothing else, on standard output."""

    help = (
        "Print a new API token of a user. Programs send it in the header "
        "'Authorization: Bearer ...'. It is shown once; the admin can revoke it, and a new "
        "password of the user does."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("username")
        parser.add_argument("--name", default="", help="which program uses it")
        parser.add_argument(
            "--scope",
            choices=Scope.values,
            default=Scope.OPERATE,
            help="read: it sees what the user may see; operate: it does what the user may do "
            "(%(default)s)",
        )
        parser.add_argument(
            "--days", type=int, default=DAYS, help="how long it is valid (%(default)s)"
        )

    def handle(
        self, *args: Any, username: str, name: str, scope: str, days: int, **options: Any
    ) -> None:
        """Create the token and print it.

        Raises:
            CommandError: there is no such user, or it may not log in; the name or the days are
                out of bounds.
        """
        if not 1 <= days <= MOST_DAYS:
            raise CommandError(f"--days is {days}. Write a number from 1 to {MOST_DAYS}.")
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise CommandError(f"--name must be one line of at most {LONGEST_NAME} characters.")
        user = find_user(username)
        self.stdout.write(create_token(user, name=name, scope=scope, days=days))
