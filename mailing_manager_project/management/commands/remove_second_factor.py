"""`manage.py remove_second_factor USERNAME`: for whoever has neither phone nor backup codes."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mailing_manager_project.management.people import find_user
from toolkit.access import factors


class Command(BaseCommand):
    """Remove a user's second factor, and have them told."""

    help = (
        "Remove the second factor of a user: the next login asks for the password alone, and, "
        "where SECOND_FACTOR says so, for setting up another one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the argument."""
        parser.add_argument("username")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        """Remove it.

        Raises:
            CommandError: there is no such user, or nothing to remove.
        """
        if not factors.remove(find_user(username)):
            raise CommandError(f"User {username!r} has no second factor.")
        self.stdout.write(f"The second factor of {username!r} is removed.")
