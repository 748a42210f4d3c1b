"""`manage.py queue`: what waits where, and since when."""

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from mailing_manager_project import backlog, queues
from mailing_manager_project.backlog import MailingBacklog
from mailing_manager_project.queues import BrokerAwayError
from messages_app.admin.now import look
from messages_app.models import Standing
from toolkit.terminal import OperatorCommand, in_words

SHOWN = 50  # mailings, unless somebody wants more


class Command(OperatorCommand):
    """Three tables: messages by mailing, what else waits, and tasks in the broker."""

    help = (
        "Show what waits where, and since when: messages of each mailing that has begun, imports, "
        "webhooks, and tasks in the broker."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        self.add_json(parser)
        parser.add_argument(
            "--most", type=int, default=SHOWN, metavar="N", help="mailings (%(default)s)"
        )

    def handle(self, *args: Any, json: bool, most: int, **options: Any) -> None:
        """Print what waits."""
        sending = look()
        mailings = backlog.of_mailings(sending, most=most)
        others = backlog.of_others()
        try:
            tasks, trouble = queues.lengths(), ""
        except BrokerAwayError as error:
            tasks, trouble = {}, f"The broker does not answer: {error}"
        if json:
            self.show_json(
                {
                    "hold": sending.hold,
                    "mailings": [_told(each, sending.now) for each in mailings],
                    "others": [each._asdict() for each in others],
                    "broker": tasks or None,
                }
            )
            return
        if sending.hold:
            self.stdout.write(f"{sending.hold}\n")
        self._show_mailings(mailings, sending.now)
        self.stdout.write("")
        self.show_table(
            ("What else", "Waiting", "Since"),
            [(each.name, each.number, _age(each.since, sending.now)) for each in others],
        )
        self.stdout.write("")
        if trouble:
            self.stdout.write(trouble)
        else:
            self.show_table(("Queue of the broker", "Tasks"), list(tasks.items()))

    def _show_mailings(self, mailings: list[MailingBacklog], now: datetime) -> None:
        if not mailings:
            self.stdout.write("No message waits.")
            return
        headers = (
            "Mailing",
            "State",
            "Waiting",
            "Retried",
            "Due",
            "Doorbells",
            "Leases",
            "A second",
        )
        rows = [
            (
                str(each.row.mailing.pk),
                each.row.said.word,
                each.row.progress.numbers[Standing.WAITING],
                each.row.progress.numbers[Standing.RETRIED],
                _due(each.next_at, now),
                each.doorbells,
                each.leases,
                each.row.progress.rate,
            )
            for each in mailings
        ]
        self.show_table(headers, rows)


def _told(each: MailingBacklog, now: datetime) -> dict[str, Any]:
    numbers = each.row.progress.numbers
    return {
        "mailing": each.row.mailing.pk,
        "state": each.row.said.word,
        "waiting": numbers[Standing.WAITING],
        "retried": numbers[Standing.RETRIED],
        "next_attempt_at": each.next_at,
        "due_for": max(0.0, (now - each.next_at).total_seconds()) if each.next_at else None,
        "doorbells": each.doorbells,
        "leases": each.leases,
        "rate": each.row.progress.rate,
    }


def _age(since: datetime | None, now: datetime) -> timedelta | None:
    return max(timedelta(), now - since) if since else None


def _due(at: datetime | None, now: datetime) -> str:
    """Return since when, or in what time, the next message of a mailing is due."""
    if at is None:
        return "on their way"
    return f"for {in_words(now - at)}" if at <= now else f"in {in_words(at - now)}"
