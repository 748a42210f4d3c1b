"""Check our own migrations for what would lock a large table or break a rolling deploy."""

import os
import sys

import django
from django_migration_linter import MigrationLinter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailing_manager_project.settings")
django.setup()

linter = MigrationLinter(
    include_apps=["clients", "mailings", "messages_app"],
    no_cache=True,
    quiet=["ok", "ignore"],
    all_warnings_as_errors=True,
)
linter.lint_all_migrations()
linter.print_summary()
sys.exit(linter.has_errors)
