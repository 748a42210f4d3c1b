"""`manage.py why MAILING CLIENT`: why a client got a mailing, will get it, or will not."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from clients.models import Client
from clients.phone_numbers import normalise
from mailings.api.explaining import ExplanationSerializer
from mailings.explaining import Explanation, explain
from mailings.models import Mailing
from toolkit import clock
from toolkit.terminal import OperatorCommand

MOST_OF_ID = 10  # digits; a phone number without its plus has more, or is no id of a client


class Command(OperatorCommand):
    """The rules are those of `GET mailings/ID/clients/ID/`."""

    help = "Say why a client got a mailing, will get it, or will not, rule by rule."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("mailing", type=int, help="its id")
        parser.add_argument("client", help="its id, or a phone number in the form +7...")
        self.add_json(parser)

    def handle(self, *args: Any, mailing: int, client: str, json: bool, **options: Any) -> None:
        """Print the verdict, and each rule.

        Raises:
            CommandError: there is no such mailing, or no such client.
        """
        found = Mailing.objects.filter(pk=mailing).first()
        if found is None:
            raise CommandError(f"There is no mailing {mailing}.")
        explanation = explain(found, find_client(client), now=clock.now())
        if json:
            self.show_json(ExplanationSerializer(explanation).data)
        else:
            self._show(explanation)

    def _show(self, found: Explanation) -> None:
        self.stdout.write(f"{found.verdict.label}.")
        if found.next:
            self.stdout.write(f"At the earliest: {found.next:%Y-%m-%d %H:%M:%S}.")
        self.stdout.write("")
        rows = [
            ("holds" if rule.holds else "NOT SO", rule.rule, rule.detail) for rule in found.rules
        ]
        self.show_table(("", "Rule", "What is the case"), rows)
        if found.attempts:
            self.stdout.write("")
            self.show_table(
                ("Attempt", "Began", "Outcome", "HTTP", "In words"),
                [
                    (
                        each.number,
                        each.began_at,
                        each.error_code or "accepted",
                        each.http_status and str(each.http_status),
                        each.error,
                    )
                    for each in found.attempts
                ],
            )


def find_client(client: str) -> Client:
    """Return a client by id or by number; a number begins with a plus, or has more than ten digits.

    Raises:
        CommandError: there is none, or it is neither.
    """
    if client.isdecimal() and len(client) <= MOST_OF_ID:
        found = Client.objects.filter(pk=int(client)).first()
    else:
        try:
            found = Client.objects.filter(phone_number=normalise(client)).first()
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
    if found is None:
        raise CommandError(f"There is no client {client}.")
    return found
