"""`manage.py statement MAILING`: the signed statement of what became of a mailing's messages."""

from math import inf
from typing import Any

from django.core.management.base import CommandError, CommandParser

from mailing_manager_project.management.commands.why import find_client
from mailings.models import Mailing, Statement
from mailings.statements import making
from mailings.statements.proving import handed_out, last_statement, proven
from messages_app.models import Message
from toolkit import clock
from toolkit.terminal import OperatorCommand


class Command(OperatorCommand):
    """What it writes is that of `GET mailings/ID/statement/`; `verify_statement` verifies it."""

    help = "Write the signed statement of what became of a mailing's messages, as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("mailing", type=int, help="its id")
        parser.add_argument(
            "--proof",
            metavar="CLIENT",
            help="with the proof of what it says of a client's message: id, or number as +7...",
        )

    def handle(self, *args: Any, mailing: int, proof: str | None, **options: Any) -> None:
        """Write it; where there is none yet of a mailing that is closed, make it first.

        Raises:
            CommandError: there is no such mailing or message, or the mailing is not closed.
        """
        found = Mailing.objects.filter(pk=mailing).first()
        if found is None:
            raise CommandError(f"There is no mailing {mailing}.")
        statement = last_statement(found) or _make(found)
        if proof is None:
            self.show_json(handed_out(statement))
            return
        message = Message.objects.filter(mailing=found, client=find_client(proof)).first()
        if message is None:
            raise CommandError("This client has no message of the mailing.")
        self.show_json(proven(statement, message))


def _make(mailing: Mailing) -> Statement:
    """Make the first statement of a mailing, from its beginning to its end."""
    if begun := making.begin(mailing.pk, now=clock.now()):
        making.make(begun.pk, now=clock.now(), ends_at=inf)
    statement = last_statement(mailing)
    if statement is None:
        raise CommandError("There is none before the mailing is over and its counts are final.")
    return statement
