"""`manage.py import_clients FILE.csv`: add clients from a file, or change existing ones."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from tqdm import tqdm

from clients.imports import ImportResult, import_clients


class Command(BaseCommand):
    """Import a CSV file; report every bad row and keep the good ones."""

    help = (
        "Add clients from a CSV file, or change those whose phone number is already there. "
        "Columns: phone_number, operator_code, tag, timezone, external_id; all but the first may "
        "be left out. Exit code: 0 when every row was imported, 1 when some were refused, "
        "2 when the file cannot be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the argument."""
        parser.add_argument("file", help="CSV in UTF-8; - reads standard input")

    def handle(self, *args: Any, file: str, **options: Any) -> None:
        """Import the file; print refused rows as they come, and the counts at the end.

        Raises:
            CommandError: rows were refused, the file or the database failed, or Ctrl-C.
        """
        try:
            with _opened(file) as source:
                result = self._import(source, size=_size(file))
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}", returncode=2) from error
        except ValidationError as error:
            raise CommandError(f"{file}: {error.messages[0]}", returncode=2) from error
        except DatabaseError as error:
            raise CommandError(
                f"The database failed: {error}. Whole batches are saved; "
                "run the import again when the database works."
            ) from error
        except KeyboardInterrupt:
            raise CommandError(
                "Stopped. Whole batches are saved; run the import again for the rest.",
                returncode=130,
            ) from None
        self.stdout.write(
            f"{result.created} created, {result.updated} updated, "
            f"{result.unchanged} unchanged, {result.bad} bad"
        )
        if result.bad:
            raise CommandError("Some rows were not imported; the lines above say why.")

    def _import(self, source: BinaryIO, size: int | None) -> ImportResult:
        problems: list[str] = []
        is_terminal = self.stderr.isatty()
        with tqdm(total=size, unit="B", unit_scale=True, disable=not is_terminal) as bar:

            def show(bytes_read: int) -> None:
                # A whole batch at once, because the bar is redrawn after each write.
                if problems:
                    with bar.external_write_mode():
                        self.stderr.write("\n".join(problems))
                    problems.clear()
                bar.update(bytes_read - bar.n)

            return import_clients(
                source,
                on_error=lambda line, reason: problems.append(f"line {line}: {reason}"),
                on_progress=show,
            )


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
    else:
        with open(file, "rb") as source:
            yield source


def _size(file: str) -> int | None:
    """Return the size in bytes; None where it is not known, as of standard input."""
    return (os.path.getsize(file) or None) if file != "-" else None
