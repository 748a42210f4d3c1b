"""`manage.py connect_company_account USERNAME SUBJECT`: a user who was here before the provider."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mailing_manager_project.management.people import find_user
from toolkit.access import company


class Command(BaseCommand):
    """Connect a local user with an account of the company."""

    help = (
        "Have a user log in by an account of the company from now on, and by password no more. "
        "Their tokens and history stay. The subject stands on the page that refuses them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("username")
        parser.add_argument("subject", help="what the provider knows them by (the claim sub)")

    def handle(self, *args: Any, username: str, subject: str, **options: Any) -> None:
        """Connect them.

        Raises:
            CommandError: there is no provider, no such user, or one of the two is connected.
        """
        if not company.is_on():
            raise CommandError("OIDC_ISSUER is not set: nobody logs in by a company account here.")
        try:
            company.connect(find_user(username), subject=subject)
        except ValidationError as error:
            raise CommandError(error.messages[0]) from None
        self.stdout.write(f"{username!r} logs in by the company account {subject!r} from now on.")
