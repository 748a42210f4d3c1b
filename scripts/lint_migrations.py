"""Check our own migrations for what would lock a large table or break a rolling deploy.

They are looked at as Postgres runs them, where tables are large and deploys are rolling; SQLite
copies a table for every new constraint, which looks like a table that is made anew.
"""

import os
import sys

import django
from django_migration_linter import MigrationLinter

from tests.servers import private_postgres


def lint() -> bool:
    """Print what is wrong; tell whether something is."""
    linter = MigrationLinter(
        include_apps=[
            *("access", "clients", "history", "idempotency", "mailings", "messages_app", "outbox"),
            *("reports", "webhooks"),
        ],
        # Unique is a column that these releases add: no earlier code writes it, and all is NULL.
        ignore_name=["0009_external_ids_once", "0014_external_ids_once"],
        no_cache=True,
        quiet=["ok", "ignore"],
        all_warnings_as_errors=True,
    )
    linter.lint_all_migrations()
    linter.print_summary()
    return bool(linter.has_errors)


with private_postgres(fsync="off") as os.environ["DATABASE_URL"]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")
    django.setup()
    has_errors = lint()
sys.exit(has_errors)
