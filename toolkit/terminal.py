"""What the commands for operators share: tables, --json, exit codes, and who is at work.

Times are UTC. Exit code: 0 if it is done, 1 if it was refused, 2 if it could not be tried.
"""

import getpass
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error
from rest_framework.utils.encoders import JSONEncoder
from rich.console import Console
from rich.table import Table
from rich.text import Text

from toolkit.characters import is_unwritable
from toolkit.history.actors import Actor, Door, acting

NOTHING = "–"
# Columns of output that goes to no terminal: whatever reads it wants whole lines.
ENDLESS = 10_000
SHORT = 24  # characters that stay on one line, however narrow the terminal is
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class OperatorCommand(BaseCommand):
    """A command whose deeds stand in the history under the name of the system's user."""

    requires_system_checks = ()

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Do what the command does; say in a line why that is not possible.

        Raises:
            CommandError: it was refused (exit code 1), or the database failed (2).
        """
        try:
            with acting(_operator):
                return super().execute(*args, **options)
        except ValidationError as refusal:
            raise CommandError(" ".join(refusal.messages)) from None
        except Error as error:
            reason = str(error).strip().partition("\n")[0]
            raise CommandError(f"The database cannot be asked: {reason}", returncode=2) from None
        except BrokenPipeError:  # Whoever read it, such as `head`, has enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what the verb says (`add_verb`)."""
        run: Callable[..., None] = options.pop("run")
        run(**options)

    @staticmethod
    def add_json(parser: CommandParser) -> None:
        """Declare the option --json."""
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")

    def add_verb(
        self, verbs: Any, name: str, run: Callable[..., None], *, help: str
    ) -> CommandParser:
        """Declare a verb, such as `list`, and what it runs; `verbs` is of `add_subparsers`."""
        parser: CommandParser = verbs.add_parser(name, help=help, description=help)
        self.add_json(parser)
        parser.set_defaults(run=run)
        return parser

    def show_json(self, content: Any, *, indent: int | None = 2) -> None:
        """Print something as JSON, as REST has it."""
        self.stdout.write(json.dumps(content, cls=JSONEncoder, ensure_ascii=False, indent=indent))

    def show_table(self, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table; numbers are set right. Without rows, nothing but the headers."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="", show_header=any(headers))
        for place, header in enumerate(headers):
            cells = [row[place] for row in rows]
            table.add_column(
                header,
                justify="right" if any(isinstance(cell, int | float) for cell in cells) else "left",
                no_wrap=all(len(in_words(cell)) <= SHORT for cell in cells),
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(Text(in_words(cell)) for cell in row))
        text = io.StringIO()
        Console(file=text, width=None if self.stdout.isatty() else ENDLESS).print(table)
        for line in text.getvalue().splitlines():
            self.stdout.write(line.rstrip())

    def show_facts(self, facts: Sequence[tuple[str, object]]) -> None:
        """Print names and what they are, a line each."""
        self.show_table(("", ""), [(name, in_words(value)) for name, value in facts])


def in_words(value: object) -> str:
    """Return a cell of a table as text, without what a terminal would obey."""
    match value:
        case None | "":
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.1f}" if value >= 1 or not value else f"{value:.2g}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case timedelta():
            return _duration(value)
    return "".join(" " if is_unwritable(each) else each for each in str(value))


def _duration(span: timedelta) -> str:
    """Return how long something takes or took, in one unit."""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if span >= 2 * unit:
            return f"{span // unit} {name}"
    return f"{span.total_seconds():.0f} s"


def _operator() -> Actor:
    """Return who has called a command: the system's user, also behind sudo."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # There is none of this id, as in a container.
        name = ""
    return Actor(Door.COMMAND, username=name)
