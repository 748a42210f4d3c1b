"""`manage.py mailings`: list and show mailings; pause, resume and cancel them."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from mailings import services
from mailings.admin.labels import audience, excerpt, hours
from mailings.admin.rows import Row, rows_of
from mailings.api.serializers import MailingSerializer
from mailings.models import Mailing
from mailings.stats import balances_of
from mailings.tasks import apply_on_commit
from messages_app.admin.now import look
from messages_app.models import Standing
from messages_app.stats import by_error_code
from toolkit import clock
from toolkit.terminal import OperatorCommand

LISTED = 20  # mailings, unless somebody wants more
NUMBERS = tuple(standing.name.capitalize() for standing in Standing)  # which a column is headed by


def _resume(mailing: Mailing) -> Mailing:
    return services.resume_mailing(mailing, now=clock.now())


# {verb: (what it does, in words; the service)}
CHANGES: dict[str, tuple[str, Callable[[Mailing], Mailing]]] = {
    "pause": ("Send nothing more of mailings until they are resumed.", services.pause_mailing),
    "resume": ("Go on with mailings that were paused.", _resume),
    "cancel": (
        "End mailings for good: what is in flight arrives, the rest fails.",
        services.cancel_mailing,
    ),
}


class Command(OperatorCommand):
    """Every verb calls what the console and REST call."""

    help = "List and show mailings; pause, resume and cancel them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the verbs."""
        verbs = parser.add_subparsers(required=True, metavar="VERB")
        listing = self.add_verb(verbs, "list", self.list, help="List mailings, the newest first.")
        listing.add_argument(
            "--status", nargs="+", choices=Mailing.Status.values, help="only those that are so"
        )
        listing.add_argument(
            "--most", type=int, default=LISTED, metavar="N", help="how many (%(default)s)"
        )
        showing = self.add_verb(verbs, "show", self.show, help="Show a mailing.")
        showing.add_argument("id", type=int)
        for verb, (purpose, _) in CHANGES.items():
            changing = self.add_verb(verbs, verb, self.change, help=purpose)
            changing.add_argument("ids", type=int, nargs="+", metavar="id")
            changing.set_defaults(verb=verb, yes=True)
            if verb == "cancel":
                changing.add_argument(
                    "--yes", action="store_true", help="ask nothing", default=False
                )

    def list(self, *, status: Sequence[str] | None, most: int, json: bool, **options: Any) -> None:
        """Print the newest mailings."""
        mailings = Mailing.objects.filter(status__in=status) if status else Mailing.objects.all()
        rows = rows_of(list(mailings[: max(0, most)]), look())
        if json:
            self.show_json([_told(row) for row in rows])
            return
        self.show_table(
            ("ID", "State", "Starts", "Stops", *NUMBERS, "A second", "Text"),
            [
                (
                    str(row.mailing.pk),
                    row.said.word,
                    row.mailing.start_time,
                    row.mailing.stop_time,
                    *row.progress.numbers.values(),
                    row.progress.rate,
                    excerpt(row.mailing.text, 40),
                )
                for row in rows
            ],
        )

    def show(self, *, id: int, json: bool, **options: Any) -> None:
        """Print a mailing."""
        mailing = _get(id)
        (row,) = rows_of([mailing], look())
        reasons = by_error_code(balances_of([mailing])[mailing.pk])
        if json:
            stored = MailingSerializer(mailing).data
            self.show_json({**stored, **_told(row), "error_codes": reasons})
            return
        foreseen = row.progress.forecast
        self.show_facts(
            [
                ("Mailing", str(mailing.pk)),
                ("State", f"{row.said.word}. {row.said.text}"),
                *([("What would help", row.said.help)] if row.said.help else []),
                ("Starts", mailing.start_time),
                ("Stops", mailing.stop_time),
                ("Hours", hours(mailing.window)),
                ("To", audience(mailing)),
                ("Text", mailing.text),
                *(
                    (str(standing.label), number)
                    for standing, number in row.progress.numbers.items()
                ),
                *((f"Failed, {code}", number) for code, number in reasons.items()),
                ("A second", row.progress.rate),
                ("Done", foreseen.finishes_at if foreseen else None),
                ("Clients looked through", mailing.last_run_time),
            ]
        )

    def change(
        self, *, verb: str, ids: Sequence[int], yes: bool, json: bool, **options: Any
    ) -> None:
        """Pause, resume or cancel mailings.

        Raises:
            CommandError: some of them refused it; the others are changed.
        """
        if not yes:
            self._confirm(ids)
        done, refused = _change_each(ids, CHANGES[verb][1])
        if json:
            self.show_json([{"id": each.pk, "status": each.status} for each in done])
        else:
            for each in done:
                self.stdout.write(f"Mailing {each.pk} is {each.status}.")
        if refused:
            raise CommandError("\n".join(refused))

    @staticmethod
    def _confirm(ids: Sequence[int]) -> None:
        """Ask whether mailings are to end for good.

        Raises:
            CommandError: they are not, or there is nobody to ask.
        """
        if not sys.stdin.isatty():
            raise CommandError("Nobody is there to ask. Say --yes to cancel without a question.")
        try:
            answer = input(f"Cancel for good what is left of {', '.join(map(str, ids))}? [y/N] ")
        except (EOFError, KeyboardInterrupt):
            answer = ""
        if answer.strip().lower() != "y":
            raise CommandError("Nothing was cancelled.")


def _change_each(
    ids: Sequence[int], service: Callable[[Mailing], Mailing]
) -> tuple[list[Mailing], list[str]]:
    """Change mailings; return those that are changed, and a sentence for each of the others."""
    done, refused = [], []
    for pk in ids:
        try:
            mailing = service(_get(pk))
        except ValidationError as refusal:
            refused.append(f"Mailing {pk}: {' '.join(refusal.messages)}")
        except CommandError as error:
            refused.append(str(error))
        else:
            apply_on_commit(mailing)
            done.append(mailing)
    return done, refused


def _get(pk: int) -> Mailing:
    mailing = Mailing.objects.filter(pk=pk).first()
    if mailing is None:
        raise CommandError(f"There is no mailing {pk}.")
    return mailing


def _told(row: Row) -> dict[str, Any]:
    """Return what a list tells of a mailing, as JSON."""
    foreseen = row.progress.forecast
    return {
        "id": row.mailing.pk,
        "status": row.mailing.status,
        "state": row.said.word,
        "said": f"{row.said.text} {row.said.help}".strip(),
        "start_time": row.mailing.start_time,
        "stop_time": row.mailing.stop_time,
        "text": row.mailing.text,
        "messages": {**row.progress.numbers, "total": row.progress.total},
        "is_complete": row.progress.is_complete,
        "rate": row.progress.rate,
        "finishes_at": foreseen.finishes_at if foreseen else None,
    }
