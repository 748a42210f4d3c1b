"""`manage.py daily_report`: sends the daily letter now."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from reports import sending
from reports.services import recipients
from toolkit import clock


class Command(BaseCommand):
    """Send the daily letter of a day to all who get it, whether they had it or not."""

    help = (
        "Send the daily letter now, also to those who had it. Exit code: 0 when the mail server "
        "took all."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take a day, and an address."""
        parser.add_argument(
            "--date",
            type=date.fromisoformat,
            help="the day, as in 2026-11-30; without it, each recipient's last one",
        )
        parser.add_argument("--to", metavar="ADDRESS", help="send it to this recipient only")

    def handle(self, *args: Any, **options: Any) -> None:
        """Send them, and say to whom."""
        if not settings.EMAIL_HOST:
            raise CommandError("There is no mail server: set EMAIL_HOST.")
        chosen = [each for each in recipients() if each.is_daily]
        if options["to"]:
            chosen = [each for each in chosen if each.address == options["to"].lower()]
        if not chosen:
            raise CommandError(
                "There is nobody to send it to: add a recipient in the console, or to "
                "REPORT_RECIPIENTS."
            )
        failed = []
        for recipient in chosen:
            now = clock.now()
            day = options["date"] or recipient.newest_day(now)
            letter = sending.daily_letter_to(recipient, day, now=now)
            sending.send(letter, recipient, now=now)
            if letter.error:
                failed.append(f"{recipient}: {letter.error}")
            else:
                self.stdout.write(f"{day} was sent to {recipient}.")
        if failed:
            raise CommandError("Not sent to " + "; ".join(failed))
