"""`manage.py audit`: prove that every message is accounted for."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.db.models import Max

from mailing_manager_project.journal_audit import audit_with_journal
from mailings.audit import Finding, Report, audit
from mailings.models import Mailing
from messages_app.models import Heartbeat
from sandbox_sender.journal import JournalError


class Command(BaseCommand):
    """Exit code: 0 if everything holds, 1 if something does not, 2 if it could not be checked."""

    help = (
        "Prove that every message is accounted for: counts add up, every success was accepted, "
        "nothing was sent outside its time, nothing is left over. With the sandbox sender's "
        "journal: what it accepted is what we call a success, both ways."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--mailing", type=int, metavar="ID", help="only this mailing")
        parser.add_argument(
            "--journal", type=Path, metavar="FILE", help="the sandbox sender's journal"
        )
        parser.add_argument(
            "--of-backup",
            action="store_true",
            help="judge as of when its programs were last seen at work, and not as of now",
        )
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the report.

        Raises:
            CommandError: a rule is broken (exit code 1), or nothing could be checked (2).
        """
        mailing = options["mailing"]
        try:
            if mailing is not None and not Mailing.objects.filter(pk=mailing).exists():
                raise CommandError(f"There is no mailing {mailing}.", returncode=2)
            if journal := options["journal"]:
                report = audit_with_journal(journal, mailing_id=mailing)
            else:
                seen = Heartbeat.objects.aggregate(at=Max("at"))["at"]
                report = audit(mailing_id=mailing, at=seen if options["of_backup"] else None)
        except DatabaseError as error:
            raise CommandError(f"The database does not answer. {error}", returncode=2) from None
        except (OSError, JournalError) as error:
            raise CommandError(f"The journal cannot be read. {error}", returncode=2) from None
        self.stdout.write(_as_json(report) if options["json"] else self._as_text(report))
        if not report.is_good:
            wrong = ", ".join(each.name for each in report.findings if not each.is_good)
            raise CommandError(f"Not everything holds: {wrong}.", returncode=1)

    def _as_text(self, report: Report) -> str:
        stats = ", ".join(f"{number:,} {name}" for name, number in report.stats.items())
        lines = [f"{report.mailings:,} mailings at {report.at:%Y-%m-%d %H:%M:%S} UTC: {stats}", ""]
        lines += [self._line(finding) for finding in report.findings]
        lines += ["", *(f"{name.replace('_', ' ')}: {n:,}" for name, n in report.notes.items())]
        return "\n".join(lines)

    def _line(self, finding: Finding) -> str:
        if finding.is_good:
            return f"{self.style.SUCCESS('holds')}  {finding.rule}"
        ids = ", ".join(map(str, finding.ids))
        more = ", …" if finding.number > len(finding.ids) else ""
        wrong = f"Not so for {finding.number:,}: {ids}{more}."
        return f"{self.style.ERROR('WRONG')}  {finding.rule} {wrong}"


def _as_json(report: Report) -> str:
    findings = [{**asdict(each), "is_good": each.is_good} for each in report.findings]
    content = {**asdict(report), "findings": findings, "is_good": report.is_good}
    return json.dumps(content, default=str, indent=2)
