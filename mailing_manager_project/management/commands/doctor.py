"""`manage.py doctor`: whether this installation has what it needs, and what to do if not."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from mailing_manager_project.doctor.examining import examine
from mailing_manager_project.doctor.findings import Finding, Level
from toolkit.terminal import OperatorCommand

EXIT_CODES = {Level.OK: 0, Level.WARNING: 1, Level.ERROR: 2}


class Command(OperatorCommand):
    """Exit code: 0 if all is well, 1 if there are warnings, 2 if there are errors."""

    help = (
        "Look at the database, the broker, the sender, the storage of files, clocks, disk, workers "
        "and settings; say what is wrong and what to do. Nothing is sent. Exit code: 0 if all is "
        "well, 1 if there are warnings, 2 if there are errors."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        self.add_json(parser)

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        """Print what was found.

        Raises:
            CommandError: there are warnings (exit code 1), or errors (2).
        """
        found = examine()
        worst = max((each.level for each in found), key=EXIT_CODES.__getitem__)
        if json:
            checks = [each._asdict() for each in found]
            self.show_json({"level": worst, "checks": checks})
        else:
            self._show(found)
        if code := EXIT_CODES[worst]:
            raise CommandError(_summary(found), returncode=code)

    def _show(self, found: list[Finding]) -> None:
        rows = [(_loud(each.level), each.check, each.detail, each.hint) for each in found]
        self.show_table(("", "Check", "What is the case", "What to do"), rows)


def _loud(level: Level) -> str:
    return level if level == Level.OK else level.upper()


def _summary(found: list[Finding]) -> str:
    numbers = {level: sum(each.level == level for each in found) for level in Level}
    return f"{numbers[Level.ERROR]} errors, {numbers[Level.WARNING]} warnings."
