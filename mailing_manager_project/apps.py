"""What every program does first, however it was started."""

import sys

from django.apps import AppConfig

from mailing_manager_project.checks import register_checks
from mailing_manager_project.environment import SetupError
from mailing_manager_project.folders import make_needed_folders
from mailing_manager_project.roles import seed_after_migrate
from mailing_manager_project.ticks import restore_after_migrate


class WiringConfig(AppConfig):
    """Makes what only main.py would make otherwise, and looks for what is wrong."""

    name = "mailing_manager_project"

    def ready(self) -> None:
        """Register the checks, have groups and ticks made, and make the folders that are needed.

        Raises:
            SystemExit: one cannot be made; the line that says so is written already.
        """
        register_checks(sys.argv)
        seed_after_migrate()
        restore_after_migrate()
        try:
            make_needed_folders()
        except SetupError as error:
            # As an exception it would be a page of Django's, Celery's or gunicorn's traceback.
            sys.stderr.write(f"Mailing Manager cannot start. {error}\n")
            sys.exit(2)
