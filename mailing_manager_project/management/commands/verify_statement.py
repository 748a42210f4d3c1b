"""`manage.py verify_statement FILE`: verifies a statement, whoever made it."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from mailings.statements.verify_statement import main
from toolkit.terminal import OperatorCommand


class Command(OperatorCommand):
    """The verifier is a program of its own, which needs nothing of ours; this calls it."""

    help = "Verify a statement. Exit code: 0 only if it is whole and genuine."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("file", help="the JSON that was handed out")
        parser.add_argument("--key", default="", help="the public key that it must be signed with")

    def handle(self, *args: Any, file: str, key: str, **options: Any) -> None:
        """Say what it says, or why it is not genuine."""
        sys.exit(main([file, *filter(None, [key])]))
