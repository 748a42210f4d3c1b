"""The database: that it answers, has room and all its tables, and what time it thinks it is."""

from collections.abc import Iterator
from datetime import timedelta

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from mailing_manager_project.doctor.findings import Finding, error, fine, warning
from toolkit import clock
from toolkit.terminal import in_words

MANY = 0.8  # of the connections that a Postgres has
NAMED = 3  # migrations
# Between this machine's clock and the database's.
NOTICED, SERIOUS = timedelta(seconds=5), timedelta(minutes=5)
CONNECTIONS = """
SELECT count(*), current_setting('max_connections')::int
FROM pg_stat_activity WHERE backend_type = 'client backend'
"""


def look() -> Iterator[Finding]:
    """Connect, and see which database it is, and whether it has connections left."""
    connection.ensure_connection()
    if connection.vendor != "postgresql":
        yield fine(f"SQLite {_version()} answers.")
        return
    with connection.cursor() as cursor:
        cursor.execute(CONNECTIONS)
        used, most = cursor.fetchone()
    detail = f"Postgres {_version()} answers; {used} of {most} connections are in use."
    if used < MANY * most:
        yield fine(detail)
        return
    yield warning(
        detail,
        "Raise max_connections, put PgBouncer in front (docs/scaling.md), or run fewer processes.",
    )


def look_at_migrations() -> Iterator[Finding]:
    """See whether the database has what this code needs."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        yield fine("All migrations are applied.")
        return
    names = ", ".join(f"{each.app_label}.{each.name}" for each, _ in plan[:NAMED])
    more = f" and {len(plan) - NAMED} more" if plan[NAMED:] else ""
    yield error(f"Not applied: {names}{more}.", "Run 'python manage.py migrate'.")


def look_at_clock() -> Iterator[Finding]:
    """Compare this machine's clock with the database's, by which everything is decided."""
    if connection.vendor != "postgresql":
        yield fine("The database is a file, so there is one clock.")
        return
    before = timezone.now()
    theirs = clock.now()
    ours = before + (timezone.now() - before) / 2
    apart = abs(theirs - ours)
    if apart < NOTICED:
        yield fine(f"This machine's clock is within {NOTICED.seconds} seconds of the database's.")
        return
    which = "behind" if ours < theirs else "ahead of"
    yield (error if apart > SERIOUS else warning)(
        f"This machine's clock is {in_words(apart)} {which} the database's.",
        "Set both by NTP (timedatectl). Sending goes by the database's; logs, tokens' ends and "
        "certificates go by this machine's.",
    )


def _version() -> str:
    return ".".join(map(str, connection.get_database_version()))
