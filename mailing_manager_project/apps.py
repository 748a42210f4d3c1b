"""What every program does first, however it was started."""

import sys

from django.apps import AppConfig
from django.conf import settings

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
            begin_traces()
            make_needed_folders()
        except SetupError as error:
            # As an exception it would be a page of Django's, Celery's or gunicorn's traceback.
            sys.stderr.write(f"Mailing Manager cannot start. {error}\n")
            sys.exit(2)


def begin_traces() -> None:
    """Have traces made, if somebody takes them.

    Raises:
        SetupError: what makes them is not installed.
    """
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return
    try:
        from mailing_manager_project import tracing
    except ImportError as error:
        raise SetupError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed ({error}). "
            "Run 'pip install -r requirements-otel.txt', or leave it empty."
        ) from None
    tracing.begin()
