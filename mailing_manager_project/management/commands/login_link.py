"""`manage.py login_link USERNAME`: a way into the console without password and provider."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from mailing_manager_project.management.people import find_user
from toolkit.access.links import words_for


class Command(BaseCommand):
    """Print the address, and nothing else, on standard output."""

    help = (
        "Print an address of the console that logs somebody in, once and within ten minutes: for "
        "when the company's provider is away, or nobody knows a password any more. Write the name "
        "of your console before it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the argument."""
        parser.add_argument("username")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        """Print the address.

        Raises:
            CommandError: there is no such user, or they do not use the console.
        """
        user = find_user(username)
        if not user.is_staff:
            raise CommandError(f"User {username!r} is a program, which does not use the console.")
        self.stdout.write(reverse("login_link", args=words_for(user)))
        minutes = settings.PASSWORD_RESET_TIMEOUT // 60
        self.stderr.write(f"It lets {username!r} in once, for {minutes} minutes.")
