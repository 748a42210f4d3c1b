"""`manage.py sandbox_sender`: a stand-in for the sender API."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from sandbox_sender.options import DESCRIPTION, add_arguments, read_options
from sandbox_sender.server import serve


class Command(BaseCommand):
    """Run a sandbox sender until Ctrl-C or SIGTERM."""

    help = DESCRIPTION
    # The sandbox has nothing to do with this installation's database or settings.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options, those of `python -m sandbox_sender`."""
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve; the exit code is 1 when it can not start."""
        sys.exit(serve(read_options(options)))
