"""What every program does first, however it was started."""

import sys

from django.apps import AppConfig

from mailing_manager_project.environment import SetupError


class WiringConfig(AppConfig):
    """Makes what only main.py would make otherwise."""

    name = "mailing_manager_project"

    def ready(self) -> None:
        """Make the folders that the settings need.

        Raises:
            SystemExit: one cannot be made; the line that says so is written already.
        """
        # Settings can be read only by now.
        from mailing_manager_project.folders import make_needed_folders

        try:
            make_needed_folders()
        except SetupError as error:
            # As an exception it would be a page of Django's, Celery's or gunicorn's traceback.
            sys.stderr.write(f"Mailing Manager cannot start. {error}\n")
            sys.exit(2)
