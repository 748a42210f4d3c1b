"""`manage.py tail`: what becomes of messages, as it happens."""

from collections.abc import Iterator
from datetime import datetime
from time import sleep
from typing import Any

from django.core.management.base import CommandError, CommandParser

from messages_app.api.changes import change_rows
from messages_app.ledger import changes
from messages_app.ledger.changes import Change
from toolkit.terminal import OperatorCommand, in_words

PAGE = 1_000  # changes read at once
PAUSE = 0.5  # seconds between two looks


class Command(OperatorCommand):
    """The changes are those of `GET messages/changes/`, each once and in the order of commits."""

    help = "Print each change of a message's status as it happens, until Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--mailing", type=int, metavar="ID", help="only of this one")
        start = parser.add_mutually_exclusive_group()
        start.add_argument(
            "--all", action="store_true", help="begin with the oldest change that is kept"
        )
        start.add_argument("--after", metavar="CURSOR", help="begin behind this place of the feed")
        parser.add_argument(
            "--once", action="store_true", help="end where there is nothing more now"
        )
        parser.add_argument("--json", action="store_true", help="one line of JSON for each change")

    def handle(
        self, *args: Any, mailing: int | None, json: bool, once: bool, **options: Any
    ) -> None:
        """Print the changes.

        Raises:
            CommandError: the cursor is none of this feed, or too old.
        """
        cursor = options["after"] or (
            changes.oldest_cursor() if options["all"] else changes.latest_cursor()
        )
        try:
            for page in _pages(cursor, is_endless=not once):
                wanted = [each for each in page if mailing in (None, each.mailing_id)]
                self._show(wanted, is_json=json)
        except changes.CursorError:
            raise CommandError(f"{cursor} is no cursor of the feed.") from None
        except changes.CursorTooOldError:
            raise CommandError(
                "What follows this place of the feed is not kept any more."
            ) from None
        except KeyboardInterrupt:
            return

    def _show(self, found: list[Change], *, is_json: bool) -> None:
        for row in change_rows(found) if found else ():
            if is_json:
                self.show_json(row, indent=None)
            else:
                self.stdout.write(_line(row))
        self.stdout.flush()


def _pages(cursor: str, *, is_endless: bool) -> Iterator[list[Change]]:
    """Yield the changes behind a cursor, a page at a time."""
    while True:
        page = changes.read(after=cursor, limit=PAGE)
        cursor = page.next
        yield page.changes
        if page.has_more:
            continue
        if not is_endless:
            return
        sleep(PAUSE)


def _line(row: dict[str, Any]) -> str:
    """Return a change in words, a line of even columns."""
    before, after = row["before"] or "new", row["status"] or "withdrawn"
    what = after if row["is_final"] or after == "pending" else f"{after}, tried again"
    places = (
        f"mailing {row['mailing']:<6} client {row['client'] or '–':<9} message {row['message']:<10}"
    )
    at = in_words(datetime.fromisoformat(row["at"]))
    return f"{at}  {places} {before:>7} → {what} {row['error_code']}".rstrip()
